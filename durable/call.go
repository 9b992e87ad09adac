package durable

import (
	"cmp"
	"math"
	"time"

	"github.com/perdure/perdure/runtime"
	"github.com/perdure/perdure/schemas"
)

// A CallOption configures a message to another identity: [MessageID],
// [Attribute], [Priority],
// [IfBusy], for a call [Timeout], and for a run that is called or started [Detached].
type CallOption interface{ applyCall(*callConfig) }

type callConfig struct {
	StartConfig
	timeout  time.Duration
	detached bool
}

// A StartConfig is what the options of a message say of the run that it starts,
// for packages that send messages.
type StartConfig struct {
	ID         string // of the message
	Attributes map[string]*schemas.Attribute
	Priority   int32 // among those that wait for a permit
	Busy       BusyPolicy
	Err        error // what is wrong with an option
}

// A MessageIDOption sets the ID of a message.
type MessageIDOption struct{ id string }

// MessageID sets the ID of the message, which is the ID of the run that it
// causes: the same ID to the same key is the same run. The default is derived
// from the sending run and the verb's number, or is the key for a workflow.
func MessageID(id string) MessageIDOption { return MessageIDOption{id} }

func (o MessageIDOption) applyCall(c *callConfig) { o.ApplyStart(&c.StartConfig) }

// ApplyStart sets the ID.
func (o MessageIDOption) ApplyStart(c *StartConfig) { c.ID = o.id }

// ID returns the message ID.
func (o MessageIDOption) ID() string { return o.id }

// A DetachedOption lets a run go on that is called or started.
type DetachedOption struct{}

// Detached lets a run that is called or started ([Call], [CallAsync], [Start]) go on
// where its caller is cancelled, or terminated. Otherwise it ends with it; see [Start].
func Detached() DetachedOption { return DetachedOption{} }

func (DetachedOption) applyCall(c *callConfig) { c.detached = true }

// A PriorityOption sets the priority of a message.
type PriorityOption struct{ n int32 }

// Priority orders the runs that wait for a permit of a [Concurrency]: the higher
// goes first, and among equals who came first. The default is 0; negative ones
// wait behind it. It orders nothing else: messages of one key are handled in their
// order.
func Priority(n int) PriorityOption {
	return PriorityOption{int32(min(max(n, math.MinInt32), math.MaxInt32))}
}

func (o PriorityOption) applyCall(c *callConfig) { o.ApplyStart(&c.StartConfig) }

// ApplyStart sets the priority.
func (o PriorityOption) ApplyStart(c *StartConfig) { c.Priority = o.n }

// Call sends in to another identity and waits for its result: exactly one run
// there, however often this one is replayed. The errors of the other side have
// their codes here. A call back to an identity that waits for this very call
// fails with [ErrCallCycle]. Who is cancelled while it waits takes along the run that
// it waits for; see [Start].
//
// What is not seen: two runs that call each other's identities in the same moment,
// and a run that waits for the result of one it has started ([Start]), which calls
// its identity back. Each then waits until its [Timeout], or for good without one.
// Let calls go in one direction, or Send.
//
// Wrong: two runs that call a workflow by the same key and mean two runs of it. The
// key of a workflow is its message ID: both get the result of one run, and if their
// inputs differ the second fails with [ErrConflict]. Use a key of each one's own, or
// [MessageID].
func Call[In, Out any](ctx Context, to Target[In, Out], in In, opts ...CallOption) (Out, error) {
	cfg, limited := callOptions(opts), ctx
	if cfg.timeout > 0 {
		var cancel func()
		limited, cancel = WithTimeout(ctx, cfg.timeout)
		defer cancel()
	}
	f, err := message(limited, (*runtime.Context).Call, to, in, cfg)
	if err != nil {
		var zero Out
		return zero, err
	}
	out, err := payloadFuture[Out](f).Result(limited)
	if limited.Err() != nil && ctx.Err() == nil {
		err = Fail(ErrTimeout.Code, "no result of %s within %s; its run goes on", f.Ref(), cfg.timeout)
	}
	return out, err
}

// CallAsync is [Call] as a future. Its run is cancelled with this one, as a one of [Start] is.
func CallAsync[In, Out any](ctx Context, to Target[In, Out], in In, opts ...CallOption) (*Child[Out], error) {
	return child[In, Out](ctx, (*runtime.Context).Call, to, in, opts)
}

// Start starts a run of another identity and goes on. The child has its
// reference and, for who waits, its result.
//
// Where this run is cancelled, by whomever, every run that it has called or started
// and whose result it has not got is asked to cancel, too, and so on down to the last:
// each cleans up, and undoes what it registered ([OnFailure]). The verbs of this run
// fail with [ErrCancelled] at once; it does not wait for them. Where this run is
// terminated, they are terminated. They go on
//   - where this run completes, or fails, before they end,
//   - if they are [Detached], or were called or started with [WithoutCancel],
//   - if something else had started them before, under the same [MessageID] or the same
//     key of a workflow, or the generation of this run before [ContinueAsNew] did,
//   - where only a scope ends that they were called in ([WithTimeout], [WithCancel]), or
//     the time for a call ([Timeout]); a cancellation of the run that comes later
//     reaches them.
//
// What is sent ([Send]) or attached to ([Attach]) goes on in any case.
func Start[In, Out any](ctx Context, to Target[In, Out], in In, opts ...CallOption) (*Child[Out], error) {
	return child[In, Out](ctx, (*runtime.Context).Start, to, in, opts)
}

// Send sends in to another identity; nobody waits for a result. It leaves when
// this run next waits, or with its record, also if the handler fails. It
// returns the reference of the run that it causes.
func Send[In, Out any](ctx Context, to Target[In, Out], in In, opts ...CallOption) (schemas.Ref, error) {
	f, err := message(ctx, (*runtime.Context).Send, to, in, callOptions(opts))
	if err != nil {
		return schemas.Ref{}, err
	}
	_, err = f.Outcome()
	return f.Ref(), err
}

// A Child is a run of another identity that this one started.
type Child[Out any] struct {
	*Future[Out]
	ref schemas.Ref
}

// Ref returns the child's reference kind/key/id.
func (c *Child[Out]) Ref() schemas.Ref { return c.ref }

func callOptions(opts []CallOption) (c callConfig) {
	for _, o := range opts {
		o.applyCall(&c)
	}
	return c
}

type sender = func(c *runtime.Context, name string, to runtime.Target, input *schemas.Payload) *runtime.Future

func message[In, Out any](ctx Context, send sender, to Target[In, Out], in In, cfg callConfig) (*runtime.Future, error) {
	target, err := to.Resolve(cfg.ID)
	if err = cmp.Or(err, cfg.Err); err != nil {
		return nil, err
	}
	if err := schemas.ValidAttributes(cfg.Attributes); err != nil {
		return nil, Fail(ErrInvalid.Code, "message to %s: %v", to.name, err)
	}
	target.Attributes, target.Priority, target.Busy, target.Detached = cfg.Attributes, cfg.Priority, cfg.Busy, cfg.detached
	p, err := Encode(in)
	if err != nil {
		return nil, Fail(ErrInvalid.Code, "input of %s: %v", to.name, err)
	}
	return send(ctx.engine(), to.name.String(), target, p), nil
}

func child[In, Out any](ctx Context, send sender, to Target[In, Out], in In, opts []CallOption) (*Child[Out], error) {
	f, err := message(ctx, send, to, in, callOptions(opts))
	if err != nil {
		return nil, err
	}
	return &Child[Out]{payloadFuture[Out](f), f.Ref()}, nil
}
