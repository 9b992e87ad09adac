package runtime_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/perdure/perdure/runtime"
	"github.com/perdure/perdure/runtime/runtimetest"
	"github.com/perdure/perdure/schemas"
)

// saga books three things and fails, panics, waits to be cancelled or completes,
// as its input says.
func saga(undone *[]string) *runtime.Kind {
	return kind("saga", func(c *runtime.Context, in string) (string, error) {
		for _, name := range []string{"hotel", "car", "flight"} {
			if _, err := step(c, "book "+name, give("x")); err != nil {
				return "", err
			}
			c.Compensate("cancel "+name, func(context.Context) (*schemas.Payload, error) {
				*undone = append(*undone, name)
				if in == "broken" && name == "car" {
					return nil, runtime.Errorf("no_refund", "the car is gone")
				}
				return nil, nil
			}, runtime.StepOptions{})
		}
		switch in {
		case "panics":
			panic("boom")
		case "waits":
			return result(c, c.After("for ever", 10000*time.Hour))
		case "completes":
			return "booked", nil
		}
		return "", runtime.Errorf("sold_out", "no seat is left")
	})
}

// TestSagaIsUndoneInReverseOrder however the run fails, once, wherever a process
// crashes; a run that completes undoes nothing.
func TestSagaIsUndoneInReverseOrder(t *testing.T) {
	for in, want := range map[string]string{
		"fails": "error sold_out", "broken": "error sold_out", "panics": "error panic", "waits": "error cancelled", "completes": "booked",
	} {
		t.Run(in, func(t *testing.T) {
			r := ref("saga", "a", "1")
			play := func(t *testing.T, crash func(*runtimetest.World)) int {
				points := 0
				bubble(t, func(t *testing.T) {
					var undone []string
					w := world(t, saga(&undone))
					crash(w)
					w.Task(r, "", text(in))
					if in == "waits" {
						<-time.After(time.Hour)
						w.Cancel(r, "c")
					}
					rec := expect(t, w, r, want)
					settle(t, w)
					names := []string{}
					for _, s := range rec.GetSteps() {
						if after, ok := strings.CutPrefix(s.GetName(), "cancel "); ok {
							names = append(names, after)
						}
					}
					order := "flight car hotel"
					if in == "completes" {
						order = ""
					}
					if got := strings.Join(names, " "); got != order {
						t.Errorf("undone %q, want %q", got, order)
					}
					if told := strings.Contains(rec.GetError().GetDetails(), `"cancel car" failed: no_refund: the car is gone`); told != (in == "broken") {
						t.Errorf("the details are %q", rec.GetError().GetDetails())
					}
					if len(w.Processes()) == 1 && strings.Join(undone, " ") != order {
						t.Errorf("executed %q, want %q", undone, order)
					}
					points = len(w.Points())
				})
				return points
			}
			points := play(t, func(*runtimetest.World) {})
			for n := 1; n <= points; n++ {
				play(t, func(w *runtimetest.World) { w.CrashAt(runtimetest.Before, n) })
				play(t, func(w *runtimetest.World) { w.CrashAt(runtimetest.After, n) })
			}
		})
	}
}

// TestCompensationHasItsOwnPolicy of retries.
func TestCompensationHasItsOwnPolicy(t *testing.T) {
	bubble(t, func(t *testing.T) {
		attempts := 0
		w := world(t, kind("w", func(c *runtime.Context, _ string) (string, error) {
			c.Compensate("undo", func(context.Context) (*schemas.Payload, error) {
				if attempts++; attempts < 7 {
					return nil, errors.New("not yet")
				}
				return nil, nil
			}, runtime.StepOptions{Retry: runtime.RetryPolicy{Attempts: 10, Backoff: time.Second}})
			return "", runtime.Errorf("no", "no")
		}))
		w.Task(ref("w", "a", "1"), "", nil)
		rec := expect(t, w, ref("w", "a", "1"), "error no")
		if attempts != 7 || rec.GetError().GetDetails() != "" {
			t.Errorf("%d attempts, details %q; want 7 and none", attempts, rec.GetError().GetDetails())
		}
	})
}
