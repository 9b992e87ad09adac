package runtime

import (
	"context"
	"errors"
	"math/rand/v2"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/perdure/perdure/schemas"
)

// TestStepping_WhateverABodyDoes the step is reported once, in time, with an outcome
// of an attempt that was not left behind, each attempt's context ends with it, and
// nothing goes on: bodies that are drawn at random return, panic and leave their
// goroutine, sooner or later, with and without regard for their context, while they
// are told to stop.
func TestStepping_WhateverABodyDoes(t *testing.T) {
	t.Parallel()
	for seed := range uint64(300) {
		synctest.Test(t, func(t *testing.T) { stepAtRandom(t, rand.New(rand.NewPCG(seed, 1)), seed) })
	}
}

func stepAtRandom(t *testing.T, rng *rand.Rand, seed uint64) {
	var crew *Crew
	if rng.IntN(2) == 0 {
		crew = NewCrew(rng.IntN(3))
		defer crew.End()
	}
	seconds := func(n int) time.Duration { return time.Duration(rng.IntN(n)) * time.Second } // often the same
	opts := StepOptions{Retry: RetryPolicy{Attempts: 1 + rng.IntN(3), Backoff: seconds(3)}, Timeout: seconds(4), Heartbeat: seconds(4), Total: seconds(20)}
	if rng.IntN(3) == 0 {
		opts.RetryIf = []func(*Error) bool{
			func(*Error) bool { return false }, func(*Error) bool { panic("boom") },
			func(*Error) bool { runtime.Goexit(); return true },
		}[rng.IntN(3)]
	}
	type plan struct {
		takes        time.Duration
		heeds, beats bool
		how          int
	}
	var plans [3]plan
	for i := range plans {
		plans[i] = plan{takes: seconds(15), heeds: rng.IntN(2) == 0, beats: rng.IntN(2) == 0, how: rng.IntN(6)}
	}
	var calls, over atomic.Int32
	body := func(ctx context.Context) (*schemas.Payload, error) {
		p := plans[calls.Add(1)-1]
		context.AfterFunc(ctx, func() { over.Add(1) })
		self, _ := StepFrom(ctx)
		for began := time.Now(); time.Since(began) < p.takes; {
			if p.beats {
				_ = self.Heartbeat(nil)
			}
			var done <-chan struct{}
			if p.heeds {
				done = ctx.Done()
			}
			select {
			case <-done:
				return nil, ctx.Err()
			case <-time.After(time.Second):
			}
		}
		switch p.how {
		case 0:
			return nil, errors.New("no")
		case 1:
			panic("boom")
		case 2:
			runtime.Goexit()
		case 3:
			defer func() { panic("boom") }()
			runtime.Goexit()
		}
		return &schemas.Payload{Data: []byte(self.Path)}, nil
	}
	f := &Future{kind: kindStep, path: "1", name: "s", step: step{fn: body, opts: opts}}
	reports := make(stepReports, 9)
	s := &stepping{f: f, body: body, crew: crew, known: StepContext{Path: "1"}, host: reports}
	parent, end := context.WithCancel(t.Context())
	began := time.Now()
	stop := time.Duration(1<<62 - 1)
	if rng.IntN(2) == 0 {
		stop = seconds(12)
	}
	s.begin(parent)
	for range 1 + rng.IntN(3) {
		go func() {
			select {
			case <-time.After(stop):
				s.stop(errStop)
			case <-parent.Done():
			}
		}()
	}
	ev := (<-reports).GetStepCompleted()
	took := time.Since(began)
	bound := min(stop, 3*(15*time.Second))
	if opts.Total > 0 {
		bound = min(bound, opts.Total)
	}
	if limit := bound + stopGrace; stop < 1<<62-1 && took > limit || opts.Total > 0 && took > opts.Total+stopGrace {
		t.Errorf("seed %d: it took %v, want at most %v", seed, took, limit)
	}
	if ev.GetAttempts() == 0 || int32(ev.GetAttempts()) != calls.Load() || (ev.GetResult() == nil) == (ev.GetError() == nil) {
		t.Errorf("seed %d: %d calls, reported as %v", seed, calls.Load(), ev)
	}
	if stop == 1<<62-1 {
		end()
	}
	synctest.Wait()
	if over.Load() != calls.Load() {
		t.Errorf("seed %d: %d of %d contexts have ended", seed, over.Load(), calls.Load())
	}
	n := calls.Load()
	<-time.After(time.Minute) // whoever was left behind is over
	s.stop(errStop)
	end()
	synctest.Wait()
	if len(reports) > 0 || calls.Load() != n {
		t.Errorf("seed %d: after its end there are %d more reports, and %d more calls", seed, len(reports), calls.Load()-n)
	}
}

// No attempt begins once its step was told to stop, or its time is over, also if the
// wait for it is over at the same moment, as after a pause of the process.
func TestStepping_BeginsNoAttemptOnceItIsOver(t *testing.T) {
	t.Parallel()
	ctx, end := context.WithCancel(t.Context())
	end()
	for range 100 {
		if sleep(ctx, 0) {
			t.Fatal("there is to be another attempt")
		}
	}
}

// stepReports hears what steps end with, and lets them go on.
type stepReports chan *schemas.Event

func (stepReports) goesOn(context.Context) bool { return true }

func (r stepReports) stepEnded(_ *Future, e *schemas.Event) { r <- e }
