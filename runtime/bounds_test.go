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
	"google.golang.org/protobuf/proto"
)

// TestP20_EntriesAreBoundedByBytes: what happens to a run at once is stored in as
// many entries as it needs, and crashes between them change nothing.
func TestP20_EntriesAreBoundedByBytes(t *testing.T) {
	const calls, steps = 40, 200
	bubble(t, func(t *testing.T) {
		w := runtimetest.NewWorld(kind("many", func(c *runtime.Context, _ string) (string, error) {
			var fs []*runtime.Future
			for range steps {
				fs = append(fs, c.Step("step", func(ctx context.Context) (*schemas.Payload, error) {
					s, _ := runtime.StepFrom(ctx)
					for i := range 10 {
						s.Annotate(fmt.Sprint(i), strings.Repeat("x", 1000))
					}
					<-time.After(time.Second) // all are done at once
					return text("1"), nil
				}, runtime.StepOptions{}))
			}
			for i := range calls {
				fs = append(fs, c.Call("call", to("one", fmt.Sprint(i%4)), nil))
			}
			s := c.Selector(fs)
			defer s.Stop()
			n := 0
			for f, err := s.Next(c); f != nil || err != nil; f, err = s.Next(c) {
				if err != nil {
					return "", err
				}
				p, _ := f.Outcome()
				n += len(p.GetData())
				c.Send("send", to("one", "sink"), nil)
			}
			return fmt.Sprint(n), nil
		}), kind("one", func(*runtime.Context, string) (string, error) { return "1", nil }))
		w.AutoRestart = true
		var appended int
		w.OnPoint = func(what string) { // once the steps are done: after the first entry of several
			if what == "append many/a/1" {
				if appended++; appended == 5 {
					w.CrashAt(runtimetest.After, len(w.Points())+4) // not the next: those beside it go on meanwhile
				}
			}
		}
		w.Start()
		r := ref("many", "a", "1")
		w.Task(r, "", nil)
		expect(t, w, r, fmt.Sprint(calls+steps))
		settle(t, w)
		largest, entries := 0, 0
		for _, s := range w.Journal.History() {
			if s.Ref == r && s.Entry.GetRecord() == nil {
				entries++
				largest = max(largest, proto.Size(s.Entry))
			}
		}
		if largest > 300<<10 || entries < 8 {
			t.Errorf("%d entries, the largest of %d bytes; want several, of at most 300 KiB", entries, largest)
		}
		if len(w.Processes()) != 2 {
			t.Errorf("%d processes, want 2: one crash", len(w.Processes()))
		}
		for _, wrong := range w.Close() {
			t.Error(wrong)
		}
	})
}

// TestTimelineOfARecordIsBounded by bytes: attributes are the user's.
func TestTimelineOfARecordIsBounded(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := world(t, kind("w", func(c *runtime.Context, _ string) (string, error) {
			for range 100 {
				if _, err := step(c, "s", func(ctx context.Context) (*schemas.Payload, error) {
					s, _ := runtime.StepFrom(ctx)
					for i := range 16 {
						s.Annotate(fmt.Sprint(i), strings.Repeat("x", 1<<20))
					}
					return nil, nil
				}); err != nil {
					return "", err
				}
			}
			return "", nil
		}))
		w.Task(ref("w", "a", "1"), "", nil)
		rec := expect(t, w, ref("w", "a", "1"), "")
		if n := proto.Size(rec); n > 160<<10 || rec.GetStepCount() != 100 || len(rec.GetSteps()) == 0 {
			t.Errorf("a record of %d bytes with %d of %d steps; want at most 160 KiB, some steps, and all counted", n, len(rec.GetSteps()), rec.GetStepCount())
		}
	})
}

// TestRunThatNothingCanWakeFails, rather than wait for ever.
func TestRunThatNothingCanWakeFails(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := world(t, kind("w", func(c *runtime.Context, _ string) (string, error) {
			if _, err := step(c, "s", give("x")); err != nil {
				return "", err
			}
			var a, b *runtime.Future
			a = c.Go("a", func(c *runtime.Context) (any, error) {
				_, err := c.Wait(b)
				return nil, err
			})
			b = c.Go("b", func(c *runtime.Context) (any, error) {
				_, err := c.Wait(a)
				return nil, err
			})
			_, err := c.Wait(a, b)
			return "", err
		}))
		w.Task(ref("w", "a", "1"), "", nil)
		began := time.Now()
		expect(t, w, ref("w", "a", "1"), "error deadlock")
		settle(t, w)
		if took := time.Since(began); took > time.Second {
			t.Errorf("it took %v", took)
		}
	})
}

type panicking struct{ text *string }

func (p *panicking) Error() string { return *p.text }

// TestErrorWhoseTextPanicsIsAFailure of its step, not of the process.
func TestErrorWhoseTextPanicsIsAFailure(t *testing.T) {
	var typedNil *panicking
	for name, err := range map[string]error{"nil pointer": typedNil, "nil field": &panicking{}} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				w := world(t, kind("w", func(c *runtime.Context, _ string) (string, error) {
					return step(c, "s", func(context.Context) (*schemas.Payload, error) { return nil, err })
				}))
				w.Task(ref("w", "a", "1"), "", nil)
				rec := expect(t, w, ref("w", "a", "1"), "error panic")
				if !strings.Contains(rec.GetError().GetMessage(), "panicked when it was asked for its text") {
					t.Errorf("message %q does not say what happened", rec.GetError().GetMessage())
				}
			})
		})
	}
	if e := runtime.AsError(errors.New("plain")); e.Code != "error" || e.Final {
		t.Errorf("a plain error became %+v", e)
	}
}

// TestMessageOverTheCapFailsWhoSendsIt, visibly: the run where nobody waits for
// an answer, the call where somebody does; the identity goes on.
func TestMessageOverTheCapFailsWhoSendsIt(t *testing.T) {
	big := text(strings.Repeat("x", 2000))
	for name, send := range map[string]func(c *runtime.Context) (string, error){
		"sent before a step": func(c *runtime.Context) (string, error) {
			c.Send("send", to("sink", "a"), big)
			return step(c, "s", give("x"))
		},
		"sent last": func(c *runtime.Context) (string, error) {
			c.Send("small", to("sink", "a"), text("small"))
			c.Send("send", to("sink", "a"), big)
			return "", nil
		},
		"started last": func(c *runtime.Context) (string, error) {
			c.Start("start", to("sink", "a"), big)
			return "", nil
		},
		"started before a step": func(c *runtime.Context) (string, error) {
			f := c.Start("start", to("sink", "a"), big)
			if _, err := step(c, "s", give("x")); err != nil {
				return "", err
			}
			return result(c, f)
		},
		"called": func(c *runtime.Context) (string, error) {
			return result(c, c.Call("call", to("sink", "a"), big))
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				w := runtimetest.NewWorld(kind("w", func(c *runtime.Context, in string) (string, error) {
					if in == "after" {
						return in, nil
					}
					return send(c)
				}), kind("sink", func(_ *runtime.Context, in string) (string, error) { return fmt.Sprint(len(in)), nil }))
				w.Configure = func(c *runtime.Config) { c.PayloadCap = 1000 }
				w.AutoRestart = true
				w.Start()
				w.Task(ref("w", "a", "1"), "", nil)
				rec := expect(t, w, ref("w", "a", "1"), "error too_large")
				if !strings.Contains(rec.GetError().GetMessage(), "has 2000 bytes; the cap is 1000") {
					t.Errorf("the error %q does not say what is too large", rec.GetError().GetMessage())
				}
				w.Task(ref("w", "a", "2"), "", text("after"))
				expect(t, w, ref("w", "a", "2"), "after")
				settle(t, w)
				for _, wrong := range w.Close() {
					t.Error(wrong)
				}
			})
		})
	}
}
