package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/perdure/perdure/actors"
	"github.com/perdure/perdure/runtime/runtimetest"
	"github.com/perdure/perdure/schemas"
	"github.com/perdure/perdure/tools/chaos/load"
)

// A verdict is what a history comes to.
type verdict struct {
	ops, checked    int // operations of clients, and those that were decided
	accepted, ended int // runs
	faults, kinds   int
	hit             int // faults that hit runs in flight
	pause, bare     time.Duration
	steps, entries  int
	zombies         int      // steps that a node began as it was continued, which had been started before
	violations      []string // of what is promised
	failures        []string // of the run: it does not show what it should
}

func (v *verdict) failed() bool { return len(v.violations)+len(v.failures) > 0 }

func (v *verdict) say(format string, args ...any) {
	v.violations = append(v.violations, fmt.Sprintf(format, args...))
}

// mostShown is how many violations are printed.
const mostShown = 20

func (v *verdict) print(w io.Writer) {
	for _, s := range v.violations[:min(len(v.violations), mostShown)] {
		fmt.Fprintln(w, "violation:", s)
	}
	if n := len(v.violations) - mostShown; n > 0 {
		fmt.Fprintf(w, "and %d violations more\n", n)
	}
	for _, s := range v.failures {
		fmt.Fprintln(w, "failed:", s)
	}
	fmt.Fprintf(w, "%d runs accepted, %d finished; %d steps were executed, %d entries of journals seen; %d steps began as a node was continued\n",
		v.accepted, v.ended, v.steps, v.entries, v.zombies)
}

// line is the last line of a run.
func (v *verdict) line(seed uint64) string {
	return fmt.Sprintf("chaos: seed %d, operations %d (checked %d), faults %d (kinds %d, hit runs in flight %d), longest pause %.1f s (bare publisher %.1f s), violations: %d",
		seed, v.ops, v.checked, v.faults, v.kinds, v.hit, v.pause.Seconds(), v.bare.Seconds(), len(v.violations))
}

// An operation is one of a client's, from its beginning to its end.
type operation struct {
	invoke   event
	accepted bool
	returned *event // nil: it has no end
}

// A past is what a history tells, in the order of the checks' need.
type past struct {
	v       *verdict
	ops     []*operation
	byRun   map[string]*operation
	steps   map[string][]event // by run, in the order in which they came
	entries map[string][]event // by identity, in the order of their sequences
	again   []event
	lists   []event
	paused  []interval
	faults  []fault
	kinds   []string // of faults, that were asked for
}

// An interval is one in which a process was stopped.
type interval struct {
	node     string // "all": every one
	from, to int64
}

// A fault is one that has ended.
type fault struct {
	kind, target string
	from, to     int64
}

// judge says what is wrong with a history.
func judge(all []event) *verdict {
	p := newPast()
	v := p.v
	p.read(all)
	p.ends()
	p.results()
	p.executions()
	p.timers()
	p.chronicle()
	p.clocks()
	p.ledgers()
	p.cells()
	if v.checked*100 < v.ops*95 {
		v.failures = append(v.failures, fmt.Sprintf("%d of %d operations were decided, fewer than 95 %%", v.checked, v.ops))
	}
	if v.ended < v.accepted {
		v.failures = append(v.failures, fmt.Sprintf("%d runs finished, and %d were accepted", v.ended, v.accepted))
	}
	return v
}

// soFar says what is wrong already with a history that goes on.
func soFar(all []event) *verdict {
	p := newPast()
	p.read(all)
	p.results()
	p.executions()
	p.timers()
	p.chronicle()
	p.cells()
	return p.v
}

// wrong is what an audit must not find when nothing happens any more. What crashes leave,
// as entries below a record, does no harm.
var wrong = []string{
	actors.FoundLostRun, actors.FoundOverdueSchedule, actors.FoundStateBehind, actors.FoundStateAhead,
	actors.FoundUnsentMessage, actors.FoundUnreadable, actors.FoundDeadOwner,
}

func newPast() *past {
	return &past{v: &verdict{}, byRun: map[string]*operation{}, steps: map[string][]event{}, entries: map[string][]event{}}
}

func (p *past) read(all []event) {
	v, began, over := p.v, int64(0), int64(0)
	ops := map[int]*operation{}
	hit, came := map[string]int{}, map[string]bool{}
	var returns []int64
	pauses := map[string]int64{}
	faults := map[string]int64{} // that have begun
	seen := map[uint64]bool{}
	for _, e := range all {
		switch e.Ev {
		case evRun:
			p.kinds = e.What
		case evInvoke:
			o := &operation{invoke: e}
			ops[e.Op] = o
			p.ops = append(p.ops, o)
			if e.Run != "" {
				p.byRun[e.Run] = o
			}
		case evAccept:
			ops[e.Op].accepted = true
		case evReturn:
			ops[e.Op].returned = &e
			returns = append(returns, e.T)
		case evStep:
			v.steps++
			p.steps[e.Run] = append(p.steps[e.Run], e)
		case evEntry:
			if !seen[e.Seq] {
				seen[e.Seq] = true
				v.entries++
				p.entries[identity(e.Run)] = append(p.entries[identity(e.Run)], e)
			}
		case evAgain:
			p.again = append(p.again, e)
		case evFound:
			if slices.Contains(wrong, e.Name) {
				v.say("an audit finds %s at %s: %s", e.Name, e.Run, e.Result)
			}
		case evList:
			p.lists = append(p.lists, e)
		case evBare:
			v.bare = time.Duration(e.Out) * time.Millisecond
		case evEnded:
			v.say("%s ended by itself: %s", e.Node, e.Err)
		case evPhase:
			switch e.Phase {
			case "load":
				began = e.T
			case "quiet":
				over = e.T + int64(calm)
			case "unread":
				v.failures = append(v.failures, e.Err)
			}
		case evFault:
			if strings.HasPrefix(e.Fault, "pause-") && (strings.HasPrefix(e.Target, "node") || e.Target == "all") {
				if e.Phase == "begin" {
					pauses[e.Target] = e.T
				} else {
					p.paused = append(p.paused, interval{e.Target, pauses[e.Target], e.T})
				}
			}
			if e.Phase == "begin" {
				faults[e.Fault+e.Target] = e.T
			}
			if e.Phase != "end" {
				continue
			}
			p.faults = append(p.faults, fault{e.Fault, e.Target, faults[e.Fault+e.Target], e.T})
			v.faults++
			came[e.Fault] = true
			if e.Hit && e.Flight > 0 {
				v.hit++
				hit[e.Fault]++
			}
		}
	}
	v.kinds = len(came)
	for _, k := range p.kinds {
		if hit[k] == 0 {
			v.failures = append(v.failures, fmt.Sprintf("the fault %s hit no run in flight: it came=%t; take more time, or name the kinds", k, came[k]))
		}
	}
	last := began
	for _, t := range append(returns, over) {
		if t > over {
			t = over
		}
		v.pause = max(v.pause, time.Duration(t-last))
		last = max(last, t)
	}
	for _, id := range slices.Sorted(maps.Keys(p.entries)) {
		slices.SortFunc(p.entries[id], func(a, b event) int { return int(a.Seq) - int(b.Seq) })
	}
}

// identity is kind/key of a reference.
func identity(run string) string {
	if i := strings.LastIndexByte(run, '/'); i >= 0 {
		return run[:i]
	}
	return run
}

// ends: what was begun ends, and without an error that a caller must handle.
func (p *past) ends() {
	v := p.v
	v.ops = len(p.ops)
	for _, o := range p.ops {
		run := o.invoke.Run != ""
		if run && (o.accepted || o.returned != nil && o.returned.Err == "") {
			v.accepted++
		}
		switch r := o.returned; {
		case r == nil, strings.Contains(r.Err, "context canceled"), strings.Contains(r.Err, "context deadline exceeded"):
			what := "it has no end"
			if r != nil {
				what = r.Err
			}
			v.say("%s %s does not end, accepted=%t: %s%s", o.invoke.Verb, o.invoke.Run+o.invoke.Cell, o.accepted, what, p.tail(o.invoke.Run))
		case r.Err != "":
			v.say("%s %s ends with an error: %s%s", o.invoke.Verb, o.invoke.Run+o.invoke.Cell, r.Err, p.tail(o.invoke.Run))
			v.checked++
		default:
			v.checked++
			if run {
				v.ended++
			}
		}
	}
}

// tail is the end of a run's journal, for people.
func (p *past) tail(run string) string {
	if run == "" {
		return ""
	}
	var b strings.Builder
	all := p.entries[identity(run)]
	for _, e := range all[max(0, len(all)-4):] {
		fmt.Fprintf(&b, "\n    entry %d of %s, epoch %d: %s", e.Seq, e.Run, e.Epoch, strings.Join(e.What, ", "))
	}
	return b.String()
}

// results: one result per ID, made of what was recorded.
func (p *past) results() {
	v := p.v
	executed := map[string]string{} // of an execution: its run
	for run, steps := range p.steps {
		for _, s := range steps {
			executed[fmt.Sprintf("%s#%d", s.Name, s.Op)] = run
		}
	}
	for _, o := range p.ops {
		if o.returned == nil || o.returned.Err != "" {
			continue
		}
		switch o.invoke.Verb {
		case "order":
			var r load.Receipt
			if err := json.Unmarshal([]byte(o.returned.Result), &r); err != nil {
				v.say("%s: its result is %q: %v", o.invoke.Run, o.returned.Result, err)
				continue
			}
			var names []string
			for _, s := range r.Steps {
				name, _, _ := strings.Cut(s, "#")
				names = append(names, name)
				if executed[s] != o.invoke.Run {
					v.say("%s: its result has %s, which is an execution of %q", o.invoke.Run, s, executed[s])
				}
			}
			if got := strings.Join(names, " "); got != "reserve charge pick pack label ship" {
				v.say("%s: its result has the steps %s", o.invoke.Run, got)
			}
			if want := fmt.Sprint("yes ", o.invoke.In); r.Approved != want {
				v.say("%s: it was approved with %q, and the signal was %q", o.invoke.Run, r.Approved, want)
			}
		case "forecast":
			if !strings.Contains(o.returned.Result, o.invoke.Name) {
				v.say("%s: asked for %s it says %s", o.invoke.Run, o.invoke.Name, o.returned.Result)
			}
		}
	}
	for _, e := range p.again {
		o := p.byRun[e.Run]
		switch {
		case o == nil || o.returned == nil || o.returned.Err != "": // said already
		case strings.Contains(e.Err, "context canceled"):
			v.say("%s: asked for again it has no result: %s", e.Run, e.Err)
		case e.Err != "" || e.Result != o.returned.Result:
			v.say("%s: its result was %s, and asked for again is %s%s", e.Run, o.returned.Result, e.Result, e.Err)
		}
	}
}

// asContinued is how long after a node was continued a step may begin that it had
// started before it was stopped, although another node has recorded it since: P06. It
// is the first thing that the process does.
const asContinued = time.Second

// executions: no recorded step is executed after its record.
func (p *past) executions() {
	v := p.v
	excused := map[string]bool{} // run, node and pause
	for _, id := range slices.Sorted(maps.Keys(p.entries)) {
		recorded := map[string]map[string]int64{} // by run and path: when
		for _, e := range p.entries[id] {
			for _, w := range e.What {
				path, ok := strings.CutPrefix(w, "step ")
				if !ok {
					continue
				}
				if recorded[e.Run] == nil {
					recorded[e.Run] = map[string]int64{}
				}
				if recorded[e.Run][path] != 0 {
					continue // which the chronicle says
				}
				recorded[e.Run][path] = e.At
			}
		}
		for run, paths := range recorded {
			for _, s := range p.steps[run] {
				at, ok := paths[s.Path]
				if !ok || s.Begun <= at {
					continue
				}
				if k := p.continued(s); k >= 0 {
					key := fmt.Sprint(run, s.Node, k)
					if !excused[key] {
						excused[key] = true
						v.zombies++
						continue
					}
				}
				v.say("%s: step %s %s began on %s %s after it was recorded", run, s.Path, s.Name, s.Node, time.Duration(s.Begun-at))
			}
		}
	}
	// Of runs whose journal was not seen the order of their steps says what was recorded.
	next := map[string]int{"reserve": 1, "charge": 2, "pick": 3, "pack": 3, "label": 3, "ship": 4}
	for run, steps := range p.steps {
		if len(p.entries[identity(run)]) > 0 {
			continue
		}
		most := 0
		for _, s := range steps {
			if n := next[s.Name]; n < most && p.continued(s) < 0 {
				v.say("%s: step %s began on %s when a later one had begun", run, s.Name, s.Node)
			} else {
				most = max(most, n)
			}
		}
	}
}

// continued returns which pause of its node had just ended when a step began, or -1.
func (p *past) continued(s event) int {
	return slices.IndexFunc(p.paused, func(i interval) bool {
		return (i.node == s.Node || i.node == "all") && s.Begun >= i.from-int64(50*time.Millisecond) && s.Begun <= i.to+int64(asContinued)
	})
}

// timers: none fires early.
func (p *past) timers() {
	const grain = int64(time.Millisecond)
	for _, o := range p.ops {
		var reserved, charged int64
		for _, s := range p.steps[o.invoke.Run] {
			switch {
			case (s.Name == "reserve" || s.Name == "yawn") && reserved == 0:
				reserved = s.Begun
			case s.Name == "charge" && (charged == 0 || s.Begun < charged):
				charged = s.Begun
			}
		}
		if o.invoke.Verb == "nap" && o.returned != nil && o.returned.Err == "" {
			charged = o.returned.T
		}
		waited := int64(o.invoke.WaitMS) * int64(time.Millisecond)
		if charged != 0 && charged+grain < reserved+waited {
			p.v.say("%s: its timer of %d ms fired early, %s after the step before it began", o.invoke.Run, o.invoke.WaitMS, time.Duration(charged-reserved))
		}
	}
}

// chronicle: the journals are as the invariants of docs/protocol have them, as far as
// those can be seen in them. No run stands still.
func (p *past) chronicle() {
	v := p.v
	var all runtimetest.Chronicle
	for _, id := range slices.Sorted(maps.Keys(p.entries)) {
		for _, e := range p.entries[id] {
			run, err := schemas.ParseRef(e.Run)
			if e.Err != "" || err != nil {
				v.say("%s: entry %d: %s", e.Run, e.Seq, cmp.Or(e.Err, fmt.Sprint(err)))
				continue
			}
			all = append(all, runtimetest.Chronicled{Seq: e.Seq, Time: time.Unix(0, e.At), Run: run, Epoch: e.Epoch, Nonce: e.Nonce, What: e.What})
			for _, w := range e.What {
				if strings.HasPrefix(w, "parked") {
					v.say("%s is parked: %s", e.Run, w)
				}
			}
		}
	}
	v.violations = append(v.violations, all.Check()...)
}

// ledgers: each message of each order arrives once, in order.
func (p *past) ledgers() {
	v := p.v
	noted := map[string][]string{}
	for _, l := range p.lists {
		if l.Err != "" {
			v.say("ledger %s cannot be read: %s", l.Ledger, l.Err)
			return
		}
		noted[l.Ledger] = l.What
	}
	if len(p.lists) == 0 {
		v.failures = append(v.failures, "the ledgers were not read")
		return
	}
	at := map[string]int{} // ledger and note
	for ledger, notes := range noted {
		for i, n := range notes {
			k := ledger + " " + n
			if _, twice := at[k]; twice {
				v.say("ledger %s has %s twice", ledger, n)
			}
			at[k] = i
		}
	}
	for _, o := range p.ops {
		if o.invoke.Ledger == "" {
			continue
		}
		first, one := at[fmt.Sprintf("%s %d.1", o.invoke.Ledger, o.invoke.In)]
		second, two := at[fmt.Sprintf("%s %d.2", o.invoke.Ledger, o.invoke.In)]
		two = two || o.invoke.Verb == "nap" // which sends one
		done := o.returned != nil && o.returned.Err == ""
		if done && (!one || !two) {
			v.say("%s is done, and ledger %s lacks its messages: first there=%t, second there=%t", o.invoke.Run, o.invoke.Ledger, one, two)
		}
		if one && two && second < first && o.invoke.Verb == "order" {
			v.say("%s: its second message came before its first", o.invoke.Run)
		}
	}
}
