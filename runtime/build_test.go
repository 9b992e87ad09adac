package runtime_test

import (
	"errors"
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

func TestBuilds_SayWhatIsWrong(t *testing.T) {
	other := named("1")
	other.Name = "other"
	for what, k := range map[string]*runtime.Kind{
		"builds are of one kind":   named("2", other),
		`two builds are named "2"`: named("2", named("1"), named("2")),
		`two builds are named "1"`: named("2", named("1"), named("1")),
	} {
		if err := k.Validate(); err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("got %v, want %q", err, what)
		}
	}
}
