package runtime

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/perdure/perdure/schemas"
	"google.golang.org/protobuf/proto"
)

// A run takes the limits of its kind before its code runs: each is a message to
// the limit's identity, and a wait for the answer, which comes when it is the
// run's turn. Both are recorded, below the number 0, as a call is. What was taken
// is given back by a message that leaves with the run's record, however the run
// ends; nothing else ends a permit.

// limitPath begins the numbers of what a run and its limits say to each other.
const limitPath = "0."

// permitCodec is the codec of what runs and limits say to each other.
const permitCodec = "proto"

// admitted is a handler behind limits.
func admitted(holds []*schemas.Hold, h Handler) Handler {
	return func(c *Context, in *schemas.Payload) (*schemas.Payload, error) {
		g := c.derive(c.scope)
		g.prefix, g.line = limitPath, new(line)
		for _, hold := range holds {
			instead, err := g.take(hold)
			if instead != nil || err != nil {
				return instead, err
			}
		}
		return h(c, in)
	}
}

// take waits until the run may go on, as far as one limit is concerned. A result
// is that of another run, which this one ends with.
func (c *Context) take(hold *schemas.Hold) (instead *schemas.Payload, err error) {
	if hold.GetError() != nil {
		return nil, DecodeError(hold.GetError())
	}
	permit, err := c.turn(hold)
	if err != nil {
		return nil, err
	}
	if hold.GetRule() == schemas.Hold_DEBOUNCE {
		if permit, err = c.permit("confirm", hold); err != nil {
			return nil, err
		}
	}
	switch {
	case permit.GetInstead() == "":
		return nil, nil
	case hold.GetRule() == schemas.Hold_DEBOUNCE:
		c.run.superseded = permit.GetInstead()
		return nil, Errorf(ErrSuperseded.Code, "%s took the place of this run: it came later, within the quiet time of %s; ask for its result", permit.GetInstead(), hold.GetLimit())
	}
	c.run.superseded = permit.GetInstead()
	if permit.GetError() != nil {
		return nil, DecodeError(permit.GetError())
	}
	if permit.GetResult() == nil {
		return &schemas.Payload{}, nil
	}
	return permit.GetResult(), nil
}

// rateLate is by how much a run may at least miss its time of a rate: so late are
// wake-ups of a day on which nothing is wrong.
const rateLate = 500 * time.Millisecond

// askedAgain names the change by which a run that missed its time asks again.
const askedAgain = "perdure: a missed time of a rate"

// turn asks a limit for a permit, and waits until the time that it is for. Those who
// missed their times of a rate while no node was there would all begin at once: they
// ask for another. Each time it may be missed by twice as much, so that whoever is
// always late begins all the same.
func (c *Context) turn(hold *schemas.Hold) (*schemas.Permit, error) {
	for late := max(time.Duration(hold.GetInterval()), rateLate); ; late *= 2 {
		permit, err := c.permit("acquire", hold)
		if err != nil || permit.GetAt() == 0 {
			return permit, err
		}
		at := time.Unix(0, permit.GetAt())
		if at.After(c.Now()) {
			f := c.After(limitName(hold.GetLimit()), at.Sub(c.Now()))
			if _, err := c.Wait(f); err != nil {
				return nil, err
			}
			if _, err := f.Outcome(); err != nil { // cancelled meanwhile
				return nil, err
			}
		}
		if hold.GetRule() != schemas.Hold_RATE || c.Now().Sub(at) <= late || c.Version(askedAgain, 0, 1) == 0 {
			return permit, nil
		}
	}
}

// permit sends a message to a limit and waits for the permit.
func (c *Context) permit(method string, hold *schemas.Hold) (*schemas.Permit, error) {
	c.check()
	r := c.run
	to, err := schemas.ParseIdentity(hold.GetLimit())
	if err != nil {
		return nil, Errorf(ErrInvalid.Code, "the limit %q: %v", hold.GetLimit(), err)
	}
	path := c.next()
	f := &Future{run: r, kind: kindCall, path: path, name: limitName(hold.GetLimit()), scope: c.scope}
	f.msg.to = to.Run(schemas.RunID(r.derive(method, path)))
	ask := &schemas.Ask{Run: r.ref.String(), Path: r.global(path), Hold: hold, Chain: append(slices.Clone(r.chain), r.ref.Identity.String())}
	f.msg.env = &schemas.Envelope{
		Type: schemas.Envelope_TASK, Id: string(f.msg.to.ID), Method: method, Payload: encodePermit(ask), Parent: r.ref.String(), Trace: r.trace,
	}
	if !slices.Contains(r.held, hold) {
		r.held = append(r.held, hold)
	}
	if _, err := c.Wait(c.issue(f)); err != nil {
		return nil, err
	}
	p, err := f.Outcome()
	if err != nil {
		return nil, err
	}
	permit := &schemas.Permit{}
	if err := proto.Unmarshal(p.GetData(), permit); err != nil {
		return nil, Errorf(ErrInvalid.Code, "the answer of the limit %s cannot be read: %v", hold.GetLimit(), err)
	}
	return permit, nil
}

// limitName is what a timeline calls a limit.
func limitName(limit string) string {
	_, key, _ := strings.Cut(limit, "/")
	return "limit " + key
}

func encodePermit(m proto.Message) *schemas.Payload {
	data, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil { // a text that is not UTF-8: those that a limit is made of are checked
		panic(fmt.Sprintf("perdure: encode %T: %v", m, err))
	}
	return &schemas.Payload{Data: data, Codec: permitCodec}
}

// Release returns the messages by which a run that is over gives back what it
// has taken, or waits for, of limits. The same run and limit give the same
// message: one that comes again is harmless.
func Release(namespace string, ref schemas.Ref, holds []*schemas.Hold, rec *schemas.Record) []*schemas.Envelope {
	var out []*schemas.Envelope
	for _, h := range holds {
		if h.GetError() != nil || h.GetRule() == schemas.Hold_RATE || h.GetRule() == schemas.Hold_TREE && h.GetRoot() != ref.String() {
			continue
		}
		ask := &schemas.Ask{Run: ref.String(), Hold: h}
		if h.GetAttach() {
			ask.Result, ask.Error = rec.GetResult(), rec.GetError()
			if ask.Result.GetBlob() != nil { // it goes with this run's record
				ask.Result = &schemas.Payload{Data: ask.Result.GetData(), Codec: ask.Result.GetCodec()}
			}
		}
		out = append(out, &schemas.Envelope{
			Type: schemas.Envelope_TASK, Id: DeriveID(namespace, ref, "release", h.GetLimit()), Method: "release",
			To: h.GetLimit(), Payload: encodePermit(ask), Parent: ref.String(),
		})
	}
	return out
}

// GiveBack returns the message that gives back a permit which came to a run that
// was over before, nil if an answer grants none.
func GiveBack(namespace string, ref schemas.Ref, answer *schemas.Envelope) *schemas.Envelope {
	if answer.GetType() != schemas.Envelope_RESULT || answer.GetLimit() == "" {
		return nil
	}
	return &schemas.Envelope{
		Type: schemas.Envelope_TASK, Id: DeriveID(namespace, ref, "give back", answer.GetId()), Method: "release",
		To: answer.GetLimit(), Payload: encodePermit(&schemas.Ask{Run: ref.String()}), Parent: ref.String(),
	}
}
