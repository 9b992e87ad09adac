package agents_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"testing"
	"time"

	"github.com/perdure/perdure/agents"
	"github.com/perdure/perdure/agents/agentstest"
	"github.com/perdure/perdure/agents/models/scripted"
	"github.com/perdure/perdure/runtime/runtimetest"
	"github.com/perdure/perdure/schemas"
)

// A stalled model is charged for each request, and never answers.
type stalled struct {
	max, each int64

	mu    sync.Mutex
	calls int64
}

func (m *stalled) Name() string           { return "stalled" }
func (m *stalled) MaxOutputTokens() int64 { return m.max }

func (m *stalled) Generate(ctx context.Context, _ *agents.Request) (*agents.Response, error) {
	m.mu.Lock()
	m.calls++
	m.mu.Unlock()
	<-ctx.Done()
	return nil, ctx.Err()
}

func (m *stalled) charged() int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.calls * m.each
}

// TestBudgetOfAChainIsChargedWhatEachProviderCounted kills the process before and after each
// write of a run whose first model is charged for requests that it does not answer in time,
// while a second one answers. A resumed run decides as the one before it did, and the budget
// counts no less than both providers.
func TestBudgetOfAChainIsChargedWhatEachProviderCounted(t *testing.T) {
	play := func(t *testing.T, when runtimetest.When, n int) (points int) {
		first := &stalled{max: 60, each: 60}
		second := &meter{Model: agentstest.Model(t, askTimes(1)), max: 50}
		b := setup(t, agents.New(weather,
			agents.UseModel(first, agents.Timeout(20*time.Millisecond), agents.Retry(1, 0), agents.Fallback(second)),
			agents.Tools(agents.Func("get_weather", "", getWeather)),
			agents.Budget(agents.PerRun(), agents.Allowance{Tokens: 20_000}),
			agents.Budget(agents.PerAgent(), agents.Allowance{Tokens: 100_000})))
		b.Passivate = true
		if n > 0 {
			b.CrashAt(when, n)
		}
		b.Start()
		run := ref("weather", "w", "1")
		if got, err := do[string](b, run, "go on"); err != nil || got != "done" {
			t.Fatalf("%q, %v", got, err)
		}
		tokens, calls := second.charged()
		for _, key := range []string{"weather:run:" + run.String(), "weather:kind:weather"} {
			s := budgetState(b, key)
			c := s.GetCounter()
			if got, want := c.GetSpent().GetTokens()-c.GetEstimated().GetTokens(), recordedTokens(t, b, run); got != want {
				t.Errorf("%s: %d tokens are spent for certain, %d are recorded", key, got, want)
			}
			if got, all := c.GetSpent().GetTokens(), tokens+first.charged(); got < all {
				t.Errorf("%s: %d tokens are spent, the providers have charged %d", key, got, all)
			}
			if c.GetReserved().GetTokens() != 0 || len(s.GetRuns())+len(s.GetWaiting()) != 0 {
				t.Errorf("%s: the run is over, and has left %v", key, s)
			}
		}
		if n == 0 && (calls != 2 || first.calls != 2) {
			t.Errorf("the models got %d and %d calls, want 2 each", first.calls, calls)
		}
		return len(b.Points())
	}
	points := play(t, runtimetest.Before, 0)
	if points < 25 {
		t.Fatalf("the undisturbed run has %d points to die at", points)
	}
	for n := 1; n <= points; n++ {
		for _, when := range []runtimetest.When{runtimetest.Before, runtimetest.After} {
			t.Run(fmt.Sprintf("%d.%d", n, when), func(t *testing.T) { play(t, when, n) })
		}
	}
}

// A clerk is a model that answers, and counts and calls itself as it likes.
type clerk struct {
	name, says string
	usage      agents.Usage
}

func (c clerk) Name() string           { return c.name }
func (c clerk) MaxOutputTokens() int64 { return 70 }

func (c clerk) Generate(context.Context, *agents.Request) (*agents.Response, error) {
	return &agents.Response{Message: agents.Message{Content: "done"}, Usage: c.usage, FinishReason: "stop", Model: c.says}, nil
}

// spentBy returns what a budget of one run counts once an agent has answered.
func spentBy(t *testing.T, opts ...agents.Option) *schemas.BudgetCounter {
	t.Helper()
	b := setup(t, agents.New(weather, opts...))
	b.Start()
	if _, err := do[string](b, ref("weather", "w", "1"), "go on"); err != nil {
		t.Fatal(err)
	}
	c := budgetState(b, "weather:run:weather/w/1").GetCounter()
	if c.GetReserved().GetTokens() != 0 || c.GetReserved().GetNanos() != 0 {
		t.Errorf("the run is over, and has reserved %v", c)
	}
	return c
}

// TestBudgetOfAProviderThatDoesNotCount: what is not counted, or with numbers that cannot
// be, is no reason to go on for ever.
func TestBudgetOfAProviderThatDoesNotCount(t *testing.T) {
	for name, u := range map[string]agents.Usage{
		"nothing":     {},
		"less":        {InputTokens: -1_000_000, OutputTokens: 5},
		"cached less": {InputTokens: 10, OutputTokens: 5, CachedTokens: -1_000_000},
		"too much":    {InputTokens: math.MaxInt64, OutputTokens: math.MaxInt64},
	} {
		t.Run(name, func(t *testing.T) {
			c := spentBy(t, agents.UseModel(clerk{"clerk", "", u}), agents.Budget(agents.PerRun(), agents.Allowance{Tokens: 1000}))
			if spent := c.GetSpent().GetTokens(); spent < 70 || spent > 200 || c.GetEstimated().GetTokens() != spent {
				t.Errorf("the budget counts %v, want what was reserved, as estimated", c)
			}
		})
	}
}

// TestBudgetOfMoneyIsByTheModelThatAnswered has a fallback that is dearer than the model that
// fails, and whose server calls it by another name.
func TestBudgetOfMoneyIsByTheModelThatAnswered(t *testing.T) {
	first := named(fails(t, scripted.Reply{Status: 503}), "cheap")
	c := spentBy(t,
		agents.UseModel(first, agents.Retry(1, 0), agents.Fallback(clerk{"dear", "deployment-7", agents.Usage{InputTokens: 10, OutputTokens: 10}})),
		agents.Prices(agents.PriceTable{"cheap": {Input: 1, Output: 1}, "dear": {Input: 100, Output: 100}}),
		agents.Budget(agents.PerRun(), agents.Allowance{USD: 10}))
	if got := c.GetSpent().GetNanos(); got != 20*100*1000 {
		t.Errorf("%d billionths of a dollar are spent, want those of 20 tokens of the dear model", got)
	}
}

// TestBudgetOfAHedgeCountsBothRequests: one that is cancelled, or breaks off, may have been
// charged for.
func TestBudgetOfAHedgeCountsBothRequests(t *testing.T) {
	second := make(chan struct{})
	for name, c := range map[string]struct {
		does  func(ctx context.Context, n int) (*agents.Response, error)
		spent func(int64) bool
	}{
		"the first is cancelled": {func(ctx context.Context, n int) (*agents.Response, error) {
			if n == 1 {
				<-ctx.Done()
				return nil, ctx.Err()
			}
			return said("fine", 100), nil
		}, func(n int64) bool { return n == 101+100+4096 }}, // the bound of a model that has none
		"the first tells it": {func(ctx context.Context, n int) (*agents.Response, error) {
			if n == 1 {
				<-ctx.Done()
				return said("late", 40), nil
			}
			return said("fine", 100), nil
		}, func(n int64) bool { return n == 101+41 }},
		"the first breaks off, the second is refused": {func(ctx context.Context, n int) (*agents.Response, error) {
			switch n {
			case 1:
				<-second
				return nil, errors.New("cut off")
			case 2:
				close(second)
				select { // behind the first one
				case <-time.After(200 * time.Millisecond):
				case <-ctx.Done():
				}
				return nil, agents.Unanswered(errors.New("later"), 503)
			}
			return said("fine", 100), nil
		}, func(n int64) bool { return n > 101+2*4096 }}, // both requests, as reserved
	} {
		t.Run(name, func(t *testing.T) {
			m := &runner{does: func(ctx context.Context, n int, _ func(agents.Delta)) (*agents.Response, error) {
				return c.does(ctx, n)
			}}
			counter := spentBy(t, agents.UseModel(m, agents.Hedge(time.Millisecond), agents.Retry(1, 0)),
				agents.Budget(agents.PerRun(), agents.Allowance{Tokens: 100_000}))
			if got := counter.GetSpent().GetTokens(); !c.spent(got) {
				t.Errorf("the budget counts %v", counter)
			}
		})
	}
}
