package actors

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/perdure/perdure/broker"
	"github.com/perdure/perdure/runtime"
	"github.com/perdure/perdure/schemas"
)

// A BudgetCounter is how a budget stands: of a run, an identity, a kind or a tenant.
type BudgetCounter struct {
	Budget string `json:"budget"` // the counter itself, KIND/KEY
	Name   string `json:"name"`
	Of     string `json:"of"` // whose it is
	// Limit is as it was declared last, Raised what people have added to it in this
	// window. Of what has no limit, 0 are allowed, and what is spent is counted.
	Limit  Amount `json:"limit"`
	Raised Amount `json:"raised,omitzero"`
	Spent  Amount `json:"spent"`
	// Estimated is of Spent: what calls whose cost is not known may have cost.
	Estimated Amount    `json:"estimated,omitzero"`
	Reserved  Amount    `json:"reserved,omitzero"` // by calls in flight
	Ends      time.Time `json:"ends,omitzero"`     // when it begins anew; zero: never
	Runs      int       `json:"runs"`              // that are open and charged to it
	Waiting   int       `json:"waiting"`           // of them, for more
	Changed   time.Time `json:"changed"`
}

// An Amount is what model calls cost.
type Amount struct {
	Tokens int64   `json:"tokens,omitempty"`
	USD    float64 `json:"usd,omitempty"`
}

// maxBudgets bounds how many counters are read for a listing.
const maxBudgets = 10000

// Budgets lists the counters of budgets of a name, or of all, and of somebody, or of all,
// those that were charged last first, at most limit. It may be a moment behind.
func (x *Index) Budgets(ctx context.Context, name, of string, limit int) ([]BudgetCounter, error) {
	p, err := x.caughtUp(ctx)
	if err != nil {
		return nil, err
	}
	x.mu.Lock()
	refs := slices.Collect(maps.Keys(p.ledgers))
	x.mu.Unlock()
	refs = slices.DeleteFunc(refs, func(r schemas.Ref) bool {
		return !runtime.IsBudget(r.Kind) || name != "" && !strings.HasPrefix(r.Key, name+":")
	})
	if len(refs) > maxBudgets {
		return nil, runtime.Errorf(runtime.ErrTooLarge.Code, "there are %d counters of budgets, too many to list: name the budget", len(refs))
	}
	all := []BudgetCounter{}
	for _, r := range refs {
		c, ok, err := Budget(ctx, x.b, r.Identity)
		if err != nil {
			return nil, err
		}
		if ok && (of == "" || c.Of == of) {
			all = append(all, c)
		}
	}
	slices.SortFunc(all, func(a, b BudgetCounter) int {
		return cmp.Or(b.Changed.Compare(a.Changed), cmp.Compare(a.Budget, b.Budget))
	})
	return all[:min(limit, len(all))], nil
}

// Budget returns how a budget stands; ok is false if nothing was ever charged to it.
func Budget(ctx context.Context, b *broker.Broker, id schemas.Identity) (c BudgetCounter, ok bool, err error) {
	if !runtime.IsBudget(id.Kind) {
		return c, false, nil
	}
	state, err := ledgerState(ctx, b, id)
	if err != nil || state == nil {
		return c, false, err
	}
	if err := Fill(ctx, b, &schemas.State{Value: state}); err != nil {
		return c, false, err
	}
	s, err := runtime.BudgetOf(state, time.Now())
	if err != nil {
		return c, false, err
	}
	n := s.GetCounter()
	c = BudgetCounter{
		Budget: id.String(), Name: s.GetCharge().GetName(), Of: s.GetCharge().GetOf(),
		Limit: amountOf(s.GetCharge().GetLimit()), Raised: amountOf(n.GetRaised()), Spent: amountOf(n.GetSpent()),
		Estimated: amountOf(n.GetEstimated()), Reserved: amountOf(n.GetReserved()),
		Runs: len(s.GetRuns()), Waiting: len(s.GetWaiting()), Changed: time.Unix(0, s.GetChanged()).UTC(),
	}
	if n.GetEnds() != 0 {
		c.Ends = time.Unix(0, n.GetEnds()).UTC()
	}
	return c, true, nil
}

func amountOf(a *schemas.Amount) Amount {
	return Amount{a.GetTokens(), float64(a.GetNanos()) / 1e9}
}
