package main

import "math/bits"

// What the broker does by itself: schedules fire, copies of appends arrive late,
// messages are published and delivered.

// schedules fires stored wake-ups, each at any moment after it was stored: the time of
// the model is only that things come after others.
//
// Product: broker.(*Schedules).Set, actors.(wakes).Set
func (w *world) schedules() {
	for _, due := range w.from.Schedules {
		if due == (Schedule{}) {
			continue
		}
		for _, m := range [...]messages{wakeA, wakeB, wakeC, wakeD} {
			if waitOf(m) != due.Wait || w.from.Inbox&m != 0 {
				continue
			}
			s := *w.from
			s.unschedule(func(have Schedule) bool { return have == due })
			s.Inbox |= m
			s.Consumer.Delivered &^= m
			w.may(s, Event{Node: brokers, Text: "the schedule of wait {n} fires and becomes a message", N: due.Wait})
			break
		}
	}
}

// arrivals brings the copy of an append that was under way.
//
// Product: broker.(*Journal).Append
func (w *world) arrivals() {
	f := w.from.Flight
	if f.Entry.Kind == 0 {
		return
	}
	s := *w.from
	s.Flight = Flight{}
	text := "the copy of {k} of {r} that was under way arrives, and is refused"
	if w.holds(&s, f.Entry, f.Head, f.Last, f.Own) {
		w.store(&s, f.Entry)
		text = "the copy of {k} of {r} that was under way arrives, and is stored"
	}
	w.may(s, Event{Node: brokers, Text: text, Kind: f.Entry.Kind, Run: f.Entry.Run})
}

// publishes publishes what may come later: the first run's task again, for as long as
// it is remembered, and the signal.
//
// Product: broker.(*Inbox).Publish, perdure.(*Client).SignalJSON
func (w *world) publishes() {
	if remembered := !w.from.Seen.Done.has(1) || !w.from.Old.has(1) && w.from.records().has(1); w.from.Left.Again > 0 && remembered {
		s := *w.from
		s.Left.Again--
		s.Inbox, s.Ever = s.Inbox|again, s.Ever|again
		w.may(s, Event{Node: brokers, Text: "task 1 is published again, with the same ID"})
	}
	if w.from.Left.Signal > 0 {
		s := *w.from
		s.Left.Signal--
		s.Inbox, s.Ever = s.Inbox|signal, s.Ever|signal
		w.may(s, Event{Node: brokers, Text: "a signal for {r} is published", Run: w.SignalFor})
	}
}

// delivers delivers to the owner of the partition's consumer what it has not delivered.
//
// Product: broker.(*Feed).Next, actors.(*pump).understands, actors.(*pump).putOff, actors.(*activation).accept, runtime.(*Mailbox).sealIfEmpty
func (w *world) delivers() {
	c := w.from.Consumer
	if c.Epoch == 0 || !w.from.has(int(c.Node)) {
		return
	}
	m := w.from.Inbox &^ c.Delivered
	if m == 0 {
		return
	}
	if !w.AtOnce {
		m = 1 << bits.TrailingZeros16(uint16(m))
	}
	s, n := *w.from, int(c.Node)
	s.Consumer.Delivered |= m
	s.Nodes[n].Items |= m
	if w.AckBeforeAppend {
		s.Inbox &^= m
	}
	if a := &s.Nodes[n].Act; a.Exec && a.Point == suspend && !a.Pending && m&w.of(a.Run) != 0 {
		s := s // it came before the mailbox was sealed: the run looks at it
		a := &s.Nodes[n].Act
		a.Point, a.Sealed = wait, false
		w.give(a, m&w.of(a.Run))
		w.plan(&s, n)
		w.may(s, Event{Node: int8(n), Text: "receives {m}, which keep it from suspending", Msgs: m})
	}
	if a := &s.Nodes[n].Act; a.live() {
		w.give(a, m&w.of(a.Run))
		if a.Point == wait && !a.Pending {
			w.plan(&s, n)
		}
	}
	w.settleDown(&s, n)
	w.may(s, Event{Node: int8(n), Text: "receives {m}", Msgs: m})
}

// records are the runs that have a record in the journals or among those that were
// moved.
func (s *State) records() (have runs) {
	for i := range s.Entries {
		if s.Journal[i].closes() {
			have |= 1 << s.Journal[i].Run
		}
	}
	return have | s.Past
}

// acknowledges acknowledges one of the messages that may be, beside whatever the
// activation does. One that cannot be confirmed drops the partition (P16).
//
// Product: broker.(*Feed).Ack, actors.(*pump).ack, actors.(*pump).settled
func (w *world) acknowledges(n int) {
	acks := w.from.Nodes[n].Acks
	if acks == 0 {
		return
	}
	s := *w.from
	m := messages(1) << bits.TrailingZeros16(uint16(acks))
	if !s.has(n) {
		lose(&s, n)
		w.may(s, Event{Node: int8(n), Text: "cannot acknowledge {m}: its consumer is gone; it drops the partition", Msgs: m})
		return
	}
	if m == task3 && s.Seen.Done.has(3) && !s.Seen.Begun.has(3) {
		s.Seen.Answered = true // who sent it is told again, before
	}
	s.Nodes[n].Acks &^= m
	s.Inbox &^= m
	s.Consumer.Delivered &^= m
	w.settleDown(&s, n)
	w.may(s, Event{Node: int8(n), Text: "acknowledges {m}", Msgs: m})
}
