package broker

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/nats-io/nats.go"
)

// How long a publish waits for its acknowledgement before the same bytes are
// sent again; it doubles up to the maximum, so that an overloaded server is
// not asked ever more.
const (
	ackWait    = 2 * time.Second
	ackWaitMax = 15 * time.Second
)

// How long a publish that nobody took waits before it is sent again: a stream
// has no leader for seconds when one of its servers dies.
const (
	retryWait    = 10 * time.Millisecond
	retryWaitMax = 500 * time.Millisecond
)

// A publisher stores messages in streams. It is the hot path of a run.
type publisher struct {
	link    *link
	mux     *mux
	lane    *lane    // nil without an embedded server
	commits *commits // nil where an acknowledged message is durable, or need not be
	gate    *gate    // nil: nothing is held up for a backup
}

// An ack is what a stream says of a message that it stored.
type ack struct {
	stream    []byte // part of the answer, and valid as long; nil in what publish returns
	seq       uint64
	duplicate bool
}

// publish sends msg until the stream acknowledges or refuses it, or ctx ends; what
// is acknowledged is as durable as it is meant to be.
// While the outcome is unknown (no answer, nobody listening, connection lost)
// the same bytes with the same condition are sent again (P04): a condition or
// a message ID must make that harmless. The error is a *refusal, matches
// [ErrTooLarge] or [ErrClosed], or says that ctx ended with the outcome
// unknown. publish owns msg until it returns, and may set its Reply.
func (p *publisher) publish(ctx context.Context, msg *nats.Msg) (ack, error) {
	return p.publishTo(ctx, msg, nil)
}

// publishTo is publish; nobody is asked, when nothing listens on the subject,
// whether that is final: its error is then returned.
func (p *publisher) publishTo(ctx context.Context, msg *nats.Msg, nobody func(context.Context) error) (ack, error) {
	if p.gate.guards(msg.Subject) {
		if err := p.gate.enter(ctx); err != nil {
			return ack{}, fmt.Errorf("publish on %s: nothing was sent: %w", msg.Subject, err)
		}
		defer p.gate.leave()
	}
	s := sending{p: p, msg: msg}
	defer s.end()
	wait, pause := ackWait, retryWait
	var last error // what an attempt ended with, for people
	for {
		a, err := s.once(ctx, wait)
		if err == nil {
			return a, nil
		}
		switch {
		case errors.Is(err, errNoAnswer):
			wait = min(2*wait, ackWaitMax)
			if last == nil { // silence says less than what was said before
				last = err
			}
			continue
		case errors.Is(err, errLost):
			if err := p.link.connected(ctx); err != nil {
				return ack{}, unknown(msg.Subject, err)
			}
		case errors.Is(err, errNoResponders):
			if nobody != nil {
				if err := nobody(ctx); err != nil {
					return ack{}, err
				}
			}
		case refused(err) != nil && refused(err).temporary():
		default:
			if last != nil && ctx.Err() != nil { // it ended while an answer was waited for
				err = fmt.Errorf("%w (last: %w)", err, last)
			}
			return ack{}, err
		}
		last = err
		if perr := p.link.pause(ctx, jitter(pause)); perr != nil {
			return ack{}, unknown(msg.Subject, fmt.Errorf("%w (last: %w)", perr, err))
		}
		pause = min(2*pause, retryWaitMax)
	}
}

// A sending is a message that is sent until it is acknowledged.
type sending struct {
	p   *publisher
	msg *nats.Msg
	ask *ask    // nil until it is sent over the lane
	w   *waiter // nil until it is sent over the usual connection
}

func (s *sending) end() {
	if s.ask != nil {
		s.p.lane.give(s.ask)
	}
	if s.w != nil {
		s.p.mux.forget(s.w)
	}
}

// once sends the message once, and waits until it is acknowledged and durable, or
// refused.
func (s *sending) once(ctx context.Context, wait time.Duration) (ack, error) {
	answer, lost, err := s.send(ctx, wait)
	if err != nil {
		return ack{}, err
	}
	a, refusal, err := parseAck(answer)
	switch {
	case err != nil:
		return ack{}, fmt.Errorf("acknowledgement of %s: %w", s.msg.Subject, err)
	case refusal != nil:
		return ack{}, refusal
	}
	if err := s.p.commits.wait(ctx, a.stream, lost); err != nil {
		if ctx.Err() != nil {
			err = unknown(s.msg.Subject, ctx.Err())
		}
		return ack{}, err
	}
	a.stream = nil // which is not valid for much longer
	return a, nil
}

// send sends the message once and waits for the answer, which is valid until it is sent
// again or ends. Lost ends the session in which it was sent.
func (s *sending) send(ctx context.Context, wait time.Duration) (answer []byte, lost <-chan struct{}, err error) {
	p := s.p
	if headers, ok := p.lane.carries(s.msg); ok {
		if s.ask == nil {
			s.ask = p.lane.take()
		}
		answer, err = p.lane.send(ctx, s.ask, s.msg, headers, wait)
		switch {
		case err == nil:
		case ctx.Err() != nil:
			err = unknown(s.msg.Subject, ctx.Err())
		case err == errLost && isClosed(p.link.closed):
			err = ErrClosed
		}
		return answer, p.lane.lost, err
	}
	if s.w == nil {
		s.w = p.mux.register()
		s.msg.Reply = s.w.reply
	}
	lost = p.link.session()
	m, err := p.tryOn(ctx, s.w, s.msg, wait, lost)
	if err != nil && ctx.Err() != nil && !errors.Is(err, ErrDenied) {
		err = unknown(s.msg.Subject, ctx.Err())
	}
	if err != nil {
		return nil, lost, err
	}
	return m.Data, lost, nil
}

// durable returns when what was found in a stream is as durable as what
// [publisher.publish] has stored: whoever sent it may not have waited.
func (p *publisher) durable(ctx context.Context, stream string) error {
	for p.commits != nil {
		lost, err := p.link.begin(ctx)
		if err == nil {
			err = p.commits.wait(ctx, []byte(stream), lost)
		}
		if err != errLost {
			return err
		}
	}
	return nil
}

// try asks once and waits for one answer.
func (p *publisher) try(ctx context.Context, w *waiter, msg *nats.Msg, wait time.Duration) (*nats.Msg, error) {
	answer, err := p.tryOn(ctx, w, msg, wait, p.link.session())
	if err != nil && ctx.Err() != nil && !errors.Is(err, ErrDenied) {
		return nil, fmt.Errorf("request %s: no answer: %w", msg.Subject, ctx.Err())
	}
	return answer, err
}

// tryOn sends msg once, in a session of the connection, and waits for one answer.
func (p *publisher) tryOn(ctx context.Context, w *waiter, msg *nats.Msg, wait time.Duration, lost <-chan struct{}) (*nats.Msg, error) {
	w.subject.Store(&msg.Subject)
	if err := p.link.nc.PublishMsg(msg); err != nil {
		switch {
		case errors.Is(err, nats.ErrMaxPayload):
			return nil, fmt.Errorf("%w: message of %d bytes on %s; the server takes %d: store the payload by reference",
				ErrTooLarge, len(msg.Data), msg.Subject, p.link.nc.MaxPayload())
		case errors.Is(err, nats.ErrReconnectBufExceeded), errors.Is(err, nats.ErrConnectionReconnecting):
			p.link.look()
			return nil, errLost
		case errors.Is(err, nats.ErrConnectionClosed), errors.Is(err, nats.ErrConnectionDraining):
			return nil, ErrClosed
		}
		return nil, fmt.Errorf("publish on %s: %w", msg.Subject, err)
	}
	answer, err := p.mux.receive(ctx, w, lost, wait)
	if err == errNoAnswer || err != nil && ctx.Err() != nil {
		if d := deniedBy(p.link.nc.LastError()); d != nil && !d.Subscribe && d.Subject == msg.Subject {
			return nil, d
		}
	}
	return answer, err
}

// unknown says that a publish ended without an answer.
func unknown(subject string, err error) error {
	return fmt.Errorf("publish on %s: outcome unknown: %w", subject, err)
}

func jitter(d time.Duration) time.Duration { return d/2 + rand.N(d) }

var (
	errorField     = []byte(`"error"`)
	seqField       = []byte(`"seq":`)
	streamField    = []byte(`{"stream":"`)
	duplicateField = []byte(`"duplicate":`)
)

// parseAck reads a publish acknowledgement. The common form, {"stream":"S",
// "seq":7}, is read without decoding JSON.
func parseAck(data []byte) (ack, *refusal, error) {
	if !bytes.Contains(data, errorField) && !bytes.Contains(data, duplicateField) {
		if _, after, ok := bytes.Cut(data, seqField); ok {
			var seq uint64
			for _, c := range bytes.TrimLeft(after, " ") {
				if c < '0' || c > '9' {
					break
				}
				seq = seq*10 + uint64(c-'0')
			}
			stream, known := bytes.CutPrefix(data, streamField)
			end := bytes.IndexByte(stream, '"')
			if seq > 0 && known && end > 0 {
				return ack{stream: stream[:end], seq: seq}, nil, nil
			}
		}
	}
	var v struct {
		Stream    string   `json:"stream"`
		Seq       uint64   `json:"seq"`
		Duplicate bool     `json:"duplicate"`
		Error     *refusal `json:"error"`
	}
	if err := json.Unmarshal(data, &v); err != nil {
		return ack{}, nil, fmt.Errorf("%w: %.60q is not an acknowledgement of JetStream: %w", ErrIncompatible, data, err)
	}
	if v.Error != nil {
		return ack{}, v.Error, nil
	}
	if v.Seq == 0 {
		return ack{}, nil, fmt.Errorf("%w: %.60q is not an acknowledgement of JetStream", ErrIncompatible, data)
	}
	return ack{[]byte(v.Stream), v.Seq, v.Duplicate}, nil, nil
}
