package actors

import (
	"context"

	"github.com/perdure/perdure/broker"
	"github.com/perdure/perdure/runtime"
	"github.com/perdure/perdure/schemas"
)

// Export returns the journal of a run that is open, or whose record keeps it, to
// be replayed against code that is not deployed yet. The error matches
// runtime.ErrNotFound for a run that has none, and runtime.ErrConflict for one that
// is over and whose journal is not kept.
func Export(ctx context.Context, b *broker.Broker, ref schemas.Ref) (e runtime.Export, err error) {
	e = runtime.Export{Namespace: b.Namespace(), Ref: ref}
	if e.Entries, err = (journal{b, b.Journal()}).Entries(ctx, ref); err != nil {
		return e, err
	}
	if n := len(e.Entries); n > 1 && e.Entries[n-1].Entry.GetRecord() != nil {
		e.Entries = e.Entries[:n-1] // what it came to is no part of the replay
	}
	v, _, err := states{b}.Get(ctx, ref.Identity)
	if err != nil {
		return e, err
	}
	if v != nil {
		e.State = v.GetValue()
	}
	return e, e.Open()
}
