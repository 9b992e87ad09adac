package main

// Records of settled runs: retention removes them once they are old, and before that
// they may be moved to where no condition looks.

// retention lets more than the retention time pass. No copy of an append is under way
// for that long, and who has heard nothing from the store for half of it acts no more
// (P05): that is what a node does here whose lease is not the one in force, or which
// does not know what became of an append.
//
// Product: runtime.(*Executor).outdated, runtime.(*Executor).refresh
func (w *world) retention() {
	if w.from.Left.Age == 0 || w.from.Flight.Entry.Kind != 0 || w.from.records() == 0 {
		return
	}
	s := *w.from
	s.Left.Age--
	for n := range s.Nodes {
		nd := &s.Nodes[n]
		if nd.Up && nd.Epoch != 0 && !w.ActWhenOld && (nd.Act.Pending || !s.has(n) || !s.owns(n)) {
			lose(&s, n)
		}
	}
	s.Old |= s.records()
	s.Receiver.Old = s.Receiver.Record
	s.drop(func(e Entry) bool { return e.TTL })
	w.might(s, Event{Node: brokers, Text: "more than the retention time passes"})
}

// sweeps finds records that are old, once all that was in the inbox has been delivered:
// no message of their runs is on its way then.
//
// Product: actors.(*pump).sweepOnce, broker.(*Feed).CaughtUp, actors.(*activation).expire
func (w *world) sweeps(n int) {
	nd := &w.from.Nodes[n]
	old := w.from.Old & w.from.records()
	caughtUp := w.from.Inbox&^w.from.Consumer.Delivered == 0
	if old == 0 || nd.Act.Old != 0 || nd.Act.Point != idle || !w.from.has(n) || !caughtUp && !w.SweepBlind || w.TTLAtCommit {
		return
	}
	s := *w.from
	a := &s.Nodes[n].Act
	if a.Open != 0 || w.notHeld(&s, n) == 0 && s.Nodes[n].Act.Old != 0 {
		return
	}
	a.Old = old
	w.settleDown(&s, n)
	if a.Old == 0 {
		return
	}
	w.may(s, Event{Node: int8(n), Text: "finds records that are older than the retention time"})
}

// oldest returns the first of the old records that a node is to remove, in their order:
// those that were moved come first. moved says that it is one of those.
func (s *State) oldest(old runs) (r run, moved bool) {
	for r := run(1); r <= 3; r++ {
		if old.has(r) && s.Past.has(r) {
			return r, true
		}
	}
	for i := range s.Entries {
		if e := s.Journal[i]; e.closes() && old.has(e.Run) {
			return e.Run, false
		}
	}
	return 0, false
}

// notHeld are the records before the first of whose run there is a message: nothing but
// the record says that this run is not to be started again.
//
// Product: actors.(*activation).removeDue
func (w *world) notHeld(s *State, n int) (free runs) {
	nd := &s.Nodes[n]
	left := nd.Act.Old
	for {
		r, _ := s.oldest(left)
		if r == 0 || nd.Items&w.of(r) != 0 && !w.SweepBlind {
			return free
		}
		free |= 1 << r
		left &^= 1 << r
	}
}

// removes removes the oldest of the records that are due, once all that is being
// acknowledged is. The head goes last: without it nobody would look for the runs that
// were moved.
//
// Product: actors.(*activation).removeRecords, actors.(*activation).removePast, broker.(*Journal).Delete, broker.(*Journal).DeletePast
func (w *world) removes(n int) {
	if w.from.Nodes[n].Acks != 0 && !w.SweepBlind {
		return
	}
	s := *w.from
	a := &s.Nodes[n].Act
	r, moved := s.oldest(a.Old)
	ev := Event{Node: int8(n), Text: "removes the record of {r}", Run: r}
	switch last := s.last(r); {
	case r == 0:
		ev.Text = "has no more records to remove"
	case moved:
		s.Past &^= 1 << r
		ev.Text = "removes the record of {r} from among those that were moved"
	case last.Seq == a.Head && s.Past != 0:
		a.Old = 0
		ev.Text = "leaves the record of {r}: there are runs that were moved"
	default:
		s.drop(func(e Entry) bool { return e.Run == r })
	}
	if !s.records().has(r) {
		a.Old &^= 1 << r
		s.Old &^= 1 << r
	}
	if a.Old == 0 || r == 0 {
		restart(&s, n)
		w.settleDown(&s, n)
	}
	w.may(s, ev)
}

// moves moves a settled run: its record is read, copied, and removed from the journals.
// Whoever does it needs no fence, and may do it late: a record behind the head is
// settled.
//
// Product: actors.(*activation).thin, broker.(*Journal).moveRun, broker.(*Journal).copyRun
func (w *world) moves(n int) {
	nd := &w.from.Nodes[n]
	s := *w.from
	m := &s.Nodes[n].Move
	switch {
	case m.Run == 0:
		if !w.Moves || nd.Epoch == 0 || !nd.Act.Known {
			return
		}
		for i := range s.Entries {
			if e := s.Journal[i]; e.closes() && e.Seq < nd.Act.Head {
				s := s
				s.Nodes[n].Move = Move{Run: e.Run, Seq: e.Seq}
				w.may(s, Event{Node: int8(n), Text: "reads the record of {r}, to move it", Run: e.Run})
			}
		}
	case !m.Copied:
		if !s.records().has(m.Run) { // removed meanwhile: it was old
			s.Old |= 1 << m.Run
		}
		s.Past |= 1 << m.Run
		m.Copied = true
		w.may(s, Event{Node: int8(n), Text: "copies {r} to those that were moved", Run: m.Run})
	default:
		seq, r := m.Seq, m.Run
		s.drop(func(e Entry) bool { return e.Seq == seq })
		*m = Move{}
		w.settleDown(&s, n)
		w.may(s, Event{Node: int8(n), Text: "removes {r} from the journals: it was copied", Run: r})
	}
}

// receiver is the other identity: it handles what the first run sends, once for as long
// as it has a record of it, and removes that when it is old and the sender is settled,
// so that it does not send again.
//
// Product: actors.(*pump).old
func (w *world) receiver() {
	if w.from.Receiver.Pending > 0 {
		s := *w.from
		y := &s.Receiver
		y.Pending--
		if !y.Record {
			y.Record, y.Runs = true, y.Runs+1
			if y.Runs > 1 {
				s.broken(receivedTwice)
			}
		}
		w.may(s, Event{Node: brokers, Text: "the receiver handles the message of run 1"})
	}
	y := w.from.Receiver
	if y.Record && y.Old && y.Pending == 0 && (w.senderDone() || w.ForgetSender) {
		s := *w.from
		s.Receiver.Record, s.Receiver.Old = false, false
		w.may(s, Event{Node: brokers, Text: "the receiver removes its record, which is old"})
	}
}

// senderDone reports whether the first run can never send again: it is gone, or is
// behind the head, and nobody is left who has read it as the head and has not sent yet.
// That last is what no store can tell: it is taken for true (see SlowReader).
//
// Product: actors.(*pump).senderDone
func (w *world) senderDone() bool {
	s := w.from
	for n := range s.Nodes {
		if e := s.Nodes[n].Act.Settle; e.Kind == Record && e.Run == 1 && !w.SlowReader {
			return false
		}
	}
	last := s.last(1)
	return s.Past.has(1) || last.Seq == 0 && s.Seen.Done.has(1) || last.Kind == Record && last.Seq < s.head().Seq
}
