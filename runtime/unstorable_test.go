package runtime_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/perdure/perdure/runtime"
	"github.com/perdure/perdure/schemas"
	"google.golang.org/protobuf/proto"
)

// full makes the journal of a test refuse entries that are over a size.
func full(limit int) func(schemas.Ref, *schemas.Entry) error {
	return func(r schemas.Ref, e *schemas.Entry) error {
		if n := proto.Size(e); n > limit {
			return runtime.Errorf(runtime.ErrTooLarge.Code, "an entry of %s has %d bytes", r, n)
		}
		return nil
	}
}

// TestUnstorable_WhatHappenedEndsTheRun: it fails, and says why.
func TestUnstorable_WhatHappenedEndsTheRun(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := world(t, kind("w", func(c *runtime.Context, _ string) (string, error) {
			return step(c, "large", give(strings.Repeat("x", 10_000)))
		}))
		w.Journal.Before = full(5000)
		r := ref("w", "a", "1")
		w.Task(r, "", nil)
		rec := expect(t, w, r, "error too_large")
		if !strings.Contains(rec.GetError().GetMessage(), "an entry of w/a/1 has") {
			t.Errorf("the reason is %q", rec.GetError().GetMessage())
		}
		settle(t, w)
	})
}

// TestUnstorable_ATaskThatCannotBeStoredFails.
func TestUnstorable_ATaskThatCannotBeStoredFails(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := world(t, kind("w", func(*runtime.Context, string) (string, error) { return "done", nil }))
		w.Journal.Before = full(5000)
		r := ref("w", "a", "1")
		w.Task(r, "", text(strings.Repeat("x", 10_000)))
		expect(t, w, r, "error too_large")
		next := ref("w", "a", "2")
		w.Task(next, "", nil)
		expect(t, w, next, "done")
		settle(t, w)
	})
}

// TestUnstorable_AnEndingIsStoredWithLess: without its result, and if that is not
// enough without what it sends as it ends; who waits for it is answered.
func TestUnstorable_AnEndingIsStoredWithLess(t *testing.T) {
	for name, sends := range map[string]int{"the result": 0, "messages": 100} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				w := world(t, kind("w", func(c *runtime.Context, _ string) (string, error) {
					for range sends {
						c.Send("s", to("sink", "s"), text(strings.Repeat("m", 100)))
					}
					return strings.Repeat("x", 10_000), nil
				}), kind("sink", func(*runtime.Context, string) (string, error) { return "", nil }),
					kind("asks", func(c *runtime.Context, _ string) (string, error) {
						_, err := result(c, c.Call("call", to("w", "a"), nil))
						return code(err), nil
					}))
				w.Journal.Before = full(5000)
				r := ref("asks", "a", "1")
				w.Task(r, "", nil)
				expect(t, w, r, "too_large")
				settle(t, w)
			})
		})
	}
}

// TestUnstorable_TerminateEndsARunThatCarriesMuch: whatever it carries.
func TestUnstorable_TerminateEndsARunThatCarriesMuch(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := world(t, kind("w", func(c *runtime.Context, _ string) (string, error) {
			if c.Info().Generation == 0 {
				for range 100 {
					c.Send("s", to("sink", "s"), text(strings.Repeat("m", 100)))
				}
				return "", c.ContinueAsNew(nil)
			}
			_, err := result(c, c.Await("never"))
			return "", err
		}), kind("sink", func(*runtime.Context, string) (string, error) { return "", nil }))
		r := ref("w", "a", "1")
		w.Journal.Before = func(r schemas.Ref, e *schemas.Entry) error {
			if len(e.GetRecord().GetOutbox()) > 50 {
				return runtime.Errorf(runtime.ErrTooLarge.Code, "the record of %s is too large", r)
			}
			return nil
		}
		n := 0
		w.OnPoint = func(what string) {
			if what == "append w/a/1" {
				if n++; n == 2 { // the beginning of the next generation
					w.Control(r, "t", schemas.Control_TERMINATE)
				}
			}
		}
		w.Task(r, "", nil)
		rec := expect(t, w, r, "error terminated")
		if !strings.Contains(rec.GetError().GetMessage(), "100 messages") {
			t.Errorf("the reason is %q, want it to say what was not put out", rec.GetError().GetMessage())
		}
		settle(t, w)
	})
}

// TestUnstorable_ANextGenerationEndsTheRun: it fails, and whoever sent it an update is
// told so.
func TestUnstorable_ANextGenerationEndsTheRun(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := world(t, kind("w", func(c *runtime.Context, _ string) (string, error) {
			if _, err := step(c, "s", give("")); err != nil {
				return "", err
			}
			return "", c.ContinueAsNew(text(strings.Repeat("x", 10_000)))
		}))
		w.Journal.Before = full(5000)
		r := ref("w", "a", "1")
		w.Task(r, "", nil)
		rec := expect(t, w, r, "error too_large")
		if !strings.Contains(rec.GetError().GetMessage(), "an entry of w/a/1 has") {
			t.Errorf("the reason is %q", rec.GetError().GetMessage())
		}
		settle(t, w)
	})
}

// capBytes is what a run that continues as new may carry in these tests, in bytes.
const capBytes = 4000

// TestContinueAsNew_TooMuchToCarryFails: signals that it has not taken.
func TestContinueAsNew_TooMuchToCarryFails(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := world(t, takes(2))
		w.Configure = func(cfg *runtime.Config) { cfg.PayloadCap = capBytes }
		w.Start()
		r := ref("loop", "a", "1")
		w.Task(r, "", nil)
		for i := range 5 {
			w.Signal(r, fmt.Sprint(i), "never", text(strings.Repeat("x", 1000)))
		}
		w.Signal(r, "go", "go", nil)
		rec := expect(t, w, r, "error too_large")
		if m := rec.GetError().GetMessage(); !strings.Contains(m, "5 messages that it has not taken") || !strings.Contains(m, "the cap is 4000") {
			t.Errorf("the reason is %q", m)
		}
		settle(t, w)
	})
}

// TestContinueAsNew_KeepsAnswersThatFit: the latest ones.
func TestContinueAsNew_KeepsAnswersThatFit(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := world(t, kind("loop", func(c *runtime.Context, _ string) (string, error) {
			c.HandleUpdate("u", runtime.UpdateHandler{Handle: func(*runtime.Context, *schemas.Payload) (*schemas.Payload, error) {
				return text(strings.Repeat("a", 1000)), nil
			}})
			if _, err := result(c, c.Await("go")); err != nil || c.Info().Generation == 1 {
				return "done", err
			}
			return "", c.ContinueAsNew(nil)
		}))
		w.Configure = func(cfg *runtime.Config) { cfg.PayloadCap = capBytes }
		w.Start()
		r := ref("loop", "a", "1")
		w.Task(r, "", nil)
		for i := range 8 {
			if _, err := w.Update(t.Context(), r, fmt.Sprint("u", i), "u", nil); err != nil {
				t.Fatal(err)
			}
		}
		w.Signal(r, "1", "go", nil)
		<-time.After(time.Second)
		w.Signal(r, "2", "go", nil)
		rec := expect(t, w, r, "done")
		if n := len(rec.GetUpdates()); n < 1 || n > 3 || rec.GetUpdates()[n-1].GetId() != "u7" {
			t.Errorf("the record has the answers %v, want the latest that fit", rec.GetUpdates())
		}
		settle(t, w)
	})
}

// TestContinueAsNew_ACancellationThatComesAsItReturnsIsTheNextOnes: what the next
// generation has registered is undone.
func TestContinueAsNew_ACancellationThatComesAsItReturnsIsTheNextOnes(t *testing.T) {
	for name, appends := range map[string]int{"with what it waited for": 0, "while that is stored": 3, "while the next begins": 4} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				undone := ""
				w := world(t, kind("loop", func(c *runtime.Context, in string) (string, error) {
					c.Compensate("undo", func(context.Context) (*schemas.Payload, error) {
						undone += fmt.Sprint("undone in ", c.Info().Generation)
						return nil, nil
					}, runtime.StepOptions{})
					if _, err := result(c, c.Await("go")); err != nil {
						return "", err
					}
					return "", c.ContinueAsNew(text("again"))
				}))
				r, n := ref("loop", "a", "1"), 0
				w.OnPoint = func(what string) {
					if what == "append loop/a/1" {
						if n++; n == appends {
							w.Cancel(r, "c")
						}
					}
				}
				w.Task(r, "", nil)
				if appends == 0 {
					<-time.After(10 * time.Second)
					w.Signal(r, "s", "go", nil)
					w.Cancel(r, "c")
				} else {
					<-time.After(time.Second)
					w.Signal(r, "s", "go", nil)
				}
				rec := expect(t, w, r, "error cancelled")
				if undone != "undone in 1" || rec.GetStatus() != schemas.Status_CANCELLED {
					t.Errorf("%q, the run is %s", undone, rec.GetStatus())
				}
				settle(t, w)
			})
		})
	}
}
