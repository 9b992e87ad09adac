package broker

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/nats-io/nats.go"
	"github.com/perdure/perdure/schemas"
	"google.golang.org/protobuf/proto"
)

// A Delivery is a message of the inbox, decoded.
type Delivery struct {
	Seq       uint64    // in its stream, that of the inbox or of the timers
	Number    uint64    // of this delivery, within the feed, from 1; 0 if it was read
	Published time.Time // when the broker accepted it, by the broker's clock
	From      string    // the sender's trust domain
	To        schemas.Identity
	Partition schemas.Partition
	// Envelope is what is sent; nil when Bad is set. The name of a foreign
	// signal is its Method.
	Envelope *schemas.Envelope
	// Bad says why the message cannot be decoded and what its sender can do.
	Bad error
	// BadCode is the code of Bad, for programs: "invalid", "too_large",
	// "unimplemented" or "denied".
	BadCode string
	// NoID says that the publisher gave no ID, and Envelope.Id was made from
	// the message's sequence.
	NoID bool
	// Timer is set on a fired schedule: what [Schedules.Set] called it. It is
	// the Envelope's ID, too.
	Timer string
	// Subject, Headers and Data are the message as it is stored.
	Subject string
	Headers map[string][]string
	Data    []byte

	stream   string // that Seq is of
	delivery uint64 // the sequence of this delivery, of the consumer of that stream
	ack      string // the subject on which it is acknowledged
}

// A Place is where a message of the inbox is, and in which delivery it came: enough for
// [Feed.Again].
type Place struct{ Seq, Delivery uint64 }

// Place is where the message is; it was returned by [Feed.Next], and is no wake-up.
func (d Delivery) Place() Place { return Place{d.Seq, d.delivery} }

// delivery decodes a message of the inbox stream, or of the timers.
func (b *Broker) delivery(stream string, m message) Delivery {
	d := Delivery{stream: stream, Seq: m.seq, Published: m.time, Subject: m.subject, Headers: m.header, Data: m.data}
	if err := b.address(&d); err != nil {
		d.bad(err)
		return d
	}
	var err error
	switch h := m.header; {
	case stream == b.timers.stream:
		err = b.wake(&d, h)
	case h.Get(HeaderEnvelope) != "":
		err = b.decodeEnvelope(&d, h)
	case h.Get(HeaderSignal) != "":
		err = b.foreignSignal(&d, h, HeaderSignal, schemas.Envelope_SIGNAL)
	case h.Get(HeaderUpdate) != "":
		err = b.foreignSignal(&d, h, HeaderUpdate, schemas.Envelope_UPDATE)
	default:
		err = b.foreignTask(&d, h)
	}
	if err == nil {
		err = b.fits(d.Envelope)
	}
	if err == nil {
		err = d.qualify()
	}
	if err == nil {
		err = d.allowed()
	}
	if err != nil {
		d.bad(err)
	}
	return d
}

// Qualified returns the run ID that a task of this ID has when a sender of trust
// domain from sends it: its own, with the domain before it unless that is local.
func Qualified(from, id string) string {
	if from == schemas.LocalDomain {
		return id
	}
	return from + ":" + id
}

// errDenied is in the chain of what a trust domain may not send.
var errDenied = errors.New("not for this trust domain")

// errUnimplemented is in the chain of what a later version will understand.
var errUnimplemented = errors.New("not in this version")

// bad marks a message that cannot be handled.
func (d *Delivery) bad(err error) {
	d.Envelope, d.Bad, d.BadCode = nil, err, "invalid"
	switch {
	case errors.Is(err, ErrTooLarge):
		d.BadCode = "too_large"
	case errors.Is(err, errUnimplemented):
		d.BadCode = "unimplemented"
	case errors.Is(err, errDenied):
		d.BadCode = "denied"
	}
}

// address reads sender, identity and partition off the subject. Where the
// identity is invalid, To is as near to it as can be said.
func (b *Broker) address(d *Delivery) error {
	t, err := b.names.parseIn(d.Subject)
	if err != nil {
		return err
	}
	d.From, d.To = t.from, schemas.Identity{Kind: schemas.Kind(t.kind), Key: t.key}
	if d.Partition, err = schemas.ParsePartition(t.partition); err != nil {
		return err
	}
	id, err := b.names.identity(d.Subject, t.partition, t.kind, t.key)
	if err != nil {
		return err
	}
	d.To = id
	if err := schemas.Kind(d.From).Validate(); err != nil {
		return fmt.Errorf("sender's domain: %w", err)
	}
	return nil
}

// decodeEnvelope reads a message of another Perdure program.
func (b *Broker) decodeEnvelope(d *Delivery, h nats.Header) error {
	if v := h.Get(HeaderEnvelope); v != envelopeVersion {
		return fmt.Errorf("envelope version %q is unknown: this node reads %s; upgrade it, or send the input as JSON without %s", v, envelopeVersion, HeaderEnvelope)
	}
	env := &schemas.Envelope{}
	if err := proto.Unmarshal(d.Data, env); err != nil {
		return fmt.Errorf("body is not an envelope: %w; send the input as JSON without %s", err, HeaderEnvelope)
	}
	if _, known := schemas.Envelope_Type_name[int32(env.Type)]; !known || env.Type == schemas.Envelope_TYPE_UNSPECIFIED {
		return fmt.Errorf("envelope type %v is unknown to this node; upgrade it", env.Type)
	}
	if _, known := schemas.Busy_name[int32(env.Busy)]; !known {
		return fmt.Errorf("policy %v for a busy identity is unknown to this node; upgrade it", env.Busy)
	}
	env.Trace = traced(env.Trace)
	d.Envelope = env
	return nil
}

// wake reads what a schedule became.
func (b *Broker) wake(d *Delivery, h nats.Header) error {
	if err := b.decodeEnvelope(d, h); err != nil {
		return err
	}
	id, timer, err := b.names.ParseTimer(h.Get(hdrScheduler))
	if err != nil {
		return fmt.Errorf("schedule: %w", err)
	}
	if id != d.To {
		return fmt.Errorf("%w: schedule %s fired at %v", schemas.ErrInvalidName, timer, d.To)
	}
	d.Timer, d.Envelope.Id = timer, timer
	return nil
}

// readable checks the headers that Perdure reads of a publisher that is not: what
// is not UTF-8 can be in no journal. Whatever else a publisher sets is its own.
func readable(h nats.Header) error {
	for _, k := range slices.Sorted(maps.Keys(h)) {
		if strings.HasPrefix(k, "Perdure-") || k == hdrMsgID {
			if v := h.Get(k); !utf8.ValidString(k) || !utf8.ValidString(v) {
				return fmt.Errorf("the header %q is %.40q, which is not UTF-8; write it in UTF-8, or send the message without it", k, v)
			}
		}
	}
	return nil
}

// fits checks what a message brings into a run that goes on: a run that took what
// is over the cap would have failed by it. A task fails its own run, or is checked
// before by who publishes it.
func (b *Broker) fits(env *schemas.Envelope) error {
	what := strings.ToLower(env.Type.String())
	switch env.Type {
	case schemas.Envelope_SIGNAL, schemas.Envelope_UPDATE:
		size := max(int64(len(env.GetPayload().GetData())), int64(env.GetPayload().GetBlob().GetSize()))
		if limit := b.cfg.PayloadCap; size > limit {
			return fmt.Errorf("value of the %s %.40q: %w: it has %d bytes; the cap is %d: store it elsewhere and send its name", what, env.Method, ErrTooLarge, size, limit)
		}
	case schemas.Envelope_TASK:
		if n := len(env.Method); n > schemas.MaxToken {
			return fmt.Errorf("the method %.20q... has %d bytes; the limit is %d", env.Method, n, schemas.MaxToken)
		}
	}
	return nil
}

// foreignTask reads a task of a publisher that is not Perdure: a JSON body.
func (b *Broker) foreignTask(d *Delivery, h nats.Header) error {
	if err := readable(h); err != nil {
		return err
	}
	body, err := jsonBody(d.Data)
	if err != nil {
		return fmt.Errorf("%w; send the input as JSON", err)
	}
	if n, limit := int64(len(body)), b.cfg.PayloadCap; n > limit {
		return fmt.Errorf("input: %w: it has %d bytes; the cap is %d: store it elsewhere and send its name", ErrTooLarge, n, limit)
	}
	// What asks for more than this version does must not be run as if it did not.
	for _, k := range []string{HeaderDeadline, HeaderSession} {
		if v := h.Get(k); v != "" {
			return fmt.Errorf("%s %q: %w; send the task without the header", k, v, errUnimplemented)
		}
	}
	var priority int64
	if v := h.Get(HeaderPriority); v != "" {
		if priority, err = strconv.ParseInt(v, 10, 32); err != nil {
			return fmt.Errorf("%s %q is not a whole number of 32 bits, e.g. 5 or -1", HeaderPriority, v)
		}
	}
	busy, err := ParseBusy(h.Get(HeaderBusy))
	if err != nil {
		return fmt.Errorf("%s %w", HeaderBusy, err)
	}
	d.Envelope = &schemas.Envelope{
		Type: schemas.Envelope_TASK, Method: h.Get(HeaderMethod), Priority: int32(priority), Busy: busy,
		Payload: &schemas.Payload{Data: body, Codec: "json"}, Trace: traceOf(h),
	}
	if d.Envelope.Attributes, err = foreignAttributes(h); err != nil {
		return fmt.Errorf("%w; correct it, or send the task without it", err)
	}
	d.Envelope.Id, d.NoID = b.foreignID(d.Seq, h)
	return nil
}

// foreignAttributes reads the attributes that the headers give the run.
func foreignAttributes(h nats.Header) (map[string]*schemas.Attribute, error) {
	var all map[string]*schemas.Attribute
	for k := range h {
		name, ok := strings.CutPrefix(k, HeaderAttribute)
		if !ok {
			continue
		}
		a, err := schemas.ParseAttribute(h.Get(k))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", k, err)
		}
		if all == nil {
			all = map[string]*schemas.Attribute{}
		}
		all[name] = a
	}
	return all, nil // whether a run may have them is looked at with those of every task
}

// ParseBusy reads what becomes of a task if its identity is busy; empty is what
// its kind says.
func ParseBusy(s string) (schemas.Busy, error) {
	if s == "" {
		return schemas.Busy_BUSY_UNSPECIFIED, nil
	}
	if b := schemas.Busy_value["BUSY_"+strings.ToUpper(s)]; b != 0 && s == strings.ToLower(s) {
		return schemas.Busy(b), nil
	}
	return 0, fmt.Errorf("%q is unknown; there are queue, reject, interrupt and replace", s)
}

// foreignSignal reads a signal, or an update, of a publisher that is not Perdure.
func (b *Broker) foreignSignal(d *Delivery, h nats.Header, header string, t schemas.Envelope_Type) error {
	what, name, run := strings.ToLower(t.String()), h.Get(header), h.Get(HeaderRun)
	if err := readable(h); err != nil {
		return err
	}
	if h.Get(HeaderSignal) != "" && h.Get(HeaderUpdate) != "" {
		return fmt.Errorf("it has %s and %s; send one message for each", HeaderSignal, HeaderUpdate)
	}
	if run == "" {
		return fmt.Errorf("%s %q names no run; set %s to the run's ID", what, name, HeaderRun)
	}
	if err := schemas.RunID(run).Validate(); err != nil {
		return fmt.Errorf("%s: %w", HeaderRun, err)
	}
	if err := schemas.Kind(name).Validate(); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	body, err := jsonBody(d.Data)
	if err != nil {
		return fmt.Errorf("%w; send the %s's value as JSON", err, what)
	}
	d.Envelope = &schemas.Envelope{
		Type: t, Method: name, Run: run,
		Payload: &schemas.Payload{Data: body, Codec: "json"}, Trace: traceOf(h),
	}
	d.Envelope.Id, d.NoID = b.foreignID(d.Seq, h)
	return nil
}

// foreignID is the ID of a foreign message (P21).
func (b *Broker) foreignID(seq uint64, h nats.Header) (id string, made bool) {
	first, err := strconv.ParseUint(h.Get(HeaderSequence), 10, 64)
	switch again := err == nil; {
	case h.Get(HeaderID) != "":
		return h.Get(HeaderID), false
	case again: // a dead letter that had none is sent again: it is what it was
		seq = first
	case h.Get(hdrMsgID) != "":
		return h.Get(hdrMsgID), false
	}
	return strconv.FormatInt(b.created.UnixNano(), 36) + "-" + strconv.FormatUint(seq, 10), true
}

// qualify checks the message's ID and attributes and, for a sender of another domain, puts
// the domain before it, so that no domain can take another's IDs.
func (d *Delivery) qualify() error {
	env := d.Envelope
	if env.Id == "" {
		return errors.New("message has no ID; set one")
	}
	env.Id = Qualified(d.From, env.Id)
	if err := schemas.RunID(env.Id).Validate(); err != nil {
		return fmt.Errorf("message ID: %w", err)
	}
	return schemas.ValidAttributes(env.Attributes)
}

// allowed checks what a sender of another domain sends. Results and wake-ups are
// the engine's own, which is local; who waits for a task, and what sent it, is
// said by the engine alone: an answer goes to whom the task names.
func (d *Delivery) allowed() error {
	env := d.Envelope
	if d.From == schemas.LocalDomain {
		return nil
	}
	if d.To.Kind.IsLedger() {
		return fmt.Errorf("domain %s sends to the built-in kind %q: %w; only %s may", d.From, string(d.To.Kind), errDenied, schemas.LocalDomain)
	}
	if env.Control != nil {
		return fmt.Errorf("domain %s asks what operators ask: %w; only %s may", d.From, errDenied, schemas.LocalDomain)
	}
	switch env.Type {
	case schemas.Envelope_TASK:
		if env.Reply != nil || env.Parent != "" || len(env.Chain) > 0 || len(env.Bounds) > 0 || env.Fork != nil {
			return fmt.Errorf("a task of domain %s names a run of this namespace as its sender, or to be forked: %w; only %s may; send it without reply, parent, chain, bounds and fork", d.From, errDenied, schemas.LocalDomain)
		}
		if b := env.Busy; b == schemas.Busy_BUSY_INTERRUPT || b == schemas.Busy_BUSY_REPLACE {
			return fmt.Errorf("a task of domain %s cancels the run that is open, which may be another's: %w; only %s may; send it without %s, or with queue or reject", d.From, errDenied, schemas.LocalDomain, HeaderBusy)
		}
	case schemas.Envelope_SIGNAL, schemas.Envelope_UPDATE, schemas.Envelope_CANCEL:
		if env.Parent != "" {
			return fmt.Errorf("a %s of domain %s names a run of this namespace as its sender: %w; only %s may; send it without parent", strings.ToLower(env.Type.String()), d.From, errDenied, schemas.LocalDomain)
		}
		if err := schemas.Kind(env.Method).Validate(); err != nil && env.Method != "" {
			return fmt.Errorf("a %s of domain %s is named %q: %w; names like these, of answers to questions, are of %s alone", strings.ToLower(env.Type.String()), d.From, env.Method, errDenied, schemas.LocalDomain)
		}
		if !strings.HasPrefix(env.Run, d.From+":") {
			return fmt.Errorf("domain %s sends a %s to run %q: %w; it may to its own, whose IDs begin with %q", d.From, strings.ToLower(env.Type.String()), env.Run, errDenied, d.From+":")
		}
	default:
		return fmt.Errorf("domain %s sends a %s: %w; only %s may", d.From, strings.ToLower(env.Type.String()), errDenied, schemas.LocalDomain)
	}
	if blob := env.Payload.GetBlob(); blob != nil && !strings.HasPrefix(blob.GetName(), d.To.Run(schemas.RunID(env.Id)).String()+"/") {
		return fmt.Errorf("the payload of a message of domain %s is the object %q: %w; it may be one below %s/", d.From, blob.GetName(), errDenied, d.To.Run(schemas.RunID(env.Id)))
	}
	return nil
}

// jsonBody returns the JSON value of a body in the form of [CompactJSON]; an
// empty body is null.
func jsonBody(data []byte) ([]byte, error) {
	if len(bytes.TrimSpace(data)) == 0 {
		return []byte("null"), nil
	}
	compact, err := CompactJSON(data)
	if err != nil {
		return nil, fmt.Errorf("body %.40q is not JSON: %w", data, err)
	}
	return compact, nil
}

// CompactJSON returns a JSON value as encoding/json writes one: without white
// space between its parts and with <, > and & escaped, so that an input that
// was written by hand compares equal to the same one that a program wrote. What is
// not UTF-8 is not JSON: who reads it would get another text than was sent.
func CompactJSON(data []byte) ([]byte, error) {
	if !utf8.Valid(data) {
		return nil, errors.New("it is not UTF-8")
	}
	var compact, escaped bytes.Buffer
	if err := json.Compact(&compact, data); err != nil {
		return nil, err
	}
	json.HTMLEscape(&escaped, compact.Bytes())
	return escaped.Bytes(), nil
}
