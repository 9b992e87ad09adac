package agents_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/perdure/perdure/actors"
	"github.com/perdure/perdure/agents"
	"github.com/perdure/perdure/agents/agentstest"
	"github.com/perdure/perdure/agents/models/scripted"
	"github.com/perdure/perdure/durable"
)

// remembering runs four questions to one identity, the third of which fails,
// and one to another, and returns the conversation that each request shows, as
// roles and contents.
func remembering(t *testing.T, policies ...agents.MemoryPolicy) [][]string {
	t.Helper()
	var shown [][]string
	m := agentstest.Model(t, script(func(r *scripted.Request) scripted.Reply {
		if r.Rounds() == 0 && r.User() == "q2" {
			return calls(call("get_weather", `{"city":"Oslo"}`))
		}
		var messages []string
		for _, m := range r.Messages {
			var text strings.Builder
			text.WriteString(m.Role + " " + m.Content)
			for _, c := range m.Calls {
				text.WriteString(c.Name)
			}
			messages = append(messages, text.String())
		}
		shown = append(shown, messages)
		if r.User() == "q3" {
			return scripted.Reply{Status: 400}
		}
		return scripted.Reply{Text: "a" + r.User()[1:]}
	}))
	b := setup(t, agents.New(weather, agents.Instructions("be brief"), agents.UseModel(m), agents.Memory(policies...),
		agents.Tools(agents.Func("get_weather", "", getWeather))))
	b.Start()
	for i := 1; i <= 4; i++ {
		if _, err := do[string](b, ref("weather", "a", fmt.Sprint(i)), fmt.Sprintf("q%d", i)); (err != nil) != (i == 3) {
			t.Fatalf("run %d: %v", i, err)
		}
		b.Start() // the next run is another process's
	}
	if _, err := do[string](b, ref("weather", "b", "1"), "q9"); err != nil {
		t.Fatal(err)
	}
	return shown
}

func TestMemoryIsTheConversationOfTheSameIdentity(t *testing.T) {
	tool := `tool {"city":"Oslo","celsius":9,"sky":"rain"}`
	for name, c := range map[string]struct {
		policies []agents.MemoryPolicy
		fourth   []string // what the fourth run shows before its own question
	}{
		"all, by default": {nil, []string{"user q1", "assistant a1", "user q2", "assistant a2"}},
		"none":            {[]agents.MemoryPolicy{agents.NoMemory()}, nil},
		"the last turn":   {[]agents.MemoryPolicy{agents.KeepTurns(1)}, []string{"user q2", "assistant a2"}},
		"more than there are": {
			[]agents.MemoryPolicy{agents.KeepTurns(9)},
			[]string{"user q1", "assistant a1", "user q2", "assistant a2"},
		},
		"tool calls, the last turn": {
			[]agents.MemoryPolicy{agents.KeepToolCalls(), agents.KeepTurns(1)},
			[]string{"user q2", "assistant get_weather", tool, "assistant a2"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			shown := remembering(t, c.policies...)
			if diff := cmp.Diff([]string{"system be brief", "user q1"}, shown[0]); diff != "" {
				t.Error("first run (-want +got):", diff)
			}
			want := append(append([]string{"system be brief"}, c.fourth...), "user q4")
			if diff := cmp.Diff(want, shown[3]); diff != "" {
				t.Error("fourth run (-want +got):", diff)
			}
			if diff := cmp.Diff([]string{"system be brief", "user q9"}, shown[4]); diff != "" {
				t.Error("another identity (-want +got):", diff)
			}
		})
	}
}

func TestMemoryLeavesOutWhatWasMended(t *testing.T) {
	var last []scripted.Message
	m := agentstest.Model(t, script(func(r *scripted.Request) scripted.Reply {
		if last = r.Messages; r.Number == 1 {
			return scripted.Reply{Text: ""}
		}
		return scripted.Reply{Text: "fine"}
	}))
	b := setup(t, agents.New(weather, agents.UseModel(m), agents.Memory(agents.KeepToolCalls())))
	b.Start()
	for i := range 2 {
		if _, err := do[string](b, ref("weather", "a", fmt.Sprint(i)), "hello"); err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	for _, m := range last {
		got = append(got, m.Role+" "+m.Content)
	}
	if diff := cmp.Diff([]string{"user hello", "assistant fine", "user hello"}, got); diff != "" {
		t.Error("the second run shows (-want +got):", diff)
	}
}

func TestMemoryOfAnotherBuildEndsTheRunAndIsKept(t *testing.T) {
	m := agentstest.Model(t, scripted.Weather())
	b := setup(t, actors.New(actors.Handlers[[]int]{
		actors.On(weather, func(_ durable.Context, s *[]int, _ string) (string, error) {
			*s = append(*s, 1)
			return fmt.Sprint(*s), nil
		}),
	}))
	was := b.Start()
	if _, err := do[string](b, ref("weather", "a", "1"), "hello"); err != nil {
		t.Fatal(err)
	}
	was.Kill()
	b.Deploy(agents.New(weather, agents.UseModel(m)))
	b.Start()
	_, err := do[string](b, ref("weather", "a", "2"), "hello")
	wantErr(t, err, durable.ErrInvalid, "the memory of weather/a cannot be read")
	m.WantCalls(0)
	if v, _, err := b.States.Get(b.ctx, ref("weather", "a", "2").Identity); err != nil || string(v.GetValue().GetData()) != "[1]" {
		t.Errorf("the state is now %s, %v", v.GetValue().GetData(), err)
	}
}
