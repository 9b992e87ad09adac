package runtime

import (
	"context"
	"time"

	"github.com/perdure/perdure/schemas"
)

// A Ledger is the code of a built-in kind: messages change the state of an
// identity, and may be answered, by nothing but plain computing. So it needs no
// run for each: one entry takes in whatever waits, and is the identity's only
// record, which the next one replaces. Messages may come twice, or late, and must
// then be harmless.
type Ledger interface {
	// Apply takes tasks in, in order, and returns the new state, nil for none,
	// and what is to be sent. state is not changed. Nothing is stored if the
	// result is the same state and no message. An error stops the identity: its
	// state cannot be read.
	Apply(namespace string, id schemas.Identity, state *schemas.Payload, tasks []Task, now time.Time) (*schemas.Payload, []*schemas.Envelope, error)
	// Idle reports whether a state says nothing any more.
	Idle(state *schemas.Payload, now time.Time) bool
}

// ledgerRun is the ID of the record of a ledger's identity.
const ledgerRun = "ledger"

// LedgerRef is where the state of a ledger's identity is: in the record of this.
func LedgerRef(id schemas.Identity) schemas.Ref { return id.Run(ledgerRun) }

// Apply takes tasks of a ledger in. Their messages may be acknowledged if it ends
// as Finished: what they lead to is stored, and was sent.
func (x *Executor) Apply(ctx context.Context, tasks []Task) *Ending {
	if !x.known {
		if end := x.Open(ctx); end != nil {
			return end
		}
	}
	if end := x.stale(ctx); end != nil {
		return end
	}
	old := x.state.GetValue()
	now := x.cfg.now()
	state, out, err := x.kind.Ledger.Apply(x.cfg.Namespace, x.id, old, tasks, now)
	if err != nil {
		return ending(Stopped, err)
	}
	if len(out) == 0 && state == old {
		return &Ending{Kind: Finished}
	}
	e := x.newEntry()
	e.Record = &schemas.Record{Status: schemas.Status_COMPLETED, State: state, Outbox: out, Started: now.UnixNano(), Published: tasks[0].Published.UnixNano()}
	ref := LedgerRef(x.id)
	if end := x.append(ctx, ref, e); end != nil {
		return end
	}
	x.state = &schemas.State{Value: state}
	if end := x.settle(ctx, ref, e.Record, x.head); end != nil {
		return end
	}
	return &Ending{Kind: Finished}
}
