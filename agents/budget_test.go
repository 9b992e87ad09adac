package agents_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/perdure/perdure/agents"
	"github.com/perdure/perdure/agents/agentstest"
	"github.com/perdure/perdure/agents/models/openai"
	"github.com/perdure/perdure/agents/models/scripted"
	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/runtime"
	"github.com/perdure/perdure/runtime/runtimetest"
	"github.com/perdure/perdure/schemas"
)

// A meter is a model that adds up what its provider has charged, whoever took the answer.
type meter struct {
	agents.Model
	max int64 // tokens of an answer

	mu     sync.Mutex
	tokens int64
	calls  int
}

func (m *meter) MaxOutputTokens() int64 { return m.max }

func (m *meter) Generate(ctx context.Context, req *agents.Request) (*agents.Response, error) {
	r, err := m.Model.Generate(ctx, req)
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.calls++; err == nil {
		m.tokens += r.Usage.InputTokens + r.Usage.OutputTokens
	}
	return r, err
}

func (m *meter) charged() (tokens int64, calls int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.tokens, m.calls
}

// budgetState returns how a budget stands once all that was sent is taken in.
func budgetState(b *bundle, key string) *schemas.BudgetState {
	b.t.Helper()
	if err := b.Settle(b.ctx); err != nil {
		b.t.Fatal(err)
	}
	return budgetNow(b, key)
}

func budgetNow(b *bundle, key string) *schemas.BudgetState {
	last, ok, err := b.Journal.Last(b.ctx, runtime.LedgerRef(schemas.Identity{Kind: runtime.BudgetsKind(""), Key: key}))
	if err != nil || !ok {
		return nil
	}
	s, err := runtime.BudgetOf(last.Entry.GetRecord().GetState(), time.Now())
	if err != nil {
		b.t.Fatal(err)
	}
	return s
}

// recordedTokens is what the model steps of a run have recorded.
func recordedTokens(t *testing.T, b *bundle, runs ...schemas.Ref) (n int64) {
	t.Helper()
	for _, s := range b.Journal.History() {
		for _, e := range s.Entry.GetEvents() {
			c := e.GetStepCompleted()
			if c.GetName() != "model" || c.GetError() != nil || !slices.Contains(runs, s.Ref) {
				continue
			}
			var r agents.Response
			if err := json.Unmarshal(c.GetResult().GetData(), &r); err != nil {
				t.Fatal(err)
			}
			n += r.Usage.InputTokens + r.Usage.OutputTokens
		}
	}
	return n
}

// TestBudgetIsChargedWhatTheProviderCounted kills the process before and after each write
// of a run with two budgets. What is recorded is charged once, to the token; a call whose
// process died counts as estimated, and as no less than the provider has charged for it.
func TestBudgetIsChargedWhatTheProviderCounted(t *testing.T) {
	play := func(t *testing.T, when runtimetest.When, n int) (points int) {
		m := &meter{Model: agentstest.Model(t, scripted.Weather()), max: 50}
		b := setup(t, agents.New(weather, agents.UseModel(m),
			agents.Tools(agents.Func("get_weather", "Current weather in a city", getWeather)),
			agents.Budget(agents.PerRun(), agents.Allowance{Tokens: 3000}),
			agents.Budget(agents.PerAgent(), agents.Allowance{Tokens: 100_000})))
		b.Passivate = true
		if n > 0 {
			b.CrashAt(when, n)
		}
		b.Start()
		run := ref("weather", "amsterdam", "1")
		if _, err := do[string](b, run, "Do I need a coat in Amsterdam today?"); err != nil {
			t.Fatal(err)
		}
		tokens, calls := m.charged()
		lost := calls - 2
		for _, key := range []string{"weather:run:" + run.String(), "weather:kind:weather"} {
			s := budgetState(b, key)
			c := s.GetCounter()
			if got, want := c.GetSpent().GetTokens()-c.GetEstimated().GetTokens(), recordedTokens(t, b, run); got != want {
				t.Errorf("%s: %d tokens are spent for certain, %d are recorded", key, got, want)
			}
			if got := c.GetSpent().GetTokens(); got < tokens || n == 0 && got != tokens {
				t.Errorf("%s: %d tokens are spent, the provider has charged %d", key, got, tokens)
			}
			if lost > 0 && c.GetEstimated().GetTokens() == 0 {
				t.Errorf("%s: %d calls were lost, and count nothing", key, lost)
			}
			if c.GetReserved().GetTokens() != 0 || len(s.GetRuns())+len(s.GetWaiting()) != 0 {
				t.Errorf("%s: the run is over, and has left %v", key, s)
			}
		}
		return len(b.Points())
	}
	points := play(t, runtimetest.Before, 0)
	if points < 20 {
		t.Fatalf("the undisturbed run has %d points to die at", points)
	}
	for n := 1; n <= points; n++ {
		for _, when := range []runtimetest.When{runtimetest.Before, runtimetest.After} {
			t.Run(fmt.Sprintf("%d.%d", n, when), func(t *testing.T) { play(t, when, n) })
		}
	}
}

// asks is an agent whose model calls its tool again and again, n times.
func asks(m agents.Model, opts ...agents.Option) *runtime.Kind {
	return agents.New(weather, append([]agents.Option{
		agents.UseModel(m, agents.Retry(2, time.Millisecond)),
		agents.Tools(agents.Func("get_weather", "", getWeather)),
	}, opts...)...)
}

func askTimes(n int) scripted.Script {
	return script(func(r *scripted.Request) scripted.Reply {
		if r.Rounds() < n {
			return calls(call("get_weather", `{"city":"Oslo"}`))
		}
		return scripted.Reply{Text: "done"}
	})
}

func TestBudgetStopsARunThatHasNotEnoughLeft(t *testing.T) {
	m := &meter{Model: agentstest.Model(t, askTimes(9)), max: 100}
	b := setup(t, asks(m, agents.Budget(agents.PerRun(), agents.Allowance{Tokens: 600})))
	b.Start()
	_, err := do[string](b, ref("weather", "w", "1"), "go on")
	wantErr(t, err, agents.ErrBudget, "the budget weather of weather/w/1", "may cost", "of 600 tokens")
	s := budgetState(b, "weather:run:weather/w/1")
	tokens, calls := m.charged()
	if got := s.GetCounter().GetSpent().GetTokens(); got != tokens || got > 600 || calls < 2 {
		t.Errorf("%d tokens are spent of 600 in %d calls; the provider charged %d", got, calls, tokens)
	}
	if _, err := do[string](b, ref("weather", "w", "2"), "go on"); !errors.Is(err, agents.ErrBudget) {
		t.Errorf("a second run: %v", err)
	}
	if _, again := m.charged(); again < calls+2 {
		t.Errorf("the second run made %d calls: it has a budget of its own", again-calls)
	}
}

// TestBudgetOfARunIsOfAllThatItStarts has an agent ask another, which has no budget.
func TestBudgetOfARunIsOfAllThatItStarts(t *testing.T) {
	inner := &meter{Model: agentstest.Model(t, script(func(*scripted.Request) scripted.Reply { return scripted.Reply{Text: "because"} })), max: 100}
	outer := &meter{Model: agentstest.Model(t, script(func(r *scripted.Request) scripted.Reply {
		return calls(call("expert", fmt.Sprintf(`{"key":"e%d","input":"why?"}`, r.Rounds())))
	})), max: 100}
	b := setup(t,
		agents.New(expert, agents.UseModel(inner), agents.Instructions(strings.Repeat("Be brief. ", 100))),
		agents.New(weather, agents.UseModel(outer), agents.Tools(agents.Delegate(expert, "")),
			agents.Budget(agents.PerRun(), agents.Allowance{Tokens: 3000})))
	b.Start()
	_, err := do[string](b, ref("weather", "w", "1"), "go on")
	wantErr(t, err, agents.ErrBudget, "the budget weather of weather/w/1")
	mine, _ := outer.charged()
	its, n := inner.charged()
	if got := budgetState(b, "weather:run:weather/w/1").GetCounter().GetSpent().GetTokens(); got != mine+its || n < 2 {
		t.Errorf("%d tokens are spent; the agent was charged %d, the %d runs that it started %d", got, mine, n, its)
	}
}

// question waits until a run asks people, and returns what it asks.
func question(b *bundle, run schemas.Ref, not string) (path string, q map[string]any) {
	b.t.Helper()
	if err := b.Until(b.ctx, func() bool {
		for _, s := range b.Journal.All() {
			for _, e := range s.Entry.GetEvents() {
				if a := e.GetAsked(); s.Ref == run && a != nil && !a.GetWithdrawn() && a.GetPath() != not {
					path = a.GetPath()
					_ = json.Unmarshal(a.GetQuestion().GetData(), &q)
					return true
				}
			}
		}
		return false
	}); err != nil {
		b.t.Fatal("the run does not ask: ", err)
	}
	return path, q
}

func decide(b *bundle, run schemas.Ref, path string, d durable.Decision) {
	b.Signal(run, "decision "+path, runtime.AnswerPrefix+path, payload(b.t, d))
}

func TestBudgetAtItsLimitAsksPeople(t *testing.T) {
	for name, c := range map[string]struct {
		decide func(b *bundle, run schemas.Ref, path string)
		wants  error
	}{
		"approved": {decide: func(b *bundle, run schemas.Ref, path string) {
			decide(b, run, path, durable.Decision{Approved: true, By: "ann"})
		}},
		"raised by somebody": {decide: func(b *bundle, _ schemas.Ref, _ string) {
			b.Send(schemas.Identity{Kind: runtime.BudgetsKind(""), Key: "weather:run:weather/w/1"}, &schemas.Envelope{
				Type: schemas.Envelope_TASK, Id: "raise", Method: "raise",
				Budget: &schemas.BudgetAsk{Run: "ann", Id: "1", Amount: &schemas.Amount{Tokens: 5000}},
			})
		}},
		"denied": {decide: func(b *bundle, run schemas.Ref, path string) {
			decide(b, run, path, durable.Decision{By: "ann", Reason: "too dear"})
		}, wants: agents.ErrBudget},
	} {
		t.Run(name, func(t *testing.T) {
			m := &meter{Model: agentstest.Model(t, askTimes(5)), max: 100}
			b := setup(t, asks(m, agents.Budget(agents.PerRun(), agents.Allowance{Tokens: 500}, agents.AskAtLimit())))
			b.Passivate = true
			b.Start()
			run := ref("weather", "w", "1")
			b.Task(run, "", payload(t, "go on"))
			path, q := question(b, run, "")
			if q["budget"] != "weather" || q["of"] != "weather/w/1" || q["asked"] == nil || q["spent"] == nil {
				t.Errorf("people are asked %v", q)
			}
			before, _ := m.charged()
			c.decide(b, run, path)
			if c.wants == nil && name == "approved" { // as much again is not enough for all: it asks again
				for done := false; !done; {
					again := path
					if err := b.Until(b.ctx, func() bool {
						for _, s := range b.Journal.All() {
							if s.Ref != run {
								continue
							}
							done = done || s.Entry.GetRecord() != nil
							for _, e := range s.Entry.GetEvents() {
								if a := e.GetAsked(); a != nil && !a.GetWithdrawn() {
									again = a.GetPath()
								}
							}
						}
						return done || again != path
					}); err != nil {
						t.Fatal(err)
					}
					if !done {
						path = again
						c.decide(b, run, path)
					}
				}
			}
			rec, err := b.Result(b.ctx, run)
			if err != nil {
				t.Fatal(err)
			}
			_, failed := outcome[string](t, rec)
			if !errors.Is(failed, c.wants) {
				t.Errorf("the run ended with %v, want %v", failed, c.wants)
			}
			if c.wants != nil {
				contains(t, failed.Error(), "denied by ann: too dear")
			}
			after, _ := m.charged()
			s := budgetState(b, "weather:run:weather/w/1")
			if got := s.GetCounter().GetSpent().GetTokens(); got != after || (after == before) != (c.wants != nil) {
				t.Errorf("%d tokens are spent; the provider has charged %d, %d of them before the question", got, after, before)
			}
			if len(s.GetRuns())+len(s.GetWaiting()) > 0 || s.GetCounter().GetEstimated().GetTokens() != 0 {
				t.Errorf("the run is over, and has left %v", s)
			}
		})
	}
}

// named is a model of another name, on the same server.
func named(m *agentstest.Scripted, name string) agents.Model {
	return openai.New(name, openai.BaseURL(m.BaseURL), openai.APIKey("none"))
}

func TestBudgetOfMoneyGoesOnWithACheaperModel(t *testing.T) {
	var asked []string
	m := agentstest.Model(t, script(func(r *scripted.Request) scripted.Reply {
		asked = append(asked, r.Model)
		if r.Rounds() < 3 {
			return calls(call("get_weather", `{"city":"Oslo"}`))
		}
		return scripted.Reply{Text: "done"}
	}))
	dear := &meter{Model: named(m, "dear"), max: 100}
	cheap := &meter{Model: named(m, "cheap"), max: 100}
	prices := agents.Prices(agents.PriceTable{"dear": {Input: 10, Output: 100}, "cheap": {Input: 1, Output: 2}})
	b := setup(t, asks(dear, prices, agents.Budget(agents.PerRun(), agents.Allowance{USD: 0.014}, agents.DowngradeAtLimit(cheap))))
	b.Start()
	rec, err := b.Do(b.ctx, ref("weather", "w", "1"), "", payload(t, "go on"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := outcome[string](t, rec); err != nil {
		t.Fatal(err)
	}
	if n := slices.Index(asked, "cheap"); n < 1 || slices.Contains(asked[n:], "dear") || len(asked) != 4 {
		t.Errorf("asked were %q: the dear one first, the cheap one from some call on", asked)
	}
	var cost float64
	for _, s := range rec.GetSteps() {
		if s.GetName() == "model" {
			var usd float64
			if _, err := fmt.Sscan(s.GetAttributes()["cost_usd"], &usd); err != nil {
				t.Errorf("step %s does not say what it cost: %v", s.GetPath(), s.GetAttributes())
			}
			cost += usd
		}
	}
	c := budgetState(b, "weather:run:weather/w/1").GetCounter()
	if got := float64(c.GetSpent().GetNanos()) / 1e9; got < cost-1e-9 || got > cost+1e-9 || got > 0.014 {
		t.Errorf("$%g are spent of $0.014, the steps say $%g", got, cost)
	}
}

// TestBudgetCountsACallThatBrokeOff has the provider break off in the middle of an answer,
// and then refuse one.
func TestBudgetCountsACallThatBrokeOff(t *testing.T) {
	m := &meter{Model: agentstest.Model(t, scripted.Script{Rules: []scripted.Rule{
		{Request: 1, Reply: scripted.Reply{Text: "it is", Cut: true}},
		{Request: 2, Reply: scripted.Reply{Status: 503, Text: "later"}},
		{Reply: scripted.Reply{Text: "done"}},
	}}), max: 100}
	b := setup(t, asks(m, agents.Budget(agents.PerRun(), agents.Allowance{Tokens: 1000})))
	b.Start()
	if _, err := do[string](b, ref("weather", "w", "1"), "go on"); err != nil {
		t.Fatal(err)
	}
	tokens, calls := m.charged()
	c := budgetState(b, "weather:run:weather/w/1").GetCounter()
	if est := c.GetEstimated().GetTokens(); est < 100 || est > 300 || c.GetSpent().GetTokens() != tokens+est || calls != 3 {
		t.Errorf("%d calls: %v; the provider has charged %d, and may have charged once more", calls, c, tokens)
	}
}

// TestBudgetIsOfRunsThatAreStartedWithIt deploys a budget while a run goes on, and takes
// one away.
func TestBudgetIsOfRunsThatAreStartedWithIt(t *testing.T) {
	with := agents.Budget(agents.PerRun(), agents.Allowance{Tokens: 50_000})
	for name, c := range map[string]struct{ before, after []agents.Option }{
		"new":  {nil, []agents.Option{with}},
		"gone": {[]agents.Option{with, agents.Budget(agents.PerAgent(), agents.Allowance{Tokens: 90_000})}, []agents.Option{agents.Budget(agents.PerAgent(), agents.Allowance{Tokens: 80_000}), agents.Instructions("Be brief.")}},
	} {
		t.Run(name, func(t *testing.T) {
			m := agentstest.Model(t, askTimes(2))
			hold := make(chan struct{})
			tool := agents.Tools(agents.Func("get_weather", "", func(ctx context.Context, in place) (report, error) {
				select {
				case <-hold:
				case <-ctx.Done():
					return report{}, ctx.Err()
				}
				return getWeather(ctx, in)
			}))
			build := func(opts []agents.Option) *runtime.Kind {
				return agents.New(weather, append([]agents.Option{agents.UseModel(m), tool}, opts...)...)
			}
			b := setup(t, build(c.before))
			p := b.Start()
			run := ref("weather", "w", "1")
			b.Task(run, "", payload(t, "go on"))
			if err := b.Until(b.ctx, func() bool { return m.Counts().Calls == 1 }); err != nil {
				t.Fatal(err)
			}
			p.Kill()
			b.Deploy(build(c.after))
			close(hold)
			b.Start()
			rec, err := b.Result(b.ctx, run)
			if err != nil {
				t.Fatal(err, b.Parked(run))
			}
			if got, err := outcome[string](t, rec); err != nil || got != "done" {
				t.Errorf("%q, %v", got, err)
			}
		})
	}
}

func TestBudgetThatCannotBeIsSaidWhenANodeIsOpened(t *testing.T) {
	m := agentstest.Model(t, scripted.Weather())
	allow := agents.Allowance{Tokens: 1}
	for want, opts := range map[string][]agents.Option{
		`no price of the model "scripted"`:   {agents.Budget(agents.PerRun(), agents.Allowance{USD: 1})},
		"has no limit":                       {agents.Budget(agents.PerRun(), agents.Allowance{})},
		"is negative":                        {agents.Budget(agents.PerRun(), agents.Allowance{Tokens: -1})},
		"begins anew every day":              {agents.Budget(agents.PerRun(), allow, agents.Daily())},
		"two budgets":                        {agents.Budget(agents.PerRun(), allow), agents.Budget(agents.PerRun(), allow)},
		"reads as many tokens":               {agents.Budget(agents.PerRun(), allow, agents.DowngradeAtLimit(m))},
		"has no scope":                       {agents.Budget(agents.BudgetScope{}, allow)},
		"the budget a b per run":             {agents.Budget(agents.PerRun(), allow, agents.BudgetName("a b"))},
		"DowngradeAtLimit has no model":      {agents.Budget(agents.PerRun(), agents.Allowance{USD: 1}, agents.DowngradeAtLimit(nil))},
		"give US dollars per million tokens": {agents.Prices(agents.PriceTable{"x": {Input: -1}})},
	} {
		err := agents.New(weather, append(opts, agents.UseModel(m))...).Validate()
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want an error with %q", err, want)
		}
	}
	free := agents.Prices(agents.PriceTable{"scripted": {}})
	if err := agents.New(weather, agents.UseModel(m), agents.Budget(agents.PerTenant(nil), agents.Allowance{USD: 1}, agents.Monthly()), free).Validate(); err != nil {
		t.Error(err)
	}
}

func TestPublishedPricesStandForVersions(t *testing.T) {
	if len(agents.PublishedPrices()) < 10 {
		t.Error("there are hardly any prices")
	}
	ok := func(name string) bool {
		return agents.New(weather, agents.UseModel(openai.New(name, openai.APIKey("none"))), agents.Budget(agents.PerRun(), agents.Allowance{USD: 1})).Validate() == nil
	}
	for name, want := range map[string]bool{
		"gpt-5-mini": true, "gpt-5-mini-2025-08-07": true, "claude-haiku-4-5-20251001": true, "gpt-5-huge": false, "gpt-6": false, "mini": false,
	} {
		if ok(name) != want {
			t.Errorf("%s has a price: %t, want %t", name, !want, want)
		}
	}
}

// TestBudgetOfAForkIsThatOfTheRunItCopies forks a run behind a reservation and in front of
// the call that it was for, which is made again.
func TestBudgetOfAForkIsThatOfTheRunItCopies(t *testing.T) {
	m := &meter{Model: agentstest.Model(t, askTimes(1)), max: 100}
	kind := asks(m, agents.Budget(agents.PerRun(), agents.Allowance{Tokens: 9000}))
	kind.KeepHistory = true
	b := setup(t, kind)
	b.Start()
	source := ref("weather", "w", "1")
	if _, err := do[string](b, source, "go on"); err != nil {
		t.Fatal(err)
	}
	for i, step := range []string{"2", "5"} { // the first model call, and the reservation of the second
		entries, err := b.Journal.Entries(b.ctx, source)
		if err != nil {
			t.Fatal(err)
		}
		env, err := runtime.ForkTask(source, entries, &schemas.Fork{Run: source.String(), Step: step})
		if err != nil {
			t.Fatal(err)
		}
		env.Id = fmt.Sprint("fork ", i)
		b.Send(source.Identity, env)
		rec, err := b.Result(b.ctx, source.Identity.Run(schemas.RunID(env.Id)))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := outcome[string](t, rec); err != nil || got != "done" {
			t.Fatalf("fork before step %s: %q, %v", step, got, err)
		}
		tokens, calls := m.charged()
		s := budgetState(b, "weather:run:"+source.String())
		if got := s.GetCounter().GetSpent().GetTokens(); got != tokens || len(s.GetRuns()) != 0 || s.GetCounter().GetReserved().GetTokens() != 0 {
			t.Errorf("fork before step %s: after %d calls %d tokens are spent, the provider has charged %d; %v", step, calls, got, tokens, s)
		}
	}
}

// TestBudgetOfARunThatIsEndedInACall cancels one run, and terminates another, while the
// model is asked.
func TestBudgetOfARunThatIsEndedInACall(t *testing.T) {
	m := &meter{Model: agentstest.Model(t, scripted.Script{Rules: []scripted.Rule{{Reply: scripted.Reply{Hold: true}}}}), max: 100}
	b := setup(t, asks(m, agents.Budget(agents.PerRun(), agents.Allowance{Tokens: 9000})))
	b.Start()
	for i, end := range []func(schemas.Ref){
		func(r schemas.Ref) { b.Cancel(r, "c") },
		func(r schemas.Ref) { b.Control(r, "t", schemas.Control_TERMINATE) },
	} {
		run := ref("weather", fmt.Sprint("w", i), "1")
		key := "weather:run:" + run.String()
		b.Task(run, "", payload(t, "go on"))
		var reserved int64
		if err := b.Until(b.ctx, func() bool {
			begun := false
			for _, s := range b.Journal.All() {
				for _, e := range s.Entry.GetEvents() {
					begun = begun || s.Ref == run && e.GetStepStarted() != nil
				}
			}
			if begun {
				reserved = budgetNow(b, key).GetCounter().GetReserved().GetTokens()
			}
			return begun
		}); err != nil || reserved < 100 {
			t.Fatalf("%d tokens are reserved: %v", reserved, err)
		}
		end(run)
		if _, err := b.Result(b.ctx, run); err != nil {
			t.Fatal(err)
		}
		s := budgetState(b, key)
		if c := s.GetCounter(); c.GetSpent().GetTokens() != reserved || c.GetEstimated().GetTokens() != reserved || c.GetReserved().GetTokens() != 0 || len(s.GetRuns()) != 0 {
			t.Errorf("run %d: %d tokens were reserved for the call; the budget says %v", i, reserved, s)
		}
	}
}

// TestBudgetReservesTheLongestAnswerOfOpenAI has models of either API whose answers may be
// longer than what is left: they are not asked.
func TestBudgetReservesTheLongestAnswerOfOpenAI(t *testing.T) {
	m := says(t, "done")
	opts := []openai.Option{openai.BaseURL(m.BaseURL), openai.APIKey("none"), openai.MaxTokens(20_000)}
	for name, asked := range map[string]agents.Model{"chat": openai.New("gpt", opts...), "responses": openai.NewResponses("gpt", opts...)} {
		t.Run(name, func(t *testing.T) {
			_, _, err := once(t, agents.UseModel(asked), agents.Budget(agents.PerRun(), agents.Allowance{Tokens: 10_000}))
			wantErr(t, err, agents.ErrBudget)
			m.WantCalls(0)
		})
	}
}

// A listed model cannot be compared with another one.
type listed struct {
	agents.Model
	_ []string
}

func TestBudgetTakesAModelThatCannotBeCompared(t *testing.T) {
	cheaper := listed{Model: mirror(t)}
	k := asks(mirror(t), agents.Prices(agents.PriceTable{"scripted": {Input: 1}}),
		agents.Budget(agents.PerRun(), agents.Allowance{USD: 1}, agents.DowngradeAtLimit(cheaper)),
		agents.Budget(agents.PerAgent(), agents.Allowance{USD: 9}, agents.DowngradeAtLimit(cheaper)))
	if err := k.Validate(); err != nil {
		t.Error(err)
	}
	if err := agents.New(weather, agents.Budget(agents.PerRun(), agents.Allowance{USD: 1})).Validate(); err == nil || !strings.Contains(err.Error(), "it has no model") {
		t.Errorf("%v, want that there is no model", err)
	}
}
