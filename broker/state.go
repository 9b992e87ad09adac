package broker

import (
	"context"
	"fmt"
	"strconv"

	"github.com/nats-io/nats.go"
	"github.com/perdure/perdure/schemas"
	"google.golang.org/protobuf/proto"
)

// State holds what identities keep between runs, in a KV bucket of one value
// an identity.
type State struct {
	b *Broker
}

// State returns the states of the namespace.
func (b *Broker) State() *State { return &State{b} }

// Get returns the state of an identity and its revision, as the leader has
// it; nil and 0 when there is none.
func (s *State) Get(ctx context.Context, id schemas.Identity) (v *schemas.State, rev uint64, err error) {
	m, ok, err := s.b.state.get(ctx, query{LastBy: s.b.names.stateSubject(id)})
	if err != nil {
		return nil, 0, fmt.Errorf("read the state of %v: %w", id, err)
	}
	if !ok {
		return nil, 0, nil
	}
	if absent(m) {
		// Deleted by hand: the revision still counts, the value is gone.
		return &schemas.State{}, m.seq, nil
	}
	if v, err = decodeState(m); err != nil {
		return nil, m.seq, fmt.Errorf("read the state of %v: %w: revision %d: %w", id, ErrIncompatible, m.seq, err)
	}
	return v, m.seq, nil
}

func decodeState(m message) (*schemas.State, error) {
	v := &schemas.State{}
	return v, proto.Unmarshal(m.data, v)
}

// Put stores the state of an identity if its revision is after (0: there is
// none). A refusal is success when the stored value is of the same run or of
// a later sequence (P17); Seq is then the stored value's revision. Any other
// refusal is Fenced. An error means that ctx ended, with the outcome unknown,
// or that the value cannot be stored.
func (s *State) Put(ctx context.Context, id schemas.Identity, after uint64, v *schemas.State) (schemas.Outcome, error) {
	data, err := proto.Marshal(v)
	if err != nil {
		return schemas.Outcome{}, fmt.Errorf("encode the state of %v: %w", id, err)
	}
	msg := &nats.Msg{
		Subject: s.b.names.stateSubject(id), Data: data,
		Header: nats.Header{hdrExpectedSeq: {strconv.FormatUint(after, 10)}},
	}
	s.b.before(opState, msg.Subject)
	pause := retryWait
	for {
		ack, err := s.b.pub.publish(ctx, msg)
		if err == nil {
			s.b.after(opState, msg.Subject)
			return schemas.Outcome{Seq: ack.seq}, nil
		}
		if r := refused(err); r == nil || !r.fenced() && !r.inFlight() {
			return schemas.Outcome{}, fmt.Errorf("store the state of %v after revision %d: %w", id, after, err)
		}
		have, rev, err := s.Get(ctx, id)
		switch {
		case err != nil:
			return schemas.Outcome{}, err
		case have != nil && (have.Run == v.Run && have.Sequence == v.Sequence || have.Sequence > v.Sequence):
			s.b.after(opState, msg.Subject)
			return schemas.Outcome{Seq: rev}, s.b.pub.durable(ctx, s.b.state.stream)
		case rev != after:
			return schemas.Outcome{Fenced: true}, nil
		}
		if err := s.b.link.pause(ctx, jitter(pause)); err != nil {
			return schemas.Outcome{}, unknown(msg.Subject, err)
		}
		pause = min(2*pause, retryWaitMax)
	}
}
