package broker

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/perdure/perdure/schemas"
)

// A DeadLetter is a message that could not be handled: it cannot be decoded, its
// ID was used before with another input, or nobody hosts its kind. It is kept in
// the stream [Names.DeadStream] until it is sent again, dropped, or too old.
type DeadLetter struct {
	Seq     uint64    // in the stream of dead letters
	Stored  time.Time // when it was put aside
	Subject string    // where it was in the inbox, or was to go
	ID      string    // of the message; empty if its publisher gave none
	Code    string    // why, for programs, as in runtime.Error
	Reason  string    // why, for people, and what the publisher can do
	Data    []byte    // its body
	Headers map[string][]string
	Kind    string // as its subject says, which may be no kind
	Key     string
}

func (i *Inbox) letter(m message) DeadLetter {
	d := DeadLetter{
		Seq: m.seq, Stored: m.time, Subject: m.header.Get(HeaderSubject), ID: m.header.Get(HeaderID),
		Code: m.header.Get(HeaderCode), Reason: m.header.Get(HeaderReason), Data: m.data, Headers: m.header,
	}
	if t, err := i.b.names.split(m.subject, ".dead.", 2); err == nil {
		d.Kind, d.Key = t[0], t[1]
		if key, err := schemas.DecodeToken(t[1]); err == nil {
			d.Key = key
		}
	}
	return d
}

// Dead stores a copy of d in the stream of dead letters, with what it was and
// why it is there in its headers. It may be called again for the same
// message, which is stored once. It does not acknowledge d.
func (i *Inbox) Dead(ctx context.Context, d Delivery, code, reason string) error {
	kind, key := "unknown", "unknown"
	if t, err := i.b.names.parseIn(d.Subject); err == nil {
		kind, key = t.kind, t.key
	}
	h := nats.Header{}
	for k, v := range d.Headers {
		// The server's own would be obeyed again.
		if !strings.HasPrefix(k, "Nats-") {
			h[k] = v
		}
	}
	switch {
	case d.Envelope != nil && !d.NoID:
		h[HeaderID] = []string{d.Envelope.GetId()}
	case h.Get(HeaderID) == "" && nats.Header(d.Headers).Get(hdrMsgID) != "":
		h[HeaderID] = []string{nats.Header(d.Headers).Get(hdrMsgID)}
	}
	h[HeaderSequence] = []string{strconv.FormatUint(d.Seq, 10)}
	return i.putDead(ctx, i.b.names.deadSubject(kind, key), &nats.Msg{Header: h, Data: d.Data}, d.stream+"/"+strconv.FormatUint(d.Seq, 10), d.Subject, code, reason)
}

// Undelivered stores a message as a dead letter that no inbox takes, because its
// kind is unknown or it is too large. It may be called again for the same
// message, which is stored once.
func (i *Inbox) Undelivered(ctx context.Context, from string, to schemas.Identity, env *schemas.Envelope, code, reason string) error {
	subject := i.b.names.TaskSubject(from, to)
	msg, err := i.b.envelope(subject, env)
	if err != nil {
		return fmt.Errorf("store dead letter %q of %v: %w", env.GetId(), to, err)
	}
	msg.Header[HeaderID] = []string{env.GetId()}
	return i.putDead(ctx, i.b.names.deadSubject(string(to.Kind), schemas.EncodeToken(to.Key)), msg, messageID(from, to, env), subject, code, reason)
}

// putDead stores a dead letter once under id, which is unique in the namespace.
func (i *Inbox) putDead(ctx context.Context, subject string, msg *nats.Msg, id, was, code, reason string) error {
	msg.Subject = subject
	msg.Header[hdrMsgID] = []string{"dead/" + id}
	msg.Header[HeaderSubject], msg.Header[HeaderCode], msg.Header[HeaderReason] = []string{was}, []string{code}, []string{reason}
	if _, err := i.b.publishRetrying(ctx, msg, nil); err != nil {
		return fmt.Errorf("store dead letter %s: %w", id, err)
	}
	return nil
}

// DeadLetters returns up to limit dead letters behind a sequence of their
// stream, in order; all for a limit of 0. An empty kind or key is any.
func (i *Inbox) DeadLetters(ctx context.Context, kind schemas.Kind, key string, after uint64, limit int) ([]DeadLetter, error) {
	k, token := "*", "*"
	if kind != "" {
		k = string(kind)
	}
	if key != "" {
		token = schemas.EncodeToken(key)
	}
	var out []DeadLetter
	for d, err := range i.deadLetters(ctx, i.b.names.deadSubject(k, token), after+1) {
		if err != nil {
			return nil, err
		}
		if out = append(out, d); len(out) == limit {
			break
		}
	}
	return out, nil
}

func (i *Inbox) deadLetters(ctx context.Context, filter string, from uint64) iter.Seq2[DeadLetter, error] {
	return func(yield func(DeadLetter, error) bool) {
		for m, err := range i.b.dead.scan(ctx, filter, from) {
			if err != nil {
				yield(DeadLetter{}, fmt.Errorf("list dead letters: %w", err))
				return
			}
			if !yield(i.letter(m), nil) {
				return
			}
		}
	}
}

// Hosted reports whether a node of the namespace has ever hosted a kind, so
// that a task for it is accepted.
func (i *Inbox) Hosted(ctx context.Context, kind schemas.Kind) (bool, error) {
	_, err := i.b.inboxOf(ctx, kind)
	if errors.Is(err, ErrUnknownKind) {
		return false, nil
	}
	return err == nil, err
}
