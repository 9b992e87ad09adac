package agents_test

import (
	"testing"
	"time"

	"github.com/perdure/perdure/agents"
	"github.com/perdure/perdure/agents/agentstest"
	"github.com/perdure/perdure/agents/models/scripted"
	"github.com/perdure/perdure/runtime"
	"github.com/perdure/perdure/schemas"
)

// budgetState returns how a budget stands.
func budgetState(b *bundle, key string) *schemas.BudgetState {
	b.t.Helper()
	last, ok, err := b.Journal.Last(b.ctx, runtime.LedgerRef(schemas.Identity{Kind: runtime.BudgetsKind(""), Key: key}))
	if err != nil || !ok {
		b.t.Fatalf("budget %s: %t, %v", key, ok, err)
	}
	s, err := runtime.BudgetOf(last.Entry.GetRecord().GetState(), time.Now())
	if err != nil {
		b.t.Fatal(err)
	}
	return s
}

func TestBudgetSmoke(t *testing.T) {
	m := agentstest.Model(t, scripted.Weather())
	b := setup(t, agents.New(weather, agents.UseModel(m),
		agents.Tools(agents.Func("get_weather", "Current weather in a city", getWeather)),
		agents.Budget(agents.PerAgent(), agents.Allowance{Tokens: 10000})))
	b.Start()
	got, err := do[string](b, ref("weather", "amsterdam", "1"), "Do I need a coat in Amsterdam today?")
	t.Log(got, err)
	for _, s := range b.Journal.History() {
		t.Log(s.Seq, s.Ref, s.Entry)
	}
	b.Settle(b.ctx)
	t.Log(budgetState(b, "weather:kind:weather"))
}
