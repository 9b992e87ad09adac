package broker

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"

	"github.com/nats-io/nats.go"
	"github.com/perdure/perdure/schemas"
	"google.golang.org/protobuf/proto"
)

// A Journal stores what happened in runs. Every append is conditioned on the
// last entry of the whole identity (P01), or on that of a run which its writer has
// claimed: whoever appended last is the only one who can go on.
type Journal struct {
	b *Broker
}

// Journal returns the journals of the namespace.
func (b *Broker) Journal() *Journal { return &Journal{b} }

// An appendMsg is a message with its headers and the memory of its body, used again.
type appendMsg struct {
	msg         nats.Msg
	body        []byte
	seq, filter [1]string
	wide, own   nats.Header // conditioned on the identity's last entry, and on the run's
}

// bodyMax is how large a body may be whose memory is kept.
const bodyMax = 16 << 10

var appendMsgs = sync.Pool{New: func() any {
	m := &appendMsg{}
	m.wide = nats.Header{hdrExpectedSeq: m.seq[:], hdrExpectedSubject: m.filter[:]}
	m.own = nats.Header{hdrExpectedSeq: m.seq[:]}
	return m
}}

func (m *appendMsg) free() {
	delete(m.msg.Header, hdrRollup)
	m.msg.Reply, m.msg.Data = "", nil
	if cap(m.body) > bodyMax {
		m.body = nil
	}
	appendMsgs.Put(m)
}

var rollupSubject = []string{"sub"}

// Append stores e as the next entry of the run, if the last entry of its
// identity has sequence after (0: the identity has none). An
// entry that replaces those before it, such as a record, does so in the same
// write. before, if given, are the sequences of the entries of the run, the last of
// which is after, and say that the caller has claimed the run, which is open: then the
// condition is on the run alone, where the server is ours and the stream has one
// replica (with more, each writer has to name the same condition); and what the entry
// replaces is removed behind it where that is cheaper.
//
// An unknown outcome is resolved here (P04): the same bytes are sent again
// until they are acknowledged or refused, and a refusal is compared with the
// head that the leader has. Fenced means that another entry than e is last:
// nothing more may be appended on what the caller knew. An error means that
// ctx ended, with the outcome unknown, or that the entry cannot be stored.
// The caller appends one entry of an identity at a time.
func (j *Journal) Append(ctx context.Context, ref schemas.Ref, after uint64, e *schemas.Entry, before ...uint64) (schemas.Outcome, error) {
	b, op := j.b, opAppend
	m := appendMsgs.Get().(*appendMsg)
	defer m.free()
	body, err := proto.MarshalOptions{}.MarshalAppend(m.body[:0], refusedForm(e))
	if err != nil {
		return schemas.Outcome{}, fmt.Errorf("encode entry of %v: %w", ref, err)
	}
	m.body, m.msg.Data = body, body
	m.seq[0] = strconv.FormatUint(after, 10)
	m.msg.Subject, m.filter[0] = b.names.fenced(ref)
	if m.msg.Header = m.wide; len(before) > 0 && b.Embedded() && b.runs.direct {
		m.msg.Header = m.own
	}
	if e.Record != nil {
		op = opCommit
	}
	apart := e.Replaces() && b.remains.apart(before)
	if e.Replaces() && !apart {
		m.msg.Header[hdrRollup] = rollupSubject
	}
	if err := ctx.Err(); err != nil { // once it is sent, the answer may be there before that is seen
		return schemas.Outcome{}, fmt.Errorf("append entry %d to %v after %d: nothing was sent: %w", e.Counter, ref, after, err)
	}
	b.before(op, m.msg.Subject)
	out, err := j.append(ctx, ref, after, e, &m.msg)
	if err != nil {
		return out, fmt.Errorf("append entry %d to %v after %d: %w", e.Counter, ref, after, err)
	}
	if !out.Fenced {
		b.remains.seen(out.Seq)
		b.after(op, m.msg.Subject)
		if apart {
			b.remains.remove(ctx, b, slices.Clone(before))
		}
	}
	return out, nil
}

func (j *Journal) append(ctx context.Context, ref schemas.Ref, after uint64, e *schemas.Entry, msg *nats.Msg) (schemas.Outcome, error) {
	pause := retryWait
	for {
		ack, err := j.b.pub.publish(ctx, msg)
		if err == nil {
			return schemas.Outcome{Seq: ack.seq}, nil
		}
		if r := refused(err); r == nil || !r.fenced() && !r.inFlight() {
			return schemas.Outcome{}, err
		}
		head, ok, err := j.Head(ctx, ref.Identity)
		switch {
		case errors.Is(err, ErrIncompatible) && head.Seq != after:
			return schemas.Outcome{Fenced: true, Head: head}, nil
		case err != nil:
			return schemas.Outcome{}, err
		case ok && written(head.Entry, e):
			return schemas.Outcome{Seq: head.Seq}, j.b.pub.durable(ctx, j.b.runs.stream)
		case head.Seq != after:
			return schemas.Outcome{Fenced: true, Head: head}, nil
		}
		// The head is as it was: the refusal was of the moment (10164).
		if err := j.b.link.pause(ctx, jitter(pause)); err != nil {
			return schemas.Outcome{}, unknown(msg.Subject, err)
		}
		pause = min(2*pause, retryWaitMax)
	}
}

// written reports whether two entries are of the same write.
func written(a, b *schemas.Entry) bool {
	return a.Counter == b.Counter && a.Epoch == b.Epoch && bytes.Equal(a.Nonce, b.Nonce)
}

// Head returns the last entry of an identity, of whatever run, as the leader
// has it; ok is false when there is none.
func (j *Journal) Head(ctx context.Context, id schemas.Identity) (h schemas.Stored, ok bool, err error) {
	m, ok, err := j.b.runs.get(ctx, query{LastBy: j.b.names.FenceFilter(id)})
	if err == nil && ok {
		h, err = j.stored(m)
	}
	if err != nil {
		return h, false, fmt.Errorf("read the head of %v: %w", id, err)
	}
	return h, ok, nil
}

// Last returns the last entry of one run, as the leader has it; ok is false
// when there is none.
func (j *Journal) Last(ctx context.Context, ref schemas.Ref) (s schemas.Stored, ok bool, err error) {
	// in this order: a run is copied before it leaves
	if s, ok, err = j.Unmoved(ctx, ref); err != nil || ok {
		return s, ok, err
	}
	p, ok, err := j.Past(ctx, ref)
	return p.Stored, ok, err
}

// Unmoved is [Journal.Last] for who knows that no run of the identity was moved
// ([schemas.Entry.Moved] of its head): one that was it does not find.
func (j *Journal) Unmoved(ctx context.Context, ref schemas.Ref) (s schemas.Stored, ok bool, err error) {
	m, ok, err := j.b.runs.get(ctx, query{LastBy: j.b.names.RunSubject(ref)})
	if err == nil && ok {
		s, err = j.stored(m)
	}
	if err != nil {
		return s, false, fmt.Errorf("read the last entry of %v: %w", ref, err)
	}
	return s, ok, nil
}

// Load returns the entries of a run in order, its record alone if it has one;
// none when the run is unknown.
func (j *Journal) Load(ctx context.Context, ref schemas.Ref) ([]schemas.Stored, error) {
	entries, err := j.Entries(ctx, ref)
	if n := len(entries); n > 1 && entries[n-1].Entry.Record != nil {
		return entries[n-1:], err
	}
	return entries, err
}

// Entries returns the entries of a run in order, those that its record keeps
// included. It begins at the last entry that replaces those before it: what a
// roll-up has not yet removed below it does not count (P19).
func (j *Journal) Entries(ctx context.Context, ref schemas.Ref) ([]schemas.Stored, error) {
	entries, scanned, err := j.unmoved(ctx, ref)
	n := len(entries)
	if err != nil || n > 0 && begins(entries[0].Entry) && (!scanned || entries[n-1].Entry.GetRecord() != nil) {
		return entries, err
	}
	// It was moved, or is just now: its copy is whole before the first entry goes. Of
	// one that is scanned meanwhile the record may have gone behind what was read.
	past, err := j.pastEntries(ctx, ref)
	if err != nil || n == 0 || len(past) > 0 && past[len(past)-1].Seq >= entries[n-1].Seq {
		return past, err
	}
	return entries, nil
}

// unmoved is [Journal.Entries] of a run that was not moved; scanned says that it was not
// read from its last entry on.
func (j *Journal) unmoved(ctx context.Context, ref schemas.Ref) (entries []schemas.Stored, scanned bool, err error) {
	entries, ok, err := j.chain(ctx, ref)
	if err != nil {
		return nil, false, fmt.Errorf("load %v: %w", ref, err)
	}
	if ok {
		return entries, false, nil
	}
	entries = nil
	for m, err := range j.b.runs.scan(ctx, j.b.names.RunSubject(ref), 0) {
		var s schemas.Stored
		if err == nil {
			s, err = j.stored(m)
		}
		if err != nil {
			return nil, true, fmt.Errorf("load %v: %w", ref, err)
		}
		if s.Entry.Replaces() {
			entries = entries[:0]
		}
		entries = append(entries, s)
	}
	return entries, true, nil
}

// Durable returns when the entries that were read are as durable as those that
// [Journal.Append] has stored: whoever wrote them may still wait for the fsync.
func (j *Journal) Durable(ctx context.Context) error {
	if err := j.b.pub.durable(ctx, j.b.runs.stream); err != nil {
		return fmt.Errorf("wait until what was read of the journals is durable: %w", err)
	}
	return nil
}

// Delete removes the entry at seq (P16); one that is not there is not an
// error.
func (j *Journal) Delete(ctx context.Context, seq uint64) error {
	if err := j.b.runs.deleteMessage(ctx, seq); err != nil {
		return fmt.Errorf("delete journal entry %d: %w", seq, err)
	}
	return nil
}

// DeleteBefore removes the entries of a run before seq, in their order: also those
// that a roll-up has not removed, which [Journal.Entries] does not return (P19).
func (j *Journal) DeleteBefore(ctx context.Context, ref schemas.Ref, seq uint64) error {
	var before []uint64
	for m, err := range j.b.runs.scan(ctx, j.b.names.RunSubject(ref), 0) {
		if err != nil {
			return fmt.Errorf("list the entries of %v: %w", ref, err)
		}
		if m.seq < seq {
			before = append(before, m.seq)
		}
	}
	for _, q := range before {
		if err := j.Delete(ctx, q); err != nil {
			return err
		}
	}
	return nil
}

// stored decodes a message of the journal's stream. With an error, Seq, Time
// and, where it can be read, Ref are set all the same.
func (j *Journal) stored(m message) (schemas.Stored, error) {
	s := schemas.Stored{Seq: m.seq, Time: m.time}
	parse := j.b.names.ParseRun
	if j.b.names.isPast(m.subject) {
		parse = j.b.names.parsePast
		if err := original(m, &s); err != nil {
			return s, fmt.Errorf("%w: entry %d, which was moved: %w", ErrIncompatible, m.seq, err)
		}
	}
	ref, err := parse(m.subject)
	if err != nil {
		return s, fmt.Errorf("%w: journal entry %d: %w", ErrIncompatible, m.seq, err)
	}
	s.Ref = ref
	e := &schemas.Entry{}
	if err := proto.Unmarshal(m.data, e); err != nil {
		return s, fmt.Errorf("%w: journal entry %d of %v is not an entry: %w", ErrIncompatible, m.seq, ref, err)
	}
	s.Entry = e.Normal()
	return s, nil
}

// refusedForm returns an entry as it is stored: the record of a run that was
// refused while another is open is an event, so that a build that does not know it
// stops there, and does not take it for the identity's last word.
func refusedForm(e *schemas.Entry) *schemas.Entry {
	if e.GetRecord().GetOpen() == "" {
		return e
	}
	return &schemas.Entry{
		Epoch: e.Epoch, Nonce: e.Nonce, Counter: e.Counter, At: e.At, Runs: e.Runs, Moved: e.Moved,
		Events: []*schemas.Event{{Kind: &schemas.Event_Refused{Refused: &schemas.Refused{Record: e.Record}}}},
	}
}
