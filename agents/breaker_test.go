package agents_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/perdure/perdure/agents"
	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/durable/durabletest"
)

// A provider is a model in this process: down for a while, or for good.
type provider struct {
	name string
	mu   sync.Mutex
	asks []time.Time
	up   time.Time // from then on it answers; zero: never
	err  error     // what it says until then; nil: it is unavailable
	slow time.Duration
}

func (p *provider) Name() string { return p.name }

func (p *provider) Generate(context.Context, *agents.Request) (*agents.Response, error) {
	p.mu.Lock()
	p.asks = append(p.asks, time.Now())
	p.mu.Unlock()
	<-time.After(p.slow)
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.up.IsZero() && !time.Now().Before(p.up) {
		return said("from "+p.name, 1), nil
	}
	if p.err != nil {
		return nil, p.err
	}
	return nil, &durable.Error{Code: agents.ErrModelUnavailable.Code, Message: p.name + " is down"}
}

func (p *provider) asked() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.asks)
}

var trip = agents.Trip{Failures: 3, Within: time.Minute, Pause: 30 * time.Second, Longest: 2 * time.Minute}

// TestBreaker_ARunWaitsUntilTheModelIsWell has a model that is down for ten minutes: after
// three failures the run sleeps, wakes to ask once, sleeps longer, and is answered. In a
// crash sweep it is the same whatever dies.
func TestBreaker_ARunWaitsUntilTheModelIsWell(t *testing.T) {
	durabletest.Play(t, func(t *testing.T, w *durabletest.World) {
		p.reset(time.Now().Add(10 * time.Minute))
		began := time.Now()
		run, err := durabletest.Start(w, weather.At("w"), "hello")
		if err != nil {
			t.Fatal(err)
		}
		got, err := run.Result()
		if err != nil || got != "from model" {
			t.Fatalf("answer %q, %v", got, err)
		}
		// 3, then after 30 s, 60 s, and each 2 minutes.
		if n := p.asked(); n < 8 || n > 10 {
			t.Errorf("the model was asked %d times in %s: %v", n, time.Since(began), p.asks)
		}
		if d := time.Since(began); d < 10*time.Minute || d > 13*time.Minute {
			t.Errorf("the run took %s, of which the model was down 10 minutes", d)
		}
	}, agents.New(weather, agents.UseModel(p, agents.Retry(6, time.Millisecond), agents.Breaker(trip))))
}

var p = &provider{name: "model"}

func (p *provider) reset(up time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asks, p.up = nil, up
}

func TestBreaker_AWaitHasItsBound(t *testing.T) {
	for name, c := range map[string]struct {
		wait     time.Duration
		min, max time.Duration
	}{
		"none":        {0, 0, time.Second},
		"ten minutes": {10 * time.Minute, 5 * time.Minute, 10*time.Minute + time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			down := &provider{name: "model"}
			durabletest.Play(t, func(t *testing.T, w *durabletest.World) {
				began := time.Now()
				run, err := durabletest.Start(w, weather.At("w"), "hello")
				if err != nil {
					t.Fatal(err)
				}
				_, err = run.Result()
				wantErr(t, err, agents.ErrModelUnavailable, "no model can be asked", "breaker is open", "WaitUpTo")
				if d := time.Since(began); d < c.min || d > c.max {
					t.Errorf("the run took %s, want %s to %s", d, c.min, c.max)
				}
			}, agents.New(weather, agents.UseModel(down, agents.Retry(6, time.Millisecond), agents.Breaker(trip), agents.WaitUpTo(c.wait))))
		})
	}
}

// TestBreaker_OpenGoesToTheNextModel counts what a model that is down is asked by ten runs.
func TestBreaker_OpenGoesToTheNextModel(t *testing.T) {
	down := &provider{name: "down"}
	durabletest.Play(t, func(t *testing.T, w *durabletest.World) {
		well := time.Now()
		next.reset(well)
		for i := range 10 {
			run, err := durabletest.Start(w, weather.At(fmt.Sprint(i)), "hello")
			if err != nil {
				t.Fatal(err)
			}
			if got, err := run.Result(); err != nil || got != "from next" {
				t.Errorf("answer %q, %v", got, err)
			}
		}
		if n := down.asked(); n != 3 {
			t.Errorf("the model that is down was asked %d times, want 3, until its breaker was open", n)
		}
	}, agents.New(weather, agents.UseModel(down, agents.Retry(2, time.Millisecond), agents.Breaker(trip), agents.Fallback(next))))
}

var next = &provider{name: "next"}

// TestBreaker_OneAsksWhetherItIsWell has twenty runs that wait for one model: when the pause
// is over one of them asks.
func TestBreaker_OneAsksWhetherItIsWell(t *testing.T) {
	durabletest.Play(t, func(t *testing.T, w *durabletest.World) {
		began := time.Now()
		crawls.reset(began.Add(100 * time.Second)) // well after the second probe
		var runs []*durabletest.Run[string]
		for i := range 20 {
			run, err := durabletest.Start(w, weather.At(fmt.Sprint(i)), "hello")
			if err != nil {
				t.Fatal(err)
			}
			runs = append(runs, run)
		}
		for _, run := range runs {
			if got, err := run.Result(); err != nil || got != "from slow" {
				t.Errorf("answer %q, %v", got, err)
			}
		}
		if d := time.Since(began); d > 5*time.Minute {
			t.Errorf("they were answered after %s", d)
		}
		early, late := 0, 0
		for _, at := range crawls.asks {
			switch d := at.Sub(began); {
			case d < 20*time.Second:
				early++
			case d < 100*time.Second:
				late++
			}
		}
		if early > 20 || late != 2 {
			t.Errorf("the model was asked %d times before its breaker opened, and %d times while it was open and the model down; want at most one for each run, and 2", early, late)
		}
	}, agents.New(weather, agents.UseModel(crawls, agents.Retry(6, time.Millisecond), agents.Breaker(trip))))
}

var crawls = &provider{name: "slow", slow: time.Second}

// TestBreaker_WhoThrottlesOrRefusesIsWell has failures that open nothing.
func TestBreaker_WhoThrottlesOrRefusesIsWell(t *testing.T) {
	for _, c := range []agents.Class{agents.Throttled, agents.Refused, agents.TooLong} {
		t.Run(string(c), func(t *testing.T) {
			m := &provider{name: "model", err: agents.Classify(errors.New("no"), c)}
			durabletest.Play(t, func(t *testing.T, w *durabletest.World) {
				for i := range 5 {
					run, err := durabletest.Start(w, weather.At(fmt.Sprint(i)), "hello")
					if err != nil {
						t.Fatal(err)
					}
					if _, err := run.Result(); err == nil || strings.Contains(err.Error(), "breaker") {
						t.Errorf("the run ended with %v", err)
					}
				}
				if n := m.asked(); n != 5 {
					t.Errorf("the model was asked %d times, want 5", n)
				}
			}, agents.New(weather, agents.UseModel(m, agents.Retry(1, 0), agents.Breaker(trip))))
		})
	}
}

// TestPatience_WhatTheProviderAsksForBeyondIsSlept has a provider that wants to be left alone
// for two hours: the run sleeps so long, and asks once.
func TestPatience_WhatTheProviderAsksForBeyondIsSlept(t *testing.T) {
	m := &provider{name: "model", err: agents.RetryAfter(errors.New("come again"), 2*time.Hour)}
	durabletest.Play(t, func(t *testing.T, w *durabletest.World) {
		began := time.Now()
		m.reset(began.Add(2 * time.Hour))
		run, err := durabletest.Start(w, weather.At("w"), "hello")
		if err != nil {
			t.Fatal(err)
		}
		if got, err := run.Result(); err != nil || got != "from model" {
			t.Fatalf("answer %q, %v", got, err)
		}
		if n := m.asked(); n != 2 {
			t.Errorf("the model was asked %d times, want 2", n)
		}
	}, agents.New(weather, agents.UseModel(m, agents.WaitUpTo(3*time.Hour))))
}

// TestCrashSweep_OfAModelCallThatIsPostponed kills the process at each write of a run that
// waits for its model.
func TestCrashSweep_OfAModelCallThatIsPostponed(t *testing.T) {
	durabletest.CrashSweep(t, func(t *testing.T, w *durabletest.World) {
		m := swept
		m.reset(time.Now().Add(2 * time.Minute))
		run, err := durabletest.Start(w, weather.At("w"), "hello")
		if err != nil {
			t.Fatal(err)
		}
		if got, err := run.Result(); err != nil || got != "from swept" {
			t.Errorf("answer %q, %v", got, err)
		}
		answers := 0
		for _, at := range m.asks {
			if !at.Before(m.up) {
				answers++
			}
		}
		if answers > 2 { // one that was lost with its process, and its repetition
			t.Errorf("the model has answered %d times", answers)
		}
	}, agents.New(weather, agents.UseModel(swept, agents.Retry(6, time.Millisecond), agents.Breaker(trip))))
}

var swept = &provider{name: "swept"}

// TestBreaker_OfATool has a tool that fails: the model is told at once once its breaker is
// open, and the tool is called again after the pause.
func TestBreaker_OfATool(t *testing.T) {
	var mu sync.Mutex
	called := 0
	var told []string
	ask := func(ctx context.Context, in place) (report, error) {
		mu.Lock()
		defer mu.Unlock()
		called++
		return report{}, errors.New("the station is down")
	}
	model := &scriptedInProcess{answer: func(req *agents.Request) agents.Message {
		last := req.Messages[len(req.Messages)-1]
		if last.Role == agents.RoleTool {
			told = append(told, last.Content)
			return agents.Message{Content: "done"}
		}
		return agents.Message{ToolCalls: []agents.ToolCall{{ID: "1", Name: "get_weather", Arguments: `{"city":"Oslo"}`}}}
	}}
	durabletest.Play(t, func(t *testing.T, w *durabletest.World) {
		for i := range 4 {
			if i == 3 {
				<-time.After(trip.Pause)
			}
			run, err := durabletest.Start(w, weather.At(fmt.Sprint(i)), "hello")
			if err != nil {
				t.Fatal(err)
			}
			if _, err := run.Result(); err != nil {
				t.Fatal(err)
			}
		}
	}, agents.New(weather, agents.UseModel(model), agents.Tools(agents.Func("get_weather", "", ask, agents.Retry(2, time.Millisecond), agents.Breaker(trip)))))
	// Two by the first run, one by the second, whose other attempt finds the breaker open;
	// none by the third; one by the last, after the pause.
	if called != 4 || len(told) != 4 {
		t.Errorf("the tool was called %d times, want 4; the model was told %q", called, told)
	}
	for i, want := range []string{"the station is down", "breaker_open", "breaker_open", "breaker_open"} {
		contains(t, told[i], want)
	}
}

// A scriptedInProcess is a model that answers by a function.
type scriptedInProcess struct {
	answer func(*agents.Request) agents.Message
}

func (scriptedInProcess) Name() string { return "in process" }

func (s scriptedInProcess) Generate(_ context.Context, req *agents.Request) (*agents.Response, error) {
	return &agents.Response{Message: s.answer(req), FinishReason: "stop"}, nil
}
