package perdure

import (
	"cmp"
	"context"
	"math"
	"strconv"

	"github.com/perdure/perdure/actors"
	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/schemas"
)

// A BudgetCounter is how a budget stands that agents declare by agents.Budget.
type BudgetCounter = actors.BudgetCounter

// An Amount is what model calls cost, in tokens and in US dollars.
type Amount = actors.Amount

// ListBudgets selects counters of budgets; zero fields select all.
type ListBudgets struct {
	Name  string `json:"name,omitempty"`  // of the budget
	Of    string `json:"of,omitempty"`    // whose: a run, an identity, a kind or a tenant
	Limit int    `json:"limit,omitempty"` // at most so many, up to 1000; 0 means 100
}

// Budgets lists the counters of budgets, those that were charged last first.
func (c *Client) Budgets(ctx context.Context, q ListBudgets) ([]BudgetCounter, error) {
	var answer struct {
		Budgets []BudgetCounter `json:"budgets"`
	}
	err := c.read(ctx, "budgets.list", q, &answer)
	return answer.Budgets, err
}

// RaiseBudget gives a budget more, beside its limit and in its current window: budget is
// the counter, as [Client.Budgets] lists it. Runs that wait for it go on. With
// [MessageID] the same raise sent twice is one. The error matches durable.ErrNotFound if
// nothing was ever charged to the budget.
func (c *Client) RaiseBudget(ctx context.Context, budget string, by Amount, opts ...SignalOption) error {
	in := raiseRequest{Budget: budget, Amount: by, ID: NewMessageID()}
	for _, o := range opts {
		in.ID = o.ID()
	}
	return c.do(ctx, "budgets.raise", in, &struct{}{})
}

type raiseRequest struct {
	Budget string `json:"budget"`
	Amount Amount `json:"by"`
	ID     string `json:"id,omitempty"`
}

func (a *api) budgets(ctx context.Context, in ListBudgets) (any, error) {
	if in.Limit < 0 || in.Limit > 1000 {
		return nil, durable.Fail(durable.ErrInvalid.Code, "a limit of %d: ask for 1 to 1000 budgets", in.Limit)
	}
	all, err := a.index.Budgets(ctx, in.Name, in.Of, cmp.Or(in.Limit, 100))
	return map[string]any{"budgets": all}, err
}

func (a *api) raiseBudget(ctx context.Context, in raiseRequest) (any, error) {
	id, err := schemas.ParseIdentity(in.Budget)
	if err != nil {
		return nil, durable.Fail(durable.ErrInvalid.Code, "%q is no budget; name it as 'perdure budgets' does, e.g. perdure-budget/support:tenant:acme, with %%2F for a '/' behind the first", in.Budget)
	}
	by := &schemas.Amount{Tokens: in.Amount.Tokens, Nanos: int64(math.Round(in.Amount.USD * 1e9))}
	if by.Tokens < 0 || !(in.Amount.USD >= 0 && in.Amount.USD < 1e9) || by.Tokens == 0 && by.Nanos == 0 {
		return nil, durable.Fail(durable.ErrInvalid.Code, "raise the budget %s by %d tokens and %g US dollars: give how many it is to have more", id, in.Amount.Tokens, in.Amount.USD)
	}
	c, ok, err := actors.Budget(ctx, a.node.b, id)
	switch {
	case err != nil:
		return nil, err
	case !ok:
		return nil, durable.Fail(durable.ErrNotFound.Code, "there is no budget %s, or nothing was ever charged to it; 'perdure budgets' lists those that there are", id)
	case by.Tokens > 0 && c.Limit.Tokens == 0:
		return nil, durable.Fail(durable.ErrInvalid.Code, "the budget %s has no limit of tokens, but one of US dollars: raise that", id)
	case by.Nanos > 0 && c.Limit.USD == 0:
		return nil, durable.Fail(durable.ErrInvalid.Code, "the budget %s has no limit of US dollars, but one of tokens: raise that", id)
	}
	raise := cmp.Or(in.ID, NewMessageID())
	env := &schemas.Envelope{
		Type: schemas.Envelope_TASK, Id: "raise " + raise, Method: "raise",
		Budget: &schemas.BudgetAsk{Run: "an operator", Id: raise, Amount: by},
	}
	return struct{}{}, actors.Publish(ctx, a.node.b, schemas.LocalDomain, id, env)
}

// Usage is what the model calls of a run came to, without those of the runs that it has
// started.
type Usage struct {
	ModelCalls   int     `json:"model_calls"`
	InputTokens  int64   `json:"input_tokens"`
	OutputTokens int64   `json:"output_tokens"`
	CachedTokens int64   `json:"cached_tokens,omitempty"` // of InputTokens
	USD          float64 `json:"usd,omitempty"`           // of the calls whose price the agent knew
}

// usageOf sums what the steps of a run say of themselves; nil if none was a model call.
func usageOf(steps []Step) *Usage {
	var u Usage
	for _, s := range steps {
		in, err := strconv.ParseInt(s.Attributes["input_tokens"], 10, 64)
		if err != nil {
			continue
		}
		number := func(name string) int64 {
			n, _ := strconv.ParseInt(s.Attributes[name], 10, 64) // 0 where it says nothing
			return n
		}
		u.ModelCalls++
		u.InputTokens += in
		u.OutputTokens += number("output_tokens")
		u.CachedTokens += number("cached_tokens")
		if usd, err := strconv.ParseFloat(s.Attributes["cost_usd"], 64); err == nil {
			u.USD += usd
		}
	}
	if u.ModelCalls == 0 {
		return nil
	}
	u.USD = math.Round(u.USD*1e9) / 1e9
	return &u
}
