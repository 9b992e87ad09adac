package main

import (
	"fmt"
	"strings"
)

// An Event is what happens between two states, for people: {r} in its text is the run,
// {n} the number, {k} the kind of entry, and {m} the messages.
type Event struct {
	Node int8 // whose it is, -1 for the broker's
	Text string
	Run  run
	N    uint8
	Kind kind
	Msgs messages
}

const brokers = -1

// String returns the event as a line of the story.
func (e Event) String() string {
	text := strings.NewReplacer(
		"{r}", fmt.Sprint("run ", e.Run), "{n}", fmt.Sprint(e.N), "{k}", kindNames[e.Kind], "{m}", e.Msgs.String(),
	).Replace(e.Text)
	if e.Node == brokers {
		return text
	}
	return "AB"[e.Node:e.Node+1] + ": " + text
}

var messageNames = [...]string{
	"task 1", "task 2", "task 3", "task 1 again", "the signal",
	"wake-up", "another wake-up", "wake-up of the second wait", "another wake-up of the second wait",
}

func (m messages) String() string {
	var names []string
	for i, name := range messageNames {
		if m&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	return strings.Join(names, ", ")
}

// A Next is a state that may follow another.
type Next struct {
	State State
	Event Event
	Free  bool // nothing goes wrong in it: it is taken sooner or later
}

// A world collects what may follow a state.
type world struct {
	*Rules
	from *State
	next []Next

	seqs, epochs, incs []*uint8 // used again by canonical
}

// after returns the states that may follow s; the slice is good until it is called
// again.
func (w *world) after(s *State) []Next {
	w.from, w.next = s, w.next[:0]
	w.schedules()
	w.arrivals()
	w.publishes()
	w.retention()
	w.receiver()
	w.delivers()
	for n := range s.Nodes {
		if !s.Nodes[n].Up {
			w.restarts(n)
			continue
		}
		w.crashes(n)
		w.owns(n)
		w.moves(n)
		if s.Nodes[n].Epoch != 0 {
			w.acknowledges(n)
			w.rings(n)
			w.sweeps(n)
			w.acts(n)
		}
	}
	return w.next
}

// may adds a state that follows, and in which nothing goes wrong.
func (w *world) may(s State, e Event) { w.next = append(w.next, Next{s, e, true}) }

// might adds one in which something does.
func (w *world) might(s State, e Event) { w.next = append(w.next, Next{s, e, false}) }
