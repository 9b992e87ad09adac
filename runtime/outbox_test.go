package runtime_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/perdure/perdure/runtime"
	"github.com/perdure/perdure/runtime/runtimetest"
	"github.com/perdure/perdure/schemas"
)

// TestUndelivered_IsAnsweredInEveryGeneration: to a kind that nobody hosts, to no run
// of it, and with an input that is over the cap.
func TestUndelivered_IsAnsweredInEveryGeneration(t *testing.T) {
	asks := map[string]func(c *runtime.Context) *runtime.Future{
		"not_found": func(c *runtime.Context) *runtime.Future { return c.Call("call", to("nobody", "a"), nil) },
		"attach":    func(c *runtime.Context) *runtime.Future { return c.Attach("attach", ref("nobody", "a", "1")) },
		"too_large": func(c *runtime.Context) *runtime.Future {
			return c.Call("call", to("loop", "b"), text(strings.Repeat("x", capBytes+1)))
		},
	}
	for name, ask := range asks {
		for generations := range 3 {
			t.Run(fmt.Sprint(name, " ", generations), func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					w := world(t, kind("loop", func(c *runtime.Context, _ string) (string, error) {
						if c.Info().Generation < generations {
							return "", c.ContinueAsNew(nil)
						}
						_, err := result(c, ask(c))
						return code(err), nil
					}))
					w.Configure = func(cfg *runtime.Config) { cfg.PayloadCap = capBytes }
					w.Start()
					r := ref("loop", "a", "1")
					w.Task(r, "", nil)
					want := name
					if name == "attach" {
						want = "not_found"
					}
					expect(t, w, r, want)
					settle(t, w)
				})
			})
		}
	}
}

// verbose accepts nothing, and says much.
type verbose struct{}

func (verbose) Send(context.Context, schemas.Identity, *schemas.Envelope) error {
	return runtime.Errorf(runtime.ErrNotFound.Code, "%s", strings.Repeat("no such kind ", 1000))
}

// TestUndelivered_OutlivesTheProcess: what comes at the same time does not go into the
// journal before the failure, which shows that the message was put out.
func TestUndelivered_OutlivesTheProcess(t *testing.T) {
	many := func(n int, err error) handler {
		return func(c *runtime.Context, _ string) (string, error) {
			calls := make([]*runtime.Future, n)
			for i := range calls {
				calls[i] = c.Call(strings.Repeat("n", 200), to("nobody", "a"), nil)
			}
			for i := range 1200 {
				c.After(fmt.Sprint(strings.Repeat("t", 240), i), time.Hour)
			}
			for _, f := range calls {
				if _, got := result(c, f); !errors.Is(got, err) {
					return fmt.Sprint(got), nil
				}
			}
			return "all failed", nil
		}
	}
	tests := map[string]struct {
		code    handler
		updates int
	}{
		"updates that came meanwhile": {func(c *runtime.Context, _ string) (string, error) {
			c.HandleUpdate("u", runtime.UpdateHandler{Handle: func(*runtime.Context, *schemas.Payload) (*schemas.Payload, error) { return nil, nil }})
			_, err := result(c, c.Call("call", to("nobody", "a"), nil))
			if !errors.Is(err, runtime.ErrNotFound) {
				return fmt.Sprint(err), nil
			}
			return "all failed", nil
		}, 3},
		"more than fits into an entry":         {many(1, runtime.ErrNotFound), 0},
		"more failures than fit into an entry": {many(600, runtime.ErrNotFound), 0},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				w := runtimetest.NewWorld(kind("w", test.code))
				w.Journal.Before = full(512 << 10)
				w.Configure = func(cfg *runtime.Config) { cfg.Outbox = verbose{} }
				r, n := ref("w", "a", "1"), 0
				w.OnPoint = func(what string) {
					if !strings.HasSuffix(what, " w/a/1") {
						return
					}
					switch n++; n {
					case 2: // what it asks for is stored
						for i := range test.updates {
							w.Send(r.Identity, &schemas.Envelope{Type: schemas.Envelope_UPDATE, Id: fmt.Sprint("u", i), Run: string(r.ID), Method: "u"})
						}
					case 4: // one more entry was stored
						w.Processes()[0].Kill()
						w.Start()
					}
				}
				w.Start()
				w.Task(r, "", nil)
				expect(t, w, r, "all failed")
				settle(t, w)
				for _, wrong := range w.Close() {
					t.Error(wrong)
				}
			})
		})
	}
}
