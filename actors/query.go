package actors

import (
	"context"

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
	return q(ctx, v.GetValue(), input)
}
