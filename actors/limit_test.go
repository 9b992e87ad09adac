package actors_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/perdure/perdure/actors"
	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/runtime"
	"github.com/perdure/perdure/schemas"
)

var booth = durable.DeclareWorkflow[string, string]("booth")

// boothKinds are a workflow behind a limit, and the limit.
func (g *gates) boothKinds(opts ...durable.KindOption) []*runtime.Kind {
	kinds := []*runtime.Kind{durable.Workflow(booth, func(ctx durable.Context, gate string) (string, error) {
		return durable.Step(ctx, "pass", func(ctx context.Context) (string, error) { return gate, g.pass(ctx, gate) })
	}, opts...)}
	return append(kinds, actors.LedgerKinds("", kinds)...)
}

// holds asks a limit how many hold it, and how many wait.
func (s *bench) holds(key string) (holders, waiting int) {
	s.t.Helper()
	p, err := actors.Ask(s.ctx, s.b, s.host.Kinds(), schemas.Identity{Kind: "perdure-limit", Key: key}, "show", nil)
	var shown struct{ Holders, Waiting []any }
	if err == nil {
		err = json.Unmarshal(p.GetData(), &shown)
	}
	if err != nil {
		s.t.Fatal(err)
	}
	return len(shown.Holders), len(shown.Waiting)
}

// TestLimit_IsSaidAndOutlivesItsHost: a run that waits says for what, and a limit
// that is held is neither swept nor forgotten.
func TestLimit_IsSaidAndOutlivesItsHost(t *testing.T) {
	t.Parallel()
	g := newGates()
	s := setup(t, g.boothKinds(durable.Concurrency(1))...).sweeping(1500 * time.Millisecond)
	s.cfg.Grace, s.cfg.PassivateAfter, s.cfg.SuspendAfter = 50*time.Millisecond, 20*time.Millisecond, 20*time.Millisecond
	stop := s.start()
	a, b, c := ref("booth", "a", "a"), ref("booth", "b", "b"), ref("booth", "c", "c")
	s.send(a, "", "a")
	s.until("a is in", func() bool { return g.times("a") == 1 })
	s.send(b, "", "b")
	s.untilStatus(b, "suspended")
	s.send(c, "", "c")
	s.untilStatus(c, "suspended")
	_, _, reason, err := actors.Look(s.ctx, s.b, c)
	if want := "waits for a permit of the limit booth: 1 of 1 are taken, 1 came before it"; err != nil || reason != want {
		t.Errorf("c %q, %v; want %q", reason, err, want)
	}
	s.until("the limit's record is as old as what is swept", func() bool {
		last, ok, err := s.b.Journal().Last(s.ctx, runtime.LedgerRef(schemas.Identity{Kind: "perdure-limit", Key: "booth"}))
		return err == nil && ok && time.Since(last.Time) > 1600*time.Millisecond
	})
	stop()
	s.start()
	if holders, waiting := s.holds("booth"); holders != 1 || waiting != 2 {
		t.Errorf("%d hold the limit and %d wait, want 1 and 2", holders, waiting)
	}
	g.open("a")
	if got := result[string](s, a); got != "a" {
		t.Errorf("a returned %q", got)
	}
	s.until("b is in", func() bool { return g.times("b") == 1 })
	if n := g.times("c"); n != 0 {
		t.Errorf("c began %d times while b has the permit", n)
	}
	g.open("b")
	g.open("c")
	result[string](s, b)
	result[string](s, c)
	s.until("nobody holds or waits", func() bool { h, w := s.holds("booth"); return h+w == 0 })
	n := 0
	for _, e := range s.entries() {
		if e.Ref.Kind == "perdure-limit" {
			n++
		}
	}
	if n > 1 {
		t.Errorf("the limit has %d entries, want one, which the next replaces", n)
	}
	s.until("the record of a limit that says nothing goes", func() bool {
		for _, e := range s.entries() {
			if e.Ref.Kind == "perdure-limit" {
				return false
			}
		}
		return true
	})
}

// TestLimit_GivesBackWhatComesTooLate, and refuses who is not of this namespace.
func TestLimit_GivesBackWhatComesTooLate(t *testing.T) {
	t.Parallel()
	g := newGates()
	s := setup(t, g.boothKinds(durable.Concurrency(1))...)
	s.start()
	limit := schemas.Identity{Kind: "perdure-limit", Key: "booth"}
	a := ref("booth", "a", "a")
	g.open("a")
	s.send(a, "", "a")
	result[string](s, a)
	s.idle(a.Identity)
	s.idle(limit)
	late := fmt.Appendf(nil, `{"run":%q,"path":"0.1","hold":{"rule":"CONCURRENCY","max":1}}`, a)
	s.publish(limit, &schemas.Envelope{Type: schemas.Envelope_TASK, Id: "late", Method: "acquire", Payload: &schemas.Payload{Data: late}})
	s.idle(limit)
	s.until("the permit is given back", func() bool { h, w := s.holds("booth"); return h+w == 0 })
	s.foreign(limit, map[string]string{"Perdure-Method": "acquire", "Perdure-Id": "foreign"}, strings.Replace(string(late), a.String(), "booth/nobody/nobody", 1))
	s.until("a run that was never heard of gives back, too", func() bool {
		return len(s.waiting(limit)) == 0 && len(s.waiting(ref("booth", "nobody", "").Identity)) == 0
	})
	s.until("the permit is given back", func() bool { h, w := s.holds("booth"); return h+w == 0 })
}

// TestLimit_AnOperatorGivesBack what a run holds whose journal is gone.
func TestLimit_AnOperatorGivesBack(t *testing.T) {
	t.Parallel()
	g := newGates()
	s := setup(t, g.boothKinds(durable.Concurrency(1))...)
	s.start()
	limit := schemas.Identity{Kind: "perdure-limit", Key: "booth"}
	a, b := ref("booth", "a", "a"), ref("booth", "b", "b")
	s.send(a, "", "a")
	s.until("a is in", func() bool { return g.times("a") == 1 })
	g.open("b")
	s.send(b, "", "b")
	s.until("b waits", func() bool { _, w := s.holds("booth"); return w == 1 })
	s.foreign(limit, map[string]string{"Perdure-Method": "release"}, fmt.Sprintf(`{"run":%q}`, a))
	result[string](s, b)
	g.open("a")
	result[string](s, a)
}

// TestLimit_ManyAreTakenInTogether: what waits for a limit becomes few entries.
func TestLimit_ManyAreTakenInTogether(t *testing.T) {
	t.Parallel()
	g := newGates()
	s := setup(t, g.boothKinds(durable.Concurrency(4))...)
	s.start()
	g.open("in")
	const n = 200
	for i := range n {
		s.send(ref("booth", fmt.Sprint(i), fmt.Sprint(i)), "", "in")
	}
	for i := range n {
		result[string](s, ref("booth", fmt.Sprint(i), fmt.Sprint(i)))
	}
	s.until("nobody holds or waits", func() bool { h, w := s.holds("booth"); return h+w == 0 })
}

// TestLimit_ALongQueueLeavesNoObjects: a state that is too large for a message is
// an object, and the one before it goes.
func TestLimit_ALongQueueLeavesNoObjects(t *testing.T) {
	t.Parallel()
	g := newGates()
	s := setup(t, g.boothKinds(durable.Concurrency(1))...)
	s.start()
	s.send(ref("booth", "a", "a"), "", "a")
	s.until("a is in", func() bool { return g.times("a") == 1 })
	limit := schemas.Identity{Kind: "perdure-limit", Key: "booth"}
	long := strings.Repeat("x", 200)
	n := int(s.b.MaxMessage())/500 + 50
	for i := range n {
		r := ref("booth", fmt.Sprint(long, i), fmt.Sprint(long, i))
		ask := fmt.Appendf(nil, `{"run":%q,"path":"0.1","hold":{"rule":"CONCURRENCY","max":1,"tenant":%q}}`, r, long)
		s.publish(limit, &schemas.Envelope{Type: schemas.Envelope_TASK, Id: fmt.Sprint("ask", i), Method: "acquire", Payload: &schemas.Payload{Data: ask}})
	}
	s.idle(limit)
	if _, waiting := s.holds("booth"); waiting != n {
		t.Errorf("%d wait, want %d", waiting, n)
	}
	names, err := s.b.Blobs().Of(s.ctx, limit)
	if err != nil || len(names) != 1 {
		t.Errorf("the limit has the objects %q, %v; want one", names, err)
	}
}
