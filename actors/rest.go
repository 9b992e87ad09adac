package actors

import (
	"fmt"

	"github.com/perdure/perdure/schemas"
	"google.golang.org/protobuf/proto"
)

// outboxCodec names what [rest] makes.
const outboxCodec = "outbox"

// restMin is from how many messages it is worth to measure them.
const restMin = 64

// rest returns a record's entry with its outgoing messages as one payload, which
// can be stored by reference (P18), if they alone have more than limit bytes
// without their large payloads: a run may send thousands when it ends.
func rest(e *schemas.Entry, limit int64) (*schemas.Entry, error) {
	rec := e.GetRecord()
	if len(rec.GetOutbox()) < restMin {
		return e, nil
	}
	size := 0
	for _, env := range rec.GetOutbox() {
		size += proto.Size(env) - max(0, len(env.GetPayload().GetData())-spillMin)
	}
	if int64(size) <= limit {
		return e, nil
	}
	data, err := proto.Marshal(&schemas.Outbox{Messages: rec.GetOutbox()})
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

// unrest undoes [rest], once the payload is read.
func unrest(e *schemas.Entry) error {
	rec := e.GetRecord()
	if rec.GetRest() == nil {
		return nil
	}
	var out schemas.Outbox
	if err := proto.Unmarshal(rec.GetRest().GetData(), &out); err != nil {
		return fmt.Errorf("decode the messages of a record: %w", err)
	}
	rec.Outbox, rec.Rest = out.GetMessages(), nil
	return nil
}
