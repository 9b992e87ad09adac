package agents_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/perdure/perdure/agents"
	"github.com/perdure/perdure/agents/agentstest"
	"github.com/perdure/perdure/agents/models/scripted"
	"github.com/perdure/perdure/durable/durabletest"
)

// TestHandOff_ThatAHookSkips is none, whatever the hook gives in its place.
func TestHandOff_ThatAHookSkips(t *testing.T) {
	for name, hooks := range map[string]agents.Hooks{
		"before, with nothing": {BeforeTool: func(_ context.Context, u *agents.ToolUse) (agents.Verdict, error) {
			if u.Tool == "get_weather" {
				return agents.Proceed(), nil
			}
			return agents.Skip(nil), nil
		}},
		"before, with an object": {BeforeTool: func(_ context.Context, u *agents.ToolUse) (agents.Verdict, error) {
			return agents.Skip(map[string]string{"note": "not now"}), nil
		}},
		"after": {AfterTool: func(_ context.Context, o *agents.ToolOutcome) (agents.Verdict, error) {
			return agents.Skip(map[string]string{"note": "not now"}), nil
		}},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t, agents.Hook(hooks))
			b := setup(t, d.kinds...)
			b.Start()
			got, err := do[string](b, ref("triage", "ann", "1"), "I want my money back")
			if err != nil {
				t.Fatal(err)
			}
			contains(t, got, "told: ")
			d.billing.WantCalls(0)
		})
	}
}

// TestHandOff_ForALongReason is one, however little of a tool's result a model is given.
func TestHandOff_ForALongReason(t *testing.T) {
	d := newDesk(t, agents.MaxToolResult(8))
	b := setup(t, d.kinds...)
	b.Start()
	got, err := do[string](b, ref("triage", "ann", "1"), "I want my money back")
	if err != nil || got != "refunded" {
		t.Errorf("the answer is %q, %v", got, err)
	}
}

// TestHooks_ThatClearTheArguments: what people decide about is what is called.
func TestHooks_ThatClearTheArguments(t *testing.T) {
	m := agentstest.InMemory(t, results(call("wipe", `{"table":"orders"}`)))
	var got atomic.Value
	wipe := agents.Raw(agents.ToolSpec{Name: "wipe", Parameters: json.RawMessage(`{"type":"object"}`)}, func(_ context.Context, a json.RawMessage) (json.RawMessage, error) {
		got.Store(string(a))
		return json.RawMessage(`"done"`), nil
	}, agents.NeedsApproval(func(a json.RawMessage) bool { return strings.Contains(string(a), "orders") }))
	durabletest.Play(t, func(t *testing.T, w *durabletest.World) {
		answer(t, start(t, w, "go"), "done")
		if a, _ := got.Load().(string); strings.Contains(a, "orders") {
			t.Errorf("called with %s", a)
		}
	}, agents.New(weather, agents.UseModel(m), agents.Tools(wipe), agents.Hook(agents.Hooks{
		BeforeTool: func(_ context.Context, u *agents.ToolUse) (agents.Verdict, error) {
			u.Arguments = nil
			return agents.Proceed(), nil
		},
	})))
}

// TestRunEnds_WhileAnotherCallWaits: what ends the run ends it, though people have not yet
// decided about the call before.
func TestRunEnds_WhileAnotherCallWaits(t *testing.T) {
	m := agentstest.InMemory(t, results(call("refund", `{"order":"o-1","cents":9900}`), call("drop", `{}`)))
	drop := func(opts ...agents.ToolOption) agents.Tool {
		return agents.Func("drop", "", func(context.Context, struct{}) (string, error) { return "dropped", nil }, opts...)
	}
	for name, c := range map[string]struct {
		opts []agents.Option
		code string
	}{
		"a hook stops it": {[]agents.Option{agents.Tools(drop()), agents.Hook(agents.Hooks{
			BeforeTool: func(_ context.Context, u *agents.ToolUse) (agents.Verdict, error) {
				if u.Tool == "drop" {
					return agents.Stop("never"), nil
				}
				return agents.Proceed(), nil
			},
		})}, agents.ErrDenied.Code},
		"nobody decided": {[]agents.Option{agents.Tools(drop(agents.NeedsApproval(agents.Always, agents.Within(time.Hour, agents.ThenFail))))}, agents.ErrNotApproved.Code},
	} {
		t.Run(name, func(t *testing.T) {
			var b bank
			durabletest.CrashSweep(t, func(t *testing.T, w *durabletest.World) {
				_, err := start(t, w, "refund").Result()
				wantCode(t, "run", err, c.code)
			}, support(m, &b, c.opts))
		})
	}
}

// TestSkip_WithALongResult gives the model no more of it than of a tool's.
func TestSkip_WithALongResult(t *testing.T) {
	long := strings.Repeat("x", 10_000)
	for name, hooks := range map[string]agents.Hooks{
		"before": {BeforeTool: func(context.Context, *agents.ToolUse) (agents.Verdict, error) { return agents.Skip(long), nil }},
		"after":  {AfterTool: func(context.Context, *agents.ToolOutcome) (agents.Verdict, error) { return agents.Skip(long), nil }},
	} {
		t.Run(name, func(t *testing.T) {
			m := agentstest.InMemory(t, results(call("refund", `{"order":"o-1","cents":1}`)))
			var b bank
			durabletest.Play(t, func(t *testing.T, w *durabletest.World) {
				got, err := start(t, w, "refund").Result()
				if err != nil || len(got) > 1000 {
					t.Errorf("%d bytes, %v", len(got), err)
				}
			}, support(m, &b, []agents.Option{agents.MaxToolResult(100), agents.Hook(hooks)}))
		})
	}
}

// TestReadResult_BesideACallWhoseResultIsCut reads in one result while others come.
func TestReadResult_BesideACallWhoseResultIsCut(t *testing.T) {
	var reader string
	m := agentstest.InMemory(t, script(func(r *scripted.Request) scripted.Reply {
		switch r.Rounds() {
		case 0:
			return calls(call("dump", `{}`))
		case 1, 2, 3, 4, 5:
			_, rest, _ := strings.Cut(r.Results()[0].Content, `the result is "`)
			reader, _, _ = strings.Cut(rest, `"`)
			var cs []scripted.Call
			for range 20 {
				cs = append(cs, call("dump", `{}`), call("read_result", fmt.Sprintf(`{"result":%q,"length":5}`, reader)))
			}
			return calls(cs...)
		}
		return scripted.Reply{Text: "done"}
	}))
	dump := agents.Func("dump", "", func(context.Context, struct{}) (string, error) { return strings.Repeat("y", 5000), nil })
	durabletest.Play(t, func(t *testing.T, w *durabletest.World) {
		answer(t, start(t, w, "go"), "done")
	}, agents.New(weather, agents.UseModel(m), agents.Tools(dump), agents.MaxToolResult(100)))
}

// TestHooks_BehindAModelCallUnderABudget: the model is not asked again, where a hook
// behind it fails.
func TestHooks_BehindAModelCallUnderABudget(t *testing.T) {
	m := agentstest.Model(t, script(func(*scripted.Request) scripted.Reply { return scripted.Reply{Text: "done"} }))
	var n atomic.Int32
	b := setup(t, agents.New(weather, agents.UseModel(m), agents.Budget(agents.PerRun(), agents.Allowance{Tokens: 1_000_000}), agents.Hook(agents.Hooks{
		AfterModel: func(context.Context, *agents.ModelAnswer) (agents.Verdict, error) {
			if n.Add(1) == 1 {
				return agents.Proceed(), errors.New("the log is full")
			}
			return agents.Proceed(), nil
		},
	})))
	b.Start()
	got, err := do[string](b, ref("weather", "w", "1"), "go")
	if err != nil || got != "done" {
		t.Errorf("the answer is %q, %v", got, err)
	}
	m.WantCalls(1)
}
