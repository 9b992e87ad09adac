package runtime_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/perdure/perdure/runtime"
	"github.com/perdure/perdure/schemas"
)

// caller asks the run shared/a/x, under whatever key it has itself.
func caller() *runtime.Kind {
	return kind("caller", func(c *runtime.Context, in string) (string, error) {
		target := to("shared", "a")
		target.ID = "x"
		return result(c, c.Call("shared", target, text(in)))
	})
}

// shared works for a while, then sleeps for an hour.
func shared(runs *atomic.Int32) *runtime.Kind {
	return kind("shared", func(c *runtime.Context, in string) (string, error) {
		_, err := step(c, "work", func(ctx context.Context) (*schemas.Payload, error) {
			runs.Add(1)
			select {
			case <-time.After(10 * time.Minute):
			case <-ctx.Done():
			}
			return nil, ctx.Err()
		})
		if err != nil {
			return "", err
		}
		_, err = result(c, c.After("sleep", time.Hour))
		return "did " + in, err
	})
}

// TestSameMessageFromTwoRunsIsOneRunThatAnswersBoth sends the second message
// in each state that the run can be in.
func TestSameMessageFromTwoRunsIsOneRunThatAnswersBoth(t *testing.T) {
	for name, c := range map[string]struct {
		at      time.Duration
		restart bool // of the process, before the second message
		joined  int  // events
	}{
		"at the same time":                       {0, false, 1},
		"while it runs":                          {time.Minute, false, 1},
		"while it is suspended":                  {30 * time.Minute, false, 1},
		"while it is suspended, after a restart": {30 * time.Minute, true, 1},
		"when it has finished":                   {2 * time.Hour, false, 0},
		"when it has finished, after a restart":  {2 * time.Hour, true, 0},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				var runs atomic.Int32
				w := world(t, caller(), shared(&runs))
				w.Task(ref("caller", "one", "1"), "", text("it"))
				<-time.After(c.at)
				if c.restart {
					synctest.Wait()
					w.Start() // the one before is a zombie from now on
				}
				w.Task(ref("caller", "two", "1"), "", text("it"))
				expect(t, w, ref("caller", "one", "1"), "did it")
				expect(t, w, ref("caller", "two", "1"), "did it")
				settle(t, w)
				if n := runs.Load(); n != 1 {
					t.Errorf("the work was done %d times, want once", n)
				}
				r := ref("shared", "a", "x")
				n := 0
				for _, line := range events(w, r) {
					n += countWords(line, "joined")
				}
				if n != c.joined {
					t.Errorf("recorded %q: %d joined, want %d", events(w, r), n, c.joined)
				}
			})
		})
	}
}

// TestP21_SameMessageWithAnotherInputIsAConflict: it neither joins nor disturbs
// the run that exists.
func TestP21_SameMessageWithAnotherInputIsAConflict(t *testing.T) {
	for name, at := range map[string]time.Duration{"while it runs": time.Minute, "while it is suspended": 30 * time.Minute, "when it has finished": 2 * time.Hour} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				var runs atomic.Int32
				w := world(t, caller(), shared(&runs))
				w.Task(ref("caller", "one", "1"), "", text("it"))
				<-time.After(at)
				w.Task(ref("caller", "two", "1"), "", text("something else"))
				expect(t, w, ref("caller", "one", "1"), "did it")
				expect(t, w, ref("caller", "two", "1"), "error conflict")
				settle(t, w)
				if n := runs.Load(); n != 1 {
					t.Errorf("the work was done %d times, want once", n)
				}
			})
		})
	}
}

// TestSameTaskAgainIsOneRun publishes the same message many times, from a
// client that waits for no answer.
func TestSameTaskAgainIsOneRun(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var runs atomic.Int32
		w := world(t, shared(&runs))
		r := ref("shared", "a", "x")
		for range 100 {
			w.Task(r, "", text("it"))
		}
		expect(t, w, r, "did it")
		for range 100 {
			w.Task(r, "", text("it"))
		}
		settle(t, w)
		if n := runs.Load(); n != 1 {
			t.Errorf("the work was done %d times, want once", n)
		}
	})
}

func countWords(line, word string) (n int) {
	for w := range strings.FieldsSeq(line) {
		if w == word {
			n++
		}
	}
	return n
}
