package schemas_test

import (
	"github.com/perdure/perdure/schemas"
	"google.golang.org/protobuf/proto"
)

// newer are the samples of what came after the first version.
func newer() map[string]proto.Message {
	seen := &schemas.Seen{Id: "click-9", At: noon}
	continued := &schemas.Continued{Generation: 3, Began: noon, Steps: 4_000, Suspended: true, Carried: payload("carried")}
	return map[string]proto.Message{
		"seen": seen,
		"carried": &schemas.Carried{
			Mail:   []*schemas.Envelope{{Type: schemas.Envelope_SIGNAL, Id: "click-10", Method: "approved", Payload: payload(`{"by":"ops"}`)}},
			Outbox: []*schemas.Envelope{{Type: schemas.Envelope_TASK, Id: "d-1", To: "stock/sku-2"}},
			Seen:   []*schemas.Seen{seen}, Joined: []*schemas.Reply{reply()}, Wakes: []*schemas.Suspended{{Timer: "0000000000001", Due: noon}},
		},
		"continued":        continued,
		"event_continued":  &schemas.Event{Kind: &schemas.Event_Continued{Continued: continued}},
		"record_continued": &schemas.Record{Status: schemas.Status_COMPLETED, Generation: 3},
	}
}
