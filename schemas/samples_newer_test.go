package schemas_test

import (
	"github.com/perdure/perdure/schemas"
	"google.golang.org/protobuf/proto"
)

// newer are the samples of what came after the first version.
func newer() map[string]proto.Message {
	seen := &schemas.Seen{Id: "click-9", At: noon}
	progress := &schemas.StepProgress{Path: "2", Name: "import", Progress: payload(`{"row":4000}`), Attempt: 2}
	accepted := &schemas.UpdateAccepted{Id: "u-1", Name: "set_address", Input: payload(`"Main Street 1"`)}
	completed := &schemas.UpdateCompleted{Id: "u-1", Result: payload(`"ok"`)}
	refused := &schemas.UpdateCompleted{Id: "u-2", Error: failure()}
	asked := &schemas.Asked{Path: "4", Name: "refund", Question: payload(`"Refund 50 euros?"`)}
	escalation := &schemas.Escalation{At: noon, To: []string{"managers"}}
	continued := &schemas.Continued{Generation: 3, Began: noon, Steps: 4_000, Suspended: true, Carried: payload("carried")}
	return map[string]proto.Message{
		"started_build":         &schemas.Started{Method: "ask", Build: "2026-11"},
		"seen":                  seen,
		"suspended_asks":        &schemas.Suspended{Timer: "0000000000001", Due: noon, Asks: 2},
		"update_completed_hash": &schemas.UpdateCompleted{Id: "u-1", Result: payload(`"ok"`), InputHash: []byte{1, 2, 3}},
		"carried": &schemas.Carried{
			Mail:   []*schemas.Envelope{{Type: schemas.Envelope_SIGNAL, Id: "click-10", Method: "approved", Payload: payload(`{"by":"ops"}`)}},
			Outbox: []*schemas.Envelope{{Type: schemas.Envelope_TASK, Id: "d-1", To: "stock/sku-2"}},
			Seen:   []*schemas.Seen{seen}, Joined: []*schemas.Reply{reply()}, Wakes: []*schemas.Suspended{{Timer: "0000000000001", Due: noon}},
		},
		"envelope_update":        &schemas.Envelope{Type: schemas.Envelope_UPDATE, Id: "u-1", Method: "set_address", Payload: payload(`"Main Street 1"`), Run: "order-17"},
		"envelope_attach":        &schemas.Envelope{Type: schemas.Envelope_ATTACH, Id: "a-1", Run: "order-17", Reply: reply(), Parent: "report/q3/q3"},
		"called_attach":          &schemas.Called{Path: "3", Name: "fulfil", To: "fulfil/order-17/order-17", Attach: true},
		"called_detached":        &schemas.Called{Path: "3", Name: "fulfil", To: "fulfil/order-17/order-17", InputHash: hash(), Detached: true},
		"claimed_quarantine":     &schemas.Claimed{Node: "node-1", Attempt: 3, Quarantine: true},
		"step_progress":          progress,
		"update_accepted":        accepted,
		"update_completed":       completed,
		"update_refused":         refused,
		"released":               &schemas.Released{},
		"entry_copied":           &schemas.Entry{Epoch: 3, At: noon, Copied: true, Events: []*schemas.Event{{Kind: &schemas.Event_Released{Released: &schemas.Released{}}}}},
		"fork_segment_coded":     &schemas.ForkSegment{Run: "fulfil/order-17/order-17", Began: noon, Coded: noon + 1, Events: 7},
		"fork_generation":        &schemas.Fork{Run: "fulfil/order-17/order-17", Step: "3", Generation: 2},
		"asked":                  asked,
		"event_step_progress":    &schemas.Event{Kind: &schemas.Event_StepProgress{StepProgress: progress}},
		"event_update_accepted":  &schemas.Event{Kind: &schemas.Event_UpdateAccepted{UpdateAccepted: accepted}},
		"event_update_completed": &schemas.Event{Kind: &schemas.Event_UpdateCompleted{UpdateCompleted: completed}},
		"event_released":         &schemas.Event{Kind: &schemas.Event_Released{Released: &schemas.Released{}}},
		"event_asked":            &schemas.Event{Kind: &schemas.Event_Asked{Asked: asked}},
		"carried_updates":        &schemas.Carried{Updates: []*schemas.UpdateCompleted{completed}},
		"asked_withdrawn":        &schemas.Asked{Path: "4", Name: "refund", Withdrawn: true},
		"asked_question": &schemas.Asked{
			Path: "4", Name: "refund", Kind: "question", To: []string{"ops"}, Hash: "5f2a", Tool: "refund", Schema: []byte(`{"type":"string"}`), Due: noon, At: noon,
			Escalations: []*schemas.Escalation{escalation},
		},
		"escalation":         escalation,
		"record_updated":     &schemas.Record{Status: schemas.Status_COMPLETED, Updates: []*schemas.UpdateCompleted{completed, refused}},
		"record_open":        &schemas.Record{Progress: []*schemas.StepProgress{progress}, Asked: []*schemas.Asked{asked}},
		"continued":          continued,
		"event_continued":    &schemas.Event{Kind: &schemas.Event_Continued{Continued: continued}},
		"cancel_by":          &schemas.CancelRequested{Id: "c-3", Reason: "closed today", By: "ann"},
		"envelope_cancel_by": &schemas.Envelope{Type: schemas.Envelope_CANCEL, Id: "c-3", Run: "order-17", Error: &schemas.Error{Message: "closed today"}, Control: &schemas.Control{By: "ann"}},
		"record_continued":   &schemas.Record{Status: schemas.Status_COMPLETED, Generation: 3},
	}
}
