package cluster

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

// A trouble is something that happens to a node in a random story.
type trouble struct {
	what string
	node int
	then time.Duration // until the next
}

func (x trouble) String() string { return fmt.Sprintf("%s n%d, then %v", x.what, x.node, x.then) }

func troubles() *rapid.Generator[trouble] {
	return rapid.Custom(func(t *rapid.T) trouble {
		return trouble{
			what: rapid.SampledFrom([]string{"join", "join", "kill", "leave", "freeze", "thaw", "cut", "heal", "stall", "slow", "work", "forget"}).Draw(t, "what"),
			node: rapid.IntRange(1, 4).Draw(t, "node"),
			then: time.Duration(rapid.SampledFrom([]int{0, 1, 20, 150, 1000, 4000}).Draw(t, "then")) * time.Millisecond,
		}
	})
}

// TestRandomStories plays random troubles on up to four nodes, with slow
// requests, late watches and lost answers. However that goes, an epoch of a
// partition is given once, to one member (so that two valid leases of one
// epoch cannot be); a host sees gains and losses alternate; and when the
// troubles end, every partition has its owner.
func TestRandomStories(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		story := rapid.SliceOfN(troubles(), 1, 25).Draw(rt, "story")
		seed := rapid.Uint64().Draw(rt, "seed")
		var wrong []string
		synctest.Test(t, func(t *testing.T) { wrong = play(t, story, seed) })
		if len(wrong) > 0 {
			rt.Fatal(strings.Join(wrong, "\n"))
		}
	})
}

// A player is a node of a story.
type player struct {
	*testHost
	conn    *conn
	undo    []func() // what ends its troubles
	stopped bool     // it does not run on, whatever it is told
}

func (p *player) mend() {
	for _, f := range p.undo {
		f()
	}
	p.undo = nil
}

func play(t *testing.T, story []trouble, seed uint64) (wrong []string) {
	s, led := newMemory(), &ledger{}
	random := rand.New(rand.NewPCG(seed, 0))
	draw := func(n int64) int64 {
		s.mu.Lock()
		defer s.mu.Unlock()
		return random.Int64N(n)
	}
	var calm atomic.Bool // no answer is lost any more
	live := map[int]*player{}
	var all []*player
	end := func(p *player) {
		p.mend()
		p.conn.kill()
		p.stopped = true
	}
	for _, x := range story {
		p := live[x.node]
		switch {
		case p == nil && x.what == "join":
			c := s.connect()
			c.delay = func() time.Duration { return time.Duration(draw(int64(20 * time.Millisecond))) }
			c.loses = func() bool { return draw(20) == 0 && !calm.Load() }
			p, err := tryJoin(t.Context(), led, c, fmt.Sprintf("n%d", x.node))
			if err != nil {
				c.kill() // an answer was lost, or a namesake hangs
				break
			}
			live[x.node] = &player{testHost: p, conn: c}
			all = append(all, live[x.node])
		case p == nil:
		case x.what == "kill":
			end(p)
			delete(live, x.node)
		case x.what == "leave" && len(p.undo) == 0:
			ctx, cancel := context.WithCancel(t.Context())
			p.undo = append(p.undo, cancel)
			p.tasks.Go(func() { _ = p.Leave(ctx) }) // its leases tell
			p.stopped = true
			delete(live, x.node)
		case len(p.undo) > 0:
			if x.what == "thaw" || x.what == "heal" || x.what == "work" {
				p.mend()
			}
		case x.what == "freeze":
			p.undo = append(p.undo, p.conn.freeze())
		case x.what == "cut":
			p.undo = append(p.undo, p.conn.cut())
		case x.what == "stall":
			p.undo = append(p.undo, p.conn.stall())
		case x.what == "slow":
			p.undo = append(p.undo, p.busy())
		case x.what == "forget":
			key := keysOf(DefaultPool).member(p.node)
			s.mu.Lock()
			rev := s.live(key)
			s.mu.Unlock()
			s.remove(key, rev)
		}
		pass(x.then)
	}
	calm.Store(true)
	var left []*testHost
	for _, p := range all {
		p.mend()
		if !p.stopped && p.Err() == nil {
			left = append(left, p.testHost)
		}
	}
	for began := time.Now(); len(left) > 0 && !settled(left...); pass(10 * time.Millisecond) {
		left = slices.DeleteFunc(left, func(h *testHost) bool { return h.Err() != nil })
		if time.Since(began) > time.Minute {
			wrong = append(wrong, "a minute after the last trouble the partitions are not shared")
			for _, h := range left {
				wrong = append(wrong, fmt.Sprintf("%s should own %d and has %d valid leases", h.node, h.share(), h.valid()))
			}
			break
		}
	}
	for _, p := range all {
		wrong = append(wrong, p.finish()...)
	}
	return append(wrong, led.wrong...)
}
