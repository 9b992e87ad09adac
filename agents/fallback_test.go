package agents_test

import (
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/perdure/perdure/agents"
	"github.com/perdure/perdure/agents/agentstest"
	"github.com/perdure/perdure/agents/models/anthropic"
	"github.com/perdure/perdure/agents/models/scripted"
	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/runtime/runtimetest"
	"github.com/perdure/perdure/schemas"
)

// says is a model that answers with a text, behind so many replies that fail.
func says(t *testing.T, text string, failing ...scripted.Reply) *agentstest.Scripted {
	t.Helper()
	var rules []scripted.Rule
	for i, f := range failing {
		rules = append(rules, scripted.Rule{Request: i + 1, Reply: f})
	}
	return agentstest.Model(t, scripted.Script{Rules: append(rules, scripted.Rule{Reply: scripted.Reply{Text: text}})})
}

// fails is a model that always fails.
func fails(t *testing.T, r scripted.Reply) *agentstest.Scripted {
	t.Helper()
	return agentstest.Model(t, scripted.Script{Rules: []scripted.Rule{{Reply: r}}})
}

// once runs an agent, and returns its record and what it answered.
func once(t *testing.T, opts ...agents.Option) (*schemas.Record, string, error) {
	t.Helper()
	b := setup(t, agents.New(weather, opts...))
	b.Start()
	rec, err := b.Do(b.ctx, ref("weather", "w", "1"), "", payload(t, "hello"))
	if err != nil {
		t.Fatal(err)
	}
	got, err := outcome[string](t, rec)
	return rec, got, err
}

func TestFallback_IsAskedForWhatItMends(t *testing.T) {
	tooLong := scripted.Reply{Status: 400, Body: `{"error":{"message":"maximum context length is 8192 tokens","code":"context_length_exceeded"}}`}
	filtered := scripted.Reply{Status: 400, Body: `{"error":{"message":"held back","code":"content_filter"}}`}
	withheld := scripted.Reply{FinishReason: "content_filter"}
	for name, c := range map[string]struct {
		fault    scripted.Reply
		on       []agents.Class // nil: the default
		requests int            // to the first model
		fallback bool
		want     *durable.Error // without a fallback
	}{
		"fails":                         {scripted.Reply{Status: 503}, nil, 2, true, nil},
		"throttles":                     {scripted.Reply{Status: 429}, nil, 2, true, nil},
		"asks for more than patience":   {scripted.Reply{Status: 429, RetryAfter: scripted.Duration(time.Hour)}, nil, 1, true, nil},
		"stalls":                        {scripted.Reply{Hold: true}, nil, 2, true, nil},
		"refuses":                       {scripted.Reply{Status: 401, Text: "wrong key"}, nil, 1, false, agents.ErrModel},
		"refuses, and it is asked to":   {scripted.Reply{Status: 401}, []agents.Class{agents.Refused}, 1, true, nil},
		"has too little in view":        {tooLong, nil, 1, false, agents.ErrModel},
		"has too little, and the next":  {tooLong, []agents.Class{agents.TooLong}, 1, true, nil},
		"fails, and it is for the long": {scripted.Reply{Status: 503, Text: "down"}, []agents.Class{agents.TooLong}, 2, false, agents.ErrModelUnavailable},
		"filters":                       {filtered, nil, 1, false, agents.ErrModel},
		"filters, and it is asked to":   {filtered, []agents.Class{agents.Filtered}, 1, true, nil},
		"withholds":                     {withheld, nil, 1, false, agents.ErrRefused},
		"withholds, and it is asked to": {withheld, []agents.Class{agents.Filtered}, 1, true, nil},
	} {
		t.Run(name, func(t *testing.T) {
			first, second := fails(t, c.fault), says(t, "from the second")
			var opts []agents.ModelOption
			if c.on != nil {
				opts = append(opts, agents.On(c.on...))
			}
			rec, got, err := once(t, agents.UseModel(first, agents.Retry(2, time.Millisecond), agents.Timeout(time.Second), agents.Fallback(second, opts...)))
			if n := first.Counts().Requests(); n != c.requests {
				t.Errorf("the first model got %d requests, want %d", n, c.requests)
			}
			if !c.fallback {
				second.WantCalls(0)
				wantErr(t, err, c.want)
				return
			}
			second.WantCalls(1)
			if err != nil || got != "from the second" {
				t.Errorf("answer %q, %v", got, err)
			}
			if from := rec.GetSteps()[0].GetAttributes()["fallback_from"]; !strings.HasPrefix(from, "scripted: ") {
				t.Errorf("the step says that it fell back from %q", from)
			}
			if n := int(rec.GetSteps()[0].GetAttempts()); n != c.requests+1 {
				t.Errorf("the step has %d attempts, want one for each request, %d", n, c.requests+1)
			}
		})
	}
}

// TestFallback_HasAKeyOfItsOwn has two models of one provider, which would take a key that
// comes again with another request for a mistake.
func TestFallback_HasAKeyOfItsOwn(t *testing.T) {
	var mu sync.Mutex
	var keys []string
	m := agentstest.Model(t, script(func(r *scripted.Request) scripted.Reply {
		mu.Lock()
		defer mu.Unlock()
		if keys = append(keys, r.Key); len(keys) < 4 {
			return scripted.Reply{Status: 503}
		}
		return scripted.Reply{Text: "ok"}
	}))
	if _, _, err := once(t, agents.UseModel(m, agents.Retry(2, time.Millisecond), agents.Fallback(m, agents.Retry(2, time.Millisecond)))); err != nil {
		t.Fatal(err)
	}
	want := []string{keys[0], keys[0], keys[0] + "-model2", keys[0] + "-model2"}
	if diff := cmp.Diff(want, keys); diff != "" || keys[0] == "" {
		t.Errorf("keys (-want +got):\n%s", diff)
	}
}

// TestFallback_ToAnotherProviderLeavesOutWhatWasThought goes on with another provider in the
// middle of a conversation in which the first one thought, and back.
func TestFallback_ToAnotherProviderLeavesOutWhatWasThought(t *testing.T) {
	var down bool
	var mu sync.Mutex
	server, err := scripted.New(script(func(r *scripted.Request) scripted.Reply {
		mu.Lock()
		defer mu.Unlock()
		switch {
		case down && r.Rounds() == 1:
			return scripted.Reply{Status: 529}
		case r.Rounds() == 0:
			down = true
			re := calls(call("get_weather", `{"city":"Oslo"}`))
			re.Thinking = "I look it up."
			return re
		}
		return scripted.Reply{Text: "It rains, in " + fmt.Sprint(r.Rounds())}
	}))
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(server)
	t.Cleanup(srv.Close)
	first := anthropic.New("claude-scripted", anthropic.BaseURL(srv.URL), anthropic.APIKey("any"), anthropic.HTTPClient(srv.Client()), anthropic.Thinking())
	var seen []string
	second := agentstest.Model(t, script(func(r *scripted.Request) scripted.Reply {
		for _, m := range r.Messages {
			data, _ := json.Marshal(m)
			seen = append(seen, string(data))
		}
		return calls(call("get_weather", `{"city":"Rome"}`))
	}))
	_, got, err := once(t,
		agents.UseModel(first, agents.Retry(1, 0), agents.Fallback(second)),
		agents.Tools(agents.Func("get_weather", "", getWeather)))
	if err != nil || got != "It rains, in 2" {
		t.Errorf("answer %q, %v", got, err)
	}
	second.WantCalls(1)
	if all := strings.Join(seen, "\n"); !strings.Contains(all, "Oslo") || strings.Contains(all, "I look it up") {
		t.Errorf("the second provider was sent %s", all)
	}
}

func TestRetryOn_CountsAClassByItself(t *testing.T) {
	busy, broken := scripted.Reply{Status: 429}, scripted.Reply{Status: 500}
	policy := []agents.ModelOption{agents.Retry(2, time.Millisecond), agents.RetryOn(agents.Throttled, 4, time.Millisecond)}
	m := says(t, "at last", busy, broken, busy, busy)
	if _, got, err := once(t, agents.UseModel(m, policy...)); err != nil || got != "at last" {
		t.Errorf("three times throttled, once broken: %q, %v", got, err)
	}
	m = says(t, "never", busy, broken, broken)
	if _, _, err := once(t, agents.UseModel(m, policy...)); err == nil {
		t.Error("two failures of a policy of two attempts were not the end")
	}
	m = says(t, "never", busy, busy, busy, busy)
	_, _, err := once(t, agents.UseModel(m, policy...))
	wantErr(t, err, agents.ErrModelUnavailable, "429")
	m = says(t, "another", scripted.Reply{FinishReason: "content_filter"})
	if _, got, err := once(t, agents.UseModel(m, agents.RetryOn(agents.Filtered, 2, 0))); err != nil || got != "another" {
		t.Errorf("an answer that was withheld, and may be tried again: %q, %v", got, err)
	}
}

func TestModelOptions_ThatAreWrongAreSaid(t *testing.T) {
	m := says(t, "")
	for want, o := range map[string]agents.ModelOption{
		"no such class":        agents.RetryOn("odd", 2, 0),
		"no attempt mends it":  agents.RetryOn(agents.TooLong, 2, 0),
		`On("odd")`:            agents.Fallback(m, agents.On("odd")),
		"the model is nil":     agents.Fallback(nil),
		"give it to UseModel":  agents.Fallback(m, agents.WaitUpTo(time.Hour)),
		"Breaker: -1 failures": agents.Breaker(agents.Trip{Failures: -1}),
		"RateLimit: 0":         agents.RateLimit(agents.PerMinute{}),
		"RateLimit: -1":        agents.Fallback(m, agents.RateLimit(agents.PerMinute{Requests: -1})),
		"Hedge(0s)":            agents.Hedge(0),
	} {
		err := agents.New(weather, agents.UseModel(m, o)).Validate()
		if err == nil {
			t.Errorf("nothing is wrong where %q is", want)
			continue
		}
		contains(t, err.Error(), want)
	}
	err := agents.New(weather, agents.UseModel(m), agents.Tools(agents.Func("f", "", getWeather, agents.RetryOn("odd", 1, 0)))).Validate()
	if err == nil {
		t.Error("nothing is wrong with a tool's RetryOn of no class")
	}
}

// TestFallback_IsNotAskedAgainForWhatIsRecorded kills the process before and after each
// write of a run whose first model is down. An answer of the second that is recorded is
// never asked for again.
func TestFallback_IsNotAskedAgainForWhatIsRecorded(t *testing.T) {
	swept := func(t *testing.T, when runtimetest.When, n int) (*bundle, *agentstest.Scripted, string) {
		first := fails(t, scripted.Reply{Status: 503})
		second := agentstest.Model(t, script(func(r *scripted.Request) scripted.Reply {
			if r.Rounds() < 2 {
				return calls(call("get_weather", `{"city":"Oslo"}`))
			}
			return scripted.Reply{Text: "rain"}
		}))
		b := setup(t, agents.New(weather, agents.UseModel(first, agents.Retry(2, time.Millisecond), agents.Fallback(second)),
			agents.Tools(agents.Func("get_weather", "", getWeather))))
		if n > 0 {
			b.CrashAt(when, n)
		}
		b.Start()
		got, err := do[string](b, ref("weather", "w", "1"), "hello")
		if err != nil {
			t.Fatal(err)
		}
		if err := b.Settle(b.ctx); err != nil {
			t.Fatal(err)
		}
		return b, second, got
	}
	undisturbed, m, _ := swept(t, 0, 0)
	points := undisturbed.Points()
	m.WantCalls(3)
	crashed, repeated := 0, 0
	for n := 1; n <= len(points); n++ {
		for _, when := range []runtimetest.When{runtimetest.Before, runtimetest.After} {
			t.Run(fmt.Sprintf("%d.%d", n, when), func(t *testing.T) {
				b, m, got := swept(t, when, n)
				if got != "rain" {
					t.Errorf("the answer is %q", got)
				}
				crashed += len(b.Processes()) - 1
				c := m.Counts()
				if c.Calls != 3 || c.Repeated > 1 || c.Repeated > 0 && when == runtimetest.After {
					t.Errorf("the second model got %d calls and %d repeats", c.Calls, c.Repeated)
				}
				repeated += c.Repeated
			})
		}
	}
	if crashed < len(points) || repeated != 3 {
		t.Errorf("%d processes were killed at %d points, and %d calls came again, want 3", crashed, len(points), repeated)
	}
}
