package agents_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/perdure/perdure/agents"
	"github.com/perdure/perdure/agents/agentstest"
	"github.com/perdure/perdure/agents/models/scripted"
	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/schemas"
)

func TestLoopAsksCallsAndAnswers(t *testing.T) {
	m := agentstest.Model(t, scripted.Weather())
	b := setup(t, agents.New(weather,
		agents.Instructions("Answer in one sentence."),
		agents.UseModel(m),
		agents.Tools(agents.Func("get_weather", "Current weather in a city", getWeather))))
	b.Start()
	rec, err := b.Do(b.ctx, ref("weather", "amsterdam", "1"), "", payload(t, "Do I need a coat in Amsterdam today?"))
	if err != nil {
		t.Fatal(err)
	}
	got, err := outcome[string](t, rec)
	if want := "Yes, take it with you: in Amsterdam it is 9 °C and rain."; err != nil || got != want {
		t.Errorf("answer %q, %v; want %q", got, err, want)
	}
	m.WantCalls(2)
	var steps []string
	for _, s := range rec.GetSteps() {
		steps = append(steps, s.GetName())
		if s.GetName() != "model" {
			continue
		}
		a := s.GetAttributes()
		if a["model"] != "scripted" || a["input_tokens"] == "" || a["output_tokens"] == "" || len(a["request_sha256"]) != 43 {
			t.Errorf("attributes of step %s: %v", s.GetPath(), a)
		}
	}
	if diff := cmp.Diff([]string{"model", "tool get_weather", "model"}, steps); diff != "" {
		t.Error("steps (-want +got):", diff)
	}
}

func TestParallelToolCallsRunAtOnceAndAnswerInOrder(t *testing.T) {
	var arrived sync.WaitGroup
	arrived.Add(3)
	together := func(ctx context.Context, in place) (string, error) {
		arrived.Done()
		all := make(chan struct{})
		go func() { arrived.Wait(); close(all) }()
		select {
		case <-all: // nobody passes before all are here
			return "sun in " + in.City, nil
		case <-ctx.Done():
			return "", ctx.Err()
		}
	}
	var results []string
	m := agentstest.Model(t, script(func(r *scripted.Request) scripted.Reply {
		if r.Rounds() == 0 {
			return calls(call("get_weather", `{"city":"Oslo"}`), call("get_weather", `{"city":"Rome"}`), call("get_weather", `{"city":"Lima"}`))
		}
		for _, m := range r.Results() {
			results = append(results, m.Content)
		}
		return scripted.Reply{Text: "done"}
	}))
	b := setup(t, agents.New(weather, agents.UseModel(m), agents.Tools(agents.Func("get_weather", "", together))))
	b.Start()
	if _, err := do[string](b, ref("weather", "w", "1"), "where is sun?"); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"sun in Oslo", "sun in Rome", "sun in Lima"}, results); diff != "" {
		t.Error("what the model was told (-want +got):", diff)
	}
}

func TestIterationLimitSaysWhatToDoAndCallsNoToolInVain(t *testing.T) {
	m := agentstest.Model(t, script(func(*scripted.Request) scripted.Reply { return calls(call("get_weather", `{"city":"Oslo"}`)) }))
	var called atomic.Int32
	b := setup(t, agents.New(weather, agents.UseModel(m), agents.MaxIterations(3),
		agents.Tools(agents.Func("get_weather", "", func(ctx context.Context, in place) (report, error) {
			called.Add(1)
			return getWeather(ctx, in)
		}))))
	b.Start()
	_, err := do[string](b, ref("weather", "w", "1"), "go on")
	wantErr(t, err, agents.ErrIterationLimit, "3 model calls", "MaxIterations")
	m.WantCalls(3)
	if called.Load() != 2 {
		t.Errorf("the tool was called %d times; the third result is for nobody", called.Load())
	}
}

// TestToolFailuresAreToldToTheModel shows what the model is told of each way in
// which a tool call fails, and that the run goes on.
func TestToolFailuresAreToldToTheModel(t *testing.T) {
	tool := func(fn func(context.Context, place) (report, error)) agents.Tool {
		return agents.Func("get_weather", "", fn, agents.Retry(2, time.Millisecond))
	}
	for name, c := range map[string]struct {
		call     scripted.Call
		tool     agents.Tool
		code     string
		parts    []string
		attempts uint32
	}{
		"unknown tool":     {call("get_wether", `{}`), tool(getWeather), "unknown_tool", []string{`"get_wether"`, "there are: get_weather"}, 1},
		"a name like none": {call("get weather!", `{}`), tool(getWeather), "unknown_tool", []string{`"get weather!"`}, 1},
		"malformed":        {call("get_weather", `{"city":`), tool(getWeather), "bad_arguments", []string{"unexpected end of JSON", `"city"`}, 1},
		"wrong type":       {call("get_weather", `{"city":7}`), tool(getWeather), "bad_arguments", []string{"city", "string"}, 1},
		"missing":          {call("get_weather", `{}`), tool(getWeather), "bad_arguments", []string{"required", "city"}, 1},
		"one too many":     {call("get_weather", `{"city":"Oslo","unit":"C"}`), tool(getWeather), "bad_arguments", []string{"unit"}, 1},
		"panic": {
			call("get_weather", `{"city":"Oslo"}`), tool(func(context.Context, place) (report, error) { panic("out of umbrellas") }),
			"panic",
			[]string{"out of umbrellas"},
			2,
		},
		"final": {
			call("get_weather", `{"city":"Oslo"}`), tool(func(context.Context, place) (report, error) {
				return report{}, durable.Fail("no_station", "none in Oslo")
			}),
			"no_station",
			[]string{"none in Oslo"},
			1,
		},
		"any other": {
			call("get_weather", `{"city":"Oslo"}`), tool(func(context.Context, place) (report, error) { return report{}, errors.New("wires cut") }),
			"error",
			[]string{"wires cut"},
			2,
		},
		"timeout": {
			call("get_weather", `{"city":"Oslo"}`),
			agents.Func("get_weather", "", func(ctx context.Context, _ place) (report, error) {
				<-ctx.Done()
				return report{}, ctx.Err()
			}, agents.Retry(1, 0), agents.Timeout(time.Millisecond)),
			"timeout",
			[]string{"1ms"},
			1,
		},
	} {
		t.Run(name, func(t *testing.T) {
			var told string
			m := agentstest.Model(t, script(func(r *scripted.Request) scripted.Reply {
				if r.Rounds() == 0 {
					return calls(c.call)
				}
				told = r.Last().Content
				return scripted.Reply{Text: "I could not find out."}
			}))
			b := setup(t, agents.New(weather, agents.UseModel(m), agents.Tools(c.tool)))
			b.Start()
			rec, err := b.Do(b.ctx, ref("weather", "w", "1"), "", payload(t, "Oslo?"))
			if err != nil {
				t.Fatal(err)
			}
			if got, err := outcome[string](t, rec); err != nil || got != "I could not find out." {
				t.Errorf("answer %q, %v", got, err)
			}
			var e struct {
				Error map[string]string `json:"error"`
			}
			if err := json.Unmarshal([]byte(told), &e); err != nil {
				t.Fatalf("the model was told %q: %v", told, err)
			}
			if e.Error["code"] != c.code || len(e.Error) != 2 {
				t.Errorf("the model was told %q, want code %q and a message", told, c.code)
			}
			contains(t, e.Error["message"], c.parts...)
			if strings.Contains(told, "goroutine") || strings.Contains(told, ".go:") {
				t.Errorf("the model was told a stack: %q", told)
			}
			if step := rec.GetSteps()[1]; step.GetAttempts() != c.attempts || step.GetError() != c.code {
				t.Errorf("step %q: %d attempts, error %q; want %d, %q", step.GetName(), step.GetAttempts(), step.GetError(), c.attempts, c.code)
			}
		})
	}
}

func TestToolWithoutArgumentsTakesNone(t *testing.T) {
	for _, written := range []string{"", " ", "{}"} {
		m := agentstest.Model(t, script(func(r *scripted.Request) scripted.Reply {
			if r.Rounds() == 0 {
				return calls(call("now", written))
			}
			return scripted.Reply{Text: "it is " + r.Last().Content}
		}))
		b := setup(t, agents.New(weather, agents.UseModel(m),
			agents.Tools(agents.Func("now", "The time", func(context.Context, struct{}) (string, error) { return "noon", nil }))))
		b.Start()
		if got, err := do[string](b, ref("weather", "w", "1"), "time?"); err != nil || got != "it is noon" {
			t.Errorf("arguments %q: answer %q, %v", written, got, err)
		}
	}
}

func TestCallsWithoutAnIDOfTheirOwnGetOne(t *testing.T) {
	body := `{"id":"x","object":"chat.completion","model":"old","choices":[{"index":0,"finish_reason":"tool_calls","message":{"role":"assistant","content":"",` +
		`"tool_calls":[{"id":"","type":"function","function":{"name":"get_weather","arguments":"{\"city\":\"Oslo\"}"}},` +
		`{"id":"","type":"function","function":{"name":"get_weather","arguments":"{\"city\":\"Rome\"}"}}]}}]}`
	m := agentstest.Model(t, scripted.Script{Rules: []scripted.Rule{
		{Request: 1, Reply: scripted.Reply{Body: body}},
		{Result: "get_weather", Reply: scripted.Reply{Text: "${result.city}"}},
	}})
	b := setup(t, agents.New(weather, agents.UseModel(m), agents.Tools(agents.Func("get_weather", "", getWeather))))
	b.Start()
	if got, err := do[string](b, ref("weather", "w", "1"), "both"); err != nil || got != "Rome" {
		t.Errorf("answer %q, %v; want that of the second call", got, err)
	}
}

func TestCancelEndsAModelCallAtOnce(t *testing.T) {
	m := agentstest.Model(t, scripted.Script{Rules: []scripted.Rule{{Reply: scripted.Reply{Hold: true}}}})
	b := setup(t, agents.New(weather, agents.UseModel(m)))
	b.Start()
	r := ref("weather", "w", "1")
	b.Task(r, "", payload(t, "think"))
	if err := m.Server.Wait(b.ctx, func(c scripted.Counts) bool { return c.InFlight == 1 }); err != nil {
		t.Fatal(err)
	}
	b.Cancel(r, "c1")
	rec, err := b.Result(b.ctx, r)
	if err != nil {
		t.Fatal(err)
	}
	if rec.GetStatus() != schemas.Status_CANCELLED {
		t.Errorf("status %s, error %v", rec.GetStatus(), rec.GetError())
	}
	if err := m.Server.Wait(b.ctx, func(c scripted.Counts) bool { return c.InFlight == 0 }); err != nil {
		t.Errorf("the request goes on: %v", err)
	}
	m.WantCalls(1)
}

func TestCancelEndsAToolCallAtOnceAndAsksNoMore(t *testing.T) {
	m := agentstest.Model(t, script(func(*scripted.Request) scripted.Reply { return calls(call("wait", `{}`), call("wait", `{}`)) }))
	begun := make(chan struct{}, 2)
	b := setup(t, agents.New(weather, agents.UseModel(m),
		agents.Tools(agents.Func("wait", "", func(ctx context.Context, _ struct{}) (string, error) {
			begun <- struct{}{}
			<-ctx.Done()
			return "", ctx.Err()
		}))))
	b.Start()
	r := ref("weather", "w", "1")
	b.Task(r, "", payload(t, "wait"))
	<-begun
	<-begun
	b.Cancel(r, "c1")
	rec, err := b.Result(b.ctx, r)
	if err != nil {
		t.Fatal(err)
	}
	if rec.GetStatus() != schemas.Status_CANCELLED {
		t.Errorf("status %s, error %v", rec.GetStatus(), rec.GetError())
	}
	m.WantCalls(1)
}

func TestInputIsAMessageOrAnObjectWithOne(t *testing.T) {
	type order struct {
		SKU   string `json:"sku"`
		Count int    `json:"count"`
	}
	echo := script(func(r *scripted.Request) scripted.Reply { return scripted.Reply{Text: r.User()} })
	m := agentstest.Model(t, echo)
	b := setup(t,
		agents.New(weather, agents.UseModel(m), agents.Memory(agents.NoMemory())),
		agents.New(durable.Declare[order, string]("order"), agents.UseModel(m)),
		agents.New(durable.Declare[json.RawMessage, string]("raw"), agents.UseModel(m)))
	b.Start()
	for i, c := range []struct {
		kind  string
		input string
		want  string // empty: ErrInvalid
	}{
		{"weather", `"hello"`, "hello"},
		{"weather", `{"message":"hello","session":"s"}`, "hello"},
		{"weather", `{"text":"hello"}`, ""},
		{"weather", `""`, ""},
		{"weather", `17`, ""},
		{"weather", `{"message":`, ""},
		{"weather", ``, ""},
		{"order", `{"sku":"a","count":2}`, `{"sku":"a","count":2}`},
		{"order", `{"sku":7}`, ""},
		{"raw", `"hello"`, "hello"},
		{"raw", `{"message":"hello"}`, "hello"},
	} {
		rec, err := b.Do(b.ctx, ref(c.kind, "k", fmt.Sprint(i)), "", &schemas.Payload{Data: []byte(c.input)})
		if err != nil {
			t.Fatal(err)
		}
		got, err := outcome[string](t, rec)
		if c.want == "" {
			if !errors.Is(err, durable.ErrInvalid) {
				t.Errorf("%s takes %q as %q, %v; want an error", c.kind, c.input, got, err)
			}
			continue
		}
		if err != nil || got != c.want {
			t.Errorf("%s makes %q of %q, %v; want %q", c.kind, got, c.input, err, c.want)
		}
	}
	m.WantCalls(5)
}
