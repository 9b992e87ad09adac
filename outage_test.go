//go:build unix

package perdure_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/perdure/perdure"
	"github.com/perdure/perdure/schemas"
)

// TestOutageLongerThanTheRetention kills the only node between the commit of a
// run and the end of its effects, and keeps it away for longer than records are
// kept. On return the effects are applied, and nothing runs again.
func TestOutageLongerThanTheRetention(t *testing.T) {
	t.Parallel()
	const retention = 2 * time.Second
	sc := shopScenario(nodeConfig{Durability: perdure.Process, Retention: time.Hour}, 20*time.Millisecond)
	calm := undisturbed(t, sc)
	for _, begin := range []string{
		"commit after perdure.run.0.shop.", "state before $KV.perdure_state.shop.", "state after $KV.perdure_state.shop.",
		"ack before perdure.in.0.local.shop.", "commit after perdure.run.1.store.", "commit after perdure.run.2.audit.",
	} {
		d := find(t, calm.points, begin)
		t.Run(begin, func(t *testing.T) {
			t.Parallel()
			far := newFarSide(t)
			sc := sc
			sc.node.Name, sc.node.Far, sc.node.Dir = "first", far.URL, t.TempDir()
			sc.node.Kill, sc.node.Nth = d.at.String(), d.nth
			first := startNode(t, sc.node)
			if err := sc.start(soon(t, patience), openStore(t, first.url).client); err != nil {
				t.Fatal(err)
			}
			<-first.run().exited
			if !first.killed() {
				t.Fatal("the node was not killed")
			}
			away := time.NewTimer(retention + retention/2)
			defer away.Stop()
			<-away.C // nothing runs that could give an event

			sc.node.Name, sc.node.Kill = "second", ""
			sc.node.Retention, sc.node.Sweep = retention, 20*time.Millisecond
			second := startNode(t, sc.node)
			s := openStore(t, second.url)
			recorded := s.recorded()
			second.run()
			s.settled()
			compareSteps(t, d, far, recorded, calm)
			if diff := cmp.Diff(calm.outcome.States, s.states()); diff != "" {
				t.Errorf("states (-undisturbed +killed):\n%s", diff)
			}
			eventually(t, "every record is older than the retention, and gone", func() bool { return len(s.journal()) == 0 })
			for _, o := range s.orphans() {
				t.Error("orphan:", o)
			}
			compareSteps(t, d, far, recorded, calm) // nothing ran again since
		})
	}
}

// find returns a point of a run by the beginning of its name.
func find(t *testing.T, points []point, begin string) death {
	t.Helper()
	for _, d := range deaths(points) {
		if strings.HasPrefix(d.at.String(), begin) {
			return d
		}
	}
	t.Fatalf("the run has no point %s: it has\n%s", begin, kindsOf(points))
	return death{}
}

// TestOnlyOldSettledRecordsAreRemoved holds each record for the retention, and
// the journal of a run that waits for as long as it does.
func TestOnlyOldSettledRecordsAreRemoved(t *testing.T) {
	t.Parallel()
	const retention = 1500 * time.Millisecond
	far := newFarSide(t)
	c := nodeConfig{
		Name: "first", Dir: t.TempDir(), Far: far.URL, Durability: perdure.Process,
		SuspendAfter: time.Millisecond, Retention: retention, Sweep: 10 * time.Millisecond,
	}
	n := startNode(t, c).run()
	s := openStore(t, n.url)
	ctx := soon(t, patience)
	if _, err := perdure.Start(ctx, s.client, shopOrder.At("slow"), order{Item: "pen", Wait: 10 * time.Hour}, perdure.MessageID("slow")); err != nil {
		t.Fatal(err)
	}
	slow := schemas.Identity{Kind: "shop", Key: "slow"}.Run("slow")
	status := func() string {
		info, err := s.client.Get(ctx, slow.String())
		if err != nil {
			return err.Error()
		}
		return info.Status
	}
	eventually(t, "the slow run is suspended", func() bool { return status() == "suspended" })
	// Records of different ages, all through the retention of the first.
	stored := map[schemas.Ref]time.Time{}
	for i := range 5 {
		key := string(rune('a' + i))
		if _, err := perdure.Call(ctx, s.client, chore.At(key), "sweep"); err != nil {
			t.Fatal(err)
		}
		ref := schemas.Identity{Kind: "chore", Key: key}.Run(schemas.RunID(key))
		last, ok, err := s.b.Journal().Last(ctx, ref)
		if err != nil || !ok {
			t.Fatalf("%s has no record: %v", ref, err)
		}
		stored[ref] = last.Time
		pause := time.NewTimer(retention / 5)
		<-pause.C // an age is a matter of time
	}
	for len(stored) > 0 {
		there := map[schemas.Ref]bool{}
		for _, e := range s.journal() {
			there[e.Ref] = true
		}
		now := time.Now() // the store and this test have one clock
		for ref, at := range stored {
			switch age := now.Sub(at); {
			case there[ref] && age > patience:
				t.Fatalf("%s is kept for %s, the retention is %s", ref, age, retention)
			case there[ref]:
			case age < retention:
				t.Errorf("%s was removed at an age of %s, the retention is %s", ref, age, retention)
				fallthrough
			default:
				delete(stored, ref)
			}
		}
	}
	if got := status(); got != "suspended" {
		t.Errorf("the run that waits is %s after the retention", got)
	}
	if timers, err := s.b.Schedules().Pending(ctx, slow.Identity); err != nil || len(timers) == 0 {
		t.Errorf("the run that waits has the wake-ups %v, %v; want what carries it", timers, err)
	}
}
