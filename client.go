package perdure

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/perdure/perdure/actors"
	"github.com/perdure/perdure/broker"
	"github.com/perdure/perdure/config"
	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/runtime"
	"github.com/perdure/perdure/schemas"
	"go.opentelemetry.io/otel/propagation"
)

// A Client starts runs and asks about them. It may be used by many goroutines.
type Client struct {
	b         *broker.Broker
	from      string
	propagate bool // the caller's trace context goes along
	owned     bool
}

// Dial returns a client of the namespace on a NATS server: url is one address
// or more, separated by commas; it may be empty with [NATSConn]. The error
// matches [durable.ErrUnavailable] if no server answers there, or no node has
// made the namespace yet, as while the first one starts: try again; and
// [durable.ErrInvalid] if an address is none. Once there is a connection it is
// kept, and made again whenever it is lost. Close it in the end.
func Dial(ctx context.Context, url string, opts ...Option) (*Client, error) {
	o, err := apply(opts)
	if err != nil {
		return nil, fmt.Errorf("dial: %w", err)
	}
	if len(o.host.Kinds) > 0 {
		return nil, errors.New("dial: a client hosts no kinds; use Connect for a node")
	}
	if url != "" || o.broker.Conn == nil {
		if err := config.CheckAddress(url); err != nil {
			return nil, fmt.Errorf("dial: %w", err)
		}
	}
	o.broker.URL, o.broker.ClientOnly = url, true
	b, err := broker.Open(ctx, o.broker)
	if err != nil {
		return nil, fmt.Errorf("dial: %w", opened(err))
	}
	return &Client{b: b, from: schemas.LocalDomain, propagate: true, owned: true}, nil
}

// DialConfig is [Dial] by a configuration, as a node has it: with its URL, or where its
// embedded server listens, its namespace, payload cap, credentials and certificates. What
// else is in it does not matter. The options are stronger. An error about cfg is [config.Faults]:
// everything that is wrong with it.
//
//	source := config.ClientFlags(flag.CommandLine)
//	flag.Parse()
//	cfg, err := source.Load()
//	client, err := perdure.DialConfig(ctx, cfg)
func DialConfig(ctx context.Context, cfg *config.Config, opts ...Option) (*Client, error) {
	if err := cfg.ValidateClient(); err != nil {
		return nil, err
	}
	url := cfg.ClientURL()
	if url == "" {
		return nil, fmt.Errorf("dial: %w", durable.Fail(durable.ErrInvalid.Code, "the configuration says no address of NATS servers: set url, or $PERDURE_URL; of a node with NATS inside, listen to HOST:PORT"))
	}
	return Dial(ctx, url, append([]Option{WithConfig(cfg)}, opts...)...)
}

// Close ends a client made by [Dial].
func (c *Client) Close() error {
	if !c.owned {
		return nil
	}
	return c.b.Close()
}

// Hosted reports whether a node of the namespace has ever hosted a kind: where none
// has, there is no run of it to be found, and its name may be misspelled.
func (c *Client) Hosted(ctx context.Context, kind string) (bool, error) {
	k := schemas.Kind(kind)
	if err := k.Validate(); err != nil {
		return false, durable.Fail(durable.ErrInvalid.Code, "%v", err)
	}
	return c.b.Inbox().Hosted(ctx, k)
}

// A StartOption configures a message of a client that starts a run: [MessageID],
// [Attribute], [Priority], [IfBusy].
type StartOption interface {
	ApplyStart(*durable.StartConfig)
}

// MessageID sets the ID of the message, which is the ID of the run that it
// causes: the same ID to the same key is the same run, and with another input
// it is [durable.ErrConflict].
func MessageID(id string) durable.MessageIDOption { return durable.MessageID(id) }

// Attribute gives the run an attribute from its start, by which it can be found:
// see [ListRuns.Where]. Use it once for each. The same task sent again with other
// attributes is the same run, with those that came first.
func Attribute[T durable.AttributeValue](name string, v T) durable.AttributeOption {
	return durable.Attribute(name, v)
}

// Priority orders the runs that wait for a permit of a [durable.Concurrency]: the
// higher goes first, and among equals who came first. The default is 0.
func Priority(n int) durable.PriorityOption { return durable.Priority(n) }

// IfBusy says what becomes of the message if its identity has an open run:
// durable.Queue, Reject, Interrupt or Replace. The default is what its kind says.
func IfBusy(policy durable.BusyPolicy) durable.BusyOption { return durable.IfBusy(policy) }

// A Run is a run that was started, here or elsewhere.
type Run[Out any] struct {
	c         *Client
	ref       schemas.Ref
	inputHash []byte // of what this client sent; nil: it sent nothing
}

// Ref returns the run's reference kind/key/id, by which any process can
// [Attach] to it.
func (r *Run[Out]) Ref() string { return r.ref.String() }

// Start sends in to an identity. It returns once the task is accepted: from
// then on it is finished, whatever is killed. The error matches
// [durable.ErrNotFound] if no node has ever hosted the kind. While as many messages
// wait in the pool of the kind as may ([MaxWaiting]), Start waits; if ctx ends before
// there is room, the error matches [durable.ErrUnavailable] and ctx's, and nothing was
// sent. That the ID was
// used before with another input is not an error of Start, which asks nobody,
// but of [Run.Result]: [durable.ErrConflict].
func Start[In, Out any](ctx context.Context, c *Client, to durable.Target[In, Out], in In, opts ...StartOption) (*Run[Out], error) {
	ref, env, err := c.task(to, in, opts)
	if err != nil {
		return nil, err
	}
	return publish[Out](ctx, c, ref, env)
}

func publish[Out any](ctx context.Context, c *Client, ref schemas.Ref, env *schemas.Envelope) (*Run[Out], error) {
	if c.propagate {
		trace := propagation.MapCarrier{}
		propagation.TraceContext{}.Inject(ctx, trace)
		env.Trace = trace
	}
	// What a step starts is part of what goes on: it must not wait for its own end.
	if _, step := runtime.StepFrom(ctx); !step {
		if err := c.b.Inbox().Admit(ctx, ref.Kind); err != nil {
			return nil, fmt.Errorf("start %s: %w", ref, admitted(err))
		}
	}
	err := actors.Publish(ctx, c.b, c.from, ref.Identity, env)
	if errors.Is(err, durable.ErrNotFound) {
		return nil, neverHosted("start", ref.Identity)
	} else if err != nil {
		return nil, fmt.Errorf("start %s: %w", ref, err)
	}
	return &Run[Out]{c: c, ref: ref, inputHash: actors.InputHash(env)}, nil
}

// neverHosted says that nothing was done, because nobody could ever run it; verb is
// what was asked.
func neverHosted(verb string, id schemas.Identity) error {
	return durable.Fail(durable.ErrNotFound.Code, verb+" %s: no node has ever hosted a kind %q; start one that does, or correct the name", id, string(id.Kind))
}

// task makes the message of a typed call.
func (c *Client) task(to interface {
	Resolve(id string) (runtime.Target, error)
}, in any, opts []StartOption,
) (schemas.Ref, *schemas.Envelope, error) {
	var cfg durable.StartConfig
	for _, o := range opts {
		o.ApplyStart(&cfg)
	}
	target, err := to.Resolve(cfg.ID)
	if err = cmp.Or(err, cfg.Err); err != nil {
		return schemas.Ref{}, nil, err
	}
	if target.ID == "" {
		target.ID = schemas.RunID(NewMessageID())
	}
	ref := target.Identity.Run(target.ID)
	if err := ref.Validate(); err != nil {
		return ref, nil, durable.Fail(durable.ErrInvalid.Code, "start %s: %v", target.Identity, err)
	}
	if err := schemas.ValidAttributes(cfg.Attributes); err != nil {
		return ref, nil, durable.Fail(durable.ErrInvalid.Code, "start %s: %v", ref, err)
	}
	p, err := durable.Encode(in)
	if err != nil {
		return ref, nil, durable.Fail(durable.ErrInvalid.Code, "input of %s: %v", ref, err)
	}
	return ref, &schemas.Envelope{Type: schemas.Envelope_TASK, Id: string(target.ID), Method: target.Method, Payload: p, Attributes: cfg.Attributes, Priority: cfg.Priority, Busy: cfg.Busy}, nil
}

// NewMessageID returns a random message ID of 26 characters.
func NewMessageID() string { return strings.ToLower(rand.Text()) }

// Attach returns a run by its reference, to wait for its result.
func Attach[In, Out any](c *Client, name durable.Name[In, Out], ref string) (*Run[Out], error) {
	r, err := schemas.ParseRef(ref)
	if err != nil {
		return nil, durable.Fail(durable.ErrInvalid.Code, "attach: %v", err)
	}
	if r.Kind != name.Kind() {
		return nil, durable.Fail(durable.ErrInvalid.Code, "attach: %s is not a run of %q", ref, name)
	}
	return &Run[Out]{c: c, ref: r}, nil
}

// AttachJSON is [Attach] by names, for callers without types: the result is JSON.
func (c *Client) AttachJSON(ref string) (*Run[json.RawMessage], error) {
	r, err := schemas.ParseRef(ref)
	if err != nil {
		return nil, durable.Fail(durable.ErrInvalid.Code, "attach: %v", err)
	}
	return &Run[json.RawMessage]{c: c, ref: r}, nil
}

// Cancel asks the run to stop, as [Client.Cancel] does.
func (r *Run[Out]) Cancel(ctx context.Context) error { return r.c.Cancel(ctx, r.Ref(), Why{}) }

// Ask asks a virtual actor a query. It reads the state that its last run has left,
// starts no run and wakes nothing.
func Ask[In, Out any](ctx context.Context, c *Client, to durable.QueryTarget[In, Out], in In) (Out, error) {
	var out Out
	id, query, err := to.Resolve()
	if err != nil {
		return out, err
	}
	p, err := durable.Encode(in)
	if err != nil {
		return out, durable.Fail(durable.ErrInvalid.Code, "input of query %s: %v", query, err)
	}
	input, codec := actors.PayloadJSON(p)
	var answer queryAnswer
	req := queryRequest{Actor: id.String(), Query: query, Input: input, Codec: codec}
	if err := c.read(ctx, "actors.query", req, &answer); err != nil {
		return out, err
	}
	res, err := actors.PayloadOf(actors.Done{Result: answer.Result, Codec: answer.Codec})
	if err != nil {
		return out, fmt.Errorf("answer of %s: %w", id, err)
	}
	return durable.Decode[Out](res)
}

// read asks the API for what changes nothing: it is asked again if the node that
// was asked does not answer.
func (c *Client) read(ctx context.Context, endpoint string, in, out any) error {
	return c.request(ctx, endpoint, in, out, true)
}

// do asks the API for a change, once.
func (c *Client) do(ctx context.Context, endpoint string, in, out any) error {
	return c.request(ctx, endpoint, in, out, false)
}

// requestWait bounds a request whose context has no deadline.
const requestWait = 30 * time.Second

func (c *Client) request(ctx context.Context, endpoint string, in, out any, repeat bool) error {
	body, err := json.Marshal(in)
	if err != nil {
		return fmt.Errorf("encode request %s: %w", endpoint, err)
	}
	bounded := ctx
	if _, has := ctx.Deadline(); !has {
		var cancel context.CancelFunc
		bounded, cancel = context.WithTimeout(ctx, requestWait)
		defer cancel()
	}
	header, answer, err := c.b.Request(bounded, endpoint, body, repeat)
	switch {
	case err != nil && bounded.Err() != nil && ctx.Err() == nil:
		return &durable.Error{Code: durable.ErrUnavailable.Code, Message: fmt.Sprintf("%s: no answer within %s; whether it was done is not known: look, then ask again", endpoint, requestWait)}
	case errors.Is(err, broker.ErrUnanswered):
		return &durable.Error{Code: durable.ErrUnavailable.Code, Message: fmt.Sprintf("%s: no node of namespace %q answers; start one, or wait until it is ready: node.Ready() in Go, the line 'ready' of perdure dev", endpoint, c.b.Namespace())}
	case errors.Is(err, broker.ErrDisconnected):
		return &durable.Error{Code: durable.ErrUnavailable.Code, Message: fmt.Sprintf("%s: the connection to NATS is lost, and is being made again; ask again", endpoint)}
	case errors.Is(err, broker.ErrTooLarge):
		return durable.Fail(durable.ErrTooLarge.Code, "the request %s has %d bytes, more than fits into a message of this NATS server (%d): nothing was done; perdure.Start, Signal and Update of Go take inputs up to the cap", endpoint, len(body), c.b.Conn().MaxPayload())
	case err != nil:
		return err
	}
	if code := header.Get("Nats-Service-Error-Code"); code != "" {
		var e APIError
		if err := json.Unmarshal(answer, &e); err != nil {
			return fmt.Errorf("request %s: %s %s", endpoint, code, header.Get("Nats-Service-Error"))
		}
		return &durable.Error{Code: e.Code, Message: e.Message, Details: e.Hint, Final: true}
	}
	if err := json.Unmarshal(answer, out); err != nil {
		return fmt.Errorf("answer of %s: %w", endpoint, err)
	}
	return nil
}
