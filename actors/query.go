package actors

import (
	"context"
	"fmt"
	"runtime/debug"

	"github.com/perdure/perdure/broker"
	"github.com/perdure/perdure/runtime"
	"github.com/perdure/perdure/schemas"
)

// Ask answers a query of a virtual actor from its state as it was last stored.
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
	v, _, err := states{b}.Get(ctx, id)
	if err != nil {
		return nil, err
	}
	return ask(ctx, q, v.GetValue(), input)
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
