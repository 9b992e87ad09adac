package runtime_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/perdure/perdure/runtime"
	"github.com/perdure/perdure/runtime/runtimetest"
	"github.com/perdure/perdure/schemas"
)

// killer is a kind whose second step ends the process that executes it, as often as
// times says, and counts.
func killer(w **runtimetest.World, times int, executed *int) *runtime.Kind {
	return kind("killer", func(c *runtime.Context, _ string) (string, error) {
		if _, err := step(c, "harmless", give("")); err != nil {
			return "", err
		}
		return step(c, "deadly", func(ctx context.Context) (*schemas.Payload, error) {
			if *executed++; *executed > times {
				return text("alive"), nil
			}
			ps := (*w).Processes()
			ps[len(ps)-1].Kill()
			(*w).Start()
			<-ctx.Done()
			return nil, ctx.Err()
		})
	})
}

// poisonous is a world where a run is parked after its third crash.
func poisonous(t *testing.T, w **runtimetest.World, kinds ...*runtime.Kind) {
	*w = runtimetest.NewWorld(kinds...)
	(*w).Configure = func(cfg *runtime.Config) { cfg.MaxCrashes = 3 }
	(*w).Start()
	t.Cleanup(func() {
		for _, wrong := range (*w).Close() {
			t.Error(wrong)
		}
	})
}

func parked(t *testing.T, w *runtimetest.World, r schemas.Ref) error {
	t.Helper()
	ctx, cancel := patience(t)
	defer cancel()
	if err := w.Until(ctx, func() bool { return w.Parked(r) != nil }); err != nil {
		t.Fatal(err)
	}
	return w.Parked(r)
}

// TestP24_ARunThatEndsItsProcessIsParked after the third time, with the evidence;
// the runs beside it complete, and what waits behind it is kept.
func TestP24_ARunThatEndsItsProcessIsParked(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var w *runtimetest.World
		executed := 0
		var innocent atomic.Int64
		poisonous(t, &w, killer(&w, 100, &executed), kind("beside", func(c *runtime.Context, in string) (string, error) {
			return step(c, "long", func(ctx context.Context) (*schemas.Payload, error) {
				innocent.Add(1)
				select {
				case <-time.After(time.Hour):
					return text(in), nil
				case <-ctx.Done():
					return nil, ctx.Err()
				}
			})
		}))
		for _, key := range []string{"a", "b", "c"} {
			w.Task(ref("beside", key, "1"), "", text(key))
		}
		r := ref("killer", "k", "1")
		w.Task(r, "", nil)
		w.Task(ref("killer", "k", "2"), "", nil)
		err := parked(t, w, r)
		if !errors.Is(err, runtime.ErrPoisoned) || !strings.Contains(err.Error(), "ended 3 times") || strings.Count(err.Error(), "alone") != 1 || !strings.Contains(err.Error(), `step "harmless" at number 1`) {
			t.Errorf("parked because of %v, want three crashes, one of them alone, after the harmless step", err)
		}
		for _, key := range []string{"a", "b", "c"} {
			expect(t, w, ref("beside", key, "1"), key)
		}
		if executed != 3 {
			t.Errorf("it was executed %d times, want 3", executed)
		}
		if innocent.Load() > 3*4 {
			t.Errorf("three runs beside it were begun %d times, want at most once more than there were crashes each", innocent.Load())
		}
		if left := w.Left(); !slices.ContainsFunc(left, func(s string) bool { return strings.Contains(s, "TASK 2 to killer/k/2") }) {
			t.Errorf("left are %q, want the task behind it, too", left)
		}
		// it stays so with the next process
		w.Processes()[len(w.Processes())-1].Kill()
		w.Start()
		<-time.After(time.Hour)
		if executed != 3 {
			t.Errorf("it was executed again, the %dth time", executed)
		}
		entries, lerr := w.Journal.Load(t.Context(), r)
		if _, status := runtime.Timeline(entries); status != schemas.Status_POISONED || lerr != nil {
			t.Errorf("its status is %v, %v", status, lerr)
		}
	})
}

// TestP24_AnOperatorLetsAPoisonedRunGoOn once, however often the request comes.
func TestP24_AnOperatorLetsAPoisonedRunGoOn(t *testing.T) {
	for times, want := range map[int]int{3: 4, 6: 6} {
		bubble(t, func(t *testing.T) {
			var w *runtimetest.World
			executed := 0
			poisonous(t, &w, killer(&w, times, &executed))
			r := ref("killer", "k", "1")
			w.Task(r, "", nil)
			parked(t, w, r)
			restart := func() {
				w.Processes()[len(w.Processes())-1].Kill()
				w.Start()
				<-time.After(time.Hour)
			}
			w.Control(r, "r", resume)
			restart()
			restart()
			if executed != want {
				t.Errorf("a step that kills %d times was executed %d times, want %d", times, executed, want)
			}
			if times == 3 {
				expect(t, w, r, "alive")
				settle(t, w)
			}
		})
	}
}

// TestP24_ARunThatRecoversGoesOn: crashes before the last that is allowed, and what
// is recorded begins the count again.
func TestP24_ARunThatRecoversGoesOn(t *testing.T) {
	for _, times := range []int{1, 2} {
		bubble(t, func(t *testing.T) {
			var w *runtimetest.World
			executed := 0
			poisonous(t, &w, killer(&w, times, &executed))
			w.Task(ref("killer", "k", "1"), "", nil)
			expect(t, w, ref("killer", "k", "1"), "alive")
			settle(t, w)
		})
	}
}

// TestP24_WhoGivesARunUpInGoodOrderIsNoCrash, nor is a take-over of a suspended run,
// nor a process that lost the run and has it again.
func TestP24_WhoGivesARunUpInGoodOrderIsNoCrash(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var w *runtimetest.World
		begun := 0
		poisonous(t, &w, kind("long", func(c *runtime.Context, _ string) (string, error) {
			if _, err := result(c, c.After("rest", 100*time.Hour)); err != nil {
				return "", err
			}
			return step(c, "long", func(ctx context.Context) (*schemas.Payload, error) {
				begun++
				select {
				case <-time.After(10 * time.Hour):
					return text("done"), nil
				case <-ctx.Done():
					return nil, ctx.Err()
				}
			})
		}))
		r := ref("long", "l", "1")
		w.Task(r, "", nil)
		last := func() *runtimetest.Process { return w.Processes()[len(w.Processes())-1] }
		for range 5 { // while it is suspended
			<-time.After(time.Hour)
			last().Kill()
			w.Start()
		}
		<-time.After(96 * time.Hour)
		for range 5 { // while its step runs
			p := last()
			p.Drain()
			<-time.After(time.Minute)
			p.Leave() // the grace time is over
			<-time.After(10 * time.Second)
			p.Kill()
			w.Start()
			<-time.After(time.Minute)
		}
		expect(t, w, r, "done")
		if begun != 6 {
			t.Errorf("the step was begun %d times, want 6", begun)
		}
		for _, e := range events(w, r) {
			if strings.Contains(e, "parked") {
				t.Errorf("it was parked: %q", events(w, r))
			}
		}
	})
}

// TestP24_ARunThatOnlyWaitsIsNoSuspect, however often its processes are killed while
// it waits in memory.
func TestP24_ARunThatOnlyWaitsIsNoSuspect(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := runtimetest.NewWorld(kind("w", func(c *runtime.Context, _ string) (string, error) {
			if _, err := step(c, "before", give("")); err != nil {
				return "", err
			}
			return result(c, c.Await("go"))
		}))
		w.Configure = func(cfg *runtime.Config) { cfg.MaxCrashes, cfg.SuspendAfter = 3, time.Hour }
		r := ref("w", "a", "1")
		w.Task(r, "", nil)
		for range 8 {
			w.Start()
			<-time.After(2 * time.Second)
			w.Processes()[len(w.Processes())-1].Kill()
		}
		w.Start()
		w.Signal(r, "s", "go", text("gone"))
		expect(t, w, r, "gone")
		settle(t, w)
		for _, wrong := range w.Close() {
			t.Error(wrong)
		}
	})
}

// TestP24_ALongStepDoesNotHoldTheOtherSuspects: one after another they begin within
// a minute each, though none of them is done for hours.
func TestP24_ALongStepDoesNotHoldTheOtherSuspects(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var w *runtimetest.World
		var begun atomic.Int64
		poisonous(t, &w, kind("long", func(c *runtime.Context, in string) (string, error) {
			return step(c, "long", func(ctx context.Context) (*schemas.Payload, error) {
				begun.Add(1)
				select {
				case <-time.After(5 * time.Hour):
					return text(in), nil
				case <-ctx.Done():
					return nil, ctx.Err()
				}
			})
		}))
		keys := []string{"a", "b", "c", "d"}
		for _, key := range keys {
			w.Task(ref("long", key, "1"), "", text(key))
		}
		for range 2 { // ended by something else
			<-time.After(time.Minute)
			w.Processes()[len(w.Processes())-1].Kill()
			w.Start()
		}
		begun.Store(0)
		<-time.After(30 * time.Second)
		if n := begun.Load(); n != 1 {
			t.Errorf("%d suspects execute at first, want one, alone", n)
		}
		<-time.After(4 * time.Minute)
		if n := begun.Load(); n != 4 {
			t.Errorf("%d suspects execute after some minutes, want all", n)
		}
		for _, key := range keys {
			expect(t, w, ref("long", key, "1"), key)
		}
		settle(t, w)
	})
}

// TestP24_ARunThatStrikesLateIsParked, after twice as many crashes: when it does, it
// is not alone any more.
func TestP24_ARunThatStrikesLateIsParked(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var w *runtimetest.World
		executed := 0
		poisonous(t, &w, kind("late", func(c *runtime.Context, _ string) (string, error) {
			return step(c, "deadly", func(ctx context.Context) (*schemas.Payload, error) {
				executed++
				<-time.After(2 * time.Minute)
				ps := w.Processes()
				ps[len(ps)-1].Kill()
				w.Start()
				<-ctx.Done()
				return nil, ctx.Err()
			})
		}))
		r := ref("late", "a", "1")
		w.Task(r, "", nil)
		if err := parked(t, w, r); !errors.Is(err, runtime.ErrPoisoned) || strings.Contains(err.Error(), "alone") {
			t.Errorf("parked because of %v, want that it is poisoned, and never was alone when it struck", err)
		}
		if executed != 6 {
			t.Errorf("it was executed %d times, want 6", executed)
		}
	})
}

// TestP24_WhatOneRunIsSuspectedOfIsNotTheNextOnes: a run of the same identity that
// follows it, in the same process, is not given up when it waits.
func TestP24_WhatOneRunIsSuspectedOfIsNotTheNextOnes(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var w *runtimetest.World
		executed := 0
		poisonous(t, &w, kind("w", func(c *runtime.Context, in string) (string, error) {
			if in == "waits" {
				return result(c, c.Await("go"))
			}
			return step(c, "deadly", func(ctx context.Context) (*schemas.Payload, error) {
				if executed++; executed > 1 {
					return text("alive"), nil
				}
				w.Processes()[0].Kill()
				w.Start()
				<-ctx.Done()
				return nil, ctx.Err()
			})
		}))
		suspect, next := ref("w", "a", "1"), ref("w", "a", "2")
		w.Task(suspect, "", nil)
		w.Task(next, "", text("waits"))
		expect(t, w, suspect, "alive")
		<-time.After(500 * time.Millisecond) // it waits, in memory
		w.Signal(next, "s", "go", text("gone"))
		expect(t, w, next, "gone")
		settle(t, w)
		if got := events(w, next); !slices.Equal(got, []string{"claimed:1 started", "signal", "record"}) {
			t.Errorf("the journal of the next run was %q, want that nobody gave it up", got)
		}
	})
}
