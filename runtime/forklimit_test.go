package runtime_test

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

// delivering is a run that is at the far side for an hour, and fails behind that,
// while broken. What it sends is made of its IDs and of its clock: where its limits
// let it wait, the clock is not what it was when the run began.
func delivering(g *gauge, done *doing, broken *bool) handler {
	return func(c *runtime.Context, in string) (string, error) {
		run := c.Info().Ref().String()
		tell := func(f func(string)) runtime.StepFunc {
			return func(context.Context) (*schemas.Payload, error) { f(run); return nil, nil }
		}
		sent := fmt.Sprint(c.NewID(), c.Rand().IntN(1<<30), c.Now().UnixNano(), c.Info().Started.UnixNano(), c.Issued())
		if _, err := result(c, c.Call("count", to("counter", "k"), text(sent))); err != nil {
			return "", err
		}
		first, err := result(c, c.Await("go"))
		if err != nil {
			return "", err
		}
		if _, err := step(c, "enter", tell(g.enter)); err != nil { // number 4
			return "", err
		}
		if _, err := result(c, c.After("deliver", time.Hour)); err != nil {
			return "", err
		}
		if _, err := step(c, "leave", tell(g.leave)); err != nil {
			return "", err
		}
		if _, err := step(c, "sign", func(context.Context) (*schemas.Payload, error) {
			if done.did("sign"); *broken {
				return nil, runtime.Errorf("no_pen", "no pen")
			}
			return nil, nil
		}); err != nil {
			return "", err
		}
		second, err := result(c, c.Await("go"))
		return first + second + in, err
	}
}

// delivered plays runs behind limits until they have failed.
func delivered(t *testing.T, n int, limits ...runtime.Limit) (w *runtimetest.World, k *runtime.Kind, g *gauge, done *doing, broken *bool) {
	g, done, broken = &gauge{}, &doing{done: map[string]int{}}, new(bool)
	*broken = true
	k = limited(kind("pack", delivering(g, done, broken)), limits...)
	w = world(t, k, kind("counter", func(c *runtime.Context, in string) (string, error) {
		done.did("counter")
		return in, nil
	}))
	for i := range n {
		r := start(w, ref("pack", fmt.Sprint(i), "1"), "in")
		w.Signal(r, "first", "go", text("first "))
	}
	for i := range n {
		expect(t, w, ref("pack", fmt.Sprint(i), "1"), "error no_pen")
	}
	settle(t, w)
	return w, k, g, done, broken
}

// TestFork_TakesItsPermits: forks and new runs share the limits of their kind, and
// never are there more at once, or sooner, than it says.
func TestFork_TakesItsPermits(t *testing.T) {
	for name, c := range map[string]struct {
		limit runtime.Limit
		most  int
		least time.Duration
	}{
		"concurrency": {concurrency(2), 2, 6 * time.Hour},
		"rate":        {runtime.Limit{Rule: schemas.Hold_RATE, Interval: 2 * time.Hour, Burst: 1}, 1, 22 * time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				w, _, g, done, broken := delivered(t, 6, c.limit)
				*broken = false
				began := time.Now()
				var all []schemas.Ref
				for i := range 6 {
					f, n := ref("pack", fmt.Sprint("f", i), "1"), ref("pack", fmt.Sprint("n", i), "1")
					fork(t, w, f, &schemas.Fork{Run: fmt.Sprintf("pack/%d/1", i), Step: "4"})
					w.Signal(start(w, n, "in"), "first", "go", text("first "))
					w.Signal(f, "second", "go", text("second "))
					w.Signal(n, "second", "go", text("second "))
					all = append(all, f, n)
				}
				for _, r := range all {
					expect(t, w, r, "first second in")
				}
				took := time.Since(began)
				settle(t, w)
				if g.most != c.most || took < c.least || done.all()["counter"] != 12 {
					t.Errorf("at most %d ran at once, want %d; they took %s, want at least %s; %d were counted, want 12", g.most, c.most, took, c.least, done.all()["counter"])
				}
				if c.limit.Rule == schemas.Hold_CONCURRENCY {
					nobody(t, w, "pack")
				}
			})
		})
	}
}

// TestFork_OneThatWaitsForItsPermit is paused, and resumed, cancelled, terminated,
// and forked again, with signals that come meanwhile behind those that are copied.
func TestFork_OneThatWaitsForItsPermit(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w, _, g, done, broken := delivered(t, 2, concurrency(1))
		source := &schemas.Fork{Run: "pack/1/1", Step: "4"}
		busy := ref("pack", "busy", "1")
		w.Signal(start(w, busy, "in"), "first", "go", text("first "))
		synctest.Wait()
		paused, cancelled, terminated := ref("pack", "a", "f"), ref("pack", "b", "f"), ref("pack", "c", "f")
		for _, r := range []schemas.Ref{paused, cancelled, terminated} {
			fork(t, w, r, source)
			w.Signal(r, "second", "go", text("second "))
		}
		<-time.After(time.Minute)
		w.Control(paused, "p", pause)
		w.Cancel(cancelled, "c")
		w.Control(terminated, "t", schemas.Control_TERMINATE)
		expect(t, w, cancelled, "error cancelled")
		expect(t, w, terminated, "error terminated")
		expect(t, w, busy, "error no_pen")
		<-time.After(time.Hour)
		if n := len(g.order); n != 3 {
			t.Errorf("%q were at the far side, and nobody was to go on", g.order)
		}
		w.Control(paused, "r", schemas.Control_RESUME)
		expect(t, w, paused, "error no_pen")
		*broken = false
		again := ref("pack", "d", "f")
		fork(t, w, again, &schemas.Fork{Run: paused.String(), Step: "7"})
		w.Signal(again, "second", "go", text("again "))
		expect(t, w, again, "first second in") // the signal that the first fork has received is copied
		settle(t, w)
		nobody(t, w, "pack")
		if d := done.all(); d["counter"] != 3 || g.most != 1 || len(g.order) != 4 {
			t.Errorf("done %v, at most %d of %q ran at once", d, g.most, g.order)
		}
	})
}

// TestCrashesAroundAForkBehindLimits dies before and after every write of a fork
// that waits for its permit, of which the signal comes meanwhile.
func TestCrashesAroundAForkBehindLimits(t *testing.T) {
	points := 0
	play := func(t *testing.T, when runtimetest.When, n int) {
		bubble(t, func(t *testing.T) {
			rate := runtime.Limit{Rule: schemas.Hold_RATE, Interval: time.Minute, Burst: 1}
			w, k, g, done, broken := delivered(t, 2, concurrency(1), rate)
			*broken = false
			busy, mine := ref("pack", "busy", "1"), ref("pack", "1", "1~1")
			w.Signal(start(w, busy, "in"), "first", "go", text("first "))
			w.Signal(busy, "second", "go", text("second "))
			<-time.After(time.Minute)
			before := len(w.Points())
			if n > 0 {
				w.CrashAt(when, before+n)
			}
			fork(t, w, mine, &schemas.Fork{Run: "pack/1/1", Step: "4"})
			<-time.After(time.Minute)
			w.Signal(mine, "second", "go", text("second "))
			expect(t, w, busy, "first second in")
			expect(t, w, mine, "first second in")
			settle(t, w)
			nobody(t, w, "pack")
			if d := done.all(); d["counter"] != 3 || g.most != 1 {
				t.Errorf("done %v, at most %d ran at once", d, g.most)
			}
			if n == 0 {
				points = len(w.Points()) - before
				replays(t, w, mine, k)
			}
		})
	}
	t.Run("undisturbed", func(t *testing.T) { play(t, 0, 0) })
	if points < 20 {
		t.Errorf("the fork wrote %d times; more are wanted to die at", points)
	}
	for n := 1; n <= points; n++ {
		for side, when := range map[string]runtimetest.When{"before": runtimetest.Before, "after": runtimetest.After} {
			t.Run(fmt.Sprintf("%s %d", side, n), func(t *testing.T) { play(t, when, n) })
		}
	}
}

// TestFork_PausedWithItsPermit: both come in one entry, so that the run is paused when
// it could begin with what it copies; that is behind its resumption.
func TestFork_PausedWithItsPermit(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w, k, _, done, broken := delivered(t, 1, concurrency(1))
		*broken = false
		busy, mine := ref("pack", "busy", "1"), ref("pack", "a", "f")
		for _, r := range []schemas.Ref{start(w, busy, "in"), mine} {
			w.Signal(r, "second", "go", text("second "))
		}
		w.Signal(busy, "first", "go", text("first "))
		synctest.Wait()
		fork(t, w, mine, &schemas.Fork{Run: "pack/0/1", Step: "7"})
		<-time.After(time.Minute)
		synctest.Wait()
		hold := true
		w.OnPoint = func(what string) {
			if what == "append pack/a/f" && hold { // of the request, while which the permit comes
				hold = false
				<-time.After(2 * time.Hour)
				w.Control(mine, "p", pause)
			}
		}
		w.Control(mine, "r0", schemas.Control_RESUME)
		expect(t, w, busy, "second first in")
		<-time.After(3 * time.Hour)
		if got := status(t, w, mine); got != "PAUSED" {
			t.Errorf("the fork is %s", got)
		}
		w.Control(mine, "r", schemas.Control_RESUME)
		expect(t, w, mine, "first second in")
		settle(t, w)
		replays(t, w, mine, k)
		nobody(t, w, "pack")
		if n := done.all()["counter"]; n != 2 {
			t.Errorf("%d were counted", n)
		}
	})
}
