package perdure_test

import (
	"strings"
	"testing"

	"github.com/perdure/perdure"
	"github.com/perdure/perdure/agents"
	"github.com/perdure/perdure/agents/agentstest"
	"github.com/perdure/perdure/agents/models/scripted"
	"github.com/perdure/perdure/durable"
)

// TestTree_IsBoundedAcrossNodes: of three runs that an agent has started on the node of
// another pool, two of them by a workflow that bounds nothing, two may begin; nor may the
// agent there that it then hands the conversation to.
func TestTree_IsBoundedAcrossNodes(t *testing.T) {
	t.Parallel()
	ctx := testContext(t)
	var (
		front  = durable.Declare[string, string]("front")
		back   = durable.Declare[string, string]("back")
		errand = durable.DeclareWorkflow[string, string]("errand")
		inner  = durable.DeclareWorkflow[string, string]("inner")
	)
	var told []string
	asks := agentstest.Model(t, scripted.Script{Rules: []scripted.Rule{{Func: func(r *scripted.Request) scripted.Reply {
		results := r.Results()
		switch r.Rounds() {
		case 0:
			return scripted.Reply{Calls: []scripted.Call{{Name: "errand", Arguments: scripted.Arguments(`{"key":"a","input":"go"}`)}}}
		case 1:
			told = append(told, results[0].Content)
			return scripted.Reply{Calls: []scripted.Call{{Name: "hand_off_to_back", Arguments: scripted.Arguments(`{"reason":"r"}`)}}}
		}
		return scripted.Reply{Text: results[0].Content}
	}}}})
	takes := agentstest.Model(t, scripted.Script{Rules: []scripted.Rule{{Reply: scripted.Reply{Text: "taken over"}}}})
	far := []*durable.Kind{
		durable.Workflow(errand, func(ctx durable.Context, in string) (string, error) {
			first, err := durable.CallAsync(ctx, inner.At(in+"1"), "one")
			if err != nil {
				return "", err
			}
			if _, err := first.Result(ctx); err != nil {
				return "", err
			}
			_, err = durable.Call(ctx, inner.At(in+"2"), "two")
			return "", err
		}),
		durable.Workflow(inner, func(_ durable.Context, in string) (string, error) { return in, nil }),
		agents.New(back, agents.UseModel(takes)),
	}
	agent := func(n int) *durable.Kind {
		return agents.New(front, agents.UseModel(asks), agents.MaxTree(n), agents.Tools(agents.Delegate(errand, ""), agents.HandOff(back, "")))
	}
	one := running(t, "", perdure.Host(agent(2)))
	running(t, one.URL(), perdure.Pool("far"), perdure.Host(far...))
	got, err := perdure.Call(ctx, one.Client(), front.At("ann"), "go")
	if err != nil || !strings.Contains(got, `"tree_limit"`) || !strings.Contains(got, "has started 2 runs") {
		t.Errorf("the hand-off to one more is told as %q, %v", got, err)
	}
	if len(told) != 1 || !strings.Contains(told[0], `"tree_limit"`) {
		t.Errorf("the third run is told as %q", told)
	}
	takes.WantCalls(0)
}
