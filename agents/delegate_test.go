package agents_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/perdure/perdure/actors"
	"github.com/perdure/perdure/agents"
	"github.com/perdure/perdure/agents/agentstest"
	"github.com/perdure/perdure/agents/models/scripted"
	"github.com/perdure/perdure/durable"
)

type take struct {
	Count int `json:"count"`
}

type stock struct{ Left int }

var (
	reserve = durable.Declare[take, int]("stock.reserve")
	empty   = durable.Declare[durable.None, int]("stock.empty")
	expert  = durable.Declare[string, string]("expert")
	slow    = durable.Declare[string, string]("slow")
)

// TestDelegateCallsTheOneThatTheModelNames shows what the model is told of each
// way in which a call of another identity ends.
func TestDelegateCallsTheOneThatTheModelNames(t *testing.T) {
	shop := actors.New(actors.Handlers[stock]{
		actors.On(reserve, func(_ durable.Context, s *stock, in take) (int, error) {
			if s.Left+in.Count > 5 {
				return 0, durable.Fail("sold_out", "%d is too many", in.Count)
			}
			s.Left += in.Count
			return s.Left, nil
		}),
		actors.On(empty, func(_ durable.Context, s *stock, _ durable.None) (int, error) {
			was := s.Left
			s.Left = 0
			return was, nil
		}),
	})
	for i, c := range []struct {
		tool, arguments string
		told            []string
	}{
		{"stock_reserve", `{"key":"sku-1","input":{"count":3}}`, []string{"3"}},
		{"stock_reserve", `{"key":"sku-1","input":{"count":9}}`, []string{`"sold_out"`, "9 is too many"}},
		{"stock_reserve", `{"key":"sku-1","input":{"count":"3"}}`, []string{`"bad_arguments"`, "integer"}},
		{"stock_reserve", `{"input":{"count":3}}`, []string{`"bad_arguments"`, "key"}},
		{"stock_reserve", `{"key":"","input":{"count":3}}`, []string{`"invalid"`, "key"}},
		{"stock_empty", `{"key":"sku-1"}`, []string{"0"}},
		{"expert", `{"key":"e","input":"why?"}`, []string{"because: why?"}},
		{"weather", `{"key":"w","input":"me?"}`, []string{`"call_cycle"`}},
		{"slow", `{"key":"s","input":"?"}`, []string{`"timeout"`}},
	} {
		t.Run(fmt.Sprint(i, " ", c.tool), func(t *testing.T) {
			m := agentstest.Model(t, script(func(r *scripted.Request) scripted.Reply {
				if r.Rounds() == 0 {
					return calls(call(c.tool, c.arguments))
				}
				return scripted.Reply{Text: r.Last().Content}
			}))
			b := setup(t, shop,
				agents.New(expert, agents.UseModel(agentstest.Model(t, script(func(r *scripted.Request) scripted.Reply {
					return scripted.Reply{Text: "because: " + r.User()}
				})))),
				agents.New(slow, agents.UseModel(agentstest.Model(t, scripted.Script{Rules: []scripted.Rule{{Reply: scripted.Reply{Hold: true}}}}))),
				agents.New(weather, agents.UseModel(m), agents.Tools(
					agents.Delegate(reserve, "Take from stock"), agents.Delegate(empty, "Take all"), agents.Delegate(expert, "Ask one who knows"),
					agents.Delegate(weather, "Ask yourself"), agents.Delegate(slow, "Ask one who takes long", durable.Timeout(20*time.Millisecond)))))
			b.Start()
			got, err := do[string](b, ref("weather", "w", "1"), "go")
			if err != nil {
				t.Fatal(err)
			}
			contains(t, got, c.told...)
			m.WantCalls(2)
		})
	}
}

func TestDelegateSaysWhatIsWrongWithItsName(t *testing.T) {
	m := agentstest.Model(t, scripted.Weather())
	k := agents.New(weather, agents.UseModel(m), agents.Tools(agents.Delegate(durable.Declare[string, string]("no good"), "")))
	err := k.Validate()
	if err == nil {
		t.Fatal("a delegate without a name is fine")
	}
	contains(t, err.Error(), "delegate to", "no good")
	if !errors.Is(err, durable.ErrInvalid) {
		t.Errorf("%v is not ErrInvalid", err)
	}
}
