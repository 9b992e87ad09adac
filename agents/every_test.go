package agents_test

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/perdure/perdure/agents"
	"github.com/perdure/perdure/agents/agentstest"
	"github.com/perdure/perdure/agents/models/scripted"
	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/durable/durabletest"
)

// down is a model that is never there.
type down struct{}

func (down) Name() string { return "down" }

func (down) Generate(context.Context, *agents.Request) (*agents.Response, error) {
	return nil, agents.Unanswered(agents.Classify(&durable.Error{Code: agents.ErrModelUnavailable.Code, Message: "it is down"}, agents.Unavailable), 503)
}

// tallied counts what is done, by idempotency key.
type tallied struct {
	mu   sync.Mutex
	keys map[string]int
}

func (t *tallied) note(ctx context.Context, what string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.keys[what+" "+durable.IdempotencyKey(ctx)]++
}

// repeated returns how often something was done again, and what was done.
func (t *tallied) repeated() (again int, kinds map[string]int) {
	kinds = map[string]int{}
	for key, n := range t.keys {
		what, _, _ := strings.Cut(key, " ")
		kinds[what]++
		again += n - 1
	}
	return again, kinds
}

var shipping = durable.Declare[string, string]("shipping")

// everyAgent is an agent that makes use of everything: instructions and skills from files,
// a fallback behind a breaker, budgets, hooks, a question to its user, an approval, calls
// one after another, a result that is too long, an agent as a tool, and a hand-off.
func everyAgent(t *testing.T, e *tallied) []*durable.Kind {
	t.Helper()
	files := fstest.MapFS{
		"desk.md":                {Data: []byte("---\nversion: \"1\"\n---\nYou are the desk of {{.Values.Shop}}.")},
		"skills/refund/SKILL.md": {Data: []byte("---\nname: refund\ndescription: How to give money back.\n---\nAsk which order.")},
	}
	long := strings.Repeat("nothing\n", 200) + "paid twice\n"
	reference := regexp.MustCompile(`the result is "([^"]+)"`)
	model := agentstest.InMemory(t, script(func(r *scripted.Request) scripted.Reply {
		switch {
		case !slices.Contains(r.Tools, "refund"): // the others
			return scripted.Reply{Text: "done by another"}
		case r.Rounds() == 0:
			return calls(call("ask_user", `{"question":"Which order?"}`), call("read_skill", `{"skill":"refund"}`))
		case r.Rounds() == 1:
			return calls(call("refund", `{"order":"o-1","cents":9900}`), call("refund", `{"order":"o-2","cents":1}`))
		case r.Rounds() == 2:
			return calls(call("statement", `{}`), call("shipping", `{"key":"o-1","input":"Where is it?"}`))
		case r.Rounds() == 3:
			for _, m := range r.Messages {
				if found := reference.FindStringSubmatch(m.Content); m.Role == "tool" && found != nil {
					return calls(call("read_result", fmt.Sprintf(`{"result":%q,"search":"paid twice"}`, found[1])))
				}
			}
			return scripted.Reply{Text: "there is no reference"}
		}
		return calls(call("hand_off_to_billing", `{"reason":"it was paid twice"}`))
	}))
	use := agents.UseModel(down{}, agents.Retry(1, time.Millisecond), agents.Breaker(agents.Trip{}), agents.Fallback(model, agents.Retry(2, time.Millisecond)))
	prices := agents.Prices(agents.PriceTable{"down": {}, "scripted": {Input: 1, Output: 1}})
	note := func(ctx context.Context, what string) (agents.Verdict, error) {
		e.note(ctx, what)
		return agents.Proceed(), nil
	}
	desk := agents.New(weather, use, prices,
		agents.InstructionsFile(files, "desk.md"),
		agents.Values(func(context.Context, durable.Info) (struct{ Shop string }, error) {
			return struct{ Shop string }{"books"}, nil
		}),
		agents.Skills(files, "skills"),
		agents.Budget(agents.PerRun(), agents.Allowance{Tokens: 1_000_000, USD: 10}),
		agents.Budget(agents.PerAgent(), agents.Allowance{Tokens: 10_000_000}),
		agents.MaxDepth(3), agents.MaxTree(10),
		agents.Hook(agents.Hooks{
			BeforeModel: func(ctx context.Context, _ *agents.ModelCall) (agents.Verdict, error) { return note(ctx, "model") },
			AfterTool: func(ctx context.Context, o *agents.ToolOutcome) (agents.Verdict, error) {
				return note(ctx, "after:"+o.Tool)
			},
		}),
		agents.Tools(
			agents.AskUser(agents.Within(30*24*time.Hour, agents.ThenFail)),
			agents.Func("refund", "Give money back", func(ctx context.Context, r refund) (string, error) {
				e.note(ctx, "refund")
				return "paid " + r.Order, nil
			}, agents.Sequential(), agents.NeedsApproval(over50)),
			agents.Func("statement", "What was paid", func(ctx context.Context, _ struct{}) (string, error) {
				e.note(ctx, "statement")
				return long, nil
			}, agents.MaxResult(200)),
			agents.Delegate(shipping, "Ask who ships"),
			agents.HandOff(durable.Declare[string, string]("billing"), "Invoices")))
	return []*durable.Kind{
		desk,
		agents.New(shipping, agents.UseModel(model), prices),
		agents.New(durable.Declare[string, string]("billing"), agents.UseModel(model), prices),
	}
}

// TestCrashSweepOfEverything kills the process before and after each write of a run that
// makes use of every feature at once. It comes to the same answer, and what was recorded is
// not done again.
func TestCrashSweepOfEverything(t *testing.T) {
	e := &tallied{}
	durabletest.CrashSweep(t, func(t *testing.T, w *durabletest.World) {
		e.keys = map[string]int{}
		run := start(t, w, "I want my money back")
		<-time.After(10 * time.Hour)
		durabletest.Answer(w, run.Ref(), "ask_user", durable.Answer[any]{Value: "o-1", By: "anna"})
		<-time.After(10 * time.Hour)
		durabletest.Approve(w, run.Ref(), "refund", durable.Decision{Approved: true, By: "bob"})
		if got, err := run.Result(); got != "done by another" || err != nil {
			t.Errorf("the answer is %q, %v", got, err)
		}
		again, done := e.repeated()
		if n := done["model"]; n != 5 && n != 6 { // a call that a dead process may have made is another one
			t.Errorf("the model was asked under %d keys, want 5", n)
		}
		delete(done, "model")
		want := map[string]int{
			"refund": 2, "statement": 1, "after:ask_user": 1, "after:read_skill": 1, "after:refund": 2, "after:statement": 1,
			"after:shipping": 1, "after:read_result": 1, "after:hand_off_to_billing": 1,
		}
		if diff := cmp.Diff(want, done); diff != "" {
			t.Errorf("done, under keys (-want +got):\n%s", diff)
		}
		// One process died: what was under way, two calls at once at most, and was not
		// recorded may have been done again.
		if again > 2 {
			data, _ := json.Marshal(e.keys)
			t.Errorf("%d things were done again: %s", again, data)
		}
	}, everyAgent(t, e)...)
}
