package schedules

import (
	"strings"

	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/schemas"
)

// kindName is the kind of schedules in the default pool. In another pool it is
// followed by the pool's name, since a kind belongs to one pool.
const kindName = "schedule"

// defaultPool is the pool of nodes that name none.
const defaultPool = "default"

// Schedule names the schedules of the default pool. What is sent to it is a [Spec];
// its result comes when the schedule is deleted.
var Schedule = durable.DeclareWorkflow[Spec, Counts](kindName)

// KindOf returns the kind of the schedules of a pool: "schedule", and
// "schedule-billing" in the pool billing. A schedule's key, and the ID of its
// first run, is its name.
func KindOf(pool string) schemas.Kind {
	if pool == "" || pool == defaultPool {
		return kindName
	}
	return schemas.Kind(kindName + "-" + pool)
}

// IsKind reports whether a kind runs the schedules of a pool.
func IsKind(k schemas.Kind) bool {
	return k == kindName || strings.HasPrefix(string(k), kindName+"-")
}

// Kind returns the kind that runs the schedules of a pool. Every node hosts it.
func Kind(pool string) *durable.Kind {
	k := durable.Workflow(durable.DeclareWorkflow[input, Counts](string(KindOf(pool))), run)
	for name, m := range k.Methods {
		m.Check = func(p *schemas.Payload) error {
			in, err := durable.Decode[input](p)
			if err != nil {
				return err
			}
			return in.spec.Check("")
		}
		k.Methods[name] = m
	}
	return k
}
