package broker

import "github.com/nats-io/nats.go"

// Headers of JetStream.
const (
	hdrExpectedSeq     = "Nats-Expected-Last-Subject-Sequence"
	hdrExpectedSubject = "Nats-Expected-Last-Subject-Sequence-Subject"
	hdrRollup          = "Nats-Rollup"
	hdrMsgID           = "Nats-Msg-Id"
	hdrTTL             = "Nats-TTL"
	hdrSchedule        = "Nats-Schedule"
	hdrScheduleTarget  = "Nats-Schedule-Target"
	hdrScheduler       = "Nats-Scheduler"
	hdrMarkerReason    = "Nats-Marker-Reason"
	hdrKVOperation     = "KV-Operation"
)

// Headers of Perdure, which are part of the wire contract.
const (
	// HeaderEnvelope says that the body is a schemas.Envelope in protobuf; its
	// value is the version of the envelope, 1.
	HeaderEnvelope = "Perdure-Envelope"
	// HeaderID is the message's ID, and so the run's.
	HeaderID = "Perdure-Id"
	// HeaderMethod is the method of the kind that a task calls.
	HeaderMethod = "Perdure-Method"
	// HeaderSignal is the name of a signal for the run of HeaderRun.
	HeaderSignal = "Perdure-Signal"
	// HeaderUpdate is the name of an update of the run of HeaderRun.
	HeaderUpdate = "Perdure-Update"
	// HeaderPriority is a whole number, 0 without it: of the runs that wait for a
	// permit of a limit the highest goes first.
	HeaderPriority = "Perdure-Priority"
	// HeaderBusy is what becomes of a task if its identity has an open run: queue,
	// reject, interrupt or replace. Without it the kind says.
	HeaderBusy = "Perdure-Busy"
	// HeaderDeadline and HeaderSession come with a later version.
	HeaderDeadline = "Perdure-Deadline"
	HeaderSession  = "Perdure-Session"
	// HeaderAttribute, and a name behind it, is an attribute that the run of a task
	// has from its start: text, or what [schemas.ParseAttribute] sees in it.
	HeaderAttribute = "Perdure-Attr-"
	// HeaderRun is the ID of the run that a message is for.
	HeaderRun = "Perdure-Run"
	// HeaderSubject, HeaderCode, HeaderReason and HeaderSequence say of a
	// dead letter where it was, and why it is dead.
	HeaderSubject  = "Perdure-Subject"
	HeaderCode     = "Perdure-Code"
	HeaderReason   = "Perdure-Reason"
	HeaderSequence = "Perdure-Sequence"
)

// envelopeVersion is the value of HeaderEnvelope.
const envelopeVersion = "1"

// envelopeHeaders are those of a message whose body is an envelope.
func envelopeHeaders(trace map[string]string) nats.Header {
	h := nats.Header{HeaderEnvelope: {envelopeVersion}}
	for _, k := range traceHeaders {
		if v := trace[k]; v != "" {
			h[k] = []string{v}
		}
	}
	return h
}
