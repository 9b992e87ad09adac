package actors_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/perdure/perdure/actors"
	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/runtime"
	"github.com/perdure/perdure/schemas"
)

// waits returns an actor of a build, which answers at once, or after a signal.
func (g *gates) waits(build string, older ...*durable.Kind) *runtime.Kind {
	return actors.New(actors.Handlers[ledger]{actors.On(talk, func(ctx durable.Context, s *ledger, in string) (string, error) {
		if in == "wait" {
			w, err := durable.Await(ctx, turn)
			if err != nil {
				return "", err
			}
			g.done("got " + w)
			return build + " " + w, nil
		}
		g.done(build + " " + in)
		return build + " " + in, nil
	})}, durable.Build(build, older...))
}

// sleepAndWait begins runs of the actor that sleep until a signal comes, and puts
// another behind each.
func (s *bench) sleepAndWait() (refs, nexts []schemas.Ref) {
	s.t.Helper()
	for i := range 8 {
		key := fmt.Sprint("k", i)
		refs = append(refs, ref("talk", key, "first"))
		nexts = append(nexts, ref("talk", key, "second"))
	}
	for _, r := range refs {
		s.send(r, "", "wait")
	}
	for _, r := range refs {
		s.untilStatus(r, "suspended")
		s.idle(r.Identity)
	}
	for _, r := range nexts {
		s.send(r, "", "more")
	}
	return refs, nexts
}

// TestLend_ATaskBehindASleepingRunOfAnotherBuildWaitsForIt, also where the owner
// knows nothing of the identity yet.
func TestLend_ATaskBehindASleepingRunOfAnotherBuildWaitsForIt(t *testing.T) {
	t.Parallel()
	g := newGates()
	s, url := cluster(t, g.waits("one"))
	s.cfg.SuspendAfter = time.Millisecond
	s.cfg.LeaseTTL = time.Second
	stop := s.node("alder", url, g.waits("one"))
	refs, nexts := s.sleepAndWait()
	stop()
	s.node("birch", url, g.waits("two"))
	s.node("cedar", url, g.waits("one"))
	s.owns("birch", 1)
	s.owns("cedar", 1)
	for _, r := range refs {
		s.turnsTo(r, "go")
	}
	for _, r := range refs {
		if got := result[string](s, r); got != "one go" {
			t.Errorf("%s: %q", r, got)
		}
	}
	for _, r := range nexts {
		if got := result[string](s, r); got != "two more" {
			t.Errorf("%s: %q", r, got)
		}
	}
}

// TestLend_ARunThatExecutedIsTakenOverByItsBuild: its task is in the inbox still.
func TestLend_ARunThatExecutedIsTakenOverByItsBuild(t *testing.T) {
	t.Parallel()
	g := newGates()
	s, url := cluster(t, g.story("one"))
	s.cfg.SuspendAfter = time.Minute
	s.cfg.Grace = 20 * time.Millisecond
	alder := s.node("alder", url, g.story("one"))
	all := stories(0, 8)
	for _, r := range all {
		s.send(r, "", "hold "+string(r.ID))
	}
	for _, r := range all {
		s.until(r.String()+" executes", func() bool { return g.times("one first hold "+string(r.ID)) == 1 })
	}
	alder()
	s.node("birch", url, g.story("two"))
	s.node("cedar", url, g.story("one"))
	s.owns("birch", 1)
	s.owns("cedar", 1)
	for _, r := range all {
		s.until(r.String()+" executes again", func() bool { return g.times("one first hold "+string(r.ID)) >= 2 })
	}
}

// TestLend_ARunThatStallsWithABorrowerGoesOnOnceANodeHasItsBuild.
func TestLend_ARunThatStallsWithABorrowerGoesOnOnceANodeHasItsBuild(t *testing.T) {
	t.Parallel()
	g := newGates()
	s, url := cluster(t, g.waits("one"))
	s.cfg.SuspendAfter = time.Millisecond
	stop := s.node("alder", url, g.waits("zero"))
	refs, _ := s.sleepAndWait()
	stop()
	s.node("cedar", url, g.waits("one"))
	s.node("birch", url, g.waits("two"))
	s.owns("birch", 1)
	s.owns("cedar", 1)
	for _, r := range refs {
		s.turnsTo(r, "go")
	}
	for _, r := range refs {
		s.untilStatus(r, "stalled")
	}
	s.node("dill", url, g.waits("zero"))
	for _, r := range refs {
		if got := result[string](s, r); got != "zero go" {
			t.Errorf("%s: %q", r, got)
		}
	}
}

// TestLend_RunsOfBeforeTheKindNamedABuild go on with a node that names none, while
// there is one, and then with the newest.
func TestLend_RunsOfBeforeTheKindNamedABuild(t *testing.T) {
	t.Parallel()
	g := newGates()
	s, url := cluster(t, g.story(""))
	s.cfg.SuspendAfter = time.Millisecond
	s.node("alder", url, g.story(""))
	all := stories(0, 12)
	for _, r := range all {
		s.send(r, "", string(r.ID))
	}
	for _, r := range all {
		s.untilStatus(r, "suspended")
	}
	s.node("birch", url, g.story("two"))
	s.owns("birch", 1)
	s.owns("alder", 1)
	for _, r := range all {
		s.turnsTo(r, "go")
	}
	for _, r := range all {
		if got := result[string](s, r); got != " go" {
			t.Errorf("%s ended with %q", r, got)
		}
	}
	later := stories(12, 12)
	for _, r := range later {
		s.send(r, "", string(r.ID))
		s.turnsTo(r, "go")
	}
	for _, r := range later {
		if got := result[string](s, r); got != "two go" {
			t.Errorf("%s ended with %q", r, got)
		}
	}
}
