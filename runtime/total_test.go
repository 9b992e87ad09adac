package runtime_test

import (
	"context"
	"errors"
	goruntime "runtime"
	"strings"
	"testing"
	"time"

	"github.com/perdure/perdure/runtime"
	"github.com/perdure/perdure/schemas"
)

// TestAttemptsOfAStepAreBoundedInTime, together: none begins after the total, and
// one that runs then is told to stop.
func TestAttemptsOfAStepAreBoundedInTime(t *testing.T) {
	many := runtime.RetryPolicy{Attempts: 1000, Backoff: time.Second, MaxDelay: time.Second}
	for name, c := range map[string]struct {
		takes time.Duration // of one attempt, unless it is told to stop
		code  string
		least int
	}{
		"between attempts": {0, "error", 60},
		"in an attempt":    {7 * time.Second, "timeout", 7},
		"in the first":     {time.Hour, "timeout", 1},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				attempts := 0
				w := world(t, kind("w", func(ctx *runtime.Context, _ string) (string, error) {
					return result(ctx, ctx.Step("s", func(ctx context.Context) (*schemas.Payload, error) {
						attempts++
						select {
						case <-time.After(c.takes):
							return nil, errors.New("not yet")
						case <-ctx.Done():
							return nil, ctx.Err()
						}
					}, runtime.StepOptions{Retry: many, Total: time.Minute}))
				}))
				began := time.Now()
				w.Task(ref("w", "a", "1"), "", nil)
				rec := expect(t, w, ref("w", "a", "1"), "error "+c.code)
				if took := time.Since(began); took > time.Minute || took < 58*time.Second {
					t.Errorf("it took %v, want about a minute and no more", took)
				}
				if attempts < c.least {
					t.Errorf("%d attempts, want at least %d", attempts, c.least)
				}
				if c.code == "timeout" && !strings.Contains(rec.GetError().GetMessage(), "did not end within 1m0s, all attempts together") {
					t.Errorf("the error is %q", rec.GetError().GetMessage())
				}
			})
		})
	}
}

// TestStepIsTriedAgainOnlyForErrorsThatAreWorthIt, by their code.
func TestStepIsTriedAgainOnlyForErrorsThatAreWorthIt(t *testing.T) {
	bubble(t, func(t *testing.T) {
		attempts := 0
		w := world(t, kind("w", func(c *runtime.Context, _ string) (string, error) {
			return result(c, c.Step("s", func(context.Context) (*schemas.Payload, error) {
				if attempts++; attempts < 3 {
					return nil, errors.New("busy")
				}
				return nil, &runtime.Error{Code: "card_expired", Message: "the card has expired"}
			}, runtime.StepOptions{
				Retry:   runtime.RetryPolicy{Attempts: 10, Backoff: time.Second},
				RetryIf: func(e *runtime.Error) bool { return e.Code != "card_expired" },
			}))
		}))
		w.Task(ref("w", "a", "1"), "", nil)
		expect(t, w, ref("w", "a", "1"), "error card_expired")
		if attempts != 3 {
			t.Errorf("%d attempts, want 3", attempts)
		}
	})
}

// TestPanicOfRetryIfEndsTheStep with the error that it was asked about, as does its
// leaving the goroutine.
func TestPanicOfRetryIfEndsTheStep(t *testing.T) {
	for name, ask := range map[string]func(){"panic": func() { panic("boom") }, "Goexit": goruntime.Goexit} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				w := world(t, kind("w", func(c *runtime.Context, _ string) (string, error) {
					return result(c, c.Step("s", func(context.Context) (*schemas.Payload, error) {
						return nil, &runtime.Error{Code: "busy"}
					}, runtime.StepOptions{RetryIf: func(*runtime.Error) bool { ask(); return true }}))
				}))
				w.Task(ref("w", "a", "1"), "", nil)
				expect(t, w, ref("w", "a", "1"), "error busy")
			})
		})
	}
}
