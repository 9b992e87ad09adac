package schemas_test

import (
	"google.golang.org/protobuf/proto"

	"github.com/perdure/perdure/schemas"
)

// controls are what operators ask, and what is recorded of it.
func controls() map[string]proto.Message {
	terminate := &schemas.Control{Action: schemas.Control_TERMINATE, Reason: "the bank is down", By: "ann"}
	paused := &schemas.Paused{Id: "p-1", Reason: "the bank is down", By: "ann"}
	resumed := &schemas.Resumed{Id: "p-2", Reason: "it is up again", By: "ben"}
	result := &schemas.ForkResult{Path: "2", Result: payload(`{"id":"ch_2"}`)}
	segment := &schemas.ForkSegment{Run: "fulfil/order-17/order-17", Began: noon, Events: 7}
	fork := &schemas.Fork{Run: "fulfil/order-17/order-17", Step: "3", Uncancelled: true, Results: []*schemas.ForkResult{result}, Segments: []*schemas.ForkSegment{segment}}
	return map[string]proto.Message{
		"control":          terminate,
		"control_pause":    &schemas.Control{Action: schemas.Control_PAUSE},
		"control_resume":   &schemas.Control{Action: schemas.Control_RESUME, By: "ben"},
		"envelope_control": &schemas.Envelope{Type: schemas.Envelope_CONTROL, Id: "t-1", Run: "order-17", Control: terminate},
		"paused":           paused,
		"resumed":          resumed,
		"event_paused":     &schemas.Event{Kind: &schemas.Event_Paused{Paused: paused}},
		"event_resumed":    &schemas.Event{Kind: &schemas.Event_Resumed{Resumed: resumed}},
		"fork_result":      result, "fork_segment": segment, "fork": fork,
		"envelope_fork":    &schemas.Envelope{Type: schemas.Envelope_TASK, Id: "order-17~1", Payload: payload(`"in"`), Fork: fork},
		"started_fork":     &schemas.Started{Fork: fork},
		"record_history":   &schemas.Record{Status: schemas.Status_FAILED, Error: failure(), History: true, Fork: fork},
		"suspended_paused": &schemas.Suspended{Timer: "3.order-17.1", Due: noon, Paused: true},
	}
}
