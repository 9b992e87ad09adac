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
	return map[string]proto.Message{
		"control":          terminate,
		"control_pause":    &schemas.Control{Action: schemas.Control_PAUSE},
		"control_resume":   &schemas.Control{Action: schemas.Control_RESUME, By: "ben"},
		"envelope_control": &schemas.Envelope{Type: schemas.Envelope_CONTROL, Id: "t-1", Run: "order-17", Control: terminate},
		"paused":           paused,
		"resumed":          resumed,
		"event_paused":     &schemas.Event{Kind: &schemas.Event_Paused{Paused: paused}},
		"event_resumed":    &schemas.Event{Kind: &schemas.Event_Resumed{Resumed: resumed}},
		"suspended_paused": &schemas.Suspended{Timer: "3.order-17.1", Due: noon, Paused: true},
	}
}
