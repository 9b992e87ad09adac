package perdure_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/perdure/perdure"
	"github.com/perdure/perdure/agents"
	"github.com/perdure/perdure/agents/agentstest"
	"github.com/perdure/perdure/agents/models/openai"
	"github.com/perdure/perdure/agents/models/scripted"
	"github.com/perdure/perdure/broker/brokertest"
	"github.com/perdure/perdure/durable"
)

var budgeted = durable.Declare[string, string]("budgeted")

// A billed model adds up what its provider has charged.
type billed struct {
	agents.Model
	tokens atomic.Int64
}

func (m *billed) MaxOutputTokens() int64 { return 50 }

func (m *billed) Generate(ctx context.Context, req *agents.Request) (*agents.Response, error) {
	r, err := m.Model.Generate(ctx, req)
	if err == nil {
		m.tokens.Add(r.Usage.InputTokens + r.Usage.OutputTokens)
	}
	return r, err
}

// billedKind is an agent of which the tenants, the keys' first parts, have so many tokens
// a day.
func billedKind(m agents.Model, tokens int64, opts ...agents.BudgetOption) *durable.Kind {
	tenant := func(key string) string { t, _, _ := strings.Cut(key, "/"); return t }
	return agents.New(budgeted, agents.UseModel(m), agents.Memory(agents.NoMemory()),
		agents.Budget(agents.PerTenant(tenant), agents.Allowance{Tokens: tokens}, append(opts, agents.Daily())...))
}

func answersYes(t *testing.T) *agentstest.Scripted {
	return agentstest.Model(t, scripted.Script{Rules: []scripted.Rule{{Reply: scripted.Reply{Text: "yes"}}}})
}

// TestBudget_OfATenantHoldsAcrossNodes starts forty runs of two tenants on two nodes, with
// enough for some of them: no tenant is ever charged more than it has, and runs fail only
// when there is not enough left.
func TestBudget_OfATenantHoldsAcrossNodes(t *testing.T) {
	t.Parallel()
	ctx := testContext(t)
	external := brokertest.Server(t)
	m := answersYes(t)
	const allowed = 200
	var models []*billed
	var client *perdure.Client
	for i := range 2 {
		model := &billed{Model: openai.New("scripted", openai.BaseURL(m.BaseURL), openai.APIKey("none"))}
		models = append(models, model)
		client = running(t, external.URL(), perdure.Name(fmt.Sprint("node-", i)), perdure.Host(billedKind(model, allowed))).Client()
	}
	var started []*perdure.Run[string]
	for i := range 40 {
		r, err := perdure.Start(ctx, client, budgeted.At(fmt.Sprintf("tenant-%d/%d", i%2, i)), "is it?")
		if err != nil {
			t.Fatal(err)
		}
		started = append(started, r)
	}
	done := 0
	for _, r := range started {
		switch out, err := r.Result(ctx); {
		case err == nil && out == "yes":
			done++
		case !errors.Is(err, agents.ErrBudget):
			t.Errorf("%s: %q, %v", r.Ref(), out, err)
		}
	}
	var spent int64
	eventually(t, "no run is charged any more", func() bool {
		all, err := client.Budgets(ctx, perdure.ListBudgets{Name: "budgeted"})
		if err != nil || len(all) != 2 {
			return false
		}
		spent = 0
		for _, b := range all {
			if b.Runs > 0 || b.Reserved != (perdure.Amount{}) {
				return false
			}
			if spent += b.Spent.Tokens; b.Spent.Tokens > allowed || b.Spent.Tokens < allowed/2 || b.Estimated.Tokens != 0 || b.Ends.IsZero() {
				t.Errorf("%d tokens a day, of which a call needs less than half: %+v", allowed, b)
			}
		}
		return true
	})
	if charged := models[0].tokens.Load() + models[1].tokens.Load(); charged != spent || done == 0 || done == 40 {
		t.Errorf("%d runs were answered, the provider has charged %d tokens, and %d are spent", done, charged, spent)
	}
}

// TestBudget_IsRaisedWhileARunWaitsForPeople: who waits goes on when the budget is raised,
// and the run, its question and the counter can be seen.
func TestBudget_IsRaisedWhileARunWaitsForPeople(t *testing.T) {
	t.Parallel()
	ctx := testContext(t)
	node := running(t, "", perdure.Host(billedKind(&billed{Model: answersYes(t)}, 10, agents.AskAtLimit())))
	c := node.Client()
	r, err := perdure.Start(ctx, c, budgeted.At("acme/1"), "is it?")
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the run asks", func() bool {
		info, err := c.Get(ctx, r.Ref())
		return err == nil && len(info.Asks) == 1 && info.Asks[0].Name == "budget budgeted" && strings.Contains(info.Reason, "waits until the budget budgeted:tenant:acme has more")
	})
	const counter = "perdure-budget/budgeted:tenant:acme"
	if all, err := c.Budgets(ctx, perdure.ListBudgets{Of: "acme"}); err != nil || len(all) != 1 || all[0].Budget != counter || all[0].Waiting != 1 || all[0].Limit.Tokens != 10 {
		t.Errorf("listed %+v, %v", all, err)
	}
	if err := c.RaiseBudget(ctx, "perdure-budget/nobody", perdure.Amount{Tokens: 1}); !errors.Is(err, durable.ErrNotFound) {
		t.Errorf("a budget that is not there: %v", err)
	}
	if err := c.RaiseBudget(ctx, counter, perdure.Amount{}); !errors.Is(err, durable.ErrInvalid) {
		t.Errorf("raised by nothing: %v", err)
	}
	if err := c.RaiseBudget(ctx, counter, perdure.Amount{USD: 1}); !errors.Is(err, durable.ErrInvalid) || !strings.Contains(err.Error(), "no limit of US dollars") {
		t.Errorf("a budget of tokens is raised by dollars: %v", err)
	}
	if err := c.RaiseBudget(ctx, "perdure-budget/budgeted:run:a/b/c", perdure.Amount{Tokens: 1}); !errors.Is(err, durable.ErrInvalid) || !strings.Contains(err.Error(), "perdure budgets") {
		t.Errorf("a name that is none: %v", err)
	}
	for range 2 {
		if err := c.RaiseBudget(ctx, counter, perdure.Amount{Tokens: 1000}, perdure.MessageID("once")); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := r.Result(ctx); err != nil || out != "yes" {
		t.Errorf("%q, %v", out, err)
	}
	info, err := c.Get(ctx, r.Ref())
	if err != nil || info.Usage == nil || info.Usage.ModelCalls != 1 || info.Usage.InputTokens == 0 || len(info.Asks) != 0 {
		t.Errorf("the run is shown with %+v, %v, %v", info.Usage, info.Asks, err)
	}
	all, err := c.Budgets(ctx, perdure.ListBudgets{Name: "budgeted", Of: "acme"})
	if err != nil || len(all) != 1 || all[0].Raised.Tokens != 1000 || !all[0].Ends.After(time.Now()) {
		t.Errorf("listed %+v, %v: it was raised once", all, err)
	}
}
