package main

// An append is the only way in which anything of the identity is stored, and its
// condition the only fence.

// append sends an entry behind the head that the activation knows, or sends it again,
// and goes on with then once it is known to be stored.
//
// Product: runtime.(*Executor).append, broker.(*Journal).Append, broker.(*Journal).append
func (w *world) append(n int, e Entry, then func(*State, int)) {
	nd := &w.from.Nodes[n]
	a := &nd.Act
	e.Epoch, e.Writer = nd.Epoch, nd.Inc
	ev := Event{Node: int8(n), Kind: e.Kind, Run: e.Run, N: e.Arg}
	own := w.behindClaim(a, e)
	if w.holds(w.from, e, a.Head, a.Last, own) {
		s := *w.from
		w.store(&s, e)
		stored(&s, n, e, then)
		ev.Text = "appends {k} of {r}: stored"
		w.may(s, ev)
		if w.from.Left.Lost > 0 && !a.Pending {
			s := *w.from
			s.Left.Lost--
			w.store(&s, e)
			s.Nodes[n].Act.Pending = true
			ev.Text = "appends {k} of {r}: stored, but the acknowledgement is lost"
			w.might(s, ev)
		}
		if w.from.Left.Late > 0 && !a.Pending {
			s := *w.from
			s.Left.Late--
			s.Flight = Flight{e, a.Head, a.Last, own}
			s.Nodes[n].Act.Pending = true
			ev.Text = "appends {k} of {r}: no answer, it is under way"
			w.might(s, ev)
		}
		return
	}
	w.refused(n, e, ev, then)
}

// refused is what comes of an append that the broker refuses: the head is read from the
// leader and compared (P04).
//
// Product: broker.written, runtime.(*Executor).fenced
func (w *world) refused(n int, e Entry, ev Event, then func(*State, int)) {
	s := *w.from
	nd := &s.Nodes[n]
	a, head := &nd.Act, s.head()
	switch {
	case a.Pending && head.Writer == e.Writer && head.Epoch == e.Epoch && head.Kind == e.Kind && head.Run == e.Run && head.Arg == e.Arg && head.Seq > a.Head:
		stored(&s, n, head, then)
		ev.Text = "appends {k} of {r}: refused, and finds that it was stored"
	case w.AdoptHead && head.Seq > a.Head:
		a.Head, a.Last = head.Seq, s.last(e.Run).Seq
		ev.Text = "appends {k} of {r}: refused, and takes the head that it finds for its own"
	case head.Epoch > nd.Epoch:
		lose(&s, n)
		ev.Text = "appends {k} of {r}: refused by a higher epoch; it drops the partition"
	case head.Seq < a.Head:
		lose(&s, n)
		ev.Text = "appends {k} of {r}: refused, the head was removed; it drops the partition"
	case a.First:
		restart(&s, n)
		s.Nodes[n].Act.Point = opening
		ev.Text = "appends {k} of {r}: refused, the identity is no new one"
	default:
		restart(&s, n)
		w.settleDown(&s, n)
		ev.Text = "appends {k} of {r}: refused by another entry; the activation begins again"
	}
	w.may(s, ev)
}

// behindClaim reports whether the condition of an append is on the run alone.
//
// Product: runtime.(*Executor).behindClaim
func (w *world) behindClaim(a *Activation, e Entry) bool {
	if w.ClaimOnRun && e.Kind == Claimed {
		return true
	}
	return w.OwnFence && a.Claimed && a.Exec && a.Run == e.Run && a.Last == a.Head
}

// holds reports whether the condition of an append is true.
func (w *world) holds(s *State, e Entry, head, last uint8, own bool) bool {
	switch {
	case w.NoFence:
		return true
	case w.FencePerRun && e.Kind == Started || w.FencePerRun && e.Kind == Refusal:
		return s.last(e.Run).Seq == 0
	case w.FencePerRun, own:
		return s.last(e.Run).Seq == last
	}
	return s.head().Seq == head
}

// stored takes in that an entry is stored.
//
// Product: runtime.(*stored).add
func stored(s *State, n int, e Entry, then func(*State, int)) {
	a := &s.Nodes[n].Act
	if e.Seq == 0 {
		e.Seq = s.Seq
	}
	a.Head, a.Known, a.Pending, a.First, a.Aside = e.Seq, true, false, false, false
	if a.Run == e.Run {
		a.Last = e.Seq
	}
	then(s, n)
}

// restart begins an activation anew from what is stored: with an executor that knows
// nothing, and that claims whatever it goes on with.
//
// Product: actors.(*activation).restart, runtime.NewExecutor
func restart(s *State, n int) {
	a := &s.Nodes[n].Act
	*a = Activation{Stopped: a.Stopped}
}
