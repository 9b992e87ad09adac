package agents_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/perdure/perdure/agents"
	"github.com/perdure/perdure/agents/agentstest"
	"github.com/perdure/perdure/runtime/runtimetest"
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
