package agents_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/perdure/perdure/agents"
	"github.com/perdure/perdure/agents/agentstest"
	"github.com/perdure/perdure/agents/models/scripted"
	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/durable/durabletest"
)

// TestApproval_OfASequentialTool: in whichever order people decide, the calls are made in
// that of the message.
func TestApproval_OfASequentialTool(t *testing.T) {
	m := agentstest.InMemory(t, results(call("refund", `{"order":"first","cents":9900}`), call("refund", `{"order":"second","cents":9900}`), call("refund", `{"order":"third","cents":1}`)))
	var b bank
	durabletest.CrashSweep(t, func(t *testing.T, w *durabletest.World) {
		b = bank{}
		run := start(t, w, "refund all")
		<-time.After(time.Hour)
		durabletest.Approve(w, run.Ref(), "3.1", durable.Decision{Approved: true})
		<-time.After(time.Hour)
		if got := b.orders(); len(got) > 0 {
			t.Errorf("paid %q before anybody decided about the first", got)
		}
		durabletest.Approve(w, run.Ref(), "2.1", durable.Decision{Approved: true})
		answer(t, run, "paid first\npaid second\npaid third")
		if got := slices.Compact(b.orders()); !slices.Equal(got, []string{"first", "second", "third"}) || len(b.paid) != 3 {
			t.Errorf("paid %q, by key %v", got, b.paid)
		}
	}, agents.New(weather, agents.UseModel(m), agents.Tools(agents.Func("refund", "", b.pay, agents.Sequential(), agents.NeedsApproval(over50)))))
}

// TestApproval_OfLongArguments asks people whatever the arguments are like as JSON.
func TestApproval_OfLongArguments(t *testing.T) {
	for name, order := range map[string]string{
		"long": strings.Repeat("x", 700_000), "HTML": strings.Repeat("<", 30_000), "long HTML": strings.Repeat("<é", 100_000),
		"control characters": strings.Repeat(`\u0001`, 100_000), "quotes": strings.Repeat(`\"`, 15_000),
	} {
		t.Run(name, func(t *testing.T) {
			m := agentstest.InMemory(t, results(call("refund", `{"cents":9900,"order":"`+order+`"}`)))
			var b bank
			after := agents.Hooks{AfterTool: func(context.Context, *agents.ToolOutcome) (agents.Verdict, error) {
				return agents.RequireApproval(strings.Repeat("<", 100_000)), nil
			}}
			durabletest.Play(t, func(t *testing.T, w *durabletest.World) {
				run := start(t, w, "refund")
				for _, asks := range []string{"refund", "result of refund"} {
					<-time.After(time.Hour)
					if got := durabletest.Questions(w, run.Ref()); !slices.Equal(got, []string{asks}) {
						t.Fatalf("it asks %q, want %q", got, asks)
					}
					durabletest.Approve(w, run.Ref(), asks, durable.Decision{Approved: true})
				}
				answer(t, run, "paid ")
			}, support(m, &b, []agents.Option{agents.Hook(after)}))
		})
	}
}

// TestPeople_Everything has approvals of a tool and of a hook, before and after a call, a
// question to the user, escalations, deadlines and a result that is cut in one run, which
// dies at each write.
func TestPeople_Everything(t *testing.T) {
	m := agentstest.InMemory(t, results(
		call("refund", `{"order":"a","cents":9900}`), call("refund", `{"order":"b","cents":9900}`),
		call("ask_user", `{"question":"which?","choices":["x","y"]}`), call("dump", `{}`)))
	var b bank
	dump := agents.Func("dump", "", func(context.Context, struct{}) (string, error) { return strings.Repeat("y", 500), nil })
	kind := support(m, &b, []agents.Option{
		agents.MaxToolResult(100), agents.Tools(agents.AskUser(), dump),
		agents.OnQuestion(func(context.Context, agents.Pending) error { return nil }),
		agents.Hook(agents.Hooks{
			BeforeTool: func(_ context.Context, u *agents.ToolUse) (agents.Verdict, error) {
				if strings.Contains(string(u.Arguments), `"b"`) {
					return agents.RequireApproval("it is b", agents.AskTo("x"), agents.EscalateTo(time.Minute, "y")), nil
				}
				return agents.Proceed(), nil
			},
			AfterTool: func(_ context.Context, o *agents.ToolOutcome) (agents.Verdict, error) {
				if o.Tool == "dump" {
					return agents.RequireApproval("it is long"), nil
				}
				return agents.Proceed(), nil
			},
			AfterRun: func(context.Context, *agents.RunEnd) (agents.Verdict, error) {
				return agents.RequireApproval("read it", agents.Within(time.Hour, agents.ThenApprove)), nil
			},
		}),
	}, agents.EscalateTo(time.Minute, "m"), agents.Within(20*time.Hour, agents.ThenDeny))
	durabletest.CrashSweep(t, func(t *testing.T, w *durabletest.World) {
		b = bank{}
		run := start(t, w, "go")
		<-time.After(time.Hour)
		if asks := durabletest.Questions(w, run.Ref()); len(asks) != 4 {
			t.Errorf("it asks %q", asks)
		}
		durabletest.Approve(w, run.Ref(), "result of dump", durable.Decision{Approved: true})
		durabletest.Answer(w, run.Ref(), "ask_user", durable.Answer[any]{Value: "x"})
		durabletest.Approve(w, run.Ref(), "3.2", durable.Decision{Approved: true})
		got, err := run.Result()
		lines := strings.Split(got, "\n")
		if err != nil || !strings.Contains(lines[0], "within 20h") || lines[1] != "paid b" || !strings.Contains(lines[2], `"x"`) || !strings.HasPrefix(lines[3], "yyy") {
			t.Errorf("the answer is %q, %v", got, err)
		}
		if len(b.paid) != 1 {
			t.Errorf("paid, by key, %v", b.paid)
		}
	}, kind)
}

// TestPeople_EverythingIsInterrupted by the next message, through crashes.
func TestPeople_EverythingIsInterrupted(t *testing.T) {
	m := agentstest.InMemory(t, script(func(r *scripted.Request) scripted.Reply {
		if r.User() == "go" && r.Rounds() == 0 {
			return calls(call("refund", `{"order":"a","cents":9900}`), call("ask_user", `{"question":"which?"}`))
		}
		return scripted.Reply{Text: fmt.Sprint(len(r.Messages), " ", r.User())}
	}))
	var b bank
	kind := support(m, &b, []agents.Option{
		agents.Busy(durable.Interrupt), agents.Tools(agents.AskUser()),
		agents.OnQuestion(func(context.Context, agents.Pending) error { return nil }),
		agents.Hook(agents.Hooks{
			AfterTool: func(context.Context, *agents.ToolOutcome) (agents.Verdict, error) { return agents.Proceed(), nil },
			AfterRun:  func(context.Context, *agents.RunEnd) (agents.Verdict, error) { return agents.Proceed(), nil },
		}),
	}, agents.EscalateTo(time.Minute, "m"), agents.Within(20*time.Hour, agents.ThenDeny))
	durabletest.CrashSweep(t, func(t *testing.T, w *durabletest.World) {
		first := start(t, w, "go")
		<-time.After(time.Hour)
		second := start(t, w, "never mind")
		_, err := first.Result()
		wantCode(t, "first", err, durable.ErrCancelled.Code)
		if asks := durabletest.Questions(w, first.Ref()); len(asks) > 0 {
			t.Errorf("it still asks %q", asks)
		}
		answer(t, second, "1 never mind")
	}, kind)
}
