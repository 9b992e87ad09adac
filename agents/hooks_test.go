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
	"github.com/perdure/perdure/agents/models/scripted"
	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/durable/durabletest"
)

// hookRun makes one run of an agent with hooks, and what is to happen to it meanwhile.
func hookRun(t *testing.T, m *agentstest.Scripted, b *bank, meanwhile func(w *durabletest.World, run string), hooks ...agents.Hooks) (got string, err error) {
	t.Helper()
	durabletest.Play(t, func(t *testing.T, w *durabletest.World) {
		run := start(t, w, "refund o-1")
		if meanwhile != nil {
			meanwhile(w, run.Ref())
		}
		got, err = run.Result()
	}, agents.New(weather, agents.UseModel(m), agents.Hook(hooks...), agents.Tools(agents.Func("refund", "", b.pay))))
	return got, err
}

func refunds() scripted.Script { return results(call("refund", `{"order":"o-1","cents":1}`)) }

func TestHooks_BeforeTool(t *testing.T) {
	approve := func(d durable.Decision) func(*durabletest.World, string) {
		return func(w *durabletest.World, run string) {
			<-time.After(time.Hour)
			durabletest.Approve(w, run, "refund", d)
		}
	}
	for name, c := range map[string]struct {
		hook      func(context.Context, *agents.ToolUse) (agents.Verdict, error)
		meanwhile func(*durabletest.World, string)
		want      string
		code      string
		paid      []string
	}{
		"proceeds": {func(context.Context, *agents.ToolUse) (agents.Verdict, error) { return agents.Proceed(), nil }, nil, "paid o-1", "", []string{"o-1"}},
		"changes": {func(_ context.Context, u *agents.ToolUse) (agents.Verdict, error) {
			u.Arguments = json.RawMessage(`{"order":"o-2","cents":2}`)
			return agents.Proceed(), nil
		}, nil, "paid o-2", "", []string{"o-2"}},
		"skips": {func(context.Context, *agents.ToolUse) (agents.Verdict, error) {
			return agents.Skip("paid already"), nil
		}, nil, "paid already", "", nil},
		"denies": {func(context.Context, *agents.ToolUse) (agents.Verdict, error) {
			return agents.Deny("not on Fridays"), nil
		}, nil, "not on Fridays", "", nil},
		"stops": {func(context.Context, *agents.ToolUse) (agents.Verdict, error) {
			return agents.Stop("not on Fridays"), nil
		}, nil, "", agents.ErrDenied.Code, nil},
		"fails": {func(context.Context, *agents.ToolUse) (agents.Verdict, error) {
			return agents.Proceed(), durable.Fail("no_policy", "the policy cannot be read")
		}, nil, "", "no_policy", nil},
		"asks, and is approved": {func(context.Context, *agents.ToolUse) (agents.Verdict, error) {
			return agents.RequireApproval("it is Friday"), nil
		}, approve(durable.Decision{Approved: true}), "paid o-1", "", []string{"o-1"}},
		"asks, and is denied": {func(context.Context, *agents.ToolUse) (agents.Verdict, error) {
			return agents.RequireApproval("it is Friday"), nil
		}, approve(durable.Decision{By: "anna"}), "anna denied it", "", nil},
	} {
		t.Run(name, func(t *testing.T) {
			m := agentstest.InMemory(t, refunds())
			var b bank
			got, err := hookRun(t, m, &b, c.meanwhile, agents.Hooks{BeforeTool: c.hook})
			if c.code == "" && err != nil || c.code != "" && !durable.IsCode(err, c.code) {
				t.Fatalf("the answer is %q, %v", got, err)
			}
			contains(t, got, c.want)
			if paid := b.orders(); !slices.Equal(paid, c.paid) {
				t.Errorf("paid %q, want %q", paid, c.paid)
			}
		})
	}
}

func TestHooks_AfterTool(t *testing.T) {
	for name, c := range map[string]struct {
		hook       func(context.Context, *agents.ToolOutcome) (agents.Verdict, error)
		want, code string
	}{
		"changes": {func(_ context.Context, o *agents.ToolOutcome) (agents.Verdict, error) {
			o.Result = json.RawMessage(`"[redacted]"`)
			return agents.Proceed(), nil
		}, "[redacted]", ""},
		"makes an error of it": {func(_ context.Context, o *agents.ToolOutcome) (agents.Verdict, error) {
			o.Err = durable.Fail("too_much", "%s of %s", o.Result, o.Tool)
			return agents.Proceed(), nil
		}, `"too_much"`, ""},
		"denies": {func(context.Context, *agents.ToolOutcome) (agents.Verdict, error) { return agents.Deny("secret"), nil }, "secret", ""},
		"stops":  {func(context.Context, *agents.ToolOutcome) (agents.Verdict, error) { return agents.Stop("secret"), nil }, "", agents.ErrDenied.Code},
		"skips":  {func(context.Context, *agents.ToolOutcome) (agents.Verdict, error) { return agents.Skip("done"), nil }, "done", ""},
	} {
		t.Run(name, func(t *testing.T) {
			m := agentstest.InMemory(t, refunds())
			var b bank
			got, err := hookRun(t, m, &b, nil, agents.Hooks{AfterTool: c.hook})
			if c.code == "" && err != nil || c.code != "" && !durable.IsCode(err, c.code) {
				t.Fatalf("the answer is %q, %v", got, err)
			}
			if contains(t, got, c.want); c.want != "" && strings.Contains(got, "paid o-1") && c.want != `"too_much"` {
				t.Errorf("the model was told %q", got)
			}
			if len(b.orders()) != 1 {
				t.Errorf("paid %q", b.orders())
			}
		})
	}
}

func TestHooks_Model(t *testing.T) {
	proceed := func(context.Context, *agents.ModelCall) (agents.Verdict, error) { return agents.Proceed(), nil }
	for name, c := range map[string]struct {
		hooks      agents.Hooks
		meanwhile  func(*durabletest.World, string)
		want, code string
		calls      int
	}{
		"before: changes": {agents.Hooks{BeforeModel: func(_ context.Context, m *agents.ModelCall) (agents.Verdict, error) {
			m.Request.Messages[0].Content = "nothing"
			return agents.Proceed(), nil
		}}, nil, "you said nothing", "", 1},
		"before: skips": {agents.Hooks{BeforeModel: func(context.Context, *agents.ModelCall) (agents.Verdict, error) {
			return agents.Skip("from a cache"), nil
		}}, nil, "from a cache", "", 0},
		"before: denies": {agents.Hooks{BeforeModel: func(context.Context, *agents.ModelCall) (agents.Verdict, error) { return agents.Deny("no more"), nil }}, nil, "", agents.ErrDenied.Code, 0},
		"before: asks, and is approved": {agents.Hooks{BeforeModel: func(_ context.Context, m *agents.ModelCall) (agents.Verdict, error) {
			if m.Approved {
				return agents.Proceed(), nil
			}
			return agents.RequireApproval("it is dear"), nil
		}}, decideLater("model call", durable.Decision{Approved: true}), "you said refund o-1", "", 1},
		"before: asks, and is denied": {agents.Hooks{BeforeModel: func(context.Context, *agents.ModelCall) (agents.Verdict, error) {
			return agents.RequireApproval("it is dear"), nil
		}}, decideLater("model call", durable.Decision{}), "", agents.ErrNotApproved.Code, 0},
		"after: changes": {agents.Hooks{BeforeModel: proceed, AfterModel: func(_ context.Context, a *agents.ModelAnswer) (agents.Verdict, error) {
			a.Response.Message.Content = strings.ToUpper(a.Response.Message.Content)
			return agents.Proceed(), nil
		}}, nil, "YOU SAID REFUND O-1", "", 1},
		"after: skips":  {agents.Hooks{AfterModel: func(context.Context, *agents.ModelAnswer) (agents.Verdict, error) { return agents.Skip("other"), nil }}, nil, "other", "", 1},
		"after: denies": {agents.Hooks{AfterModel: func(context.Context, *agents.ModelAnswer) (agents.Verdict, error) { return agents.Deny("rude"), nil }}, nil, "", agents.ErrDenied.Code, 1},
		"after: asks": {agents.Hooks{AfterModel: func(context.Context, *agents.ModelAnswer) (agents.Verdict, error) {
			return agents.RequireApproval("look at it"), nil
		}}, decideLater("model answer", durable.Decision{Approved: true}), "you said refund o-1", "", 1},
	} {
		t.Run(name, func(t *testing.T) {
			m := agentstest.InMemory(t, script(func(r *scripted.Request) scripted.Reply { return scripted.Reply{Text: "you said " + r.User()} }))
			var b bank
			got, err := hookRun(t, m, &b, c.meanwhile, c.hooks)
			if c.code == "" && err != nil || c.code != "" && !durable.IsCode(err, c.code) {
				t.Fatalf("the answer is %q, %v", got, err)
			}
			contains(t, got, c.want)
			m.WantCalls(c.calls)
		})
	}
}

func decideLater(name string, d durable.Decision) func(*durabletest.World, string) {
	return func(w *durabletest.World, run string) {
		<-time.After(time.Hour)
		durabletest.Approve(w, run, name, d)
	}
}

func TestHooks_Run(t *testing.T) {
	for name, c := range map[string]struct {
		hooks      agents.Hooks
		meanwhile  func(*durabletest.World, string)
		want, code string
		calls      int
	}{
		"before: changes": {agents.Hooks{BeforeRun: func(_ context.Context, r *agents.RunStart) (agents.Verdict, error) {
			r.Message.Content += ", please"
			return agents.Proceed(), nil
		}}, nil, "you said refund o-1, please", "", 1},
		"before: skips":  {agents.Hooks{BeforeRun: func(context.Context, *agents.RunStart) (agents.Verdict, error) { return agents.Skip("closed"), nil }}, nil, "closed", "", 0},
		"before: denies": {agents.Hooks{BeforeRun: func(context.Context, *agents.RunStart) (agents.Verdict, error) { return agents.Deny("closed"), nil }}, nil, "", agents.ErrDenied.Code, 0},
		"before: asks": {agents.Hooks{BeforeRun: func(context.Context, *agents.RunStart) (agents.Verdict, error) {
			return agents.RequireApproval("new here"), nil
		}}, decideLater("run", durable.Decision{Approved: true}), "you said refund o-1", "", 1},
		"after: changes": {agents.Hooks{AfterRun: func(_ context.Context, r *agents.RunEnd) (agents.Verdict, error) {
			r.Answer = json.RawMessage(`"[` + r.Message.Content + `]"`)
			return agents.Proceed(), nil
		}}, nil, "[refund o-1]", "", 1},
		"after: denies": {agents.Hooks{AfterRun: func(context.Context, *agents.RunEnd) (agents.Verdict, error) { return agents.Deny("rude"), nil }}, nil, "", agents.ErrDenied.Code, 1},
		"after: asks, and is denied": {agents.Hooks{AfterRun: func(context.Context, *agents.RunEnd) (agents.Verdict, error) {
			return agents.RequireApproval("read it"), nil
		}}, decideLater("answer", durable.Decision{By: "anna"}), "", agents.ErrNotApproved.Code, 1},
	} {
		t.Run(name, func(t *testing.T) {
			m := agentstest.InMemory(t, script(func(r *scripted.Request) scripted.Reply { return scripted.Reply{Text: "you said " + r.User()} }))
			var b bank
			got, err := hookRun(t, m, &b, c.meanwhile, c.hooks)
			if c.code == "" && err != nil || c.code != "" && !durable.IsCode(err, c.code) {
				t.Fatalf("the answer is %q, %v", got, err)
			}
			contains(t, got, c.want)
			m.WantCalls(c.calls)
		})
	}
}

// TestHooks_AfterRunHearsOfAFailure has a run fail, of which the hook is told and which
// it does not mend.
func TestHooks_AfterRunHearsOfAFailure(t *testing.T) {
	m := agentstest.InMemory(t, refunds())
	var b bank
	var heard error
	_, err := hookRun(t, m, &b, nil, agents.Hooks{
		BeforeTool: func(context.Context, *agents.ToolUse) (agents.Verdict, error) { return agents.Stop("enough"), nil },
		AfterRun: func(_ context.Context, r *agents.RunEnd) (agents.Verdict, error) {
			heard = r.Err
			return agents.Skip("all is well"), nil
		},
	})
	if !errors.Is(err, agents.ErrDenied) || !errors.Is(heard, agents.ErrDenied) {
		t.Errorf("the run failed with %v, the hook heard %v", err, heard)
	}
}

// TestHooks_SeveralGoInOrder has three hooks: each sees what the one before changed, and
// the strictest has the last word.
func TestHooks_SeveralGoInOrder(t *testing.T) {
	m := agentstest.InMemory(t, refunds())
	var b bank
	var seen []string
	hook := func(name string, v agents.Verdict) agents.Hooks {
		return agents.Hooks{BeforeTool: func(_ context.Context, u *agents.ToolUse) (agents.Verdict, error) {
			seen = append(seen, name+" "+string(u.Arguments))
			u.Arguments = json.RawMessage(fmt.Sprintf(`{"order":%q,"cents":1}`, name))
			return v, nil
		}}
	}
	got, err := hookRun(t, m, &b, nil, hook("one", agents.RequireApproval("ask")), hook("two", agents.Deny("no")), hook("three", agents.Proceed()))
	if err != nil {
		t.Fatal(err)
	}
	contains(t, got, "no")
	if want := []string{`one {"order":"o-1","cents":1}`, `two {"order":"one","cents":1}`}; !slices.Equal(seen, want) {
		t.Errorf("the hooks saw %q, want %q", seen, want)
	}
}

// effects counts what hooks did, by their keys.
type effects struct {
	mu   sync.Mutex
	keys map[string]int
}

func (e *effects) note(ctx context.Context, what string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.keys[what+" "+durable.IdempotencyKey(ctx)]++
}

// TestCrashSweepOfPeopleAndHooks kills the process before and after each write of a run
// that asks its user, waits for an approval, and has hooks everywhere. What was recorded
// is not done again, and the run comes to the same.
func TestCrashSweepOfPeopleAndHooks(t *testing.T) {
	var b bank
	var e effects
	m := agentstest.InMemory(t, script(func(r *scripted.Request) scripted.Reply {
		switch r.Rounds() {
		case 0:
			return calls(call("ask_user", `{"question":"Which order?"}`))
		case 1:
			return calls(call("refund", `{"order":"o-1","cents":9900}`), call("refund", `{"order":"o-2","cents":1}`))
		}
		var all []string
		for _, m := range r.Messages {
			if m.Role == "tool" {
				all = append(all, m.Content)
			}
		}
		return scripted.Reply{Text: strings.Join(all, "\n")}
	}))
	note := func(ctx context.Context, what string) (agents.Verdict, error) {
		e.note(ctx, what)
		return agents.Proceed(), nil
	}
	hooks := agents.Hooks{
		BeforeRun: func(ctx context.Context, _ *agents.RunStart) (agents.Verdict, error) { return note(ctx, "before run") },
		AfterRun:  func(ctx context.Context, _ *agents.RunEnd) (agents.Verdict, error) { return note(ctx, "after run") },
		BeforeModel: func(ctx context.Context, c *agents.ModelCall) (agents.Verdict, error) {
			return note(ctx, fmt.Sprint("before model ", c.Iteration))
		},
		AfterModel: func(ctx context.Context, a *agents.ModelAnswer) (agents.Verdict, error) {
			return note(ctx, fmt.Sprint("after model ", a.Iteration))
		},
		BeforeTool: func(ctx context.Context, u *agents.ToolUse) (agents.Verdict, error) {
			return note(ctx, "before "+string(u.Arguments))
		},
		AfterTool: func(ctx context.Context, o *agents.ToolOutcome) (agents.Verdict, error) {
			return note(ctx, "after "+string(o.Arguments))
		},
	}
	kind := agents.New(weather, agents.UseModel(m), agents.Hook(hooks),
		agents.OnQuestion(func(ctx context.Context, p agents.Pending) error { e.note(ctx, "told "+p.Name); return nil }),
		agents.Tools(agents.AskUser(agents.Within(30*24*time.Hour, agents.ThenFail)),
			agents.Func("refund", "", b.pay, agents.NeedsApproval(over50, agents.Within(48*time.Hour, agents.ThenDeny), agents.EscalateTo(time.Hour, "managers")))))
	durabletest.CrashSweep(t, func(t *testing.T, w *durabletest.World) {
		b, e.keys = bank{}, map[string]int{}
		run := start(t, w, "refund it")
		<-time.After(10 * time.Hour)
		durabletest.Answer(w, run.Ref(), "ask_user", durable.Answer[any]{Value: "o-1", By: "anna"})
		<-time.After(10 * time.Hour)
		durabletest.Approve(w, run.Ref(), "refund", durable.Decision{Approved: true, By: "bob"})
		got, err := run.Result()
		if want := "{\"answer\":\"o-1\",\"by\":\"anna\"}\npaid o-1\npaid o-2"; got != want || err != nil {
			t.Errorf("the answer is %q, %v; want %q", got, err, want)
		}
		// One process died, so that one entry of the journal was lost, with what it was
		// about to record: the two calls at once, at most.
		if len(b.paid) != 2 {
			t.Errorf("paid by key: %v", b.paid)
		}
		if len(e.keys) != 2+2*3+2*3+3 {
			t.Errorf("hooks by key: %v", e.keys)
		}
		again := 0
		for _, n := range e.keys {
			again += n - 1
		}
		if again > 2 {
			t.Errorf("%d hooks were called again: %v", again, e.keys)
		}
	}, kind)
}

// TestHooks_ADeployChangesNothingInFlight has a run begin with hooks and go on without,
// and the other way round: what was passed stays as it was.
func TestHooks_ADeployChangesNothingInFlight(t *testing.T) {
	for _, before := range []bool{true, false} {
		t.Run(fmt.Sprintf("hooks first: %v", before), func(t *testing.T) {
			m := agentstest.Model(t, results(call("hold", `{}`)))
			var mu sync.Mutex
			var called []string
			note := func(what string) (agents.Verdict, error) {
				mu.Lock()
				defer mu.Unlock()
				called = append(called, what)
				return agents.Proceed(), nil
			}
			hooks := func(on bool) agents.Option {
				if !on {
					return agents.Hook()
				}
				return agents.Hook(agents.Hooks{
					BeforeRun:   func(context.Context, *agents.RunStart) (agents.Verdict, error) { return note("before run") },
					AfterRun:    func(context.Context, *agents.RunEnd) (agents.Verdict, error) { return note("after run") },
					BeforeModel: func(context.Context, *agents.ModelCall) (agents.Verdict, error) { return note("model") },
					BeforeTool:  func(context.Context, *agents.ToolUse) (agents.Verdict, error) { return note("before tool") },
					AfterTool:   func(context.Context, *agents.ToolOutcome) (agents.Verdict, error) { return note("after tool") },
				})
			}
			reached := make(chan struct{})
			b := setup(t, agents.New(weather, agents.UseModel(m), hooks(before), agents.Tools(agents.Func("hold", "", func(ctx context.Context, _ struct{}) (string, error) {
				close(reached)
				<-ctx.Done() // its process is killed
				return "", ctx.Err()
			}))))
			p := b.Start()
			r := ref("weather", "w", "1")
			b.Task(r, "", payload(t, "hold it"))
			<-reached
			p.Kill()
			b.Deploy(agents.New(weather, agents.UseModel(m), hooks(!before), agents.Tools(agents.Func("hold", "", func(context.Context, struct{}) (string, error) { return "held", nil }))))
			b.Start()
			rec, err := b.Result(b.ctx, r)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := outcome[string](t, rec); err != nil || got != "held" {
				t.Errorf("the answer is %q, %v", got, err)
			}
			want := []string{"before run", "model", "before tool"}
			if !before {
				want = []string{"model", "after run"}
			}
			if !slices.Equal(called, want) {
				t.Errorf("called were %q, want %q", called, want)
			}
		})
	}
}
