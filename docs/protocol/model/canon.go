package main

import "math/bits"

// Two states that differ in nothing that matters from now on are one: what is not
// looked at any more is forgotten, and of sequences, epochs and incarnations only the
// order counts.

// canonical makes a state the one that stands for all that are like it.
func (w *world) canonical(s *State) {
	w.forget(s)
	seq := append(w.seqs[:0], &s.Value.Seq, &s.Flight.Head, &s.Flight.Last)
	epoch := append(w.epochs[:0], &s.Owner.Epoch, &s.Consumer.Epoch, &s.Flight.Entry.Epoch)
	inc := append(w.incs[:0], &s.Owner.Inc, &s.Consumer.Inc, &s.Flight.Entry.Writer)
	for i := range s.Entries {
		e := &s.Journal[i]
		seq, epoch, inc = append(seq, &e.Seq), append(epoch, &e.Epoch), append(inc, &e.Writer)
	}
	for i := range s.Schedules {
		seq = append(seq, &s.Schedules[i].Timer)
	}
	for n := range s.Nodes {
		nd := &s.Nodes[n]
		a := &nd.Act
		seq = append(seq, &a.Head, &a.Last, &a.Wake, &a.Settle.Seq, &a.ValSeq, &nd.Move.Seq)
		epoch, inc = append(epoch, &nd.Epoch, &nd.Taking), append(inc, &nd.Inc)
	}
	w.seqs, w.epochs, w.incs = seq, epoch, inc
	s.Seq, s.Incs = rank(seq), rank(inc)
	rank(epoch)
}

// rank replaces numbers by their places in their order, 0 by 0, and returns the
// highest.
func rank(all []*uint8) uint8 {
	var there uint64 // of 1 to 63: more is not stored in a bounded world
	for _, v := range all {
		there |= 1 << *v
	}
	there &^= 1
	for _, v := range all {
		*v = uint8(bits.OnesCount64(there & (1<<(*v+1) - 1)))
	}
	return uint8(bits.OnesCount64(there))
}

// forget clears what is not looked at any more.
func (w *world) forget(s *State) {
	for i := range s.Entries {
		e := &s.Journal[i]
		if i+1 != s.Entries { // whose it is is asked of the head alone
			e.Epoch, e.Writer = 0, 0
		}
		if e.Seq != s.last(e.Run).Seq {
			e.Seq = 0
		}
		if e.Kind == Record {
			e.Arg = 0
		}
	}
	s.drop(func(e Entry) bool {
		return e.Seq == 0 && (e.Kind == Started || e.Kind == Claimed || e.Kind == Suspended)
	})
	if s.Consumer.Epoch == 0 {
		s.Consumer = Consumer{}
	}
	s.Consumer.Delivered &= s.Inbox
	for n := range s.Nodes {
		nd := &s.Nodes[n]
		a := &nd.Act
		a.Settle.Epoch, a.Settle.Writer, a.Settle.TTL = 0, 0, false
		if !a.Exec {
			a.Steps, a.Fired, a.Signal, a.Due, a.Sealed, a.Given, a.Last, a.Wake = 0, 0, false, false, false, 0, 0, 0
			if a.Point != find && a.Point != findPast && a.Point != start {
				a.Run = 0
			}
		}
		a.Given &= nd.Items
		if a.Point != refuse && a.Point < settleState {
			a.Then = thenNothing
		}
		if a.Known {
			a.Follows = false // it has been asked
		} else {
			a.Value, a.Rev, a.ValSeq = 0, 0, 0
		}
	}
}
