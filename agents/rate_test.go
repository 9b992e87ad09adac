package agents_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/perdure/perdure/agents"
	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/durable/durabletest"
)

// A stopwatch is a model in this process that notes who asks it when, and takes so many tokens.
type stopwatch struct {
	tokens int64
	mu     sync.Mutex
	who    []string
	at     []time.Time
}

func (m *stopwatch) Name() string { return "metered" }

func (m *stopwatch) Generate(_ context.Context, req *agents.Request) (*agents.Response, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.who = append(m.who, req.Messages[len(req.Messages)-1].Content)
	m.at = append(m.at, time.Now())
	r := said("ok", m.tokens-1)
	return r, nil
}

// begin starts runs, one every ten milliseconds.
func begin(t *testing.T, w *durabletest.World, n int) (runs []*durabletest.Run[string]) {
	t.Helper()
	for i := range n {
		run, err := durabletest.Start(w, weather.At(fmt.Sprint(i)), fmt.Sprint(i))
		if err != nil {
			t.Fatal(err)
		}
		runs = append(runs, run)
		<-time.After(10 * time.Millisecond)
	}
	return runs
}

// within fails if more than limit of what has come came within a minute.
func within(t *testing.T, at []time.Time, limit int) {
	t.Helper()
	for i := limit; i < len(at); i++ {
		if d := at[i].Sub(at[i-limit]); d < time.Minute {
			t.Errorf("%d requests within %s", limit+1, d)
		}
	}
}

// TestRateLimit_EachWaitsForItsTurn has twelve runs ask at once for what lets five through a
// minute: all are answered, in the order in which they came, with one attempt each.
func TestRateLimit_EachWaitsForItsTurn(t *testing.T) {
	m := &stopwatch{tokens: 10}
	durabletest.Play(t, func(t *testing.T, w *durabletest.World) {
		for _, run := range begin(t, w, 12) {
			if _, err := run.Result(); err != nil {
				t.Error(err)
			}
		}
		var want []string
		for i := range 12 {
			want = append(want, fmt.Sprint(i))
		}
		if !slices.Equal(m.who, want) {
			t.Errorf("they came in the order %q", m.who)
		}
		within(t, m.at, 5)
		if d := m.at[11].Sub(m.at[0]); d > 130*time.Second {
			t.Errorf("they took %s", d)
		}
	}, agents.New(weather, agents.UseModel(m, agents.Retry(1, 0), agents.Patience(time.Hour), agents.Timeout(time.Second), agents.RateLimit(agents.PerMinute{Requests: 5}))))
}

// TestRateLimit_ALongWaitIsSlept is the same where nobody has the patience: they sleep.
func TestRateLimit_ALongWaitIsSlept(t *testing.T) {
	m := &stopwatch{tokens: 10}
	durabletest.Play(t, func(t *testing.T, w *durabletest.World) {
		for _, run := range begin(t, w, 12) {
			if _, err := run.Result(); err != nil {
				t.Error(err)
			}
		}
		within(t, m.at, 5)
	}, agents.New(weather, agents.UseModel(m, agents.Retry(1, 0), agents.Patience(time.Second), agents.RateLimit(agents.PerMinute{Requests: 5}))))
}

func TestRateLimit_BeyondPatienceAnotherModelIsAsked(t *testing.T) {
	m := &stopwatch{tokens: 10}
	durabletest.Play(t, func(t *testing.T, w *durabletest.World) {
		next.reset(time.Now())
		answers := map[string]int{}
		for _, run := range begin(t, w, 8) {
			got, err := run.Result()
			if err != nil {
				t.Error(err)
			}
			answers[got]++
		}
		if answers["ok"] != 5 || answers["from next"] != 3 {
			t.Errorf("answers %v, want 5 of the first model and 3 of the next", answers)
		}
	}, agents.New(weather, agents.UseModel(m, agents.RateLimit(agents.PerMinute{Requests: 5}), agents.Fallback(next))))
}

// TestRateLimit_OfTokensIsPutRight has answers that take many times what was estimated of
// the first one: what they took counts for those behind it.
func TestRateLimit_OfTokensIsPutRight(t *testing.T) {
	m := &stopwatch{tokens: 2_000}
	durabletest.Play(t, func(t *testing.T, w *durabletest.World) {
		for i := range 9 {
			run, err := durabletest.Start(w, weather.At(fmt.Sprint(i)), strings.Repeat("x", 100))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := run.Result(); err != nil {
				t.Error(err)
			}
		}
		within(t, m.at, 3)
		if d := m.at[8].Sub(m.at[0]); d > 4*time.Minute {
			t.Errorf("they took %s", d)
		}
	}, agents.New(weather, agents.UseModel(m, agents.Patience(time.Hour), agents.RateLimit(agents.PerMinute{Tokens: 6_500}))))
}

// TestRateLimit_WhoIsCancelledLeaves has the run whose turn is next cancelled: it ends at
// once, and those behind it go on.
func TestRateLimit_WhoIsCancelledLeaves(t *testing.T) {
	m := &stopwatch{tokens: 10}
	durabletest.Play(t, func(t *testing.T, w *durabletest.World) {
		runs := begin(t, w, 3)
		runs[1].Cancel()
		began := time.Now()
		if _, err := runs[1].Result(); err == nil {
			t.Error("the run that was cancelled was answered")
		}
		if d := time.Since(began); d > time.Second {
			t.Errorf("the run that was cancelled ended after %s", d)
		}
		if _, err := runs[2].Result(); err != nil {
			t.Error(err)
		}
		if !slices.Equal(m.who, []string{"0", "2"}) {
			t.Errorf("the model was asked by %q", m.who)
		}
		within(t, m.at, 1)
	}, agents.New(weather, agents.UseModel(m, agents.Retry(1, 0), agents.Patience(time.Hour), agents.RateLimit(agents.PerMinute{Requests: 1}))))
}

func TestRateLimit_ARequestThatNeverFitsIsTooLong(t *testing.T) {
	m, large := &stopwatch{tokens: 10}, &stopwatch{tokens: 10}
	long := strings.Repeat("words ", 1_000)
	durabletest.Play(t, func(t *testing.T, w *durabletest.World) {
		run, err := durabletest.Start(w, weather.At("w"), long)
		if err != nil {
			t.Fatal(err)
		}
		_, err = run.Result()
		wantErr(t, err, agents.ErrModel, "RateLimit lets 1000 through in 1m0s")
	}, agents.New(weather, agents.UseModel(m, agents.RateLimit(agents.PerMinute{Tokens: 1_000}))))
	durabletest.Play(t, func(t *testing.T, w *durabletest.World) {
		run, err := durabletest.Start(w, other.At("w"), long)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := run.Result(); err != nil {
			t.Error(err)
		}
	}, agents.New(other, agents.UseModel(m, agents.RateLimit(agents.PerMinute{Tokens: 1_000}), agents.Fallback(large, agents.On(agents.TooLong)))))
	if len(m.who) != 0 || len(large.who) != 1 {
		t.Errorf("the models were asked %d and %d times, want 0 and 1", len(m.who), len(large.who))
	}
}

var other = durable.Declare[string, string]("other")

// TestRateLimit_WhoIsAnsweredDoesNotWait has the first run answered while the second one waits
// for its turn: it ends at once.
func TestRateLimit_WhoIsAnsweredDoesNotWait(t *testing.T) {
	durabletest.Play(t, func(t *testing.T, w *durabletest.World) {
		began := time.Now()
		runs := begin(t, w, 2)
		if _, err := runs[0].Result(); err != nil {
			t.Error(err)
		}
		if d := time.Since(began); d > 2*time.Second {
			t.Errorf("the run that was answered after a second ended after %s", d)
		}
		if _, err := runs[1].Result(); err != nil {
			t.Error(err)
		}
	}, agents.New(weather, agents.UseModel(answersLate, agents.Patience(time.Hour), agents.RateLimit(agents.PerMinute{Requests: 1, Tokens: 10_000}))))
}

var answersLate = &provider{name: "late", slow: time.Second, up: time.Unix(1, 0)}
