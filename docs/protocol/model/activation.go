package main

// An activation decides by what it knows; what it does with the broker is in
// execution.go and settle.go. What it decides takes no time here: it is part of the event that
// gave it cause.

// settleDown begins what is to be done, if nothing is being done.
//
// Product: actors.(*activation).next, actors.(*activation).elbow, actors.(*activation).removeDue
func (w *world) settleDown(s *State, n int) {
	nd := &s.Nodes[n]
	a := &nd.Act
	if a.Point != idle || a.Stopped || nd.Epoch == 0 {
		return
	}
	if a.Old != 0 && a.Open == 0 && nd.Move.Run == 0 {
		if a.Old = w.notHeld(s, n); a.Old != 0 {
			if a.Point = remove; !a.Known { // the head is settled before it goes
				a.Point = opening
			}
			return
		}
	}
	if a.Open != 0 {
		if nd.Items&w.of(a.Open) != 0 || a.Woken == a.Open {
			a.Asleep = false
		}
		switch {
		case !a.Asleep:
			w.resume(s, n, a.Open)
		case nd.Items&task3 != 0 && a.Open != 3:
			w.lookUp(s, n, 3)
		default:
			w.stray(s, n)
		}
		return
	}
	for _, m := range [...]messages{task1, again, task2, task3} {
		if nd.Items&m == 0 || a.Settle.Kind != 0 && a.Settle.Run == w.runOf(m) {
			continue
		}
		if !a.Known && s.Value.Revision == 0 {
			// a new identity needs no reading: its first append is the look-up
			*a = Activation{Point: start, First: true, Run: w.runOf(m), Follows: a.Follows, Old: a.Old}
			return
		}
		w.lookUp(s, n, w.runOf(m))
		return
	}
	w.stray(s, n)
}

// stray looks the run up of a message that is no task, if its run is not queued.
//
// Product: actors.(*activation).lookUp, actors.(*activation).queued
func (w *world) stray(s *State, n int) {
	nd := &s.Nodes[n]
	for m := signal; m <= wakeD; m <<= 1 {
		if nd.Items&^nd.Early&m != 0 && nd.Items&w.of(w.runOf(m))&tasks == 0 {
			w.lookUp(s, n, w.runOf(m))
			return
		}
	}
}

// lookUp looks a run up that does not execute.
//
// Product: actors.(*activation).find, runtime.(*Executor).Find
func (w *world) lookUp(s *State, n int, r run) {
	a := &s.Nodes[n].Act
	switch {
	case !a.Known:
		a.Point = opening
	case w.NoDedup || a.Head == 0:
		w.unknown(s, n, r)
	case w.Moves:
		a.Point, a.Run = find, r
	default:
		w.found(s, n, r, s.last(r))
	}
}

// found goes on with what the journals have of a run.
func (w *world) found(s *State, n int, r run, last Entry) {
	a := &s.Nodes[n].Act
	a.Point, a.Run = idle, 0
	switch {
	case last.Seq > a.Head:
		restart(s, n)
		w.settleDown(s, n)
	case last.closes():
		w.finished(s, n, r)
		w.settleDown(s, n)
	case last.Seq != 0:
		w.resume(s, n, r)
	default:
		w.unknown(s, n, r)
	}
}

// unknown goes on with a run that nobody has heard of: it begins, or is refused, and
// what is no task has nothing to do, but for a signal, which waits (P15).
//
// Product: runtime.(*Executor).Run, actors.(*activation).refuse, actors.(*activation).early
func (w *world) unknown(s *State, n int, r run) {
	nd := &s.Nodes[n]
	a := &nd.Act
	a.Point, a.Run, a.Last = idle, 0, 0
	switch {
	case nd.Items&w.of(r)&tasks == 0:
		nd.Early |= nd.Items & w.of(r) & signal
		w.acks(nd, nd.Items&w.of(r)&^signal)
		w.settleDown(s, n)
	case a.Open != 0:
		a.Point, a.Then = refuse, thenRefusedIdle
	default:
		a.Point, a.Run = start, r
	}
}

// finished takes in that a run has its record, and that it is settled: all that there
// is of it may be acknowledged.
//
// Product: actors.(*activation).conclude
func (w *world) finished(s *State, n int, r run) {
	nd := &s.Nodes[n]
	w.acks(nd, nd.Items&w.of(r))
	nd.Act.Given = 0
}

// acks hands messages to be acknowledged.
func (w *world) acks(nd *Node, m messages) {
	nd.Acks |= m
	nd.Items &^= m
	nd.Early &^= m
	if w.AckBeforeAppend {
		nd.Acks = 0 // they were
	}
}

// give gives messages to the run that executes.
//
// Product: runtime.(*Mailbox).Put
func (w *world) give(a *Activation, m messages) {
	a.Given |= m
	for _, wake := range [...]messages{wakeA, wakeB, wakeC, wakeD} {
		if a.Given&wake != 0 && waitOf(wake) == a.Fired+1 {
			a.Due = true
		}
	}
}

// resume loads an open run, to claim it if that was not done under this lease, and to
// execute it from where its journal ends.
//
// Product: actors.(*activation).execute, runtime.(*Executor).Resume, runtime.(*Executor).goOn, runtime.(*Executor).isLast, broker.(*Journal).Load
func (w *world) resume(s *State, n int, r run) {
	nd := &s.Nodes[n]
	a := &nd.Act
	if !a.Known {
		a.Open, a.Point = 0, opening
		return
	}
	last := s.last(r)
	if last.Seq == 0 || last.Seq != a.Head && (!a.Aside || last.Seq > a.Head) {
		restart(s, n)
		w.settleDown(s, n)
		return
	}
	due := a.Woken == r
	a.Open, a.Asleep, a.Woken, nd.Alarm = 0, false, 0, 0
	if last.closes() {
		w.finished(s, n, r)
		w.settleDown(s, n)
		return
	}
	a.Run, a.Last, a.Exec, a.Due = r, last.Seq, true, due
	a.Steps, a.Fired, a.Signal = 0, 0, false
	for i := range s.Entries {
		if e := s.Journal[i]; e.Run == r {
			switch e.Kind {
			case Step:
				a.Steps++
			case Fired:
				a.Fired++
			case Signalled:
				a.Signal = true
			}
		}
	}
	nd.Early &^= w.of(r)
	w.give(a, nd.Items&w.of(r))
	if a.Claimed {
		w.plan(s, n)
	} else {
		a.Point = claim
	}
}

// plan says what a run that executes does next.
//
// Product: runtime.(*Executor).execute, runtime.(*live).refuse, actors.(*activation).press
func (w *world) plan(s *State, n int) {
	nd := &s.Nodes[n]
	a := &nd.Act
	if nd.Items&task3 != 0 && a.Run != 3 {
		if !s.last(3).closes() && !s.Past.has(3) {
			a.Point, a.Then = refuse, thenRefused
			return
		}
		w.acks(nd, task3)
	}
	w.give(a, 0)
	switch {
	case a.Given&signal != 0 && !a.Signal:
		a.Point = take
	case a.Steps > 0 && a.Fired < w.waits(a.Run):
		a.Point = wait
	case a.Steps < steps(a.Run):
		a.Point = stepping
		w.begins(s, n)
	default:
		a.Point, a.Sealed = commit, true
	}
}
