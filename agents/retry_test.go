package agents_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/perdure/perdure/agents"
	"github.com/perdure/perdure/agents/agentstest"
	"github.com/perdure/perdure/agents/models/scripted"
	"github.com/perdure/perdure/durable"
)

// TestModelFailuresThatMayPassAreRetried plays each failure twice before the
// answer: three HTTP requests, one step, one idempotency key.
func TestModelFailuresThatMayPassAreRetried(t *testing.T) {
	for name, fault := range map[string]scripted.Reply{
		"throttled":              {Status: 429, RetryAfter: scripted.Duration(time.Millisecond)},
		"server error":           {Status: 500},
		"bad gateway, no JSON":   {Status: 502, Body: "<html>upstream is gone</html>"},
		"overloaded":             {Status: 503},
		"request timeout":        {Status: 408},
		"conflict":               {Status: 409},
		"cut in the body":        {Text: "never read", Cut: true},
		"cut in an error":        {Status: 500, Text: "never read", Cut: true},
		"malformed JSON":         {Body: `{"choices":[`},
		"no choices":             {Body: `{"choices":[]}`},
		"stalled for too long":   {Hold: true},
		"stalled, then an error": {Stall: scripted.Duration(time.Millisecond), Status: 500},
	} {
		t.Run(name, func(t *testing.T) {
			m := agentstest.Model(t, scripted.Script{Rules: []scripted.Rule{
				{Times: 2, Reply: fault},
				{Reply: scripted.Reply{Text: "at last"}},
			}})
			timeout := time.Minute
			if fault.Hold {
				timeout = time.Second // so that each attempt reaches the model
			}
			b := setup(t, agents.New(weather, agents.UseModel(m, agents.Retry(3, time.Millisecond), agents.Timeout(timeout))))
			b.Start()
			rec, err := b.Do(b.ctx, ref("weather", "w", "1"), "", payload(t, "hello"))
			if err != nil {
				t.Fatal(err)
			}
			if got, err := outcome[string](t, rec); err != nil || got != "at last" {
				t.Errorf("answer %q, %v", got, err)
			}
			m.WantRequests(1, 2)
			if len(rec.GetSteps()) != 1 || rec.GetSteps()[0].GetAttempts() != 3 {
				t.Errorf("steps %v, want one of three attempts", rec.GetSteps())
			}
		})
	}
}

func TestModelThatStaysAwayEndsTheRun(t *testing.T) {
	for name, c := range map[string]struct {
		fault scripted.Reply
		want  *durable.Error
		parts []string
	}{
		"throttled": {scripted.Reply{Status: 429, Text: "slow down"}, agents.ErrModelUnavailable, []string{"429", "slow down", "scripted"}},
		"stalled":   {scripted.Reply{Hold: true}, durable.ErrTimeout, []string{"1s", "scripted"}},
	} {
		t.Run(name, func(t *testing.T) {
			m := agentstest.Model(t, scripted.Script{Rules: []scripted.Rule{{Reply: c.fault}}})
			b := setup(t, agents.New(weather, agents.UseModel(m, agents.Retry(3, time.Millisecond), agents.Timeout(time.Second))))
			b.Start()
			_, err := do[string](b, ref("weather", "w", "1"), "hello")
			wantErr(t, err, c.want, c.parts...)
			m.WantRequests(1, 2)
		})
	}
}

func TestModelRefusalsAreFinal(t *testing.T) {
	for name, fault := range map[string]scripted.Reply{
		"bad request":       {Status: 400, Text: "the context is too long"},
		"unauthorized":      {Status: 401, Text: "wrong key"},
		"forbidden":         {Status: 403, Text: "not for you"},
		"unknown model":     {Status: 404, Text: "no such model"},
		"too large":         {Status: 413, Text: "too large"},
		"unprocessable":     {Status: 422, Text: "what?"},
		"quota is used up":  {Status: 429, Body: `{"error":{"message":"You exceeded your current quota","code":"insufficient_quota"}}`},
		"error as a string": {Status: 404, Body: `{"error":"model not found, pull it first"}`},
		"no JSON at all":    {Status: 404, Body: "404 page not found"},
	} {
		t.Run(name, func(t *testing.T) {
			m := agentstest.Model(t, scripted.Script{Rules: []scripted.Rule{{Reply: fault}}})
			b := setup(t, agents.New(weather, agents.UseModel(m, agents.Retry(3, time.Millisecond))))
			b.Start()
			_, err := do[string](b, ref("weather", "w", "1"), "hello")
			said := map[string]string{
				"quota is used up":  "You exceeded your current quota",
				"error as a string": "model not found, pull it first",
				"no JSON at all":    "404 page not found",
			}[name]
			if said == "" {
				said = fault.Text
			}
			wantErr(t, err, agents.ErrModel, said, "scripted")
			m.WantCalls(1)
		})
	}
}

// TestRetryAfterIsKept has a provider that asks for more patience than the
// retry policy has.
func TestRetryAfterIsKept(t *testing.T) {
	const wait = 300 * time.Millisecond
	var at []time.Time
	m := agentstest.Model(t, script(func(r *scripted.Request) scripted.Reply {
		if at = append(at, time.Now()); r.Number == 1 {
			return scripted.Reply{Status: 429, RetryAfter: scripted.Duration(wait)}
		}
		return scripted.Reply{Text: "thank you"}
	}))
	b := setup(t, agents.New(weather, agents.UseModel(m, agents.Retry(3, time.Millisecond))))
	b.Start()
	if _, err := do[string](b, ref("weather", "w", "1"), "hello"); err != nil {
		t.Fatal(err)
	}
	if len(at) != 2 || at[1].Sub(at[0]) < wait {
		t.Errorf("requests at %v; the second was asked to come %s after the first", at, wait)
	}
}

func TestModelCallsCarryTheKeyOfTheirStep(t *testing.T) {
	var mu sync.Mutex
	var keys []string
	m := agentstest.Model(t, script(func(r *scripted.Request) scripted.Reply {
		mu.Lock()
		defer mu.Unlock()
		keys = append(keys, r.Key)
		switch r.Number {
		case 1:
			return scripted.Reply{Status: 503}
		case 2:
			return calls(call("get_weather", `{"city":"Oslo"}`))
		}
		return scripted.Reply{Text: "ok"}
	}))
	var toolKeys []string
	b := setup(t, agents.New(weather, agents.UseModel(m, agents.Retry(3, time.Millisecond)),
		agents.Tools(agents.Func("get_weather", "", func(ctx context.Context, in place) (report, error) {
			if toolKeys = append(toolKeys, durable.IdempotencyKey(ctx)); len(toolKeys) == 1 {
				return report{}, errors.New("not yet")
			}
			return getWeather(ctx, in)
		}))))
	b.Start()
	if _, err := do[string](b, ref("weather", "w", "1"), "hello"); err != nil {
		t.Fatal(err)
	}
	if len(keys) != 3 || keys[0] == "" || keys[0] != keys[1] || keys[1] == keys[2] {
		t.Errorf("keys of the requests: %q; want the same for a retry, another for another call", keys)
	}
	if diff := cmp.Diff([]string{toolKeys[0], toolKeys[0]}, toolKeys); diff != "" || toolKeys[0] == "" || toolKeys[0] == keys[0] {
		t.Errorf("keys of the tool: %q; want one of its own for both attempts", toolKeys)
	}
}

// A stubborn model ignores its context's end and panics; it is nobody's friend.
type stubborn struct{ response *agents.Response }

func (stubborn) Name() string { return "stubborn" }

func (s stubborn) Generate(context.Context, *agents.Request) (*agents.Response, error) {
	if s.response == nil {
		return nil, nil
	}
	panic("no")
}

func TestModelsThatBreakTheirContractEndTheRunOnly(t *testing.T) {
	b := setup(t,
		agents.New(weather, agents.UseModel(stubborn{}, agents.Retry(2, time.Millisecond))),
		agents.New(durable.Declare[string, string]("panics"), agents.UseModel(stubborn{&agents.Response{}}, agents.Retry(2, time.Millisecond))))
	b.Start()
	_, err := do[string](b, ref("weather", "w", "1"), "hello")
	if err == nil {
		t.Fatal("a model that returns nothing gave an answer")
	}
	contains(t, err.Error(), "stubborn", "neither a response nor an error")
	_, err = do[string](b, ref("panics", "w", "1"), "hello")
	wantErr(t, err, durable.ErrPanic, "stubborn", "no")
}
