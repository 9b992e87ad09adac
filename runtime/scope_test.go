package runtime_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/perdure/perdure/runtime"
	"github.com/perdure/perdure/schemas"
)

// runText executes a run undisturbed and returns its result.
func runText(t *testing.T, h handler, kinds ...*runtime.Kind) (got string) {
	t.Helper()
	bubble(t, func(t *testing.T) {
		w := world(t, append(kinds, kind("w", h))...)
		r := ref("w", "a", "1")
		w.Task(r, "", nil)
		ctx, cancel := patience(t)
		defer cancel()
		rec, err := w.Result(ctx, r)
		if err != nil {
			t.Fatal(err)
		}
		got = string(rec.GetResult().GetData())
		if rec.GetError() != nil {
			got = "error " + rec.GetError().GetCode() + ": " + rec.GetError().GetMessage()
		}
		settle(t, w)
	})
	return got
}

func expectText(t *testing.T, want string, h handler, kinds ...*runtime.Kind) {
	t.Helper()
	if got := runText(t, h, kinds...); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestTimeoutOfAScopeEndsEachVerbInIt(t *testing.T) {
	expectText(t, "timeout timeout timeout timeout, <nil>", func(c *runtime.Context, _ string) (string, error) {
		d, cancel := c.WithTimeout(time.Minute)
		defer cancel()
		began := c.Now()
		slow := d.Step("slow", newGate().body(""), runtime.StepOptions{})
		_, err := result(d, slow)
		_, err2 := result(d, d.After("sleep", time.Hour))
		_, err3 := result(d, d.Call("call", to("w", "b"), nil))
		if took := c.Now().Sub(began); took != time.Minute {
			return "", fmt.Errorf("it took %v", took)
		}
		return fmt.Sprintf("%s %s %s %s, %v", code(err), code(err2), code(err3), code(d.Err()), c.Err()), nil
	})
}

func TestScopeThatIsDoneInTimeIsNotEnded(t *testing.T) {
	expectText(t, "quick  <nil>", func(c *runtime.Context, _ string) (string, error) {
		d, cancel := c.WithTimeout(time.Minute)
		got, err := step(d, "quick", give("quick"))
		if err != nil {
			return "", err
		}
		cancel()
		rest, err := result(c, c.After("sleep", time.Hour))
		return fmt.Sprintf("%s %s %v", got, rest, c.Err()), err
	})
}

func TestCancelOfAScopeReachesTheScopesBelowItAndNoOther(t *testing.T) {
	expectText(t, "cancelled cancelled <nil>", func(c *runtime.Context, _ string) (string, error) {
		outer, cancel := c.WithCancel()
		inner, cancelInner := outer.WithTimeout(time.Hour)
		defer cancelInner()
		beside, _ := c.WithCancel()
		f := inner.After("inner", 30*time.Minute)
		g := beside.After("beside", time.Second)
		cancel()
		_, err := result(inner, f)
		if _, err := result(beside, g); err != nil {
			return "", err
		}
		_, err2 := result(outer, outer.After("never", 0))
		return fmt.Sprintf("%s %s %v", code(err), code(err2), beside.Err()), nil
	})
}

func TestWithoutCancelIsNotReachedByTheCancellationOfTheRun(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := world(t, kind("w", func(c *runtime.Context, _ string) (string, error) {
			_, err := result(c, c.After("sleep", time.Hour))
			d := c.WithoutCancel()
			if _, err := result(d, d.After("a moment", time.Minute)); err != nil {
				return "", err
			}
			done, err2 := step(d, "clean up", give("cleaned"))
			if err2 != nil {
				return "", err2
			}
			return fmt.Sprintf("%s %s", code(err), done), nil
		}))
		r := ref("w", "a", "1")
		w.Task(r, "", nil)
		<-time.After(time.Second / 2)
		w.Cancel(r, "c1")
		expect(t, w, r, "cancelled cleaned")
		settle(t, w)
	})
}

// TestCancelledRunIsRecordedAsCancelled in each state: while a step runs, while
// it waits in memory, suspended, and before it was begun.
func TestCancelledRunIsRecordedAsCancelled(t *testing.T) {
	for name, at := range map[string]time.Duration{
		"before it began": 0, "while a step runs": time.Minute, "while it waits": 10*time.Minute + time.Millisecond, "while it is suspended": 30 * time.Minute,
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				w := world(t, kind("w", func(c *runtime.Context, _ string) (string, error) {
					_, err := step(c, "step", func(ctx context.Context) (*schemas.Payload, error) {
						select {
						case <-time.After(10 * time.Minute):
							return nil, nil
						case <-ctx.Done():
							return nil, context.Cause(ctx)
						}
					})
					if err != nil {
						return "", err
					}
					return result(c, c.After("sleep", time.Hour))
				}))
				r := ref("w", "a", "1")
				if at == 0 {
					w.Cancel(r, "c1") // what is cancelled before it is known is not cancelled
				}
				w.Task(r, "", nil)
				<-time.After(at)
				began := time.Now()
				w.Cancel(r, "c1")
				w.Cancel(r, "c1")
				w.Cancel(r, "c2")
				rec := expect(t, w, r, "error cancelled")
				if rec.GetStatus() != schemas.Status_CANCELLED || time.Since(began) != 0 {
					t.Errorf("after %v it is %v", time.Since(began), rec.GetStatus())
				}
				settle(t, w)
				n := 0
				for _, line := range events(w, r) {
					n += countWords(line, "cancel")
				}
				if n == 0 || n > 2 {
					t.Errorf("recorded %q: the two requests %d times", events(w, r), n)
				}
			})
		})
	}
}

// TestOutcomeOfAStepThatWasCancelledCounts: it was told to stop, and finished.
func TestOutcomeOfAStepThatWasCancelledCounts(t *testing.T) {
	bubble(t, func(t *testing.T) {
		entered := make(chan struct{})
		w := world(t, kind("w", func(c *runtime.Context, _ string) (string, error) {
			return step(c, "step", func(ctx context.Context) (*schemas.Payload, error) {
				close(entered)
				<-ctx.Done()
				return text("done all the same"), nil
			})
		}))
		r := ref("w", "a", "1")
		w.Task(r, "", nil)
		<-entered
		w.Cancel(r, "c1")
		rec := expect(t, w, r, "done all the same")
		if rec.GetStatus() != schemas.Status_COMPLETED {
			t.Errorf("it is %v", rec.GetStatus())
		}
		settle(t, w)
	})
}

func TestVerbsOfABranchAreNumberedBelowIt(t *testing.T) {
	var paths []string
	where := func(ctx context.Context) (*schemas.Payload, error) {
		s, _ := runtime.StepFrom(ctx)
		return text(s.Path), nil
	}
	expectText(t, "1 2.1 2.2.1 2.3 3.1 4.1 5", func(c *runtime.Context, _ string) (string, error) {
		say := func(c *runtime.Context) error {
			p, err := step(c, "say", where)
			paths = append(paths, p)
			return err
		}
		if err := say(c); err != nil {
			return "", err
		}
		two := c.Go("two", func(c *runtime.Context) (any, error) {
			if err := say(c); err != nil {
				return nil, err
			}
			inner := c.Go("inner", func(c *runtime.Context) (any, error) { return nil, say(c) })
			if _, err := c.Wait(inner); err != nil {
				return nil, err
			}
			return nil, say(c)
		})
		three := c.Go("three", func(c *runtime.Context) (any, error) { return nil, say(c) })
		group := c.Group()
		if err := say(group); err != nil {
			return "", err
		}
		for _, f := range []*runtime.Future{two, three} {
			if _, err := c.Wait(f); err != nil {
				return "", err
			}
		}
		if err := say(c); err != nil {
			return "", err
		}
		slices.Sort(paths)
		var all strings.Builder
		for _, p := range slices.Compact(paths) {
			all.WriteString(" " + p)
		}
		return all.String()[1:], nil
	})
}

func TestBranchesTakeTurns(t *testing.T) {
	expectText(t, "300", func(c *runtime.Context, _ string) (string, error) {
		sum, inside := 0, 0
		var fs []*runtime.Future
		for range 3 {
			fs = append(fs, c.Go("branch", func(c *runtime.Context) (any, error) {
				for range 100 {
					if inside++; inside != 1 {
						return nil, fmt.Errorf("%d branches at once", inside)
					}
					sum++
					inside--
					if _, err := step(c, "step", give("")); err != nil {
						return nil, err
					}
				}
				return nil, nil
			}))
		}
		for _, f := range fs {
			if _, err := c.Wait(f); err != nil {
				return "", err
			}
			if _, err := f.Value(); err != nil {
				return "", err
			}
		}
		return fmt.Sprint(sum), nil
	})
}

func TestPanicOfABranchIsItsError(t *testing.T) {
	expectText(t, "panic: boom", func(c *runtime.Context, _ string) (string, error) {
		f := c.Go("branch", func(*runtime.Context) (any, error) { panic("boom") })
		if _, err := c.Wait(f); err != nil {
			return "", err
		}
		_, err := f.Value()
		return err.Error(), nil
	})
}

func TestWaitForNothingIsAnErrorThatSaysSo(t *testing.T) {
	want := "error panic: panic: perdure: no future was given to wait for; it would never be done"
	expectText(t, want, func(c *runtime.Context, _ string) (string, error) {
		_, err := c.Wait()
		return "", err
	})
}

func TestVerbOutsideItsHandlerIsAnErrorThatSaysSo(t *testing.T) {
	want := "error panic: panic: perdure: a durable verb was called outside its own handler or branch; inside a step or a goroutine use plain Go, and in a branch the context that the branch was given"
	expectText(t, want, func(c *runtime.Context, _ string) (string, error) {
		return step(c, "step", func(context.Context) (*schemas.Payload, error) {
			c.After("sleep", 0)
			return nil, nil
		})
	})
	expectText(t, want, func(c *runtime.Context, _ string) (string, error) {
		f := c.Go("branch", func(*runtime.Context) (any, error) { return nil, c.Err() })
		g := c.Go("branch", func(*runtime.Context) (any, error) { return c.Now(), nil })
		if _, err := c.Wait(f); err != nil {
			return "", err
		}
		if _, err := c.Wait(g); err != nil {
			return "", err
		}
		_, err := g.Value()
		return "", err
	})
}

// TestCallToWhoWaitsForItIsACycle: directly, and by way of another identity.
func TestCallToWhoWaitsForItIsACycle(t *testing.T) {
	ask := func(kind, key string) handler {
		return func(c *runtime.Context, _ string) (string, error) {
			return result(c, c.Call("call", to(kind, key), nil))
		}
	}
	expectText(t, "error call_cycle: call of w/a by w/a: it waits for this very call (w/a -> w/a); Send to it instead, or call another key", ask("w", "a"))
	got := runText(t, ask("v", "b"), kind("v", ask("u", "c")), kind("u", ask("w", "a")))
	want := "error call_cycle: call of w/a by u/c: it waits for this very call (w/a -> v/b -> u/c -> w/a); Send to it instead, or call another key"
	if got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestSendToWhoWaitsIsNoCycle(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := world(t, kind("w", func(c *runtime.Context, in string) (string, error) {
			if in == "back" {
				return "got it", nil
			}
			return result(c, c.Call("call", to("v", "b"), nil))
		}), kind("v", func(c *runtime.Context, _ string) (string, error) {
			target := to("w", "a")
			target.ID = "2"
			c.Send("send", target, text("back"))
			return "sent", nil
		}))
		w.Task(ref("w", "a", "1"), "", nil)
		expect(t, w, ref("w", "a", "1"), "sent")
		expect(t, w, ref("w", "a", "2"), "got it")
		settle(t, w)
	})
}

func TestErrorsOfACallKeepTheirCodeAndMessage(t *testing.T) {
	expectText(t, "sold_out 3 left panic panic: boom", func(c *runtime.Context, _ string) (string, error) {
		_, err := result(c, c.Call("stock", to("stock", "a"), text("order")))
		_, err2 := result(c, c.Call("stock", to("stock", "a"), text("panic")))
		return fmt.Sprintf("%s %v %s %v", code(err), err, code(err2), err2), nil
	}, kind("stock", func(c *runtime.Context, in string) (string, error) {
		if in == "panic" {
			panic("boom")
		}
		return "", runtime.Errorf("sold_out", "3 left")
	}))
}

func TestUnknownMethodAndBadInputFailTheRun(t *testing.T) {
	k := kind("w", func(*runtime.Context, string) (string, error) { return "ran", nil })
	m := k.Methods[""]
	m.Check = func(p *schemas.Payload) error {
		if string(p.GetData()) == "bad" {
			return fmt.Errorf("it is bad")
		}
		return nil
	}
	k.Methods = map[string]runtime.Method{"do": m, "undo": m}
	bubble(t, func(t *testing.T) {
		w := world(t, k)
		w.Task(ref("w", "a", "1"), "do", text("good"))
		w.Task(ref("w", "a", "2"), "do", text("bad"))
		w.Task(ref("w", "a", "3"), "redo", text("good"))
		expect(t, w, ref("w", "a", "1"), "ran")
		bad := expect(t, w, ref("w", "a", "2"), "error invalid")
		unknown := expect(t, w, ref("w", "a", "3"), "error not_found")
		settle(t, w)
		if got, want := bad.GetError().GetMessage(), "input of w/a/2: it is bad"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		if got, want := unknown.GetError().GetMessage(), `workflow "w" has no method "redo"; it has "do", "undo"`; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}
