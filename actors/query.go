package actors

import (
	"context"
	"fmt"
	"runtime/debug"

	"github.com/perdure/perdure/broker"
	"github.com/perdure/perdure/runtime"
	"github.com/perdure/perdure/schemas"
)

// Ask answers a query of a virtual actor from the state that its last run has left.
// It starts no run and activates nothing.
func Ask(ctx context.Context, b *broker.Broker, kinds map[schemas.Kind]*runtime.Kind, id schemas.Identity, query string, input *schemas.Payload) (*schemas.Payload, error) {
	kind := kinds[id.Kind]
	if kind == nil {
		return nil, runtime.Errorf(runtime.ErrNotFound.Code, "no kind %q on this node", string(id.Kind))
	}
	q, err := kind.Query(query)
	if err != nil {
		return nil, err
	}
	state, err := stateOf(ctx, b, kind, id)
	if err != nil {
		return nil, err
	}
	return ask(ctx, q, state, input)
}

// stateOf returns the state that the last run of an identity has left, nil for none.
// From the run's record on it counts, and whoever knows the result may ask: the value
// may not be stored yet, e.g. because the node died in between, but the record has it
// (P16). Where the last entry is no such record, all behind it is settled, and the value
// that is read after it is not too old.
func stateOf(ctx context.Context, b *broker.Broker, kind *runtime.Kind, id schemas.Identity) (*schemas.Payload, error) {
	if kind.Ledger != nil {
		return ledgerState(ctx, b, id)
	}
	head, _, err := b.Journal().Head(ctx, id)
	if err != nil {
		return nil, err
	}
	if rec := head.Entry.GetRecord(); rec.GetStateChanged() {
		v := &schemas.State{Value: rec.GetState()}
		return v.Value, Fill(ctx, b, v)
	}
	v, _, err := states{b}.Get(ctx, id)
	return v.GetValue(), err
}

// ask calls the user's function; its panic is the question's failure.
func ask(ctx context.Context, q runtime.QueryFunc, state, input *schemas.Payload) (_ *schemas.Payload, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &runtime.Error{Code: runtime.ErrPanic.Code, Message: fmt.Sprintf("the query panicked: %v", v), Details: string(debug.Stack()), Final: true}
		}
	}()
	return q(ctx, state, input)
}
