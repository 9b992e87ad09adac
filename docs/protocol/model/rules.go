package main

// Rules are those of the protocol that can be left out, one by one, and what a world
// has in it. The zero value is the protocol as it is.
type Rules struct {
	// Left out, or broken.
	NoFence           bool // appends have no condition (P01)
	FencePerRun       bool // the condition is on the run, not on the identity (P01)
	ClaimOnRun        bool // a claim is conditioned on its run alone (0028)
	AdoptHead         bool // who is refused takes the head that it finds for its own (P04)
	AckBeforeAppend   bool // a message is acknowledged when it is received (P12)
	AckAtCommit       bool // and when the record is stored, before its effects (P16)
	TTLAtCommit       bool // the broker removes a record when its time is over (P16)
	SweepBlind        bool // retention does not look for messages of the run (P16)
	CancelWhenFired   bool // a wake-up is removed as it wakes the run (P12)
	CancelAtCommit    bool // and as the run's record is stored (P12)
	NoWakeUp          bool // no wake-up is stored (P12)
	SuspendFirst      bool // Suspended is stored before the wake-up (P12)
	ClaimBeforeSettle bool // the next run starts before the last is settled (P03)
	NoDedup           bool // a task's run is not looked up before it is started (P21)
	RefusalAlone      bool // a refusal does not say which run is open (0015)
	PastFirst         bool // who looks for a run looks at those that were moved first (0033)
	ForgetSender      bool // a record goes before its sender is settled (P16)
	ActWhenOld        bool // what is known from before the retention time is acted on (P05)
	SlowReader        bool // who has read the head acts on it when the receiver has forgotten what it sends
	WaitBlind         bool // who waits behind a suspended run never looks at the head again

	// What there is.
	OwnFence   bool // behind a claim the condition is on the run (0028)
	Waits      uint8
	Sends      bool // the first run sends a message
	Refuses    bool // there is the third run
	Moves      bool // settled runs are moved
	Passivates bool // an activation with nothing to do leaves memory
	AtOnce     bool // messages are delivered all at once, not one by one
	SignalFor  run
	Left       Budget
}

// steps is how many steps a run has.
func steps(r run) uint8 {
	if r == 1 {
		return 2
	}
	return 1
}

// waits is how many waits a run has, all of them behind its first step.
func (x *Rules) waits(r run) uint8 {
	if r == 1 {
		return x.Waits
	}
	return 0
}

// runOf returns the run that a message is for.
func (x *Rules) runOf(m messages) run {
	switch m {
	case task2:
		return 2
	case task3:
		return 3
	case signal:
		return x.SignalFor
	}
	return 1
}

// of returns the messages there can be for a run.
func (x *Rules) of(r run) (all messages) {
	for m := task1; m <= wakeD; m <<= 1 {
		if x.runOf(m) == r && (m != signal || x.SignalFor != 0) {
			all |= m
		}
	}
	return all
}

// accepted are the runs whose task was accepted.
func (x *Rules) accepted() []run {
	if x.Refuses {
		return []run{1, 2, 3}
	}
	return []run{1, 2}
}

// initial is the state in which the tasks have been accepted and A owns the partition.
func (x *Rules) initial() State {
	s := State{Inbox: task1 | task2, Incs: 2, Left: x.Left}
	if x.Refuses {
		s.Inbox |= task3
	}
	s.Ever = s.Inbox
	s.Nodes[0] = Node{Up: true, Inc: 1, Epoch: 1}
	s.Nodes[1] = Node{Up: true, Inc: 2}
	s.Owner = Owner{Inc: 1, Epoch: 1}
	s.Consumer = Consumer{Epoch: 1, Node: 0, Inc: 1}
	return s
}
