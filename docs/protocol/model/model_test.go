package main

import (
	"testing"
	"time"
)

// shortMax is how many states a short experiment has at most.
const shortMax = 50_000

func TestModel_TheProtocolHolds(t *testing.T) {
	states, n := 0, 0
	for _, e := range asItIs {
		if !e.short {
			continue
		}
		began := time.Now()
		r := explore(e.rules, shortMax)
		if r.Found != holds || !r.Whole {
			t.Errorf("%s", e.report(r, time.Since(began)))
		}
		states, n = states+r.States, n+1
	}
	if n == 0 {
		t.Error("no experiment is short")
	}
	t.Logf("%d experiments, %d states", n, states)
}

func TestModel_EachRuleThatIsLeftOutIsFound(t *testing.T) {
	for _, e := range leftOut {
		t.Run(e.name, func(t *testing.T) {
			began := time.Now()
			r := explore(e.rules, shortMax)
			switch {
			case r.Found != e.finds:
				t.Errorf("%s", e.report(r, time.Since(began)))
			case r.Depth != len(r.Trace):
				t.Errorf("the way there has %d events, %d of which can be told", r.Depth, len(r.Trace))
			}
			t.Logf("%s", e.report(r, time.Since(began)))
		})
	}
}

// TestModel_IsRedForEachInvariant shows for each invariant a state that it forbids.
func TestModel_IsRedForEachInvariant(t *testing.T) {
	w := &world{Rules: &Rules{Waits: 1, Sends: true, Refuses: true, SignalFor: 1}}
	for want, change := range map[violation]func(*State){
		holds: func(*State) {},
		stepTwice: func(s *State) {
			w.store(s, Entry{Kind: Started, Run: 1})
			w.store(s, Entry{Kind: Step, Run: 1, Arg: 1})
			w.store(s, Entry{Kind: Step, Run: 1, Arg: 1})
		},
		twoResults: func(s *State) {
			w.store(s, Entry{Kind: Record, Run: 1})
			w.store(s, Entry{Kind: Record, Run: 1})
		},
		interleaved: func(s *State) {
			w.store(s, Entry{Kind: Started, Run: 1})
			w.store(s, Entry{Kind: Started, Run: 3})
		},
		outOfOrder: func(s *State) { w.store(s, Entry{Kind: Started, Run: 2}) },
		notCarried: func(s *State) { s.Inbox &^= task2 },
		signalLost: func(s *State) { s.Ever |= signal },
		wrongState: func(s *State) { s.Value.Value = 1 },
		unsettledBehind: func(s *State) {
			w.store(s, Entry{Kind: Record, Run: 1})
			w.store(s, Entry{Kind: Started, Run: 2})
		},
		overflow: func(s *State) {
			for range maxEntries + 1 {
				w.store(s, Entry{Kind: Claimed, Run: 1})
			}
		},
	} {
		s := w.initial()
		change(&s)
		if got := w.check(&s); got != want {
			t.Errorf("found %q, want %q", got, want)
		}
	}
}
