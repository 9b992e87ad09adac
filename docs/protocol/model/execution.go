package main

// What an activation does with the broker, one event after another.

// acts adds what may come of what an activation is about to do.
func (w *world) acts(n int) {
	a := &w.from.Nodes[n].Act
	if a.Stopped {
		return
	}
	switch a.Point {
	case idle:
		w.passivates(n)
		w.looksAgain(n)
	case opening:
		w.opens(n)
	case find, findPast:
		w.finds(n)
	case start:
		w.append(n, Entry{Kind: Started, Run: a.Run}, w.executes)
	case claim:
		w.append(n, Entry{Kind: Claimed, Run: a.Run}, func(s *State, n int) {
			s.Nodes[n].Act.Claimed = true
			w.plan(s, n)
		})
	case stepping:
		w.append(n, Entry{Kind: Step, Run: a.Run, Arg: a.Steps + 1}, func(s *State, n int) {
			s.Nodes[n].Act.Steps++
			w.plan(s, n)
		})
	case take:
		w.append(n, Entry{Kind: Signalled, Run: a.Run}, func(s *State, n int) {
			s.Nodes[n].Act.Signal = true
			w.plan(s, n)
		})
	case wait:
		w.waitsOn(n)
	case suspend:
		w.append(n, Entry{Kind: Suspended, Run: a.Run, Arg: a.Fired + 1}, w.suspends)
	case cancelOld:
		w.cancels(n)
	case commit:
		w.commits(n)
	case refuse:
		w.refuses(n)
	case settleState, settleSend, settleWakes:
		w.settles(n)
	case remove:
		w.removes(n)
	}
}

// opens reads the identity's head and its state, settles the head if it is a record,
// and says which run is open (P03).
//
// Product: runtime.(*Executor).Open, runtime.(*Executor).readState, broker.(*Journal).Head
func (w *world) opens(n int) {
	s := *w.from
	nd := &s.Nodes[n]
	a, head := &nd.Act, s.head()
	ev := Event{Node: int8(n), Text: "reads the head: {k} of {r}", Kind: head.Kind, Run: head.Run}
	if head.Kind == 0 {
		ev.Text = "reads the head: there is none"
	}
	if head.Epoch > nd.Epoch {
		lose(&s, n)
		ev.Text += ", of a higher epoch; it drops the partition"
		w.may(s, ev)
		return
	}
	*a = Activation{
		Known: true, Head: head.Seq, Follows: a.Follows, Old: a.Old, Woken: a.Woken,
		Value: s.Value.Value, Rev: s.Value.Revision, ValSeq: s.Value.Seq,
	}
	switch {
	case head.closes() && w.ClaimBeforeSettle && head.Kind == Record && nd.Items&tasks&^w.of(head.Run) != 0:
		a.Settle = head // later
		w.settleDown(&s, n)
	case head.closes():
		a.Woken = 0
		w.settle(&s, n, head, thenOpened)
	default:
		if a.Woken != head.Run {
			a.Woken = 0
		}
		if head.Seq != 0 {
			a.Open, a.Asleep = head.Run, head.Kind == Suspended
			a.Claimed = a.Follows && a.Asleep && head.Epoch == nd.Epoch && head.Writer == nd.Inc
		}
		w.settleDown(&s, n)
	}
	w.may(s, ev)
}

// finds looks a run up, first in the journals and then among those that were moved: a
// run is copied before it leaves.
//
// Product: runtime.(*Executor).Find, broker.(*Journal).Last, broker.(*Journal).Unmoved, broker.(*Journal).Past
func (w *world) finds(n int) {
	s := *w.from
	a := &s.Nodes[n].Act
	r := a.Run
	ev := Event{Node: int8(n), Text: "looks {r} up in the journals", Run: r}
	if (a.Point == findPast) != w.PastFirst {
		ev.Text = "looks {r} up among the runs that were moved"
		if s.Past.has(r) {
			a.Point, a.Run = idle, 0
			w.finished(&s, n, r)
			w.settleDown(&s, n)
			w.may(s, ev)
			return
		}
	} else if last := s.last(r); last.Seq != 0 {
		w.found(&s, n, r, last)
		w.may(s, ev)
		return
	}
	if a.Point == find {
		a.Point = findPast
	} else {
		w.unknown(&s, n, r)
	}
	w.may(s, ev)
}

// executes begins a run whose start is stored.
//
// Product: runtime.(*Executor).Run, runtime.(*Executor).claim
func (w *world) executes(s *State, n int) {
	nd := &s.Nodes[n]
	a := &nd.Act
	a.Claimed, a.Exec, a.Last = true, true, a.Head
	a.Steps, a.Fired, a.Signal, a.Given = 0, 0, false, 0
	nd.Early &^= w.of(a.Run)
	w.give(a, nd.Items&w.of(a.Run))
	if w.ClaimBeforeSettle && a.Settle.Kind != 0 {
		w.settle(s, n, a.Settle, thenNothing)
		return
	}
	w.plan(s, n)
}

// waitsOn waits in memory until the time has come, or, for as long as it has not,
// leaves it: the wake-up is stored first.
//
// Product: runtime.(*live).wait, runtime.(*live).suspend, runtime.(*live).fired
func (w *world) waitsOn(n int) {
	a := &w.from.Nodes[n].Act
	of := a.Fired + 1
	if w.CancelWhenFired {
		s := *w.from
		if s.unschedule(func(have Schedule) bool { return have.Wait == of }) {
			s.Nodes[n].Act.Due = true
			w.may(s, Event{Node: int8(n), Text: "the time of wait {n} has come: it removes the wake-up", N: of})
			return
		}
	}
	w.append(n, Entry{Kind: Fired, Run: a.Run, Arg: of}, func(s *State, n int) {
		a := &s.Nodes[n].Act
		a.Fired++
		a.Due = false
		w.plan(s, n)
	})
	if a.Due || a.Pending {
		return
	}
	s := *w.from
	b := &s.Nodes[n].Act
	text := "stores the wake-up of wait {n}"
	switch {
	case w.SuspendFirst:
		text = "is about to suspend"
	case w.NoWakeUp:
		text = "is about to suspend, without a wake-up"
	case b.Wake == b.Head: // a message came as it was stored
		text = "is about to suspend: its wake-up is stored"
	case !s.schedule(Schedule{of, b.Head}):
		return
	}
	b.Wake, b.Point, b.Sealed = b.Head, suspend, true
	w.may(s, Event{Node: int8(n), Text: text, N: of})
}

// suspends goes on behind Suspended: wake-ups of before are removed.
//
// Product: runtime.(*live).suspend, broker.(*Schedules).Cancel
func (w *world) suspends(s *State, n int) {
	a := &s.Nodes[n].Act
	if w.SuspendFirst {
		a.Point = cancelOld
		return
	}
	for _, have := range s.Schedules {
		if have.Wait == a.Fired+1 && have.Timer < a.Wake {
			a.Point = cancelOld
			return
		}
	}
	w.asleep(s, n)
}

func (w *world) cancels(n int) {
	s := *w.from
	a := &s.Nodes[n].Act
	of, wake := a.Fired+1, a.Wake
	text := "removes the wake-ups of before"
	if w.SuspendFirst {
		text = "stores the wake-up of wait {n}"
		if !s.schedule(Schedule{of, wake}) {
			return
		}
	}
	s.unschedule(func(have Schedule) bool { return have.Wait == of && have.Timer < wake })
	w.asleep(&s, n)
	w.may(s, Event{Node: int8(n), Text: text, N: of})
}

// asleep ends the execution of a run that is suspended: the messages that it was given
// may be acknowledged, and an alarm is set.
//
// Product: actors.(*activation).conclude, actors.(*alarms).set
func (w *world) asleep(s *State, n int) {
	nd := &s.Nodes[n]
	a := &nd.Act
	r := a.Run
	w.acks(nd, nd.Items&a.Given)
	nd.Alarm = a.Fired + 1
	*a = Activation{
		Known: true, Head: a.Head, Claimed: a.Claimed, Follows: a.Follows, Aside: a.Aside, Old: a.Old,
		Open: r, Asleep: true, Value: a.Value, Rev: a.Rev, ValSeq: a.ValSeq,
	}
	w.settleDown(s, n)
}

// rings wakes a run that the node has suspended, by its own clock; its wake-up stands
// meanwhile.
//
// Product: actors.(*alarms).ring, actors.(*activation).wake
func (w *world) rings(n int) {
	nd := &w.from.Nodes[n]
	if nd.Alarm == 0 || nd.Act.Point != idle {
		return
	}
	s := *w.from
	a := &s.Nodes[n].Act
	s.Nodes[n].Alarm = 0
	if a.Open == 1 || a.Open == 0 && !a.Known {
		a.Woken, a.Open = 1, 1
	}
	w.settleDown(&s, n)
	w.may(s, Event{Node: int8(n), Text: "its alarm goes off"})
}

// passivates takes an activation with nothing to do out of memory; its claim stands
// (0024).
//
// Product: actors.(*activation).leave, actors.(*pump).passivate, runtime.(*Executor).Follows
func (w *world) passivates(n int) {
	nd := &w.from.Nodes[n]
	if !w.Passivates || !nd.Act.Known || nd.Items != 0 || nd.Act.Old != 0 || nd.Move.Run != 0 {
		return
	}
	s := *w.from
	s.Nodes[n].Act = Activation{Follows: true}
	w.may(s, Event{Node: int8(n), Text: "its activation leaves memory"})
}

// looksAgain begins an activation again that holds tasks behind a suspended run: whoever
// had the partition before may have ended that run, woken by its alarm, and have removed
// its wake-up, and nothing would say so.
//
// Product: actors.(*activation).lookAgain, runtime.(*Executor).LookAgain
func (w *world) looksAgain(n int) {
	nd := &w.from.Nodes[n]
	if w.WaitBlind || nd.Act.Open == 0 || !nd.Act.Asleep || nd.Items&tasks == 0 {
		return
	}
	s := *w.from
	restart(&s, n)
	w.settleDown(&s, n)
	w.may(s, Event{Node: int8(n), Text: "looks again whether the run that it waits behind is open"})
}
