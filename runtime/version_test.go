package runtime_test

import (
	"strings"
	"testing"
	"time"

	"github.com/perdure/perdure/runtime"
	"github.com/perdure/perdure/runtime/runtimetest"
)

// TestCodeIsChangedWhileRunsAreOpen: runs that passed the change follow the old
// way, those that come to it the new one, wherever a process crashes, and a
// build without a run's way stops it until one that has it is there.
func TestCodeIsChangedWhileRunsAreOpen(t *testing.T) {
	shop := func(names func(c *runtime.Context) []string) *runtime.Kind {
		return kind("shop", func(c *runtime.Context, _ string) (string, error) {
			var did []string
			for _, name := range names(c) {
				got, err := step(c, name, give(name))
				if err != nil {
					return "", err
				}
				did = append(did, got)
				if len(did) == 1 {
					if _, err := result(c, c.After("rest", 24*time.Hour)); err != nil {
						return "", err
					}
				}
			}
			return strings.Join(did, " "), nil
		})
	}
	before := shop(func(*runtime.Context) []string { return []string{"charge", "pack"} })
	both := shop(func(c *runtime.Context) []string {
		if c.Version("pack-first", 0, 1) == 1 {
			return []string{"pack", "charge"}
		}
		return []string{"charge", "pack"}
	})
	after := shop(func(c *runtime.Context) []string {
		c.Version("pack-first", 1, 1)
		return []string{"pack", "charge"}
	})
	old, fresh := ref("shop", "a", "1"), ref("shop", "b", "1")
	play := func(t *testing.T, crash func(*runtimetest.World)) int {
		points := 0
		bubble(t, func(t *testing.T) {
			w := world(t, before)
			w.Task(old, "", nil)
			<-time.After(time.Hour)
			w.Processes()[0].Kill()
			w.Deploy(both)
			crash(w)
			w.Start()
			w.Task(fresh, "", nil)
			<-time.After(time.Hour)
			for _, p := range w.Processes() {
				p.Kill()
			}
			w.Deploy(after)
			w.Start()
			expect(t, w, fresh, "pack charge")
			ctx, cancel := patience(t)
			defer cancel()
			if err := w.Until(ctx, func() bool { return w.Parked(old) != nil }); err != nil {
				t.Fatal("the run of the old way is not stopped")
			}
			if got := w.Parked(old).Error(); !strings.Contains(got, `change "pack-first": the run follows version 0, the code has 1 to 1`) {
				t.Errorf("it is stopped because of %q", got)
			}
			for _, p := range w.Processes() {
				p.Kill()
			}
			w.Deploy(both)
			w.Start()
			expect(t, w, old, "charge pack")
			settle(t, w)
			points = len(w.Points())
		})
		return points
	}
	points := play(t, func(*runtimetest.World) {})
	for n := 5; n <= points; n++ {
		play(t, func(w *runtimetest.World) { w.CrashAt(runtimetest.Before, n) })
		play(t, func(w *runtimetest.World) { w.CrashAt(runtimetest.After, n) })
	}
}
