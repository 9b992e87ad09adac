package runtime_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/perdure/perdure/runtime"
	"github.com/perdure/perdure/runtime/runtimetest"
)

// TestStatusIsWhatTheCodeShowedLast, while the run waits and in its record, over
// a crash at any write, and none is stored a second time.
func TestStatusIsWhatTheCodeShowedLast(t *testing.T) {
	packer := func() *runtime.Kind {
		return kind("packer", func(c *runtime.Context, _ string) (string, error) {
			for i := range 3 {
				c.SetStatus(text("about to pack"))
				c.SetStatus(text(fmt.Sprintf("packing %d", i)))
				if _, err := step(c, "pack", give("x")); err != nil {
					return "", err
				}
			}
			if _, err := result(c, c.After("rest", 24*time.Hour)); err != nil {
				return "", err
			}
			c.SetStatus(text("packed"))
			return "done", nil
		})
	}
	r := ref("packer", "a", "1")
	play := func(t *testing.T, crash func(*runtimetest.World)) int {
		points := 0
		bubble(t, func(t *testing.T) {
			w := world(t, packer())
			crash(w)
			w.Task(r, "", nil)
			<-time.After(time.Hour)
			entries, err := w.Journal.Load(t.Context(), r)
			if err != nil {
				t.Fatal(err)
			}
			rec, status := runtime.Timeline(entries)
			if got := string(rec.GetCustomStatus().GetData()); got != "packing 2" {
				t.Errorf("the run that is %v shows %q, want what it showed last", status, got)
			}
			var shown []string
			for _, s := range w.Journal.History() {
				for _, e := range s.Entry.GetEvents() {
					if v := e.GetStatusSet(); v != nil {
						shown = append(shown, string(v.GetValue().GetData()))
					}
				}
			}
			if got, want := fmt.Sprint(shown), "[packing 0 packing 1 packing 2]"; got != want {
				t.Errorf("stored %v, want %v", got, want)
			}
			if got := string(expect(t, w, r, "done").GetCustomStatus().GetData()); got != "packed" {
				t.Errorf("the record shows %q, want packed", got)
			}
			settle(t, w)
			points = len(w.Points())
		})
		return points
	}
	points := play(t, func(*runtimetest.World) {})
	for n := 1; n <= points; n++ {
		play(t, func(w *runtimetest.World) { w.CrashAt(runtimetest.Before, n) })
		play(t, func(w *runtimetest.World) { w.CrashAt(runtimetest.After, n) })
	}
}
