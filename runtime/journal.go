package runtime

import (
	"context"
	"time"

	"github.com/perdure/perdure/schemas"
)

// Journal is what the engine needs of the store of runs. [runtimetest.TestJournal]
// is its contract, executable.
type Journal interface {
	// Head returns the last entry of an identity, of whichever run, as the
	// leader of the store has it. ok is false if there is none.
	Head(ctx context.Context, id schemas.Identity) (head schemas.Stored, ok bool, err error)
	// Last returns the last entry of one run.
	Last(ctx context.Context, ref schemas.Ref) (last schemas.Stored, ok bool, err error)
	// Unmoved is Last for who knows that no run of the identity was moved: it need not
	// find one that was.
	Unmoved(ctx context.Context, ref schemas.Ref) (last schemas.Stored, ok bool, err error)
	// Load returns the entries of a run in order, only its record if it has one.
	Load(ctx context.Context, ref schemas.Ref) ([]schemas.Stored, error)
	// Entries returns the entries of a run in order, also those that its record
	// keeps.
	Entries(ctx context.Context, ref schemas.Ref) ([]schemas.Stored, error)
	// Append stores e as the next entry of a run if the last sequence of its
	// whole identity is after (0: nothing). An entry that [schemas.Entry.Replaces]
	// those before it of its run does so in the same write. Before, if given, are the
	// sequences of the run's entries, the last of which is after, and say that the
	// caller has claimed the run, which is open: then it is enough that after is the
	// last sequence of the run. An unknown outcome is resolved inside: an error means
	// that ctx ended or that e cannot be stored, and whether it was is unknown.
	Append(ctx context.Context, ref schemas.Ref, after uint64, e *schemas.Entry, before ...uint64) (schemas.Outcome, error)
}

// States is what the engine needs of the store of identities' state.
type States interface {
	// Get returns the stored value and its revision, nil and 0 if there is none.
	Get(ctx context.Context, id schemas.Identity) (v *schemas.State, rev uint64, err error)
	// Put stores v if the revision is after. A value that names the same run or
	// a later sequence counts as stored; any other is Fenced.
	Put(ctx context.Context, id schemas.Identity, after uint64, v *schemas.State) (schemas.Outcome, error)
}

// Outbox sends messages to identities. Send returns when the message is
// accepted; the same message ID sent again is harmless.
type Outbox interface {
	Send(ctx context.Context, to schemas.Identity, env *schemas.Envelope) error
}

// Wakes stores wake-ups of suspended runs.
type Wakes interface {
	// Set stores a wake-up, named by run and timer; one that exists is left.
	Set(ctx context.Context, ref schemas.Ref, timer string, at time.Time, env *schemas.Envelope) error
	// Cancel removes a wake-up of a run, all of them for an empty timer. One
	// that has fired, or was never set, is not an error.
	Cancel(ctx context.Context, ref schemas.Ref, timer string) error
}

// Lease says whether this process may still act for a partition.
type Lease interface {
	// Epoch is constant for the lease's life.
	Epoch() uint64
	// Valid is false once the partition is, or may be, somebody else's.
	Valid() bool
	// Hold waits, as long as the partition may be somebody else's, until it is known
	// whether it is: the process cannot tell while NATS is away. It reports false once
	// it is, and when ctx ends.
	Hold(ctx context.Context) bool
	// Draining is closed when the partition is about to be given up: runs stop
	// where they next wait, once their steps in flight have ended.
	Draining() <-chan struct{}
}

// Places are what bounds how many runs that clients started execute at once.
type Places interface {
	// For returns the place of a run of an identity, started by a sender of a trust
	// domain. It is not taken yet.
	For(id schemas.Identity, from string) Place
}

// A Place is one of those of a node, for one run.
type Place interface {
	// Try takes the place if one is free.
	Try() bool
	// Wait takes the place once one is free. It gives up when ctx ends, or draining is
	// closed.
	Wait(ctx context.Context, draining <-chan struct{}) error
	// Free gives the place back.
	Free()
}

// Tracer emits one trace through runs and steps. A nil Tracer costs nothing.
type Tracer interface {
	// Run begins the span of one execution of a run below the sender's trace.
	Run(ctx context.Context, info Info, parent map[string]string) (context.Context, func(err error))
	// Step begins the span of a step's execution; a replayed step has none.
	Step(ctx context.Context, path, name string) (context.Context, func(attributes map[string]string, err error))
	// Inject returns the W3C trace context of ctx.
	Inject(ctx context.Context) map[string]string
}
