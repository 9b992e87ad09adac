package actors_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/runtime"
	"github.com/perdure/perdure/schemas"
)

// porter is a workflow kind whose runs pass the gate that their input names; the order
// in which they do is noted in passed.
func (g *gates) porter(name string, opts ...durable.KindOption) *runtime.Kind {
	return durable.Workflow(durable.DeclareWorkflow[string, int](name), func(ctx durable.Context, gate string) (int, error) {
		return durable.Step(ctx, "pass", func(ctx context.Context) (int, error) { return 0, g.pass(ctx, gate) })
	}, opts...)
}

// waitsAll waits until the host has seen n tasks that have no place.
func (s *bench) waitsAll(n int) {
	s.t.Helper()
	s.until(fmt.Sprint(n, " tasks wait"), func() bool { return s.host.WaitForAPlace() == n })
}

// flooded starts a host that has one place, which a run of the kind "flood" has, and
// sends it 400 more of these, of which it holds a few in memory.
func flooded(t *testing.T, g *gates, key func(int) string, opts ...durable.KindOption) *bench {
	s := setup(t, g.porter("flood", opts...), g.porter("few"), g.porter("more"))
	s.cfg.MaxRuns, s.cfg.MaxHeld = 1, 64
	s.cfg.SetStillness(time.Hour)
	s.start()
	g.open("open")
	s.send(ref("flood", "first", "first"), "", "first")
	s.until("the first run of the flood has the place", func() bool { return g.times("first") == 1 })
	for i := range floodOf {
		s.send(ref("flood", key(i), key(i)), "", "open")
	}
	return s
}

const floodOf = 400

func anyKey(i int) string { return fmt.Sprint("k", i) }

// takeTurns waits until the runs that wait at two gates had the place one after the
// other, and no more than most of the flood before.
func (s *bench) takeTurns(g *gates, most int, a, b string) {
	s.t.Helper()
	s.until("a run of another party has the place", func() bool { return g.times(a)+g.times(b) == 1 })
	if g.times(b) == 1 {
		a, b = b, a
	}
	before := g.times("open")
	g.open(a)
	s.until("a run of the third party has the place", func() bool { return g.times(b) == 1 })
	if n := g.times("open"); n > most {
		s.t.Errorf("%d runs of the flood went before the first, and %d before the second; want %d at most", before, n, most)
	}
	g.open(b)
}

// TestFair_AKindThatFloodsHoldsUpNoOther: the run of another kind has the next place,
// though it was sent last, and what the host may hold is taken many times over.
func TestFair_AKindThatFloodsHoldsUpNoOther(t *testing.T) {
	t.Parallel()
	g := newGates()
	s := flooded(t, g, anyKey)
	s.send(ref("few", "a", "a"), "", "few a")
	s.send(ref("more", "a", "a"), "", "more a")
	s.waitsAll(floodOf + 2)
	g.open("first")
	s.takeTurns(g, 0, "few a", "more a")
	for i := range floodOf {
		s.end(ref("flood", anyKey(i), anyKey(i)))
	}
	s.waitsAll(0)
	s.holdsNothing()
}

// TestFair_ATenantThatFloodsHoldsUpNoOther: of the same kind.
func TestFair_ATenantThatFloodsHoldsUpNoOther(t *testing.T) {
	t.Parallel()
	g := newGates()
	tenant := func(key string) string {
		tenant, _, _ := strings.Cut(key, ":")
		if tenant == "panics" {
			panic(key)
		}
		return tenant
	}
	s := flooded(t, g, func(i int) string { return fmt.Sprint("acme:", i) }, durable.FairBy(tenant))
	s.send(ref("flood", "small:1", "small:1"), "", "small")
	s.send(ref("flood", "panics:1", "panics:1"), "", "panics")
	s.waitsAll(floodOf + 2)
	g.open("first")
	s.takeTurns(g, 1, "small", "panics") // the flood's tenant is one as they are, and has had no place yet
	s.end(ref("flood", "acme:399", "acme:399"))
}

// TestFair_WhatIsPutOffKeepsItsOrder: tasks of the same identities, and signals among
// them; nothing is lost when the host leaves in the middle.
func TestFair_WhatIsPutOffKeepsItsOrder(t *testing.T) {
	t.Parallel()
	g := newGates()
	s := setup(t, g.all()...)
	s.cfg.MaxRuns, s.cfg.MaxHeld = 2, 16
	const keys, tasks = 12, 20
	var want []string
	for i := range tasks {
		want = append(want, fmt.Sprint(i))
		for k := range keys {
			s.send(ref("account", fmt.Sprint(k), fmt.Sprint(i)), "write", fmt.Sprint(i))
		}
	}
	stop := s.start()
	s.until("some have run", func() bool { return g.times("3") > 0 })
	stop()
	s.start()
	for k := range keys {
		id := ref("account", fmt.Sprint(k), "").Identity
		s.end(id.Run(schemas.RunID(fmt.Sprint(tasks - 1))))
		if diff := cmp.Diff(want, state[ledger](s, id).Lines); diff != "" {
			t.Errorf("%s (-want +got):\n%s", id, diff)
		}
	}
	s.holdsNothing()
}

// TestFair_WhoIsTerminatedWhilePutOffDoesNotRun: what an operator asks does not wait
// until it is the run's turn.
func TestFair_WhoIsTerminatedWhilePutOffDoesNotRun(t *testing.T) {
	t.Parallel()
	g := newGates()
	s := flooded(t, g, anyKey)
	s.send(ref("flood", "late", "late"), "", "late")
	s.waitsAll(floodOf + 1)
	late := ref("flood", "late", "late")
	s.publish(late.Identity, &schemas.Envelope{Type: schemas.Envelope_CONTROL, Id: "stop", Run: "late", Control: &schemas.Control{Action: schemas.Control_TERMINATE}})
	s.until("the task is in memory", func() bool { return s.host.PutOff() < floodOf })
	g.open("first")
	s.fails(late, "terminated")
	if n := g.times("late"); n > 0 {
		t.Error("the run that was terminated has executed")
	}
	s.end(ref("flood", anyKey(floodOf-1), anyKey(floodOf-1)))
	s.holdsNothing()
}

// TestFair_ASignalForARunThatIsOpenDoesNotWait behind a task of its key that is put off,
// nor behind all that came before that task: the run might run into its timeout.
func TestFair_ASignalForARunThatIsOpenDoesNotWait(t *testing.T) {
	t.Parallel()
	g := newGates()
	hears := durable.DeclareWorkflow[string, int]("hears")
	s := setup(t, durable.Workflow(hears, func(ctx durable.Context, gate string) (before int, err error) {
		if gate == "listen" {
			if _, err := durable.Await(ctx, word, durable.Timeout(10*time.Hour)); err != nil {
				return 0, err
			}
			return durable.Step(ctx, "count", func(context.Context) (int, error) { return g.times("open"), nil })
		}
		return durable.Step(ctx, "pass", func(ctx context.Context) (int, error) { return 0, g.pass(ctx, gate) })
	}))
	s.cfg.MaxRuns, s.cfg.MaxHeld, s.cfg.SuspendAfter = 1, 64, time.Millisecond
	s.cfg.SetStillness(time.Hour)
	s.start()
	g.open("open")
	listens := ref("hears", "x", "listens")
	s.send(listens, "", "listen")
	s.untilStatus(listens, "suspended")
	s.until("no activation is in memory", func() bool { return s.host.Activations() == 0 })
	s.send(ref("hears", "first", "first"), "", "first")
	s.until("another run has the place", func() bool { return g.times("first") == 1 })
	for i := range floodOf {
		s.send(ref("hears", anyKey(i), anyKey(i)), "", "open")
	}
	s.waitsAll(floodOf)
	s.send(ref("hears", "x", "next"), "", "open")
	s.until("the next run of the key is put off", func() bool { return s.host.PutOff() > 0 && s.host.WaitForAPlace() == floodOf+1 })
	before := s.host.PutOff()
	s.utter(listens, "word")
	s.until("what is before the signal is in memory", func() bool { return s.host.PutOff() < before })
	g.open("first")
	if n := result[int](s, listens); n > floodOf/2 {
		t.Errorf("%d of the %d runs that came before the signal went before the run that waits for it", n, floodOf)
	}
	s.end(ref("hears", "x", "next"))
}
