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

// awaiter prepares for half an hour, then waits for three signals with a step between, and returns them in the
// order in which they were given.
func awaiter() *runtime.Kind {
	return kind("awaiter", func(c *runtime.Context, _ string) (string, error) {
		var got []string
		if _, err := step(c, "prepare", func(ctx context.Context) (*schemas.Payload, error) {
			select { // signals come meanwhile
			case <-time.After(30 * time.Minute):
				return nil, nil
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}); err != nil {
			return "", err
		}
		for range 3 {
			v, err := result(c, c.Await("go"))
			if err != nil {
				return "", err
			}
			if v, err = step(c, "note", give(v)); err != nil {
				return "", err
			}
			got = append(got, v)
		}
		return strings.Join(got, " "), nil
	})
}

// TestP15_SignalsAreKeptDeduplicatedAndGivenInOrder whether they come before the
// task, before they are awaited, or while the run is suspended, and wherever a
// process crashes.
func TestP15_SignalsAreKeptDeduplicatedAndGivenInOrder(t *testing.T) {
	r := ref("awaiter", "a", "1")
	play := func(w *runtimetest.World) {
		w.Signal(r, "s1", "go", text("one")) // before its run
		w.Signal(r, "s1", "go", text("one"))
		w.Task(r, "", nil)
		w.Signal(r, "other", "else", text("never awaited"))
		<-time.After(time.Hour)
		w.Signal(r, "s2", "go", text("two")) // to a suspended run
		<-time.After(time.Hour)
		w.Signal(r, "s1", "go", text("one")) // again, long after
		w.Signal(r, "s2", "go", text("two"))
		w.Signal(r, "s3", "go", text("three"))
		w.Signal(r, "s4", "go", text("four"))
	}
	points := 0
	bubble(t, func(t *testing.T) {
		w := world(t, awaiter())
		play(w)
		expect(t, w, r, "one two three")
		settle(t, w)
		points = len(w.Points())
	})
	if points < 15 {
		t.Fatalf("%d points, want at least 15", points)
	}
	for n := 1; n <= points; n++ {
		for _, when := range []runtimetest.When{runtimetest.Before, runtimetest.After} {
			bubble(t, func(t *testing.T) {
				w := world(t, awaiter())
				w.CrashAt(when, n)
				play(w)
				expect(t, w, r, "one two three")
				settle(t, w)
			})
		}
	}
}

// TestAwaitEndsWithItsScope: a deadline ends the wait, and the signal that comes
// after it goes to the next one.
func TestAwaitEndsWithItsScope(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := world(t, kind("w", func(c *runtime.Context, _ string) (string, error) {
			limited, cancel := c.WithTimeout(48 * time.Hour)
			defer cancel()
			if _, err := result(limited, limited.Await("approved")); !errors.Is(err, runtime.ErrTimeout) {
				return "", errors.Join(err, errors.New("the first wait did not end by its deadline"))
			}
			return result(c, c.Await("approved"))
		}))
		r := ref("w", "a", "1")
		w.Task(r, "", nil)
		<-time.After(49 * time.Hour)
		w.Signal(r, "s", "approved", text("late"))
		expect(t, w, r, "late")
		settle(t, w)
	})
}

// TestSignalsGoToTheWaitThatBeganFirst, whichever branch it is in.
func TestSignalsGoToTheWaitThatBeganFirst(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := world(t, kind("w", func(c *runtime.Context, _ string) (string, error) {
			var branches []*runtime.Future
			for _, name := range []string{"a", "b", "c"} {
				branches = append(branches, c.Go(name, func(c *runtime.Context) (any, error) {
					v, err := result(c, c.Await("go"))
					return name + v, err
				}))
			}
			var got []string
			for _, f := range branches {
				if _, err := c.Wait(f); err != nil {
					return "", err
				}
				v, err := f.Value()
				if err != nil {
					return "", err
				}
				got = append(got, v.(string))
			}
			return strings.Join(got, " "), nil
		}))
		r := ref("w", "a", "1")
		w.Task(r, "", nil)
		for i, v := range []string{"1", "2", "3"} {
			<-time.After(time.Duration(i) * time.Hour)
			w.Signal(r, "s"+v, "go", text(v))
		}
		expect(t, w, r, "a1 b2 c3")
		settle(t, w)
	})
}

// TestIDsOfUsersAreNotTheEngines: a signal whose ID is one that the engine uses is
// taken, and so is what the engine sends by it.
func TestIDsOfUsersAreNotTheEngines(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := world(t, busy(), counting(), kind("ask", func(c *runtime.Context, _ string) (string, error) {
			var got []string
			for range 3 {
				s, err := result(c, c.Await("go"))
				if err != nil {
					return "", err
				}
				got = append(got, s)
			}
			d, err := result(c, c.Ask(&schemas.Asked{Name: "refund", Question: text("?")}))
			return strings.Join(append(got, d), ""), err
		}))
		asks := ref("ask", "a", "1")
		w.Task(asks, "", nil)
		w.Control(asks, "p", pause)
		w.Control(asks, "r", resume)
		<-time.After(time.Minute)
		for i, id := range []string{"decision 4", "update u", "r"} {
			w.Signal(asks, id, "go", text(fmt.Sprint(i)))
		}
		w.Signal(asks, "decision 4", runtime.AnswerPrefix+"4", text("yes"))
		w.Signal(asks, "another", runtime.AnswerPrefix+"4", text("no"))
		expect(t, w, asks, "012yes")

		r, fork := ref("w", "a", "1"), ref("w", "b", "1")
		w.Task(r, "", nil)
		<-time.After(time.Minute)
		w.Control(r, "p", pause)
		<-time.After(time.Minute)
		forked(t, w, fork, "", &schemas.Fork{Run: r.String()})
		w.Signal(fork, "fork", "go", text("gone"))
		expect(t, w, fork, "charged slept gone counted 1")
		w.Control(r, "r", resume)
		w.Signal(r, "s", "go", text("gone"))
		expect(t, w, r, "charged slept gone counted 1")
	})
}
