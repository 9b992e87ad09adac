package runtime_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/perdure/perdure/runtime"
	"github.com/perdure/perdure/runtime/runtimetest"
	"github.com/perdure/perdure/schemas"
)

// TestP15_MessagesThatComeWhileARunContinuesAreKept plays the moment at which the
// code has returned and the entry that begins again is not stored yet.
func TestP15_MessagesThatComeWhileARunContinuesAreKept(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := world(t, &runtime.Kind{Name: "loop", Type: "workflow", Methods: map[string]runtime.Method{"": {
			Handler: func(c *runtime.Context, in *schemas.Payload) (*schemas.Payload, error) {
				if len(in.GetData()) == 0 {
					if _, err := step(c, "work", give("")); err != nil {
						return nil, err
					}
					return nil, c.ContinueAsNew(text("again"))
				}
				first, err := result(c, c.Await("go"))
				if err != nil {
					return nil, err
				}
				second, err := result(c, c.Await("go"))
				return text(first + second), err
			},
		}}})
		r := ref("loop", "a", "1")
		appends := 0
		w.OnPoint = func(what string) {
			if appends++; what == "append loop/a/1" && (appends == 2 || appends == 3) { // of the step, after which the code returns, and of the beginning
				id := fmt.Sprint(appends)
				w.Signal(r, id, "go", text(id))
				w.Signal(r, id, "go", text(id))
			}
		}
		w.Task(r, "", nil)
		expect(t, w, r, "23")
		settle(t, w)
		continued := 0
		for _, s := range w.Journal.History() {
			if s.Entry.Replaces() && s.Entry.GetRecord() == nil {
				continued++
			}
		}
		if continued != 1 || appends < 3 {
			t.Errorf("it continued %d times", continued)
		}
	})
}

func TestContinueAsNew_SaysWhatIsWrong(t *testing.T) {
	bubble(t, func(t *testing.T) {
		stateful := kind("actor", func(c *runtime.Context, _ string) (string, error) { return "", c.ContinueAsNew(text("x")) })
		stateful.Stateful = true
		w := world(t, stateful)
		rec, err := w.Do(t.Context(), ref("actor", "a", "1"), "", nil)
		if err != nil || rec.GetError().GetCode() != runtime.ErrInvalid.Code || !strings.Contains(rec.GetError().GetMessage(), "cannot continue as new") {
			t.Errorf("got %v, %v", rec, err)
		}
	})
}

// TestContinueAsNew_DuplicatesAreKnownToLaterGenerations for the retention time.
func TestContinueAsNew_DuplicatesAreKnownToLaterGenerations(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := world(t, &runtime.Kind{Name: "loop", Type: "workflow", Methods: map[string]runtime.Method{"": {
			Handler: func(c *runtime.Context, in *schemas.Payload) (*schemas.Payload, error) {
				got, err := result(c, c.Await("go"))
				if all := string(in.GetData()) + got; err != nil || len(all) == 3 {
					return text(all), err
				} else if _, err := result(c, c.After("rest", time.Hour)); err != nil {
					return nil, err
				} else {
					return nil, c.ContinueAsNew(text(all))
				}
			},
		}}})
		r := ref("loop", "a", "1")
		w.Task(r, "", nil)
		for i, id := range []string{"a", "a", "b", "a", "b", "c"} {
			<-time.After(time.Duration(1+2*(i%2)) * time.Hour)
			w.Signal(r, id, "go", text(id))
		}
		expect(t, w, r, "abc")
		settle(t, w)
	})
}

// TestLongJournalIsSaidOnce in an execution.
func TestLongJournalIsSaidOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var log strings.Builder
		w := world(t, kind("loop", func(c *runtime.Context, _ string) (string, error) {
			for range 40 {
				if _, err := step(c, "work", func(context.Context) (*schemas.Payload, error) { return nil, nil }); err != nil {
					return "", err
				}
			}
			return "done", nil
		}))
		w.Configure = func(cfg *runtime.Config) { cfg.LongJournal, cfg.Log = 30, slog.New(slog.NewTextHandler(&log, nil)) }
		w.Start()
		r := ref("loop", "a", "1")
		w.Task(r, "", nil)
		expect(t, w, r, "done")
		settle(t, w)
		if n := strings.Count(log.String(), "continue as new"); n != 1 || !strings.Contains(log.String(), "run=loop/a/1 events=30") {
			t.Errorf("said %d times in %q", n, log.String())
		}
	})
}

// takes is a kind whose run takes a signal in each generation, until it has n.
func takes(n int) *runtime.Kind {
	return &runtime.Kind{Name: "loop", Type: "workflow", Methods: map[string]runtime.Method{"": {
		Handler: func(c *runtime.Context, in *schemas.Payload) (*schemas.Payload, error) {
			if _, err := result(c, c.Await("go")); err != nil {
				return nil, err
			}
			got := c.Info().Generation + 1
			if got == n {
				return text(fmt.Sprint(got)), nil
			}
			return nil, c.ContinueAsNew(nil)
		},
	}}}
}

// TestContinueAsNew_LosesNothingOfABatch: what came before the process began is more
// than an entry holds, and the code returns in the middle of it.
func TestContinueAsNew_LosesNothingOfABatch(t *testing.T) {
	const n = 200
	bubble(t, func(t *testing.T) {
		w := runtimetest.NewWorld(takes(n))
		r := ref("loop", "a", "1")
		w.Task(r, "", nil)
		for i := range n {
			w.Signal(r, fmt.Sprint(i), "go", text(strings.Repeat("x", 4<<10)))
		}
		w.Start()
		expect(t, w, r, fmt.Sprint(n))
		settle(t, w)
		for _, wrong := range w.Close() {
			t.Error(wrong)
		}
	})
}

// TestContinueAsNew_ACancellationInTheSameBatchEndsIt, which says who asked and why.
func TestContinueAsNew_ACancellationInTheSameBatchEndsIt(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := runtimetest.NewWorld(takes(10))
		r := ref("loop", "a", "1")
		w.Task(r, "", nil)
		w.Signal(r, "s", "go", nil)
		w.Send(r.Identity, &schemas.Envelope{Type: schemas.Envelope_CANCEL, Id: "c", Run: "1", Error: &schemas.Error{Message: "it is late"}, Control: &schemas.Control{By: "ann"}})
		w.Start()
		if got, want := expect(t, w, r, "error cancelled").GetError().GetMessage(), "the run was cancelled by ann: it is late"; got != want {
			t.Errorf("it says %q, want %q", got, want)
		}
		settle(t, w)
		for _, wrong := range w.Close() {
			t.Error(wrong)
		}
	})
}

// TestUpdates_ARefusalStands however often the update comes, and what is told again
// is the same.
func TestUpdates_ARefusalStands(t *testing.T) {
	bubble(t, func(t *testing.T) {
		done := 0
		w := world(t, kind("w", func(c *runtime.Context, _ string) (string, error) {
			open := false
			c.HandleUpdate("set", runtime.UpdateHandler{
				Check: func(*schemas.Payload) error {
					if !open {
						return runtime.Errorf("early", "not yet")
					}
					return nil
				},
				Handle: func(*runtime.Context, *schemas.Payload) (*schemas.Payload, error) { done++; return nil, nil },
			})
			if _, err := step(c, "work", func(ctx context.Context) (*schemas.Payload, error) {
				<-time.After(time.Minute)
				return nil, nil
			}); err != nil {
				return "", err
			}
			open = true
			_, err := step(c, "more work", func(ctx context.Context) (*schemas.Payload, error) {
				<-time.After(time.Minute)
				return nil, nil
			})
			return fmt.Sprint(done), err
		}))
		r := ref("w", "a", "1")
		w.Task(r, "", nil)
		for range 3 {
			a, err := w.Update(t.Context(), r, "u", "set", nil)
			if err != nil || a.GetError().GetCode() != "early" {
				t.Errorf("got %v, %v, want the refusal", a, err)
			}
			<-time.After(40 * time.Second)
		}
		expect(t, w, r, "0")
		settle(t, w)
	})
}

// TestUpdates_EndWithTheirRun: many that fail at length leave a record that can be
// stored, and one that comes while the run undoes is answered.
func TestUpdates_EndWithTheirRun(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := world(t, kind("w", func(c *runtime.Context, _ string) (string, error) {
			c.HandleUpdate("fail", runtime.UpdateHandler{Handle: func(*runtime.Context, *schemas.Payload) (*schemas.Payload, error) {
				return nil, runtime.Errorf("no", "%s", strings.Repeat("m", 8000))
			}})
			c.HandleUpdate("slow", runtime.UpdateHandler{Handle: func(c *runtime.Context, _ *schemas.Payload) (*schemas.Payload, error) {
				_, err := result(c, c.After("slow", time.Hour))
				return text("late"), err
			}})
			c.Compensate("undo", func(context.Context) (*schemas.Payload, error) { <-time.After(time.Minute); return nil, nil }, runtime.StepOptions{})
			if _, err := result(c, c.Await("go")); err != nil {
				return "", err
			}
			return "", runtime.Errorf("bad", "bad")
		}))
		r := ref("w", "a", "1")
		w.Task(r, "", nil)
		for i := range 120 {
			if a, err := w.Update(t.Context(), r, fmt.Sprint(i), "fail", nil); err != nil || a.GetError().GetCode() != "no" {
				t.Fatal(a, err)
			}
		}
		w.Signal(r, "119", "go", nil) // another message of the same ID
		<-time.After(10 * time.Second)
		if a, err := w.Update(t.Context(), r, "slow", "slow", nil); err != nil || string(a.GetResult().GetData()) != "late" {
			t.Errorf("an update while it undoes: %v, %v, want its answer", a, err)
		}
		rec := expect(t, w, r, "error bad")
		if n := len(rec.GetUpdates()); n < 2 || n > 10 {
			t.Errorf("the record keeps %d answers of 8 KB, want some", n)
		}
		settle(t, w)
	})
}
