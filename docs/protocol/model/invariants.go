package main

// What must be true of every state. The first four guarantees, and the fifth, are
// these; P03's "a record behind the head is settled" is what the code relies on.

// A violation is an invariant that does not hold.
type violation uint8

const (
	holds violation = iota
	stepTwice
	stepAgain
	twoResults
	interleaved
	outOfOrder
	notCarried
	signalLost
	wrongState
	stateConflict
	unsettledBehind
	receivedTwice
	stuck
	overflow
)

var violations = [...]string{
	holds:           "holds",
	stepTwice:       "a step is recorded twice",
	stepAgain:       "a step that is recorded begins again, in a process that is not fenced",
	twoResults:      "a run that has a result runs again",
	interleaved:     "two runs of the identity are open at once",
	outOfOrder:      "a run begins before the one before it has ended",
	notCarried:      "a run that is not settled is carried by nothing that is stored",
	signalLost:      "a signal that was accepted is in no journal and in no inbox",
	wrongState:      "the state is not that of the runs one after another",
	stateConflict:   "the state was written by a run that was not to",
	unsettledBehind: "a record behind the head is not settled",
	receivedTwice:   "the receiver of a message runs twice for it",
	stuck:           "there is no way on without another fault: it waits for ever",
	overflow:        "the model is too small: more entries than it has room for",
}

func (v violation) String() string { return violations[v] }

func (s *State) broken(v violation) {
	if s.Broken == holds {
		s.Broken = v
	}
}

// store stores an entry, whatever its condition; a record takes the place of the
// entries of its run.
func (w *world) store(s *State, e Entry) {
	s.Seq++
	e.Seq = s.Seq
	for i := range s.Entries {
		o := s.Journal[i]
		if o.Run != e.Run && e.Kind != Refusal && !s.last(o.Run).closes() {
			s.broken(interleaved)
		}
	}
	seen := &s.Seen
	if seen.Done.has(e.Run) {
		s.broken(twoResults)
	}
	switch e.Kind {
	case Started:
		if e.Run == 2 && !seen.Done.has(1) {
			s.broken(outOfOrder)
		}
		seen.Begun |= 1 << e.Run
	case Step:
		if seen.Steps[e.Run]&(1<<e.Arg) != 0 {
			s.broken(stepTwice)
		}
		seen.Steps[e.Run] |= 1 << e.Arg
	case Signalled:
		seen.Signalled = true
	case Record, Refusal:
		if e.Kind == Refusal && seen.Begun.has(e.Run) {
			s.broken(twoResults)
		}
		seen.Done |= 1 << e.Run
		s.drop(func(o Entry) bool { return o.Run == e.Run })
	}
	if s.Entries == maxEntries {
		s.broken(overflow)
		return
	}
	s.Journal[s.Entries] = e
	s.Entries++
}

// begins checks that the step which a run is about to begin is not recorded. A process
// that was paused, and has lost the partition, may begin one that it had before it all
// the same (P06).
func (w *world) begins(s *State, n int) {
	nd := &s.Nodes[n]
	if s.Seen.Steps[nd.Act.Run]&(1<<(nd.Act.Steps+1)) != 0 && s.Owner.Epoch == nd.Epoch {
		s.broken(stepAgain)
	}
}

// settledRun reports whether the effects of a run's record are true.
func (w *world) settledRun(s *State, r run) bool {
	if !s.Seen.Done.has(r) {
		return false
	}
	switch r {
	case 1:
		return s.Value.Value != 0 && (s.Seen.Sent || !w.Sends)
	case 2:
		return s.Value.Value == finalState
	}
	return s.Seen.Begun.has(3) || s.Seen.Answered
}

// finalState is what the state is after both runs.
const finalState = 3*(3*0+1) + 2

// check returns what does not hold in a state.
func (w *world) check(s *State) violation {
	if s.Broken != holds {
		return s.Broken
	}
	switch v := s.Value.Value; {
	case v == 0, v == 1 && s.Seen.Done.has(1), v == finalState && s.Seen.Done.has(2):
	default:
		return wrongState
	}
	for _, r := range w.accepted() {
		carried := s.Inbox&w.of(r) != 0 || r == 1 && s.Schedules[0] != (Schedule{})
		if !carried && !w.settledRun(s, r) {
			return notCarried
		}
	}
	for i := range s.Entries {
		e := s.Journal[i]
		if !e.closes() || i+1 == s.Entries || w.settledRun(s, e.Run) {
			continue
		}
		if e.Kind == Record || s.Inbox&task3 == 0 {
			return unsettledBehind
		}
	}
	if s.Ever&signal != 0 && s.Inbox&signal == 0 && !s.Seen.Signalled && !s.Seen.Done.has(w.SignalFor) {
		return signalLost
	}
	return holds
}

// done reports whether all that was accepted is settled, and nothing is left to do.
func (w *world) done(s *State) bool {
	for _, r := range w.accepted() {
		if !w.settledRun(s, r) {
			return false
		}
	}
	return s.Value.Value == finalState && s.Inbox == 0 && (!w.Sends || s.Receiver.Runs > 0)
}
