package actors

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"

	"github.com/perdure/perdure/broker"
	"github.com/perdure/perdure/runtime"
	"github.com/perdure/perdure/schemas"
	"google.golang.org/protobuf/proto"
)

// An item is a message that is kept until its run is suspended or finished. It
// is its activation's, which alone changes it; once it was taken off the list,
// it is whoever's took it.
type item struct {
	d     broker.Delivery // without what was stored, which is kept as Envelope only
	run   schemas.RunID
	given bool // to the execution
	again bool // see anew
	// light says that the payload is not in memory, because the message waits
	// or it was stored by reference. Invariant: once true, never false again:
	// what reads it again passes it on.
	light  bool
	early  bool     // a signal for a run that was never heard of: it may come
	press  *press   // of a task that does not wait as others do; nil for most
	hashes [][]byte // of a task that became light
	bytes  atomic.Int64
	party  party                // of a client's task, once it was asked for
	line   atomic.Pointer[line] // in which it waits for a place; nil for none
	// counts says as what it is counted by the host: countsHeld and so on.
	counts atomic.Int32
}

// What a message is counted as.
const (
	countsHeld    int32 = iota // a run has it, or is about to
	countsResting              // it waits for one
	countsGone                 // it is not held any more
)

// keptPayload is the size up to which the payload of a waiting message stays in
// memory: reading it again costs more than it takes.
const keptPayload = 4 << 10

// newItem counts a message that the pump has just received.
func (u *pump) newItem(d broker.Delivery) *item {
	it := &item{d: d}
	bytes := int64(len(d.Data) + len(d.Envelope.GetPayload().GetData()))
	it.bytes.Store(bytes)
	u.held.add(1, 0, bytes)
	return it
}

// weigh notes how many bytes of the message are in memory.
func (u *pump) weigh(it *item, bytes int64) { u.held.add(0, 0, bytes-it.bytes.Swap(bytes)) }

// unhold forgets a message: it is acknowledged, or not for this host.
// What was lent may be done with twice, by the borrower and here.
func (u *pump) unhold(it *item) {
	u.leaveLine(it)
	switch it.counts.Swap(countsGone) {
	case countsHeld:
		u.held.add(-1, 0, -it.bytes.Swap(0))
	case countsResting:
		u.held.add(0, -1, -it.bytes.Swap(0))
	}
}

// rest counts a message as one that waits: for another run of its key, or for its
// own to begin.
func (u *pump) rest(it *item) {
	u.lighten(it)
	if !it.given && it.counts.CompareAndSwap(countsHeld, countsResting) {
		u.held.add(-1, 1, 0)
		u.leaveLine(it)
	}
}

// rouse counts a message as one that a run is given.
func (u *pump) rouse(it *item) {
	if it.counts.CompareAndSwap(countsResting, countsHeld) {
		u.held.add(1, -1, 0)
	}
}

// unwrap lets go what was stored of a message that was understood.
func (u *pump) unwrap(it *item) {
	p := it.d.Envelope.GetPayload()
	it.d.Data, it.d.Headers = nil, nil
	it.light = p.GetBlob() != nil || slices.ContainsFunc(it.d.Envelope.GetFork().GetResults(), func(r *schemas.ForkResult) bool { return r.GetResult().GetBlob() != nil })
	u.weigh(it, int64(len(p.GetData())))
}

// lighten lets the payload of a message that waits go.
func (u *pump) lighten(it *item) {
	env, n := it.d.Envelope, len(it.d.Envelope.GetPayload().GetData())
	if it.light || it.given || n == 0 || n <= keptPayload && !u.host.held.heavy() {
		return
	}
	if it.isTask() {
		it.hashes = it.inputHashes()
	}
	env.Payload, it.light = nil, true
	u.weigh(it, 0)
}

// partyOf returns whose place the run of a client's task takes.
func (u *pump) partyOf(it *item) party {
	if it.party == (party{}) {
		it.party = u.host.parties.of(it.d.To, it.d.From)
	}
	return it.party
}

// isClients reports whether it is a task that no run has sent: its run takes a place.
func (it *item) isClients() bool { return it.isTask() && it.d.Envelope.GetParent() == "" }

func (it *item) isTask() bool { return it.d.Envelope.GetType() == schemas.Envelope_TASK }

// terminates reports whether an operator asks that its run ends at once.
func (it *item) terminates() bool {
	return it.controls() == schemas.Control_TERMINATE
}

// unparks reports whether an operator asks that a run which stands still ends, or
// tries again.
func (it *item) unparks() bool {
	return it.terminates() || it.controls() == schemas.Control_RESUME
}

// anew reports whether a run that stands still is to look at the message: it was not
// given it, or the message, which ends the run, came as it stopped. Of one that ends
// the run with its caller it is not known whether it concerns the run: it is looked at
// once more.
func (it *item) anew() bool {
	if !it.given || !it.terminates() || it.d.Envelope.GetReply() == nil {
		return !it.given || it.terminates()
	}
	again := it.again
	it.again = true
	return !again
}

// controls returns what an operator asks by the message, if it is one's.
func (it *item) controls() schemas.Control_Action {
	if it.d.Envelope.GetType() != schemas.Envelope_CONTROL {
		return schemas.Control_ACTION_UNSPECIFIED
	}
	return it.d.Envelope.GetControl().GetAction()
}

// inputHashes returns the hashes of a task, whether its input is in memory or not.
func (it *item) inputHashes() [][]byte {
	if it.hashes != nil {
		return it.hashes
	}
	return runtime.TaskHashes(it.d.Envelope)
}

// body returns what a message says, its payload read if it is light. It is nil
// where there is nothing to do for the message but to acknowledge it: its
// payload is lost, and it was kept as a dead letter; or it is not in the inbox
// any more. Then somebody else settled it, a later owner, which the next append
// of this one tells, or an operator who removed it.
func (u *pump) body(ctx context.Context, it *item) (*schemas.Envelope, error) {
	env := it.d.Envelope
	if !it.light {
		return env, nil
	}
	b := u.host.cfg.Broker
	if env.GetPayload() != nil { // it is the name of an object
		env = proto.CloneOf(env)
		switch err := Fill(ctx, b, env); {
		case errors.Is(err, broker.ErrBlob):
			return nil, u.putAside(ctx, it, "invalid", err.Error())
		case err != nil:
			return nil, fmt.Errorf("message %d to %s: %w", it.d.Seq, it.d.To, err)
		}
		return env, nil
	}
	d, ok, err := b.Inbox().Read(ctx, it.d.Seq)
	switch {
	case err != nil || !ok:
		return nil, err
	case d.Bad != nil:
		return nil, u.putAside(ctx, it, d.BadCode, d.Bad.Error())
	}
	d.Envelope.Id = env.GetId() // as it was understood first
	return d.Envelope, nil
}

// putAside keeps a message, as it is stored, as a dead letter; one that is gone
// is none.
func (u *pump) putAside(ctx context.Context, it *item, code, reason string) error {
	b := u.host.cfg.Broker
	d, ok, err := b.Inbox().Read(ctx, it.d.Seq)
	if ok {
		u.sayDead(it, code, reason)
		err = b.Inbox().Dead(ctx, d, code, reason)
	}
	if err != nil {
		return fmt.Errorf("keep message %d as a dead letter: %w", it.d.Seq, err)
	}
	return nil
}

// bury keeps a message that cannot be handled as a dead letter, and
// acknowledges it.
func (u *pump) bury(it *item, code, reason string) {
	u.begin(func() {
		var err error
		if it.d.Envelope != nil && it.d.Data == nil { // it was understood, and what was stored let go
			err = u.putAside(u.ctx, it, code, reason)
		} else {
			u.sayDead(it, code, reason)
			if err = u.host.cfg.Broker.Inbox().Dead(u.ctx, it.d, code, reason); err != nil {
				err = fmt.Errorf("keep message %d as a dead letter: %w", it.d.Seq, err)
			}
		}
		if err != nil {
			u.lose(err)
			return
		}
		u.ack(it)
	})
}

func (u *pump) sayDead(it *item, code, reason string) {
	u.host.cfg.Log.Warn("a message was put aside as a dead letter", "subject", it.d.Subject, "code", code, "reason", reason)
}
