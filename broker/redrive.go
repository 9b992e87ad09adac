package broker

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/perdure/perdure/schemas"
	"google.golang.org/protobuf/proto"
)

// ErrNotSendable is matched by the error of a dead letter that cannot be sent again.
var ErrNotSendable = errors.New("the dead letter cannot be sent again")

// DeadLetter returns the dead letter at a sequence; ok is false if it is there no
// more.
func (i *Inbox) DeadLetter(ctx context.Context, seq uint64) (d DeadLetter, ok bool, err error) {
	m, ok, err := i.b.dead.get(ctx, query{Seq: seq})
	if err != nil {
		return d, false, fmt.Errorf("read dead letter %d: %w", seq, err)
	}
	if !ok {
		return d, false, nil
	}
	return i.letter(m), true, nil
}

// DropDead removes a dead letter; one that is not there is not an error.
func (i *Inbox) DropDead(ctx context.Context, seq uint64) error {
	if err := i.b.dead.deleteMessage(ctx, seq); err != nil {
		return fmt.Errorf("remove dead letter %d: %w", seq, err)
	}
	return nil
}

// Redrive publishes a dead letter to the inbox again, with its own ID, and with
// input, which is JSON, in place of its own unless that is nil. It does not remove
// it: a message that comes twice is one run, one that was removed first may be none.
// The error matches [ErrNotSendable] for what is no message to an identity, and
// [ErrUnknownKind] if nobody hosts its kind.
func (i *Inbox) Redrive(ctx context.Context, d DeadLetter, input []byte) error {
	msg, _, err := i.again(d, input)
	if err != nil {
		return err
	}
	// Fresh, so that JetStream does not take it for the message that was put aside.
	msg.Header[hdrMsgID] = []string{"redrive/" + strconv.FormatUint(d.Seq, 10) + "/" + rand.Text()}
	i.b.before(opSend, msg.Subject)
	_, err = i.b.publishRetrying(ctx, msg, func(ctx context.Context) error {
		_, err := i.b.streamOf(ctx, msg.Subject)
		return err
	})
	if err != nil {
		return fmt.Errorf("send dead letter %d again: %w", d.Seq, err)
	}
	i.b.after(opSend, msg.Subject)
	return nil
}

// Again returns what the dead letter would be if [Inbox.Redrive] published it.
func (i *Inbox) Again(d DeadLetter, input []byte) (Delivery, error) {
	msg, to, err := i.again(d, input)
	if err != nil {
		return Delivery{}, err
	}
	from := strings.Split(strings.TrimPrefix(msg.Subject, i.b.names.ns+"."), ".")[1]
	return i.b.delivery("", message{subject: i.b.names.InSubject(from, to), header: msg.Header, data: msg.Data, time: d.Stored}), nil
}

// again makes the message that a dead letter was.
func (i *Inbox) again(d DeadLetter, input []byte) (*nats.Msg, schemas.Identity, error) {
	from, to, err := i.addressed(d)
	if err != nil {
		return nil, to, err
	}
	h := nats.Header(maps.Clone(d.Headers))
	for k := range h {
		switch {
		case strings.HasPrefix(k, "Nats-"), k == HeaderSubject, k == HeaderCode, k == HeaderReason:
			delete(h, k)
		case k == HeaderSequence && (d.ID != "" || h.Get(HeaderEnvelope) != ""):
			delete(h, k)
		}
	}
	msg := &nats.Msg{Subject: i.b.names.TaskSubject(from, to), Header: h, Data: d.Data}
	switch foreign := h.Get(HeaderEnvelope) == ""; {
	case foreign && d.ID != "" && from != schemas.LocalDomain: // it was kept with the domain before it, which comes there again
		h[HeaderID] = []string{strings.TrimPrefix(d.ID, from+":")}
	case !foreign:
		delete(h, HeaderID) // it is in the envelope
	}
	if input == nil {
		return msg, to, nil
	}
	if !json.Valid(input) {
		return nil, to, fmt.Errorf("%w: number %d: the new input is not JSON", ErrNotSendable, d.Seq)
	}
	if msg.Data = input; h.Get(HeaderEnvelope) == "" {
		return msg, to, nil
	}
	env := &schemas.Envelope{}
	if err := proto.Unmarshal(d.Data, env); err != nil {
		return nil, to, fmt.Errorf("%w: number %d: its envelope is damaged, so that there is nothing to put another input into; drop it, and start the run anew: %w", ErrNotSendable, d.Seq, err)
	}
	env.Payload = &schemas.Payload{Data: input}
	if msg.Data, err = proto.Marshal(env); err != nil {
		return nil, to, fmt.Errorf("encode dead letter %d: %w", d.Seq, err)
	}
	return msg, to, nil
}

// addressed reads who sent a dead letter to whom off the subject it had.
func (i *Inbox) addressed(d DeadLetter) (from string, to schemas.Identity, err error) {
	var kind, key string
	if t, e := i.b.names.split(d.Subject, ".task.", 3); e == nil {
		from, kind, key = t[0], t[1], t[2]
	} else if t, e := i.b.names.parseIn(d.Subject); e == nil {
		from, kind, key = t.from, t.kind, t.key
	} else {
		return "", to, fmt.Errorf("%w: number %d was on %q, which is no message to an identity; drop it", ErrNotSendable, d.Seq, d.Subject)
	}
	if key, err = schemas.DecodeToken(key); err == nil {
		to = schemas.Identity{Kind: schemas.Kind(kind), Key: key}
		err = to.Validate()
	}
	if err == nil {
		err = schemas.Kind(from).Validate()
	}
	if err != nil {
		return "", to, fmt.Errorf("%w: number %d was on %q: %w; drop it", ErrNotSendable, d.Seq, d.Subject, err)
	}
	return from, to, nil
}

// ExpireDead removes the dead letters that were put aside before a time, and the
// oldest while all have more than a number of bytes, and returns how many.
func (i *Inbox) ExpireDead(ctx context.Context, before time.Time, bytes uint64) (n int, err error) {
	info, err := i.b.dead.info(ctx, "")
	if err != nil {
		return 0, fmt.Errorf("look at the dead letters: %w", err)
	}
	size := info.State.Bytes
	for m, err := range i.b.dead.scan(ctx, i.b.names.deadFilter(), 0) {
		if err != nil {
			return n, fmt.Errorf("look for old dead letters: %w", err)
		}
		if !m.time.Before(before) && size <= bytes {
			return n, nil
		}
		if err := i.DropDead(ctx, m.seq); err != nil {
			return n, err
		}
		n++
		size -= min(size, uint64(len(m.data)+len(m.subject)))
	}
	return n, nil
}
