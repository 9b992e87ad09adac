package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// A nemesis does harm to a cluster, by a draw.
type nemesis struct {
	c     *cluster
	h     *history
	t     *tracker
	r     *rand.Rand
	kinds []string
	deck  []string // the kinds that have not come in this round
	hit   map[string]bool
	ctx   context.Context // of all that it does
	at    string          // the moment at which a node is to be killed; empty: any
}

// A harm is a fault that is there.
type harm struct {
	target string
	node   string        // whose runs are hit; "": all
	lasts  time.Duration // before it is undone
	undo   func() (hit bool)
}

// faultKinds are the kinds of faults, and how each is done.
var faultKinds = []struct {
	name string
	do   func(*nemesis) harm
}{
	{"kill-node", (*nemesis).killNode},
	{killNodeAt, (*nemesis).killNodeAt},
	{"pause-node", (*nemesis).pauseNode},
	{"kill-nats", (*nemesis).killServer},
	{"pause-nats", (*nemesis).pauseServer},
	{"cut", (*nemesis).cut},
	{"cut-one-way", (*nemesis).cutOneWay},
	{"slow", (*nemesis).slow},
	{"loss", (*nemesis).loss},
	{"kill-all", (*nemesis).killAll},
	{"pause-all", (*nemesis).pauseAll},
	{fullDisk, (*nemesis).fullDisk},
	{clockJump, (*nemesis).clockJump},
	{slowDisk, (*nemesis).slowDisk},
	{power, (*nemesis).power},
}

// fullDisk is a kind that not every machine has.
const fullDisk = "full-disk"

// killNodeAt is a kind behind which a moment may stand, as in kill-node-at-commit.
const killNodeAt = "kill-node-at"

// kindsOf returns the kinds of a list with commas; all for "".
func kindsOf(list string) (kinds []string, err error) {
	var known []string
	for _, k := range faultKinds {
		known = append(known, k.name)
	}
	if list == "" {
		return known, nil
	}
	for k := range strings.SplitSeq(list, ",") {
		name, _, _ := strings.Cut(k, killNodeAt+"-")
		if !slices.Contains(known, k) && name != "" {
			return nil, fmt.Errorf("there is no fault %q; there are %s", k, strings.Join(known, ", "))
		}
		kinds = append(kinds, k)
	}
	return kinds, nil
}

// run does harm for a time, and longer, but not more than three times as long, until
// each kind has hit a run in flight. It ends with ctx, and undoes all that it did.
func (n *nemesis) run(ctx context.Context, lasts time.Duration) {
	began := time.Now()
	n.ctx = ctx
	for {
		wait(ctx, n.between(300*time.Millisecond, 2500*time.Millisecond))
		if t := time.Since(began); ctx.Err() != nil || t > 3*lasts || t > lasts && len(n.hit) == len(n.kinds) {
			return
		}
		kind := n.draw()
		ends := []func(){n.one(ctx, kind)}
		if n.r.IntN(4) == 0 && kind != power && !n.next(power) {
			wait(ctx, n.between(0, time.Second))
			ends = append(ends, n.one(ctx, n.draw()))
		}
		for _, end := range ends {
			end()
		}
	}
}

// next reports whether a kind is the one that is drawn next: each comes once before any
// comes again.
func (n *nemesis) next(kind string) bool {
	if len(n.deck) == 0 {
		n.deck = slices.Clone(n.kinds)
		n.r.Shuffle(len(n.deck), func(i, k int) { n.deck[i], n.deck[k] = n.deck[k], n.deck[i] })
	}
	return n.deck[0] == kind
}

// draw returns the next kind.
func (n *nemesis) draw() string {
	n.next("")
	k := n.deck[0]
	n.deck = n.deck[1:]
	return k
}

// one begins a fault, and returns what waits for its time, and undoes it.
func (n *nemesis) one(ctx context.Context, kind string) (end func()) {
	name := kind
	if at, ok := strings.CutPrefix(kind, killNodeAt+"-"); ok {
		name, n.at = killNodeAt, at
	} else {
		n.at = ""
	}
	i := slices.IndexFunc(faultKinds, func(k struct {
		name string
		do   func(*nemesis) harm
	},
	) bool {
		return k.name == name
	})
	if i < 0 {
		return func() {}
	}
	owned := map[string]int{}
	for _, p := range n.c.nodes {
		owned[p.name] = n.t.flight(p.name)
	}
	all := n.t.flight("")
	x := faultKinds[i].do(n)
	e := event{Ev: evFault, Fault: kind, Target: x.target, Phase: "begin", Flight: all}
	if x.node != "" {
		e.Flight = owned[x.node]
	}
	n.h.add(e)
	over := time.Now().Add(x.lasts)
	return func() {
		wait(ctx, time.Until(over))
		e.Hit = x.undo()
		e.Phase, e.T = "end", 0
		if e.Hit && e.Flight > 0 {
			n.hit[kind] = true
		}
		n.h.add(e)
	}
}

func (n *nemesis) between(from, to time.Duration) time.Duration {
	return from + time.Duration(n.r.Int64N(int64(to-from)+1))
}

// lease is after what silence a node counts as dead.
const lease = 3 * time.Second

func (n *nemesis) killNode() harm {
	p := n.c.nodes[n.r.IntN(size)]
	return harm{p.name, p.name, n.between(0, 5*time.Second), n.restart(p)}
}

// killNodeAt kills a node as it publishes something, before that arrives or behind it;
// and then, half of the time, whoever takes its runs over, behind the first entry that
// it appends to the same identity.
func (n *nemesis) killNodeAt() harm {
	p, after, again := n.c.nodes[n.r.IntN(size)], n.r.IntN(2) == 0, n.r.IntN(2) == 0
	moment, pattern := n.moment(n.at)
	when := "before"
	if after {
		when = "after"
	}
	target := fmt.Sprintf("%s %s %s", p.name, when, moment)
	if again {
		target += ", and who comes next"
	}
	var sprung atomic.Bool
	var dead sync.WaitGroup
	set := func(p *process, t *trap) {
		for _, l := range n.c.links {
			if l.from == p.name && l.to != far {
				l.trap.Store(t)
			}
		}
	}
	t := &trap{pattern: pattern, after: after}
	t.sprung = func(c cutAt) {
		sprung.Store(true)
		p.kill()
		n.h.add(event{Ev: evFault, Fault: killNodeAt, Target: p.name, Phase: "sprung", Name: c.subject, Result: c.body})
		words := strings.Split(c.subject, ".") // perdure.run.<partition>.<kind>.<key>.<id>
		if !again || len(words) != 6 || words[1] != "run" {
			return
		}
		for _, other := range n.c.nodes {
			if other != p {
				next := &trap{pattern: "PUB " + strings.Join(words[:5], ".") + ".", after: true}
				next.sprung = func(c cutAt) {
					other.kill()
					n.h.add(event{Ev: evFault, Fault: killNodeAt, Target: other.name, Phase: "sprung", Name: c.subject})
					dead.Go(func() { _ = other.start() }) // at once: its partitions move back, or on
				}
				set(other, next)
			}
		}
	}
	set(p, t)
	return harm{target, p.name, n.between(4*time.Second, 6*time.Second), func() bool {
		for _, p := range n.c.nodes {
			set(p, nil)
		}
		dead.Wait()
		if err := p.start(); err != nil {
			n.h.add(event{Ev: evEnded, Node: p.name, Err: err.Error()})
		}
		return sprung.Load()
	}}
}

func (n *nemesis) killServer() harm {
	p := n.c.servers[n.r.IntN(size)]
	return harm{p.name, "", n.between(0, 4*time.Second), n.restart(p)}
}

func (n *nemesis) killAll() harm {
	return harm{"all", "", n.between(0, 2*time.Second), n.restart(append(slices.Clone(n.c.nodes), n.c.servers...)...)}
}

// restart kills processes, and returns what starts them again.
func (n *nemesis) restart(all ...*process) func() bool {
	hit := false
	for _, p := range all {
		hit = p.kill() || hit
	}
	return func() bool {
		for _, p := range all {
			if err := p.start(); err != nil {
				n.h.add(event{Ev: evEnded, Node: p.name, Err: err.Error()})
			}
		}
		return hit
	}
}

func (n *nemesis) pauseNode() harm {
	p := n.c.nodes[n.r.IntN(size)]
	return harm{p.name, p.name, n.between(lease+500*time.Millisecond, 2*lease), n.pause(p)}
}

func (n *nemesis) pauseServer() harm {
	p := n.c.servers[n.r.IntN(size)]
	return harm{p.name, "", n.between(lease+500*time.Millisecond, 2*lease), n.pause(p)}
}

func (n *nemesis) pauseAll() harm {
	return harm{"all", "", n.between(lease+500*time.Millisecond, 2*lease), n.pause(append(slices.Clone(n.c.nodes), n.c.servers...)...)}
}

// pause stops processes, and returns what lets them go on.
func (n *nemesis) pause(all ...*process) func() bool {
	hit := false
	for _, p := range all {
		hit = p.stop() || hit
	}
	return func() bool {
		n.r.Shuffle(len(all), func(i, k int) { all[i], all[k] = all[k], all[i] })
		for _, p := range all {
			p.proceed()
		}
		return hit
	}
}

// some draws ways: between two processes, or all of one process.
func (n *nemesis) some() (links []*link, target, node string) {
	l := n.c.links[n.r.IntN(len(n.c.links))]
	for range 50 { // one over which somebody speaks
		if l.busy() {
			break
		}
		l = n.c.links[n.r.IntN(len(n.c.links))]
	}
	if n.r.IntN(2) == 0 {
		links, target = []*link{l}, l.from+"-"+l.to
	} else {
		target = l.from
		if l.from == client && n.r.IntN(2) == 0 {
			target = l.to
		}
		for _, l := range n.c.links {
			if l.from == target || l.to == target {
				links = append(links, l)
			}
		}
	}
	if strings.HasPrefix(target, "node") {
		node, _, _ = strings.Cut(target, "-")
	}
	return links, target, node
}

// over returns what undoes what was done to ways.
func over(links []*link) func() bool {
	before := make([]int64, len(links))
	for i, l := range links {
		before[i] = l.affected.Load()
	}
	return func() (hit bool) {
		for i, l := range links {
			l.there.set(false, 0)
			l.back.set(false, 0)
			hit = hit || l.affected.Load() > before[i]
		}
		return hit
	}
}

func (n *nemesis) cut() harm {
	links, target, node := n.some()
	undo := over(links)
	for _, l := range links {
		l.there.set(true, 0)
		l.back.set(true, 0)
	}
	return harm{target, node, n.between(500*time.Millisecond, 8*time.Second), undo}
}

func (n *nemesis) cutOneWay() harm {
	links, target, node := n.some()
	undo := over(links)
	back := n.r.IntN(2) == 0
	for _, l := range links {
		if back {
			l.back.set(true, 0)
		} else {
			l.there.set(true, 0)
		}
	}
	if back {
		target += " back"
	}
	return harm{target, node, n.between(500*time.Millisecond, 8*time.Second), undo}
}

func (n *nemesis) slow() harm {
	links, target, node := n.some()
	undo := over(links)
	delay := n.between(5*time.Millisecond, 800*time.Millisecond)
	for _, l := range links {
		l.there.set(false, delay)
		if n.r.IntN(2) == 0 {
			l.back.set(false, delay)
		}
	}
	return harm{fmt.Sprint(target, " by ", delay.Round(time.Millisecond)), node, n.between(time.Second, 5*time.Second), undo}
}

// loss breaks connections, again and again.
func (n *nemesis) loss() harm {
	links, target, node := n.some()
	undo := over(links)
	lasts := n.between(500*time.Millisecond, 4*time.Second)
	every := n.between(20*time.Millisecond, 500*time.Millisecond)
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			for _, l := range links {
				l.reset()
			}
			select {
			case <-stop:
				return
			case <-time.After(every):
			}
		}
	}()
	return harm{target, node, lasts, func() bool {
		close(stop)
		<-done
		return undo()
	}}
}
