package actors

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/perdure/perdure/schemas"
	"google.golang.org/protobuf/proto"
)

// outboxCodec names what [rest] makes.
const outboxCodec = "outbox"

// restMin is from how many messages it is worth to measure them.
const restMin = 64

// rest returns a record's entry with its outgoing messages as one payload, which
// can be stored by reference (P18), if they alone have more than half a message
// without their large payloads: a run may send thousands when it ends. Where all
// together are more than an object may have, the largest payloads are objects of
// their own.
func (j journal) rest(ctx context.Context, ref schemas.Ref, e *schemas.Entry) (*schemas.Entry, error) {
	rec := e.GetRecord()
	if len(rec.GetOutbox()) < restMin {
		return e, nil
	}
	size := 0
	for _, env := range rec.GetOutbox() {
		size += proto.Size(env) - max(0, len(env.GetPayload().GetData())-spillMin)
	}
	if int64(size) <= j.b.MaxMessage()/2 {
		return e, nil
	}
	all := &schemas.Outbox{Messages: rec.GetOutbox()}
	if int64(proto.Size(all)) > j.b.PayloadCap() {
		all = proto.CloneOf(all)
		if err := j.shrink(ctx, ref, entryPart(e), all); err != nil {
			return nil, err
		}
	}
	data, err := proto.Marshal(all)
	if err != nil {
		return nil, fmt.Errorf("encode %d messages: %w", len(rec.GetOutbox()), err)
	}
	out := rec.Outbox
	rec.Outbox = nil
	e = proto.CloneOf(e)
	rec.Outbox = out // the caller's is as it was
	e.Record.Rest = &schemas.Payload{Data: data, Codec: outboxCodec}
	return e, nil
}

// shrink makes objects of the largest payloads of messages, until the rest of them
// fits into one.
func (j journal) shrink(ctx context.Context, ref schemas.Ref, part string, all *schemas.Outbox) error {
	var ps []*schemas.Payload
	for _, env := range all.GetMessages() {
		if p := env.GetPayload(); len(p.GetData()) >= spillMin {
			ps = append(ps, p)
		}
	}
	slices.SortStableFunc(ps, func(a, b *schemas.Payload) int { return cmp.Compare(len(b.Data), len(a.Data)) })
	size := int64(proto.Size(all))
	for i := 0; i < len(ps) && size > j.b.PayloadCap(); i++ {
		blob, err := j.b.Blobs().Put(ctx, ref, fmt.Sprintf("%s-m%d", part, i), ps[i].Data)
		if err != nil {
			return spillError(err)
		}
		size -= int64(len(ps[i].Data) - proto.Size(blob) - 8)
		ps[i].Blob, ps[i].Data = blob, nil
	}
	return nil
}

// unrest undoes [journal.rest], once the payload is read.
func (j journal) unrest(ctx context.Context, e *schemas.Entry) error {
	rec := e.GetRecord()
	if rec.GetRest() == nil {
		return nil
	}
	var out schemas.Outbox
	if err := proto.Unmarshal(rec.GetRest().GetData(), &out); err != nil {
		return fmt.Errorf("decode the messages of a record: %w", err)
	}
	rec.Outbox, rec.Rest = out.GetMessages(), nil
	return Fill(ctx, j.b, e)
}
