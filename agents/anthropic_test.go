package agents_test

import (
	"context"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/perdure/perdure/agents"
	"github.com/perdure/perdure/agents/models/anthropic"
	"github.com/perdure/perdure/agents/models/scripted"
	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/runtime"
)

// anthropicModel is a model behind the Messages API that thinks; the server checks
// that what it thought comes back as it was, and behind what it was about.
func anthropicModel(t *testing.T, fn func(*scripted.Request) scripted.Reply) (*anthropic.Model, *scripted.Server) {
	t.Helper()
	v, err := scripted.New(script(fn))
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(v)
	t.Cleanup(srv.Close)
	return anthropic.New("claude", anthropic.BaseURL(srv.URL), anthropic.APIKey("k"), anthropic.Thinking()), v
}

// TestAnthropicModelRemembersAcrossRuns has runs of one identity, each with a call
// of a tool, of which the memory keeps question and answer.
func TestAnthropicModelRemembersAcrossRuns(t *testing.T) {
	var shown []string
	m, server := anthropicModel(t, func(r *scripted.Request) scripted.Reply {
		var thoughts []string
		for _, m := range r.Messages {
			if m.Thinking != "" {
				thoughts = append(thoughts, m.Thinking)
			}
		}
		shown = append(shown, strings.Join(thoughts, ","))
		if r.Rounds() == 0 {
			return scripted.Reply{Thinking: "look " + r.User(), Calls: []scripted.Call{call("get_weather", `{"city":"Oslo"}`)}}
		}
		return scripted.Reply{Thinking: "answer " + r.User(), Text: "Rain."}
	})
	kind := agents.New(weather, agents.Instructions("be brief"), agents.UseModel(m, agents.Retry(1, time.Millisecond)), agents.Tools(agents.Func("get_weather", "", getWeather)))
	b := setup(t, kind)
	b.Start()
	for _, id := range []string{"1", "2", "3"} {
		if got, err := do[string](b, ref("weather", "w", id), "q"+id); err != nil || got != "Rain." {
			t.Fatalf("run %s: %q, %v", id, got, err)
		}
	}
	// The answer was thought about with the call in front of it, which the memory
	// has not.
	want := []string{"", "look q1", "", "look q2", "", "look q3"}
	if strings.Join(shown, ";") != strings.Join(want, ";") {
		t.Errorf("thoughts by request %q, want %q", shown, want)
	}
	if c := server.Counts(); c.Calls != 6 || c.Repeated != 0 || len(c.Keys) != 6 {
		t.Errorf("counts %+v", c)
	}
}

// TestAnthropicModelGoesOnAfterADeploy kills a process in a call of a tool and
// deploys other instructions under the run.
func TestAnthropicModelGoesOnAfterADeploy(t *testing.T) {
	m, server := anthropicModel(t, func(r *scripted.Request) scripted.Reply {
		if r.Rounds() < 3 {
			return scripted.Reply{Thinking: "look again", Calls: []scripted.Call{call("get_weather", `{"city":"Oslo"}`)}}
		}
		var thoughts int
		for _, m := range r.Messages {
			if m.Thinking != "" {
				thoughts++
			}
		}
		return scripted.Reply{Text: fmt.Sprint(r.Messages[0].Content, ": ", thoughts, " thoughts")}
	})
	reached := make(chan struct{})
	n := 0
	dies := agents.Func("get_weather", "", func(ctx context.Context, in place) (report, error) {
		if n++; n == 2 {
			close(reached)
			<-ctx.Done() // its process is killed
			return report{}, ctx.Err()
		}
		return getWeather(ctx, in)
	})
	build := func(instructions string, tool agents.Tool) *runtime.Kind {
		return agents.New(weather, agents.Instructions(instructions), agents.UseModel(m, agents.Retry(1, time.Millisecond)), agents.Tools(tool))
	}
	b := setup(t, build("one", dies))
	p := b.Start()
	r := ref("weather", "w", "1")
	b.Task(r, "", payload(t, "Oslo?"))
	<-reached
	p.Kill()
	b.Deploy(build("two", agents.Func("get_weather", "", getWeather)))
	b.Start()
	rec, err := b.Result(b.ctx, r)
	if err != nil {
		t.Fatal(err)
	}
	// Of three thoughts the last alone is about the new instructions.
	if got, err := outcome[string](t, rec); err != nil || got != "two: 1 thoughts" {
		t.Errorf("answer %q, %v", got, err)
	}
	if c := server.Counts(); c.Calls != 4 || c.Repeated != 0 {
		t.Errorf("counts %+v", c)
	}
}

// TestAnthropicModelIsAskedAgainWhenItIsTimely has every failure that may pass.
func TestAnthropicModelIsAskedAgainWhenItIsTimely(t *testing.T) {
	const wait = 300 * time.Millisecond
	var at []time.Time
	m, server := anthropicModel(t, func(r *scripted.Request) scripted.Reply {
		at = append(at, time.Now())
		switch r.Number {
		case 1:
			return scripted.Reply{Status: 429, RetryAfter: scripted.Duration(wait)}
		case 2:
			return scripted.Reply{Status: 529}
		case 3:
			return scripted.Reply{Cut: true, Text: "half of this"}
		}
		return scripted.Reply{Text: "thank you"}
	})
	b := setup(t, agents.New(weather, agents.UseModel(m, agents.Retry(4, time.Millisecond))))
	b.Start()
	if got, err := do[string](b, ref("weather", "w", "1"), "hello"); err != nil || got != "thank you" {
		t.Fatalf("%q, %v", got, err)
	}
	if at[1].Sub(at[0]) < wait {
		t.Errorf("the second request came %s after the first, which was asked for %s", at[1].Sub(at[0]), wait)
	}
	if c := server.Counts(); c.Calls != 1 || c.Repeated != 3 {
		t.Errorf("counts %+v: all attempts have one key", c)
	}
}

// TestAnthropicModelAnswersInAGoType: a schema that the API enforces, and one that
// it does not.
func TestAnthropicModelAnswersInAGoType(t *testing.T) {
	m, _ := anthropicModel(t, func(r *scripted.Request) scripted.Reply {
		if r.Schema != nil {
			return scripted.Reply{Text: `{"city":"Oslo","celsius":9,"sky":"rain"}`}
		}
		return scripted.Reply{Text: "```json\n{\"Oslo\":9}\n```"}
	})
	enforced := declared[report](t, m)
	if want := (report{"Oslo", 9, "rain"}); enforced != want {
		t.Errorf("answer %+v, want %+v", enforced, want)
	}
	if told := declared[map[string]int](t, m); told["Oslo"] != 9 {
		t.Errorf("answer %v", told)
	}
}

// declared returns the answer of an agent of Out.
func declared[Out any](t *testing.T, m agents.Model) Out {
	t.Helper()
	b := setup(t, agents.New(durable.Declare[string, Out]("typed"), agents.UseModel(m, agents.Retry(1, time.Millisecond))))
	b.Start()
	out, err := do[Out](b, ref("typed", "w", "1"), "hello")
	if err != nil {
		t.Fatal(err)
	}
	return out
}
