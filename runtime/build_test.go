package runtime_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/perdure/perdure/runtime"
	"github.com/perdure/perdure/runtime/runtimetest"
	"github.com/perdure/perdure/schemas"
)

// named is a build that takes a step of its own name, waits an hour, and takes
// another.
func named(build string, older ...*runtime.Kind) *runtime.Kind {
	k := kind("w", func(c *runtime.Context, _ string) (string, error) {
		if _, err := step(c, "first of "+build, give("")); err != nil {
			return "", err
		}
		if _, err := result(c, c.After("rest", time.Hour)); err != nil {
			return "", err
		}
		return step(c, "second of "+build, give(build))
	})
	k.Build, k.Older = build, older
	return k
}

// TestBuilds_ARunIsContinuedByTheBuildThatBeganIt, whatever is deployed meanwhile,
// and wherever the processes end.
func TestBuilds_ARunIsContinuedByTheBuildThatBeganIt(t *testing.T) {
	play := func(t *testing.T, crash func(w *runtimetest.World)) (points int) {
		bubble(t, func(t *testing.T) {
			w := world(t, named(""))
			crash(w)
			deploy := func(k *runtime.Kind) {
				<-time.After(10 * time.Minute)
				w.Deploy(k)
				ps := w.Processes()
				ps[len(ps)-1].Kill()
				w.Start()
			}
			w.Task(ref("w", "a", "1"), "", nil)
			deploy(named("1", named("")))
			w.Task(ref("w", "b", "1"), "", nil)
			deploy(named("2", named("1"), named("")))
			w.Task(ref("w", "c", "1"), "", nil)
			expect(t, w, ref("w", "a", "1"), "")
			expect(t, w, ref("w", "b", "1"), "1")
			expect(t, w, ref("w", "c", "1"), "2")
			settle(t, w)
			points = len(w.Points())
		})
		return points
	}
	for n := range play(t, func(*runtimetest.World) {}) {
		for _, when := range []runtimetest.When{runtimetest.Before, runtimetest.After} {
			play(t, func(w *runtimetest.World) { w.CrashAt(when, n+1) })
		}
	}
}

// TestBuilds_ARunWithoutItsBuildIsStalled, and goes on when it is there.
func TestBuilds_ARunWithoutItsBuildIsStalled(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := world(t, named("1"))
		r := ref("w", "a", "1")
		deploy := func(k *runtime.Kind) {
			w.Deploy(k)
			ps := w.Processes()
			ps[len(ps)-1].Kill()
			w.Start()
			<-time.After(2 * time.Hour)
		}
		w.Task(r, "", nil)
		<-time.After(10 * time.Minute)
		for range 2 {
			deploy(named("2"))
			if err := w.Parked(r); !errors.Is(err, runtime.ErrStalled) || !strings.Contains(err.Error(), `begun by the build "1"`) || !strings.Contains(err.Error(), `has "2"`) {
				t.Errorf("parked because of %v, want that its build is not there", err)
			}
		}
		entries, err := w.Journal.Load(t.Context(), r)
		if _, status := runtime.Timeline(entries); status != schemas.Status_STALLED || err != nil {
			t.Errorf("its status is %v, %v", status, err)
		}
		deploy(named("2", named("1")))
		expect(t, w, r, "1")
		settle(t, w)
	})
}

// TestBuilds_AForkThatNeedsTheBuildOfItsRunSaysSo: it has ended, so nothing that is
// deployed lets it go on.
func TestBuilds_AForkThatNeedsTheBuildOfItsRunSaysSo(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := world(t, named("1"))
		r := ref("w", "a", "1")
		w.Task(r, "", nil)
		<-time.After(10 * time.Minute)
		w.Deploy(named("2", named("1")))
		w.Processes()[0].Kill()
		w.Start()
		fork(t, w, ref("w", "b", "1~1"), &schemas.Fork{Run: r.String()})
		rec := expect(t, w, ref("w", "b", "1~1"), "error nondeterministic")
		says := rec.GetError().GetMessage()
		if !strings.Contains(says, `it is a run of the build "1", the fork of "2": fork it with --build 1, or from an earlier step`) || strings.Contains(says, "deploy") {
			t.Errorf("it says %q", says)
		}
		fork(t, w, ref("w", "c", "1~2"), &schemas.Fork{Run: r.String(), Build: "1"})
		expect(t, w, ref("w", "c", "1~2"), "1")
	})
}

func TestBuilds_SayWhatIsWrong(t *testing.T) {
	other := named("1")
	other.Name = "other"
	unnamed := named("")
	unnamed.Name = "other"
	for what, k := range map[string]*runtime.Kind{
		`of its older builds the unnamed one is the workflow "other"; builds are of one kind`: named("2", unnamed),
		"more than one build of one name: the unnamed one":                                    named("2", named(""), named("")),
		"builds are of one kind":                        named("2", other),
		`there is more than one build of one name: "2"`: named("2", named("1"), named("2")),
		`there is more than one build of one name: "1"`: named("2", named("1"), named("1")),
	} {
		if err := k.Validate(); err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("got %v, want %q", err, what)
		}
	}
}

// deployed is what other nodes have.
type deployed struct {
	newest string
	others []string
}

func (d *deployed) Newest(schemas.Kind) string { return d.newest }

func (d *deployed) Elsewhere(_ schemas.Kind, build string) bool {
	return slices.Contains(d.others, build)
}

// TestBuilds_ARunThatAnotherNodeHasTheBuildOfIsNotTouched: nothing is appended, not
// even a claim.
func TestBuilds_ARunThatAnotherNodeHasTheBuildOfIsNotTouched(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := runtimetest.NewWorld(named("1"))
		defer w.Close() // nothing is delivered: its checks do not apply
		d := &deployed{}
		w.Configure = func(cfg *runtime.Config) { cfg.Deployed = d }
		p, r := w.Start(), ref("w", "a", "1")
		task := func(r schemas.Ref, fork *schemas.Fork) runtime.Task {
			return runtime.Task{Ref: r, Envelope: &schemas.Envelope{Type: schemas.Envelope_TASK, Id: string(r.ID), Fork: fork}}
		}
		run := func(k *runtime.Kind, t runtime.Task) *runtime.Ending {
			x := runtime.NewExecutor(p.Config(), t.Ref.Identity, k, p)
			return x.Run(context.Background(), t, runtime.NewMailbox())
		}
		built := func(r schemas.Ref) string {
			t.Helper()
			for _, s := range w.Journal.All() {
				for _, e := range s.Entry.GetEvents() {
					if st := e.GetStarted(); st != nil && s.Ref == r {
						return st.GetBuild()
					}
				}
			}
			t.Fatalf("%s has not started", r)
			return ""
		}

		d.newest, d.others = "2", []string{"2"}
		if end := run(named("1"), task(r, nil)); end.Kind != runtime.Elsewhere || end.Build != "2" || len(w.Journal.All()) > 0 {
			t.Fatalf("a new run, of which another node has a newer build: %+v, %d entries", end, len(w.Journal.All()))
		}
		d.others = nil // it has gone just now
		if end := run(named("1"), task(r, nil)); end.Kind != runtime.Suspended || built(r) != "1" {
			t.Fatalf("a new run, and the newer build is gone: %+v, of build %q", end, built(r))
		}
		d.newest, d.others = "2", []string{"1", "2"}
		before := len(w.Journal.All())
		x := runtime.NewExecutor(p.Config(), r.Identity, named("2"), p)
		if end := x.Resume(context.Background(), r, runtime.NewMailbox()); end.Kind == runtime.Elsewhere {
			t.Fatalf("an executor that does not know its identity resumed: %+v", end)
		}
		if end := x.Open(context.Background()); end == nil || end.Kind != runtime.Behind {
			t.Fatalf("the open run: %+v", end)
		}
		if end := x.Resume(context.Background(), r, runtime.NewMailbox()); end.Kind != runtime.Elsewhere || end.Build != "1" || len(w.Journal.All()) != before {
			t.Fatalf("an open run, of which another node has the build: %+v, %d entries, before %d", end, len(w.Journal.All()), before)
		}
		d.others = []string{"2"}
		if end := x.Resume(context.Background(), r, runtime.NewMailbox()); end.Kind != runtime.Parked || !errors.Is(end.Err, runtime.ErrStalled) || end.Build != "1" {
			t.Fatalf("an open run whose build no node has: %+v", end)
		}
		if end := run(named("2"), task(ref("w", "b", "1"), nil)); end.Kind != runtime.Suspended || built(ref("w", "b", "1")) != "2" {
			t.Fatalf("a new run where the newest build is: %+v", end)
		}
	})
}

// TestBuilds_ARunThatContinuesIsOfTheNewestBuildThatIsDeployed, wherever that is.
func TestBuilds_ARunThatContinuesIsOfTheNewestBuildThatIsDeployed(t *testing.T) {
	bubble(t, func(t *testing.T) {
		d := &deployed{newest: "1"}
		k := kind("w", func(c *runtime.Context, _ string) (string, error) {
			_, err := step(c, "meanwhile", func(context.Context) (*schemas.Payload, error) {
				d.newest, d.others = "2", []string{"2"}
				return nil, nil
			})
			if err != nil {
				return "", err
			}
			return "", c.ContinueAsNew(text("again"))
		})
		k.Build = "1"
		w := runtimetest.NewWorld(k)
		defer w.Close()
		w.Configure = func(cfg *runtime.Config) { cfg.Deployed = d }
		p, r := w.Start(), ref("w", "a", "1")
		x := runtime.NewExecutor(p.Config(), r.Identity, k, p)
		task := runtime.Task{Ref: r, Envelope: &schemas.Envelope{Type: schemas.Envelope_TASK, Id: "1"}}
		if end := x.Run(context.Background(), task, runtime.NewMailbox()); end.Kind != runtime.Continued {
			t.Fatalf("the run ended with %+v", end)
		}
		if end := x.Resume(context.Background(), r, runtime.NewMailbox()); end.Kind != runtime.Elsewhere || end.Build != "2" {
			t.Fatalf("the next generation ended with %+v", end)
		}
	})
}
