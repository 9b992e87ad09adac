package agents

import (
	"cmp"
	"math"

	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/runtime"
	"github.com/perdure/perdure/schemas"
)

// ErrBudget is a run that came to the limit of a [Budget]. Its message says what was
// asked, what is spent and what is allowed.
var ErrBudget = &durable.Error{Code: "budget_exceeded", Final: true}

// A BudgetScope says whose model calls a [Budget] counts together: [PerRun],
// [PerIdentity], [PerAgent], [PerTenant].
type BudgetScope struct {
	per    runtime.BudgetScope
	tenant func(key string) string
}

// PerRun is the scope of one run and of everything that it starts, by [Delegate],
// [durable.Call] and [durable.Start], and what those start.
func PerRun() BudgetScope { return BudgetScope{per: runtime.BudgetRun} }

// PerIdentity is the scope of all runs of one key of the agent, and of what they start.
func PerIdentity() BudgetScope { return BudgetScope{per: runtime.BudgetIdentity} }

// PerAgent is the scope of all runs of the agent, and of what they start. Agents that name
// the same budget ([BudgetName]) share it.
func PerAgent() BudgetScope { return BudgetScope{per: runtime.BudgetKind} }

// PerTenant is the scope of all runs of a tenant, and of what they start: tenant names it
// by the key, as [durable.FairBy] does. It must follow from the key alone; a panic, or an
// empty name, fails the run. With nil the trust domain of the sender is the tenant.
func PerTenant(tenant func(key string) string) BudgetScope {
	return BudgetScope{runtime.BudgetTenant, tenant}
}

// An Allowance is how much a [Budget] allows. Of what is 0 there is no limit.
type Allowance struct {
	Tokens int64   // read and written, those from a cache included
	USD    float64 // by the prices of [Prices]
}

// A BudgetOption configures a [Budget]: [Daily], [Monthly], [BudgetName],
// [AskAtLimit], [DowngradeAtLimit].
type BudgetOption func(*budget)

// A budget is what an agent declares.
type budget struct {
	runtime.Budget
	cheaper Model
}

// Daily makes a budget begin anew each day, at midnight UTC.
func Daily() BudgetOption { return func(b *budget) { b.Window = schemas.Charge_DAY } }

// Monthly makes a budget begin anew each month of UTC.
func Monthly() BudgetOption { return func(b *budget) { b.Window = schemas.Charge_MONTH } }

// BudgetName names a budget; the default is the agent's name. Agents of one pool of nodes
// that name the same one share its counters, and follow the limit that was declared last.
func BudgetName(name string) BudgetOption { return func(b *budget) { b.Name = name } }

// AskAtLimit asks people when the budget is used up ([durable.AskApproval]): the run waits,
// and goes on when somebody approves, which raises the limit by as much again, in the
// current window; when the limit is raised otherwise; or when a new window begins. When
// it is denied the run fails with [ErrBudget]. Without this option it fails at once.
func AskAtLimit() BudgetOption {
	return func(b *budget) { b.AtLimit = schemas.Charge_ASK }
}

// DowngradeAtLimit asks a cheaper model from when there is not enough left for a call of
// the agent's own, until the end of the run; when there is not enough for that either the
// run fails with [ErrBudget]. It is of budgets of money alone, since no model reads fewer
// tokens. A run that another agent with such a budget has started goes on with the cheaper
// model of its own agent, if it has one.
func DowngradeAtLimit(m Model) BudgetOption {
	return func(b *budget) { b.AtLimit, b.cheaper = schemas.Charge_DOWNGRADE, m }
}

// Budget bounds what the model calls of an agent cost. Before each call as much is
// reserved as it may cost at most: what is said, by its size, and the longest answer
// ([Bounded]). Behind it what the provider counted takes the place of that. A run for which
// there would be enough but for calls in flight waits for them. An agent has as many
// budgets as it needs:
//
//	agents.Budget(agents.PerRun(), agents.Allowance{USD: 1.50}, agents.AskAtLimit())
//	agents.Budget(agents.PerTenant(customerOf), agents.Allowance{Tokens: 5_000_000}, agents.Daily())
//
// A call whose process died, or that broke off, may have been charged for: as much as was
// reserved counts, marked as estimated, and the call is made again with a reservation and
// an idempotency key of its own. Nothing is charged for a replay. Runs that were started
// before the budget was deployed have none.
func Budget(per BudgetScope, allow Allowance, opts ...BudgetOption) Option {
	return func(a *agent) {
		b := budget{Budget: runtime.Budget{Per: per.per, Tenant: per.tenant, Tokens: allow.Tokens, Nanos: int64(math.Round(allow.USD * 1e9))}}
		for _, o := range opts {
			o(&b)
		}
		switch {
		case b.Per == "":
			a.bad("Budget has no scope; give it one, such as PerRun()")
		case !(math.Abs(allow.USD) < 1e9):
			a.bad("Budget of %g US dollars: give less than 1e9", allow.USD)
		}
		if a.prices == nil {
			a.prices = PublishedPrices()
		}
		a.budgets = append(a.budgets, b)
	}
}

// checkBudgets reports what is wrong with the budgets, once all options are known, and
// returns them as those of the kind.
func (a *agent) checkBudgets(kind string) (out []runtime.Budget) {
	for _, b := range a.budgets {
		out = append(out, b.Budget)
		name := cmp.Or(b.Name, kind) + " per " + string(b.Per)
		var models []Model
		if a.model != nil { // it is said elsewhere that there is none
			for _, m := range a.chain() {
				models = append(models, m.Model)
			}
		}
		if b.AtLimit == schemas.Charge_DOWNGRADE {
			models = append(models, b.cheaper)
			a.cheaper = cmp.Or(a.cheaper, b.cheaper)
			switch {
			case b.cheaper == nil:
				a.bad("budget %s: DowngradeAtLimit has no model", name)
			case b.Nanos == 0:
				a.bad("budget %s: DowngradeAtLimit is of a limit in US dollars, and it has none: a cheaper model reads as many tokens", name)
			case modelName(a.cheaper) != modelName(b.cheaper):
				a.bad("budget %s: another one downgrades to another model; give both the same", name)
			}
			if err := errOf(b.cheaper); err != nil {
				a.errs = append(a.errs, err)
			}
		}
		for _, m := range models {
			if m == nil || b.Nanos == 0 {
				continue
			}
			if !a.prices.has(m.Name()) {
				a.bad("budget %s is of money, and there is no price of the model %q; give one by Prices, of zero if it costs nothing", name, m.Name())
			}
		}
	}
	return out
}
