package main

// Who owns the partition. Anybody may win the owner key at any moment: safety does not
// rest on who is thought to be dead (P08, P10).

// crashes ends a process, with all that it has in memory.
func (w *world) crashes(n int) {
	if w.from.Left.Crash == 0 {
		return
	}
	s := *w.from
	s.Left.Crash--
	s.Nodes[n] = Node{}
	w.might(s, Event{Node: int8(n), Text: "crashes"})
}

// restarts starts a process again, as another incarnation.
//
// Product: cluster.Join
func (w *world) restarts(n int) {
	s := *w.from
	s.Incs++
	s.Nodes[n] = Node{Up: true, Inc: s.Incs}
	w.may(s, Event{Node: int8(n), Text: "starts again"})
}

// lose drops the partition with all that works for it: whatever a node is in doubt
// about, it begins again from what is stored (D). A run that is being moved is moved
// on, late.
//
// Product: actors.(*pump).lose, actors.(*alarms).drop
func lose(s *State, n int) {
	nd := &s.Nodes[n]
	*nd = Node{Up: true, Inc: nd.Inc, Move: nd.Move}
}

// alive reports whether the owner key names a process that is there.
func (s *State) alive() bool {
	return s.owns(0) || s.owns(1)
}

// owns is what a node does for ownership: it wins the key, makes its consumer, learns
// that another has the partition, or hands it over.
//
// Product: cluster.decide, cluster.(*Member).writeDue, cluster.(*Member).reclaim, cluster.(*Member).Again, actors.(*owned).drop
func (w *world) owns(n int) {
	nd := &w.from.Nodes[n]
	mine := w.from.owns(n)
	if nd.Taking != 0 {
		w.takes(n)
	}
	switch {
	case mine && nd.Epoch == 0 && nd.Taking == 0: // it has dropped the partition, and begins again
		w.may(w.wins(n), Event{Node: int8(n), Text: "writes the owner key anew: epoch {n}", N: w.from.Owner.Epoch + 1})
	case !mine && !w.from.alive():
		w.may(w.wins(n), Event{Node: int8(n), Text: "takes the partition over: epoch {n}", N: w.from.Owner.Epoch + 1})
	case !mine && w.from.Left.Take > 0:
		s := w.wins(n)
		s.Left.Take--
		w.might(s, Event{Node: int8(n), Text: "takes the partition over from a process that lives: epoch {n}", N: w.from.Owner.Epoch + 1})
	}
	if nd.Epoch == 0 {
		return
	}
	if !w.from.has(n) || !mine {
		s := *w.from
		lose(&s, n)
		w.may(s, Event{Node: int8(n), Text: "learns that another has the partition, and drops it"})
		return
	}
	if w.from.Left.Gap > 0 {
		s := *w.from
		s.Left.Gap--
		lose(&s, n)
		w.might(s, Event{Node: int8(n), Text: "finds a gap in what is delivered, and drops the partition"})
	}
	if w.from.Left.Take > 0 && !nd.Act.Pending && nd.Acks == 0 {
		s := *w.from
		s.Left.Take--
		w.handsOver(&s, n)
		w.might(s, Event{Node: int8(n), Text: "hands the partition over: no consumer, no owner"})
	}
}

// handsOver gives the partition up in good order: nothing of it runs any more.
//
// Product: actors.(*owned).handOver, actors.(*pump).giveUp, broker.(*Feed).Release, cluster.(*Member).release
func (w *world) handsOver(s *State, n int) {
	lose(s, n)
	s.Consumer = Consumer{}
	s.Owner.Inc = 0
}

// wins is the state in which a node has written the owner key.
//
// Product: cluster.(*Member).writeOwner, cluster.(*Member).gain
func (w *world) wins(n int) State {
	s := *w.from
	lose(&s, n)
	s.Owner = Owner{Inc: s.Nodes[n].Inc, Epoch: s.Owner.Epoch + 1}
	s.Nodes[n].Taking = s.Owner.Epoch
	return s
}

// takes makes the consumer of an epoch that was won; those of lower epochs are deleted
// first.
//
// Product: actors.(*owned).take, broker.(*Inbox).Take, broker.(*Feed).create, broker.(*Feed).removeLower
func (w *world) takes(n int) {
	s := *w.from
	nd := &s.Nodes[n]
	switch have := s.Consumer.Epoch; {
	case have == 0:
		s.Consumer = Consumer{Epoch: nd.Taking, Node: uint8(n), Inc: nd.Inc}
		nd.Epoch, nd.Taking = nd.Taking, 0
		w.may(s, Event{Node: int8(n), Text: "makes the consumer of epoch {n}", N: nd.Epoch})
	case have < nd.Taking:
		s.Consumer = Consumer{}
		w.may(s, Event{Node: int8(n), Text: "deletes the consumer of epoch {n}", N: have})
	default:
		nd.Taking = 0
		w.may(s, Event{Node: int8(n), Text: "finds the consumer of epoch {n}, and gives up", N: have})
	}
}
