package schemas_test

import (
	"bytes"
	"crypto/sha256"
	"maps"

	"google.golang.org/protobuf/proto"

	"github.com/perdure/perdure/schemas"
)

// samples are the values behind the golden bytes in testdata/wire, by the name
// of the file. Together they set every field of every message. A sample is
// never changed: what is new in a message gets a sample of its own.
func samples() map[string]proto.Message {
	all := map[string]proto.Message{
		"payload":       payload(`{"city":"Amsterdam"}`),
		"payload_proto": &schemas.Payload{Data: []byte{0x0a, 0x01, 0x78}, Codec: "proto"},
		"payload_blob":  &schemas.Payload{Codec: "json", Blob: blob()},
		"blob":          blob(),
		"error":         failure(),
		"reply":         reply(),
		"state":         &schemas.State{Value: payload(`{"left":3}`), Run: "order-17", Sequence: 99},
		"member": &schemas.Member{
			Id: "node-1", Nonce: nonce(), Embedded: true, Started: noon, Kinds: []string{"stock", "weather"}, Version: "v0.1.0",
		},
		"member_capacity":   &schemas.Member{Id: "node-1", Nonce: nonce(), Capacity: 200},
		"member_durability": &schemas.Member{Id: "node-1", Nonce: nonce(), Durability: "disk"},
		"member_layout":     &schemas.Member{Id: "node-1", Nonce: nonce(), Layout: 3},
		"entry_crowded":     &schemas.Entry{Epoch: 12, Nonce: nonce(), Counter: 900, At: noon, Runs: 257, Moved: true, Record: &schemas.Record{Status: schemas.Status_COMPLETED}},

		"owner":             &schemas.Owner{Node: "node-1", Nonce: nonce(), Epoch: 12},
		"attribute_text":    &schemas.Attribute{Value: &schemas.Attribute_Text{Text: "c-17"}},
		"attribute_integer": &schemas.Attribute{Value: &schemas.Attribute_Integer{Integer: 4200}},
		"attribute_number":  &schemas.Attribute{Value: &schemas.Attribute_Number{Number: 0.5}},
		"attribute_truth":   &schemas.Attribute{Value: &schemas.Attribute_Truth{Truth: true}},
		"attribute_time":    &schemas.Attribute{Value: &schemas.Attribute_Time{Time: noon}},
		"outbox":            &schemas.Outbox{Messages: []*schemas.Envelope{{Type: schemas.Envelope_TASK, Id: "order-17", To: "stock/sku-1"}}},
		"namespace":         &schemas.Namespace{Version: 1, Partitions: 64, Created: noon},
	}
	maps.Copy(all, envelopes())
	maps.Copy(all, events())
	maps.Copy(all, records())
	maps.Copy(all, newer())
	maps.Copy(all, flow())
	maps.Copy(all, controls())
	maps.Copy(all, lending())
	maps.Copy(all, budgets())
	return all
}

// envelopes are the messages to an identity, one of each type.
func envelopes() map[string]proto.Message {
	return map[string]proto.Message{
		"envelope_task": &schemas.Envelope{
			Type: schemas.Envelope_TASK, Id: "order-17", Method: "ask", Payload: payload(`"Do I need a coat?"`),
			Reply: reply(), Chain: []string{"fulfil/order-17", "stock/sku-1"}, Trace: trace(), Parent: "fulfil/order-17/order-17",
			To: "weather/amsterdam",
		},
		"envelope_result": &schemas.Envelope{
			Type: schemas.Envelope_RESULT, Id: "r-1", Payload: payload(`"yes"`), Run: "order-17", Path: "7.1",
		},
		"envelope_failure": &schemas.Envelope{
			Type: schemas.Envelope_RESULT, Id: "r-2", Error: failure(), Run: "order-17", Path: "7.2",
		},
		"envelope_signal": &schemas.Envelope{
			Type: schemas.Envelope_SIGNAL, Id: "s-1", Method: "approved", Payload: payload(`{"by":"ops"}`), Run: "order-17",
		},
		"envelope_wake":       &schemas.Envelope{Type: schemas.Envelope_WAKE, Id: "w-1", Run: "order-17", Path: "3.order-17.1", Due: noon},
		"envelope_attributes": &schemas.Envelope{Type: schemas.Envelope_TASK, Id: "order-17", Attributes: attributes()},
		"envelope_cancel":     &schemas.Envelope{Type: schemas.Envelope_CANCEL, Id: "c-1", Run: "order-17"},
	}
}

// events are the events of a journal, each alone and inside an Event, and the
// entry that carries them.
func events() map[string]proto.Message {
	claimed := &schemas.Claimed{Node: "node-1", Attempt: 2, StateRevision: 41}
	started := &schemas.Started{
		Method: "ask", Input: payload(`"Do I need a coat?"`), InputHash: hash(), From: "local", Parent: "fulfil/order-17/order-17",
		Reply: reply(), Chain: []string{"fulfil/order-17"}, Trace: trace(), Published: noon,
	}
	stepStarted := &schemas.StepStarted{Path: "2", Name: "charge"}
	stepCompleted := &schemas.StepCompleted{
		Path: "2", Name: "charge", Result: payload(`{"id":"ch_1"}`), Attempts: 3, Took: 1_500_000,
		Attributes: map[string]string{"tokens.in": "12", "tokens.out": "3"},
	}
	stepFailed := &schemas.StepCompleted{Path: "2", Name: "charge", Error: failure(), Attempts: 5, Took: 9_000_000}
	timerCreated := &schemas.TimerCreated{Path: "3", Name: "sleep", Due: noon}
	timerFired := &schemas.TimerFired{Path: "3"}
	called := &schemas.Called{Path: "4", Name: "stock.reserve", To: "stock/sku-1/c-1", Method: "reserve", InputHash: hash()}
	callReturned := &schemas.CallReturned{Path: "4", Result: payload(`{"slip":"s-1"}`)}
	callFailed := &schemas.CallReturned{Path: "4", Error: failure()}
	sent := &schemas.Sent{Path: "5", Name: "stock.reserve", To: "stock/sku-2/s-1", Method: "reserve", InputHash: hash()}
	suspended := &schemas.Suspended{Timer: "3.order-17.1", Due: noon}
	cancelRequested := &schemas.CancelRequested{Id: "c-1", Reason: "out of stock"}
	joined := &schemas.Joined{Reply: reply()}
	parked := &schemas.Parked{Status: schemas.Status_NONDETERMINISTIC, Reason: "step 2 is pack, the journal has charge"}
	statusSet := &schemas.StatusSet{Count: 3, Value: payload(`"packing"`)}
	attributesSet := &schemas.AttributesSet{Count: 3, Attributes: attributes()}
	versioned := &schemas.Versioned{Change: "pack-first", Version: 1}
	signal := &schemas.SignalReceived{Id: "click-9", Name: "approved", Value: payload(`{"by":"ops"}`)}

	list := []*schemas.Event{
		{Kind: &schemas.Event_Claimed{Claimed: claimed}},
		{Kind: &schemas.Event_Started{Started: started}},
		{Kind: &schemas.Event_StepStarted{StepStarted: stepStarted}},
		{Kind: &schemas.Event_StepCompleted{StepCompleted: stepCompleted}},
		{Kind: &schemas.Event_TimerCreated{TimerCreated: timerCreated}},
		{Kind: &schemas.Event_TimerFired{TimerFired: timerFired}},
		{Kind: &schemas.Event_Called{Called: called}},
		{Kind: &schemas.Event_CallReturned{CallReturned: callReturned}},
		{Kind: &schemas.Event_Sent{Sent: sent}},
		{Kind: &schemas.Event_Suspended{Suspended: suspended}},
		{Kind: &schemas.Event_CancelRequested{CancelRequested: cancelRequested}},
		{Kind: &schemas.Event_Joined{Joined: joined}},
		{Kind: &schemas.Event_Parked{Parked: parked}},
	}
	later := []*schemas.Event{{Kind: &schemas.Event_SignalReceived{SignalReceived: signal}}, {Kind: &schemas.Event_Versioned{Versioned: versioned}}, {Kind: &schemas.Event_StatusSet{StatusSet: statusSet}}, {Kind: &schemas.Event_AttributesSet{AttributesSet: attributesSet}}} // not in the first sample of an entry
	all := map[string]proto.Message{
		"claimed": claimed, "started": started, "step_started": stepStarted, "step_completed": stepCompleted, "step_failed": stepFailed,
		"timer_created": timerCreated, "timer_fired": timerFired, "called": called, "call_returned": callReturned, "call_failed": callFailed,
		"sent": sent, "suspended": suspended, "cancel_requested": cancelRequested, "joined": joined, "parked": parked, "signal_received": signal, "versioned": versioned, "status_set": statusSet, "attributes_set": attributesSet,
		"entry":        &schemas.Entry{Epoch: 12, Nonce: nonce(), Counter: 7, At: noon, Events: list},
		"entry_record": &schemas.Entry{Epoch: 12, Nonce: nonce(), Counter: 8, At: noon, Record: &schemas.Record{Status: schemas.Status_COMPLETED}},
	}
	for _, e := range append(list, later...) {
		kind := e.ProtoReflect().WhichOneof(e.ProtoReflect().Descriptor().Oneofs().ByName("kind"))
		all["event_"+string(kind.Name())] = e
	}
	return all
}

// records are the commit of a run, whole, and one of each status.
func records() map[string]proto.Message {
	claim := &schemas.TimelineClaim{Node: "node-2", At: noon, Replayed: 2}
	step := &schemas.TimelineStep{
		Path: "2", Name: "charge", Kind: "step", At: noon, Took: 1_500_000, Attempts: 3, Claim: 1, Error: "declined",
		Attributes: map[string]string{"tokens.in": "12"},
	}
	all := map[string]proto.Message{
		"timeline_claim": claim,
		"timeline_step":  step,
		"record": &schemas.Record{
			Status: schemas.Status_COMPLETED, Result: payload(`{"slip":"s-1"}`), StateChanged: true, State: payload(`{"left":2}`),
			StateRevision: 41,
			Outbox: []*schemas.Envelope{
				{Type: schemas.Envelope_TASK, Id: "d-1", To: "stock/sku-2", Method: "reserve", Payload: payload(`{"count":1}`)},
				{Type: schemas.Envelope_RESULT, Id: "d-2", To: "fulfil/order-17", Run: "order-17", Path: "7.1", Payload: payload(`{"slip":"s-1"}`)},
			},
			Method: "reserve", InputHash: hash(), From: "local", Parent: "fulfil/order-17/order-17",
			Published: noon, Started: noon + 1, Claims: []*schemas.TimelineClaim{{Node: "node-1", At: noon}, claim},
			Steps: []*schemas.TimelineStep{step}, StepCount: 1, Suspended: true,
		},
		"record_attributes": &schemas.Record{Status: schemas.Status_COMPLETED, Attributes: attributes()},
		"record_shown":      &schemas.Record{Status: schemas.Status_COMPLETED, CustomStatus: payload(`"shipped"`)},
		"record_rest":       &schemas.Record{Status: schemas.Status_COMPLETED, Rest: &schemas.Payload{Codec: "outbox", Blob: blob()}},
		"record_failed":     &schemas.Record{Status: schemas.Status_FAILED, Error: failure()},
	}
	for number, name := range schemas.Status_name {
		if number != 0 {
			all["parked_"+name] = &schemas.Parked{Status: schemas.Status(number)}
		}
	}
	return all
}

// flow is what limits and busy identities put on the wire.
func flow() map[string]proto.Message {
	hold := &schemas.Hold{
		Rule: schemas.Hold_CONCURRENCY, Limit: "perdure-limit/fulfil:eu", Max: 3, Tenant: "acme", Priority: 5, Declared: noon,
	}
	refused := &schemas.Refused{Record: &schemas.Record{
		Status: schemas.Status_FAILED, Error: &schemas.Error{Code: "busy", Final: true}, Open: "chat/ann/m-1", SupersededBy: "chat/ann/m-3",
	}}
	holder := &schemas.Waiter{Run: "fulfil/a/a", Path: "0.1", Tenant: "acme", Priority: 5, Since: noon, Attach: true}
	bounds := []*schemas.Bound{
		{Root: "triage/ann/m-1", Depth: 2, MaxDepth: 3, MaxRuns: 50, Limit: "perdure-limit/triage-tree:5f"},
		{Root: "billing/ann/m-2", Depth: 1, MaxDepth: 1},
	}
	return map[string]proto.Message{
		"bound":           bounds[0],
		"envelope_bounds": &schemas.Envelope{Type: schemas.Envelope_TASK, Id: "order-22", Bounds: bounds},
		"started_bounds":  &schemas.Started{Input: payload("7"), Bounds: bounds},
		"hold_tree":       &schemas.Hold{Rule: schemas.Hold_TREE, Limit: "perdure-limit/triage-tree:5f", Max: 50, Root: "triage/ann/m-1"},
		"hold":            hold,
		"hold_rate":       &schemas.Hold{Rule: schemas.Hold_RATE, Limit: "perdure-limit/mail-rate", Interval: 600_000_000, Burst: 10},
		"hold_debounce":   &schemas.Hold{Rule: schemas.Hold_DEBOUNCE, Limit: "perdure-limit/index-debounce:7", Interval: 10_000_000_000, Longest: 60_000_000_000},
		"hold_attach":     &schemas.Hold{Rule: schemas.Hold_SINGLETON, Limit: "perdure-limit/report-singleton", Attach: true, Error: failure()},
		"started_holds":   &schemas.Started{Input: payload("7"), Holds: []*schemas.Hold{hold}},
		"ask":             &schemas.Ask{Run: "fulfil/a/a", Path: "0.1", Hold: hold, Chain: []string{"fulfil/a"}},
		"ask_release":     &schemas.Ask{Run: "report/a/a", Result: payload("7"), Error: failure()},
		"permit":          &schemas.Permit{At: noon, Instead: "report/a/a", Result: payload("7"), Error: failure()},
		"limit_state": &schemas.LimitState{
			Hold: hold, Holders: []*schemas.Waiter{holder}, Waiting: []*schemas.Waiter{{Run: "fulfil/b/b", Path: "0.1"}},
			Next: noon, Count: 7, Served: map[string]uint64{"acme": 7}, Instead: "index/7/7", Since: noon,
		},
		"waiter":             holder,
		"refused":            refused,
		"event_refused":      &schemas.Event{Kind: &schemas.Event_Refused{Refused: refused}},
		"envelope_busy":      &schemas.Envelope{Type: schemas.Envelope_TASK, Id: "order-18", Payload: payload("7"), Priority: -3, Busy: schemas.Busy_BUSY_REPLACE},
		"cancel_interrupt":   &schemas.CancelRequested{Id: "c-2", Reason: "interrupted by chat/ann/m-3", SupersededBy: "chat/ann/m-3"},
		"envelope_queue":     &schemas.Envelope{Type: schemas.Envelope_TASK, Id: "order-19", Busy: schemas.Busy_BUSY_QUEUE},
		"envelope_reject":    &schemas.Envelope{Type: schemas.Envelope_TASK, Id: "order-20", Busy: schemas.Busy_BUSY_REJECT},
		"envelope_interrupt": &schemas.Envelope{Type: schemas.Envelope_TASK, Id: "order-21", Busy: schemas.Busy_BUSY_INTERRUPT},
		"envelope_permit":    &schemas.Envelope{Type: schemas.Envelope_RESULT, Id: "r-3", Run: "a", Path: "0.1", Limit: "perdure-limit/fulfil:eu"},
	}
}

// noon is 2026-01-01 12:00 UTC in Unix nanoseconds.
const noon = 1_767_268_800_000_000_000

func payload(json string) *schemas.Payload {
	return &schemas.Payload{Data: []byte(json), Codec: "json"}
}

func blob() *schemas.Blob {
	return &schemas.Blob{Name: "weather/amsterdam/order-17/result", Size: 5 << 20, Sha256: hash()}
}

func failure() *schemas.Error {
	return &schemas.Error{Code: "sold_out", Message: "sku-1: asked for 3, 2 left", Details: "stock.reserve", Final: true}
}

func reply() *schemas.Reply { return &schemas.Reply{Run: "fulfil/order-17/order-17", Path: "7.1"} }

func trace() map[string]string {
	return map[string]string{"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "tracestate": "a=b"}
}

func nonce() []byte { return bytes.Repeat([]byte{0xab}, 8) }

func hash() []byte {
	sum := sha256.Sum256([]byte("input"))
	return sum[:]
}

// attributes are one: a map has no order that golden bytes could hold.
func attributes() map[string]*schemas.Attribute {
	return map[string]*schemas.Attribute{"customer": {Value: &schemas.Attribute_Text{Text: "c-17"}}}
}
