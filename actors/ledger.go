package actors

import (
	"context"
	"slices"

	"github.com/perdure/perdure/broker"
	"github.com/perdure/perdure/runtime"
	"github.com/perdure/perdure/schemas"
)

// bookMax is how many messages of a ledger one entry takes in at most.
const bookMax = 256

// book takes in what waits for an identity of a ledger, all at once: its messages
// need no runs.
func (a *activation) book() {
	if len(a.items) == 0 {
		return
	}
	items := a.items[:min(len(a.items), bookMax)]
	for _, it := range items {
		it.given = true
		a.pump.rouse(it)
	}
	items = append([]*item(nil), items...)
	a.begin("", func(ctx context.Context) *runtime.Ending {
		var tasks []runtime.Task
		for _, it := range items {
			env, err := a.pump.body(ctx, it)
			if err != nil {
				return &runtime.Ending{Kind: runtime.Restart, Err: err}
			}
			if env.GetType() == schemas.Envelope_TASK {
				tasks = append(tasks, runtime.Task{Ref: a.id.Run(it.run), Envelope: env, From: it.d.From, Published: it.d.Published})
			}
		}
		if len(tasks) == 0 {
			return &runtime.Ending{Kind: runtime.Finished}
		}
		return a.exec.Apply(ctx, tasks)
	})
}

// LedgerKinds returns the kinds of ledgers that a node of a pool hosts: those of the
// limits and of the budgets, if one of its own kinds has any.
func LedgerKinds(pool string, kinds []*runtime.Kind) (ledgers []*runtime.Kind) {
	if slices.ContainsFunc(kinds, (*runtime.Kind).TakesLimits) {
		ledgers = append(ledgers, runtime.NewLimitKind(pool))
	}
	if slices.ContainsFunc(kinds, func(k *runtime.Kind) bool { return len(k.Budgets) > 0 }) {
		ledgers = append(ledgers, runtime.NewBudgetKind(pool))
	}
	return ledgers
}

// ledgerState returns the state of a ledger's identity, nil for none.
func ledgerState(ctx context.Context, b *broker.Broker, id schemas.Identity) (*schemas.Payload, error) {
	last, _, err := journal{b, b.Journal()}.Last(ctx, runtime.LedgerRef(id))
	return last.Entry.GetRecord().GetState(), err
}

// waits says for people which limit a run waits for that is open, and how many
// came before it; empty for none. It is a look, as old as it is when it is read.
func waits(ctx context.Context, b *broker.Broker, ref schemas.Ref, entries []schemas.Stored) (string, error) {
	asked := map[string]string{}
	for _, s := range entries {
		for _, e := range s.Entry.GetEvents() {
			if c := e.GetCalled(); c != nil {
				asked[c.GetPath()] = c.GetTo()
			}
			delete(asked, e.GetCallReturned().GetPath())
		}
	}
	for _, to := range asked {
		limit, err := schemas.ParseRef(to)
		if err != nil || !limit.Kind.IsLedger() {
			continue
		}
		state, err := ledgerState(ctx, b, limit.Identity)
		if err != nil {
			return "", err
		}
		return runtime.Waits(limit.Identity, state, ref), nil
	}
	return "", nil
}
