package actors

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"

	"github.com/perdure/perdure/broker"
	"github.com/perdure/perdure/runtime"
	"github.com/perdure/perdure/schemas"
	"google.golang.org/protobuf/proto"
)

// Large payloads become objects (broker.Blobs), and a message carries their names
// (P18). In memory a payload always has its bytes; one that is stored has its
// blob's name beside them.

// payloads calls visit for every payload in m, which is an Envelope, an Entry
// or a State. It is on the path of every message: no reflection.
func payloads(m proto.Message, visit func(*schemas.Payload)) {
	one := func(p *schemas.Payload) {
		if p != nil {
			visit(p)
		}
	}
	switch m := m.(type) {
	case *schemas.Envelope:
		one(m.GetPayload())
		results(m.GetFork(), one)
	case *schemas.State:
		one(m.GetValue())
	case *schemas.Entry:
		for _, e := range m.GetEvents() {
			switch k := e.GetKind().(type) {
			case *schemas.Event_Started:
				one(k.Started.GetInput())
				results(k.Started.GetFork(), one)
			case *schemas.Event_Continued:
				one(k.Continued.GetCarried())
			case *schemas.Event_StepCompleted:
				one(k.StepCompleted.GetResult())
			case *schemas.Event_CallReturned:
				one(k.CallReturned.GetResult())
			case *schemas.Event_StepProgress:
				one(k.StepProgress.GetProgress())
			case *schemas.Event_UpdateAccepted:
				one(k.UpdateAccepted.GetInput())
			case *schemas.Event_UpdateCompleted:
				one(k.UpdateCompleted.GetResult())
			case *schemas.Event_Asked:
				one(k.Asked.GetQuestion())
			case *schemas.Event_StatusSet:
				one(k.StatusSet.GetValue())
			case *schemas.Event_SignalReceived:
				one(k.SignalReceived.GetValue())
			case *schemas.Event_Refused:
				ofRecord(k.Refused.GetRecord(), one)
			}
		}
		ofRecord(m.GetRecord(), one)
	}
}

func ofRecord(rec *schemas.Record, one func(*schemas.Payload)) {
	one(rec.GetResult())
	one(rec.GetState())
	one(rec.GetRest())
	one(rec.GetCustomStatus())
	results(rec.GetFork(), one)
	for _, u := range rec.GetUpdates() {
		one(u.GetResult())
	}
	for _, p := range rec.GetProgress() {
		one(p.GetProgress())
	}
	for _, q := range rec.GetAsked() {
		one(q.GetQuestion())
	}
	for _, env := range rec.GetOutbox() {
		one(env.GetPayload())
	}
}

// results visits what a fork replaces.
func results(f *schemas.Fork, one func(*schemas.Payload)) {
	for _, r := range f.GetResults() {
		one(r.GetResult())
	}
}

// spillMin is the size from which a payload becomes an object: the name of a
// smaller one saves nothing, and costs a write and a read.
const spillMin = 1 << 10

// Spill returns m with its largest payloads as objects of run, whose names begin
// with what part returns, until it fits into one message of the broker. m itself
// is not changed.
func Spill[M proto.Message](ctx context.Context, b *broker.Broker, run schemas.Ref, part func() string, m M) (M, error) {
	size := int64(proto.Size(m))
	stored := false // an input that came by reference leaves by reference
	payloads(m, func(p *schemas.Payload) { stored = stored || p.GetBlob() != nil })
	if size <= b.MaxMessage() && !stored {
		return m, nil
	}
	m = proto.Clone(m).(M)
	var ps []*schemas.Payload
	payloads(m, func(p *schemas.Payload) {
		if p.GetBlob() != nil {
			size -= int64(len(p.Data))
			p.Data = nil
		} else {
			ps = append(ps, p)
		}
	})
	slices.SortStableFunc(ps, func(a, b *schemas.Payload) int { return cmp.Compare(len(b.Data), len(a.Data)) })
	for i := 0; size > b.MaxMessage(); i++ {
		if i == len(ps) || len(ps[i].GetData()) < spillMin {
			return m, runtime.Errorf(runtime.ErrTooLarge.Code, "a message of %d bytes without its large payloads is over the limit of %d; make fewer things at once, e.g. a smaller Map", size, b.MaxMessage())
		}
		blob, err := b.Blobs().Put(ctx, run, fmt.Sprintf("%s-%d", part(), i), ps[i].Data)
		if err != nil {
			return m, spillError(err)
		}
		size -= int64(len(ps[i].Data)) - int64(proto.Size(blob)) - 4
		ps[i].Blob, ps[i].Data = blob, nil
	}
	return m, nil
}

func spillError(err error) error {
	if errors.Is(err, broker.ErrTooLarge) {
		return runtime.Errorf(runtime.ErrTooLarge.Code, "%v", err)
	}
	return err
}

// Fill reads the payloads of m that are objects.
func Fill(ctx context.Context, b *broker.Broker, m proto.Message) error {
	var err error
	payloads(m, func(p *schemas.Payload) {
		if p.GetBlob() == nil || p.Data != nil || err != nil {
			return
		}
		if p.Data, err = b.Blobs().Get(ctx, p.Blob); err != nil {
			err = fmt.Errorf("read payload %s: %w", p.Blob.GetName(), err)
		}
	})
	return err
}

// stateBlob begins the last part of the name of a stored state.
const stateBlob = "state"

// journal is the broker's journal with large payloads by reference, to read.
type journal struct {
	b *broker.Broker
	*broker.Journal
}

// entryPart begins the last part of the names of an entry's objects.
func entryPart(e *schemas.Entry) string {
	return fmt.Sprintf("%s-%d", hex.EncodeToString(e.Nonce), e.Counter)
}

func (j journal) Head(ctx context.Context, id schemas.Identity) (schemas.Stored, bool, error) {
	s, ok, err := j.Journal.Head(ctx, id)
	if ok && err == nil {
		err = j.fill(ctx, s.Entry)
	}
	return s, ok, err
}

func (j journal) Last(ctx context.Context, ref schemas.Ref) (schemas.Stored, bool, error) {
	s, ok, err := j.Journal.Last(ctx, ref)
	if ok && err == nil {
		err = j.fill(ctx, s.Entry)
	}
	return s, ok, err
}

func (j journal) Unmoved(ctx context.Context, ref schemas.Ref) (schemas.Stored, bool, error) {
	s, ok, err := j.Journal.Unmoved(ctx, ref)
	if ok && err == nil {
		err = j.fill(ctx, s.Entry)
	}
	return s, ok, err
}

func (j journal) Load(ctx context.Context, ref schemas.Ref) ([]schemas.Stored, error) {
	return j.filled(ctx)(j.Journal.Load(ctx, ref))
}

func (j journal) Entries(ctx context.Context, ref schemas.Ref) ([]schemas.Stored, error) {
	return j.filled(ctx)(j.Journal.Entries(ctx, ref))
}

// filled returns what reads the payloads of entries that were loaded.
func (j journal) filled(ctx context.Context) func([]schemas.Stored, error) ([]schemas.Stored, error) {
	return func(all []schemas.Stored, err error) ([]schemas.Stored, error) {
		for _, s := range all {
			if err == nil {
				err = j.fill(ctx, s.Entry)
			}
		}
		return all, err
	}
}

func (j journal) fill(ctx context.Context, e *schemas.Entry) error {
	if err := Fill(ctx, j.b, e); err != nil {
		return err
	}
	return j.unrest(ctx, e)
}

// states is the broker's state store with large values by reference.
type states struct{ b *broker.Broker }

var _ runtime.States = states{}

func (s states) Get(ctx context.Context, id schemas.Identity) (*schemas.State, uint64, error) {
	v, rev, err := s.b.State().Get(ctx, id)
	if err == nil && v != nil {
		err = Fill(ctx, s.b, v)
	}
	return v, rev, err
}

func (s states) Put(ctx context.Context, id schemas.Identity, after uint64, v *schemas.State) (schemas.Outcome, error) {
	// named by the run that wrote it: it is swept with a later record of the identity
	small, err := Spill(ctx, s.b, id.Run(schemas.RunID(v.GetRun())), func() string { return stateBlob }, v)
	if err != nil {
		return schemas.Outcome{}, err
	}
	return s.b.State().Put(ctx, id, after, small)
}
