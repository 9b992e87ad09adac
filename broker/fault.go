package broker

// A FaultPoint is a moment just before or just after a write of a run: the
// points at which a crash test kills the process.
type FaultPoint struct {
	// Op is append, commit, copy, move, state, send, ack, schedule or
	// cancel-schedule. In the
	// place of the point after a send it is duplicate, if the message was stored
	// before: nothing was written.
	Op string
	// Subject is where the write goes; for an ack, where the message was.
	Subject string
	// After says that the server has confirmed the write; otherwise it has
	// not been sent. A write that is refused has no point after it.
	After bool
}

// The ops of a [FaultPoint].
const (
	opAppend         = "append"
	opCommit         = "commit"
	opCopy           = "copy" // of an entry that is to be moved
	opMove           = "move" // its removal, once it is copied
	opState          = "state"
	opSend           = "send"
	opDuplicate      = "duplicate"
	opAck            = "ack"
	opSchedule       = "schedule"
	opCancelSchedule = "cancel-schedule"
)

func (b *Broker) before(op, subject string) {
	if b.cfg.Fault != nil {
		b.cfg.Fault(FaultPoint{Op: op, Subject: subject})
	}
}

func (b *Broker) after(op, subject string) {
	if b.cfg.Fault != nil {
		b.cfg.Fault(FaultPoint{Op: op, Subject: subject, After: true})
	}
}
