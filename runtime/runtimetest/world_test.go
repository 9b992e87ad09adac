package runtimetest_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/perdure/perdure/runtime"
	"github.com/perdure/perdure/runtime/runtimetest"
	"github.com/perdure/perdure/schemas"
)

func bytesOf(s string) *schemas.Payload { return &schemas.Payload{Data: []byte(s)} }

// clerk sleeps for a day between two steps, and asks a bank in between.
func clerk() *runtime.Kind {
	step := func(what string) runtime.StepFunc {
		return func(context.Context) (*schemas.Payload, error) { return bytesOf(what), nil }
	}
	return &runtime.Kind{Name: "clerk", Type: "workflow", Methods: map[string]runtime.Method{"": {
		Handler: func(c *runtime.Context, in *schemas.Payload) (*schemas.Payload, error) {
			var all []byte
			do := func(f *runtime.Future) error {
				if _, err := c.Wait(f); err != nil {
					return err
				}
				p, err := f.Outcome()
				all = append(append(all, p.GetData()...), ' ')
				return err
			}
			for _, f := range []func() *runtime.Future{
				func() *runtime.Future { return c.Step("first", step("a"), runtime.StepOptions{}) },
				func() *runtime.Future { return c.After("sleep", 24*time.Hour) },
				func() *runtime.Future {
					bank := schemas.Identity{Kind: "bank", Key: "main"}
					return c.Call("bank", runtime.Target{Identity: bank}, bytesOf("b"))
				},
				func() *runtime.Future { return c.Step("second", step("c"), runtime.StepOptions{}) },
			} {
				if err := do(f()); err != nil {
					return nil, err
				}
			}
			return &schemas.Payload{Data: all}, nil
		},
	}}}
}

// bank counts in its state what it was asked.
func bank() *runtime.Kind {
	return &runtime.Kind{Name: "bank", Type: "actor", Stateful: true, Methods: map[string]runtime.Method{"": {
		Handler: func(c *runtime.Context, in *schemas.Payload) (*schemas.Payload, error) {
			s := fmt.Sprintf("%s%s", c.State().GetData(), in.GetData())
			c.SetState(bytesOf(s))
			return bytesOf(s), nil
		},
	}}}
}

// TestWorldFinishesRunsAcrossCrashes crashes once before and once after every
// write and acknowledgement of a run that sleeps and calls.
func TestWorldFinishesRunsAcrossCrashes(t *testing.T) {
	run := func(t *testing.T, when runtimetest.When, n int) (points []string) {
		synctest.Test(t, func(t *testing.T) {
			w := runtimetest.NewWorld(clerk(), bank())
			w.AutoRestart = true
			if n > 0 {
				w.CrashAt(when, n)
			}
			w.Start()
			ref := schemas.Identity{Kind: "clerk", Key: "a"}.Run("1")
			rec, err := w.Do(t.Context(), ref, "", nil)
			if err != nil || string(rec.GetResult().GetData()) != "a  b c " {
				t.Errorf("result: %q, %v", rec.GetResult().GetData(), err)
			}
			if err := w.Settle(t.Context()); err != nil {
				t.Error(err)
			}
			st, _, err := w.States.Get(t.Context(), schemas.Identity{Kind: "bank", Key: "main"})
			if err != nil || string(st.GetValue().GetData()) != "b" {
				t.Errorf("state: %v, %v; want b, written once", st, err)
			}
			for _, wrong := range w.Close() {
				t.Error(wrong)
			}
			points = w.Points()
		})
		return points
	}
	undisturbed := run(t, 0, 0)
	if len(undisturbed) < 12 {
		t.Fatalf("the undisturbed run has %d points: %q", len(undisturbed), undisturbed)
	}
	for i, what := range undisturbed {
		for when, side := range map[runtimetest.When]string{runtimetest.Before: "before", runtimetest.After: "after"} {
			t.Run(fmt.Sprintf("%s %d %s", side, i+1, what), func(t *testing.T) { run(t, when, i+1) })
		}
	}
	t.Logf("undisturbed: %q", undisturbed)
}
