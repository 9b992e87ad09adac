package runtime_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/perdure/perdure/runtime"
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
