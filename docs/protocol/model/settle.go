package main

// A run ends in one message, its record; its effects come after it, each of which may
// be done again, and whoever reads a record as the head does them (P16).

// commits appends the record of a run that has ended.
//
// Product: runtime.(*live).finish, runtime.(*Executor).record
func (w *world) commits(n int) {
	a := &w.from.Nodes[n].Act
	e := Entry{Kind: Record, Run: a.Run, Base: a.Rev, TTL: w.TTLAtCommit}
	if a.Run != 3 {
		e.Value = 3*a.Value + a.Run
	}
	w.append(n, e, func(s *State, n int) {
		nd := &s.Nodes[n]
		nd.Act.Exec, nd.Act.Sealed = false, false
		e.Seq = nd.Act.Head
		if w.CancelAtCommit {
			s.unschedule(func(Schedule) bool { return e.Run == 1 })
		}
		if w.AckAtCommit {
			w.acks(nd, nd.Items&w.of(e.Run))
		}
		w.settle(s, n, e, thenFinished)
	})
}

// refuses appends the record of a task that is not to wait, which names the open run.
//
// Product: runtime.(*Executor).Refuse, actors.(*activation).refuse
func (w *world) refuses(n int) {
	a := &w.from.Nodes[n].Act
	open, then := a.Open, a.Then
	if a.Exec {
		open = a.Run
	}
	e := Entry{Kind: Refusal, Run: 3, Arg: open}
	if w.RefusalAlone {
		e.Arg = 0
	}
	w.append(n, e, func(s *State, n int) {
		a := &s.Nodes[n].Act
		a.Aside = open != 0
		e.Seq = a.Head
		w.settle(s, n, e, then)
	})
}

// settle begins to make the effects of a record true.
//
// Product: runtime.(*Executor).settle
func (w *world) settle(s *State, n int, e Entry, then uint8) {
	a := &s.Nodes[n].Act
	a.Settle, a.Then, a.Point = e, then, idle
	w.effect(s, n)
}

// effect finds the next effect that is not true yet.
func (w *world) effect(s *State, n int) {
	a := &s.Nodes[n].Act
	e := a.Settle
	switch {
	case a.Point < settleState && e.Kind == Record && e.Run != 3 && a.ValSeq < e.Seq:
		a.Point = settleState
	case a.Point < settleSend && (e.Kind == Refusal || e.Run == 1 && w.Sends):
		a.Point = settleSend
	case a.Point < settleWakes && e.Kind == Record && e.Run == 1 && s.Schedules[0] != (Schedule{}):
		a.Point = settleWakes
	default:
		w.settled(s, n)
	}
}

// settled goes on behind the effects of a record.
//
// Product: runtime.(*Executor).behindRefusal, actors.(*activation).conclude, actors.(*activation).refused
func (w *world) settled(s *State, n int) {
	nd := &s.Nodes[n]
	a := &nd.Act
	e, then := a.Settle, a.Then
	a.Settle, a.Then, a.Point = Entry{}, thenNothing, idle
	switch then {
	case thenOpened:
		if last := s.last(e.Arg); e.Kind == Refusal && e.Arg != 0 && last.Seq != 0 && !last.closes() {
			a.Open, a.Asleep, a.Aside = e.Arg, last.Kind == Suspended, true
		}
	case thenFinished:
		w.finished(s, n, e.Run)
		a.Run = 0
	case thenRefused:
		w.acks(nd, nd.Items&task3)
	case thenRefusedIdle:
		w.acks(nd, nd.Items&task3)
	}
	if a.Exec {
		w.plan(s, n)
		return
	}
	w.settleDown(s, n)
}

// settles makes one effect true.
//
// Product: runtime.(*Executor).settle, runtime.(*Executor).replaceState, broker.(*State).Put, runtime.(*Executor).sendOut, broker.(*Schedules).CancelRun
func (w *world) settles(n int) {
	s := *w.from
	a := &s.Nodes[n].Act
	e := a.Settle
	ev := Event{Node: int8(n), Run: e.Run}
	switch a.Point {
	case settleState:
		v := &s.Value
		ev.Text = "writes the state of {r}"
		switch {
		case v.Revision == e.Base:
			*v = Value{e.Value, v.Revision + 1, e.Seq, e.Run}
		case v.Run == e.Run || v.Seq > e.Seq:
			ev.Text += ": it is there"
		default:
			a.Stopped = true
			s.broken(stateConflict)
		}
		a.Value, a.Rev, a.ValSeq = e.Value, v.Revision, e.Seq
	case settleSend:
		if e.Kind == Refusal {
			s.Seen.Answered = true
			ev.Text = "answers who sent the task that was refused"
			break
		}
		s.Seen.Sent = true
		s.Receiver.Pending = min(s.Receiver.Pending+1, 2)
		ev.Text = "sends the message of {r}"
	case settleWakes:
		s.unschedule(func(Schedule) bool { return true })
		ev.Text = "removes the wake-ups of {r}"
	}
	w.effect(&s, n)
	w.may(s, ev)
}
