package main

// The state of the world: what the broker has stored, what two nodes have in memory,
// and what the invariants have to remember. It has no pointers, so that two states can
// be compared and hashed as they are.

// A State is one state of the model.
type State struct {
	Inbox     messages
	Ever      messages // were published
	Journal   [maxEntries]Entry
	Entries   uint8 // of Journal
	Seq       uint8 // of the last entry ever stored
	Value     Value
	Schedules [maxSchedules]Schedule
	Owner     Owner
	Consumer  Consumer
	Flight    Flight
	Nodes     [2]Node
	Receiver  Receiver
	Past      runs // whose record was copied to where no condition looks (0033)
	Old       runs // whose record is older than the retention time
	Incs      uint8
	Left      Budget
	Seen      Seen
	Broken    violation
}

const (
	maxEntries   = 14
	maxSchedules = 3
)

// A run is one of the three of the identity: the first waits, sends a message and
// changes the state; the second comes behind it and changes the state; the third is
// not one that waits: it is refused if another is open (0015).
type run = uint8

// runs is a set of them.
type runs uint8

func (s runs) has(r run) bool { return s&(1<<r) != 0 }

// messages is a set of the messages there can be.
type messages uint16

const (
	task1 messages = 1 << iota
	task2
	task3
	again  // the task of the first run, published again
	signal // for one of the runs
	wakeA  // wake-ups of the first run: two for its first wait,
	wakeB
	wakeC // and two for its second
	wakeD
)

// tasks are the messages that ask for a run.
const tasks = task1 | task2 | task3 | again

// waitOf returns which wait of the first run a wake-up is for, 0 for other messages.
func waitOf(m messages) uint8 {
	switch m {
	case wakeA, wakeB:
		return 1
	case wakeC, wakeD:
		return 2
	}
	return 0
}

// A kind is what an entry of the journal says.
type kind uint8

const (
	Started   kind = iota + 1 // with the claim in it
	Claimed                   // by who goes on with an open run
	Step                      // its result
	Suspended                 // the run has left memory
	Fired                     // a wait is over
	Signalled                 // a signal was taken
	Record                    // result, state and outgoing messages; takes the place of the run's entries
	Refusal                   // a record of a task that is not to wait, which names the open run
)

var kindNames = [...]string{"nothing", "Started", "Claimed", "Step", "Suspended", "TimerFired", "SignalReceived", "the record", "the refusal"}

// An Entry of the journal.
type Entry struct {
	Seq    uint8
	Kind   kind
	Run    run
	Epoch  uint8 // of who wrote it
	Writer uint8 // the incarnation that did
	Arg    uint8 // which step or wait; of a refusal, the open run
	Value  uint8 // of Record: the new state,
	Base   uint8 // and the revision that it replaces
	TTL    bool  // of Record, where the rules are broken so
}

// closes reports whether an entry is a run's last word.
func (e Entry) closes() bool { return e.Kind == Record || e.Kind == Refusal }

// A Value is the identity's state in KV.
type Value struct{ Value, Revision, Seq, Run uint8 }

// A Schedule is a stored wake-up that has not fired: for a wait of the first run,
// named by the head that its writer had read.
type Schedule struct{ Wait, Timer uint8 }

// An Owner is the partition's owner key; Inc is 0 where it names nobody.
type Owner struct{ Inc, Epoch uint8 }

// A Consumer is the partition's, of the epoch that made it; 0 for none.
type Consumer struct {
	Epoch, Node, Inc uint8
	Delivered        messages
}

// A Flight is a copy of an append that is under way while its writer goes on.
type Flight struct {
	Entry      Entry
	Head, Last uint8
	Own        bool
}

// A Receiver is another identity, to which the first run sends a message.
type Receiver struct {
	Pending uint8 // in its inbox
	Record  bool  // of the run that the message asked for
	Old     bool
	Runs    uint8 // how often it ran
}

// A Budget is how often something may go wrong yet, or happen at all.
type Budget struct {
	Crash, Take, Lost, Late, Gap, Age, Again, Signal uint8
}

// Seen is what the invariants remember.
type Seen struct {
	Begun     runs
	Done      runs // have a record, or had one
	Steps     [4]uint8
	Signalled bool
	Sent      bool // the first run's message
	Answered  bool // who sent the task that was refused
}

// A Node is a process.
type Node struct {
	Up     bool
	Inc    uint8 // its incarnation
	Epoch  uint8 // of the lease that it believes it has, 0 for none
	Taking uint8 // the epoch that it has won, and whose consumer it has not yet
	Items  messages
	Acks   messages // that are being acknowledged
	Early  messages // signals of runs that have not begun
	Alarm  uint8    // the wait that it has suspended, and wakes by its own clock
	Move   Move
	Act    Activation
}

// A Move is a settled run that is being moved.
type Move struct {
	Run    run
	Seq    uint8
	Copied bool
}

// A point is what an activation does next with the broker.
type point uint8

const (
	idle        point = iota // nothing, until something comes
	opening                  // read the head, and the state
	find                     // look a run up in the journals,
	findPast                 // and then among those that were moved
	start                    // append Started
	claim                    // append Claimed
	stepping                 // append a step's result
	take                     // append SignalReceived
	wait                     // wait in memory, or store the wake-up
	suspend                  // append Suspended
	cancelOld                // remove wake-ups of before
	commit                   // append the record
	refuse                   // append a refusal
	settleState              // write the state of a record,
	settleSend               // send its messages,
	settleWakes              // and remove the run's wake-ups
	remove                   // remove old records
)

// What a settled record is followed by.
const (
	thenNothing uint8 = iota
	thenOpened        // the head was read
	thenFinished
	thenRefused     // by the run that executes
	thenRefusedIdle // while none does
)

// An Activation is the identity in a node's memory, with its executor.
type Activation struct {
	Point   point
	Known   bool // the head was read or written
	First   bool // the append at hand is the look-up (0006)
	Head    uint8
	Claimed bool
	Follows bool  // nothing of the executor before is under way (0024)
	Open    run   // the run that goes first, if it is not executing
	Asleep  bool  // it is suspended
	Aside   bool  // the head is a refusal, and not of the open run
	Woken   run   // its alarm went off
	Pending bool  // the outcome of the append at hand is unknown
	Exec    bool  // a run executes
	Sealed  bool  // it takes no messages any more
	Run     run   // that executes, or is looked up
	Last    uint8 // the last entry that is known of it
	Steps   uint8
	Fired   uint8
	Signal  bool
	Due     bool     // its wait is over
	Given   messages // that the execution has
	Wake    uint8    // the wake-up that it has stored
	Old     runs     // records that are to be removed
	Settle  Entry    // the record that is being settled
	Then    uint8
	Value   uint8 // the state as it was read,
	Rev     uint8 // and its revision
	ValSeq  uint8
	Stopped bool // the state was changed by somebody else
}

// live reports whether a run executes and takes messages.
func (a *Activation) live() bool { return a.Exec && !a.Sealed }

// head returns the identity's last entry.
func (s *State) head() (e Entry) {
	if s.Entries > 0 {
		e = s.Journal[s.Entries-1]
	}
	return e
}

// last returns the last entry of a run.
func (s *State) last(r run) Entry {
	for i := int(s.Entries) - 1; i >= 0; i-- {
		if s.Journal[i].Run == r {
			return s.Journal[i]
		}
	}
	return Entry{}
}

// drop removes the entries that which says.
func (s *State) drop(which func(Entry) bool) {
	n := uint8(0)
	for i := range s.Entries {
		if e := s.Journal[i]; !which(e) {
			s.Journal[n] = e
			n++
		}
	}
	for i := n; i < s.Entries; i++ {
		s.Journal[i] = Entry{}
	}
	s.Entries = n
}

// schedule stores a wake-up, unless it is there.
func (s *State) schedule(w Schedule) bool {
	for i, have := range s.Schedules {
		switch have {
		case w:
			return true
		case Schedule{}:
			s.Schedules[i] = w
			return true
		}
	}
	return false
}

// unschedule removes the wake-ups that which says, and reports whether there were any.
func (s *State) unschedule(which func(Schedule) bool) (any bool) {
	n := 0
	for _, w := range s.Schedules {
		if w != (Schedule{}) && which(w) {
			any = true
			continue
		}
		s.Schedules[n] = w
		n++
	}
	for ; n < maxSchedules; n++ {
		s.Schedules[n] = Schedule{}
	}
	return any
}

// owns reports whether the owner key names the node's incarnation.
func (s *State) owns(n int) bool { return s.Nodes[n].Up && s.Owner.Inc == s.Nodes[n].Inc }

// has reports whether the node's lease is the one of the partition's consumer.
func (s *State) has(n int) bool {
	nd := &s.Nodes[n]
	return nd.Up && nd.Epoch != 0 && s.Consumer.Epoch == nd.Epoch && s.Consumer.Inc == nd.Inc
}
