package perdure

import (
	"fmt"

	"github.com/perdure/perdure/durable/schedules"
	"github.com/perdure/perdure/runtime"
)

// everyNode returns the kinds that every node of a pool hosts besides those that it
// is given. A kind belongs to one pool, so each pool has its own.
func everyNode(pool string) []*runtime.Kind {
	kinds := []*runtime.Kind{schedules.Kind(pool)}
	for _, k := range kinds {
		k.EveryNode = true
	}
	return kinds
}

// addEveryNode adds them to the kinds of a node. A kind of a user that has the name
// of one is refused.
func (o *options) addEveryNode() (errs []error) {
	own := map[string]bool{}
	for _, k := range everyNode(o.broker.Pool) {
		own[string(k.Name)] = true
		o.host.Kinds = append(o.host.Kinds, k)
		o.broker.Kinds = append(o.broker.Kinds, k.Name)
	}
	for _, k := range o.host.Kinds {
		if !k.EveryNode && own[string(k.Name)] {
			errs = append(errs, fmt.Errorf("%s %q: every node hosts a kind of this name; choose another one", k.Type, string(k.Name)))
		}
	}
	return errs
}
