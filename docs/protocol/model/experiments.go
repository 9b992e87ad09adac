package main

import (
	"fmt"
	"strings"
	"time"
)

// An experiment is a world, and what is to be found in it. The short ones are a test.
type experiment struct {
	name  string
	short bool
	rules Rules
	finds violation // holds: the protocol as it is
}

// report says for people what an experiment found.
func (e experiment) report(r Result, took time.Duration) string {
	var b strings.Builder
	what := "every state that can be reached is right"
	switch {
	case r.Found != holds:
		what = r.Found.String() + fmt.Sprintf(", after %d events", r.Depth)
	case !r.Whole:
		what = fmt.Sprintf("right as far as %d events; there are more states", r.Depth)
	}
	fmt.Fprintf(&b, "%-40s %9d states, depth %3d, %6.1f s: %s", e.name, r.States, r.Depth, took.Seconds(), what)
	if r.Found != e.finds {
		fmt.Fprintf(&b, " (WRONG: %v was to be found)", e.finds)
	}
	for i, ev := range r.Trace {
		fmt.Fprintf(&b, "\n    %2d  %s", i+1, ev)
	}
	return b.String()
}

// in is the protocol as it is, with what may go wrong, in a world that is changed.
func in(left Budget, change ...func(*Rules)) Rules {
	r := Rules{OwnFence: true, Waits: 1, Left: left}
	for _, c := range change {
		c(&r)
	}
	return r
}

// asItIs are worlds of the protocol as it is: in none of them is anything found.
var asItIs = []experiment{
	{"nothing goes wrong", true, in(Budget{}), holds},
	{"two crashes", true, in(Budget{Crash: 2}), holds},
	{"three crashes", false, in(Budget{Crash: 3}), holds},
	{"a crash, a take-over", false, in(Budget{Crash: 1, Take: 1}), holds},
	{"two take-overs", false, in(Budget{Take: 2}), holds},
	{"the same, one condition for all", false, in(Budget{Take: 2}, wide), holds},
	{"lost acknowledgements", true, in(Budget{Crash: 1, Lost: 2}), holds},
	{"a lost one, a take-over", false, in(Budget{Take: 1, Lost: 1, Crash: 1}), holds},
	{"a late copy, a crash", true, in(Budget{Crash: 1, Late: 1}), holds},
	{"a late copy, a take-over", false, in(Budget{Take: 1, Late: 1}), holds},
	{"the same, one condition for all", false, in(Budget{Take: 1, Late: 1}, wide), holds},
	{"a gap, a crash", true, in(Budget{Gap: 1, Crash: 1}), holds},
	{"a gap, a take-over", false, in(Budget{Gap: 1, Take: 1}), holds},
	{"published again, a crash", true, in(Budget{Again: 1, Crash: 1}), holds},
	{"published again, a take-over", false, in(Budget{Again: 1, Take: 1}), holds},
	{"a signal, a crash", true, in(Budget{Signal: 1, Crash: 1}, signals(1)), holds},
	{"a signal, a take-over", false, in(Budget{Signal: 1, Take: 1}, signals(1)), holds},
	{"a signal of a queued run, a take-over", false, in(Budget{Signal: 1, Take: 1}, signals(2)), holds},
	{"a refusal, a crash", true, in(Budget{Crash: 1}, refusals), holds},
	{"a refusal, a take-over", false, in(Budget{Take: 1}, refusals), holds},
	{"the same, one condition for all", false, in(Budget{Take: 1}, refusals, wide), holds},
	{"a refusal, a late copy, a crash", false, in(Budget{Crash: 1, Late: 1}, refusals), holds},
	{"retention, a crash", true, in(Budget{Crash: 1, Age: 1}, sends), holds},
	{"retention, two crashes, published again", false, in(Budget{Crash: 2, Age: 1, Again: 1}), holds},
	{"retention, a take-over", false, in(Budget{Take: 1, Age: 1}, sends), holds},
	{"retention twice, refusals, a crash", false, in(Budget{Crash: 1, Age: 2}, sends, refusals), holds},
	{"moved runs, published again, a crash", false, in(Budget{Crash: 1, Again: 1}, moves), holds},
	{"moved runs, retention, a take-over", false, in(Budget{Take: 1, Age: 1}, moves), holds},
	{"moved runs, retention, two crashes", false, in(Budget{Crash: 2, Age: 1, Again: 1}, moves), holds},
	{"activations leave memory, two crashes", true, in(Budget{Crash: 2}, passivates), holds},
	{"activations leave memory, a take-over", false, in(Budget{Take: 1}, passivates), holds},
	{"two waits, a crash", true, in(Budget{Crash: 1}, twoWaits), holds},
	{"two waits, a take-over", false, in(Budget{Take: 1}, twoWaits), holds},
	{"delivered at once, a crash, a take-over", false, in(Budget{Crash: 1, Take: 1}, func(r *Rules) { r.AtOnce = true }), holds},
	{"two crashes, a take-over", false, in(Budget{Crash: 2, Take: 1}), holds},
	{"a lost one, a late one, a crash", false, in(Budget{Crash: 1, Lost: 1, Late: 1}), holds},
	{"refusals, a signal, a take-over", false, in(Budget{Take: 1, Signal: 1}, refusals, signals(1)), holds},
	{"retention, moved runs, refusals, a crash", false, in(Budget{Crash: 1, Age: 1}, sends, moves, refusals), holds},
	{"retention, moved runs, activations leave, a take-over", false, in(Budget{Take: 1, Age: 1}, sends, moves, passivates), holds},
}

// leftOut are worlds in which a rule is left out, and what that leads to first.
var leftOut = []experiment{
	{"no fence", true, in(Budget{Take: 1}, func(r *Rules) { r.NoFence = true }), interleaved},
	{"a fence per run", true, in(Budget{Take: 1}, func(r *Rules) { r.FencePerRun = true }), interleaved},
	{"an unknown head is adopted", true, in(Budget{Take: 1}, func(r *Rules) { r.AdoptHead = true }), interleaved},
	{"acknowledged before the append", true, in(Budget{Crash: 1}, func(r *Rules) { r.AckBeforeAppend = true }), notCarried},
	{"acknowledged before the effects", true, in(Budget{Crash: 1}, func(r *Rules) { r.AckAtCommit = true }), notCarried},
	{"a TTL at the commit", true, in(Budget{Crash: 1, Age: 1}, func(r *Rules) { r.TTLAtCommit = true }), twoResults},
	{"a sweep that does not see the inbox", true, in(Budget{Crash: 1, Age: 1}, func(r *Rules) { r.SweepBlind = true }), twoResults},
	{"a wake-up cancelled when it fires", true, in(Budget{Crash: 1}, func(r *Rules) { r.CancelWhenFired = true }), notCarried},
	{"a wake-up cancelled in the final append", true, in(Budget{Crash: 1}, func(r *Rules) { r.CancelAtCommit = true }), notCarried},
	{"no wake-up", true, in(Budget{}, func(r *Rules) { r.NoWakeUp = true }), notCarried},
	{"the next run claimed before the last is settled", true, in(Budget{Crash: 1}, func(r *Rules) { r.ClaimBeforeSettle = true }), unsettledBehind},
	{"deduplication off", true, in(Budget{Again: 1}, func(r *Rules) { r.NoDedup = true }), twoResults},
	{"a refusal that names no open run", true, in(Budget{Crash: 1}, refusals, func(r *Rules) { r.RefusalAlone = true }), interleaved},
	{"moved runs looked for first", true, in(Budget{Again: 1}, moves, func(r *Rules) { r.PastFirst = true }), twoResults},
	{"a record that goes before its sender's", true, in(Budget{Crash: 1, Age: 1}, sends, func(r *Rules) { r.ForgetSender = true }), receivedTwice},
	{"what is old is acted on", true, in(Budget{Take: 1, Age: 1}, func(r *Rules) { r.ActWhenOld = true }), twoResults},
	{"a head acted on after the receiver has forgotten", true, in(Budget{Take: 1, Age: 1}, sends, func(r *Rules) { r.SlowReader = true }), receivedTwice},
	{"a task behind a suspended run is not looked at again", true, in(Budget{Take: 1}, func(r *Rules) { r.WaitBlind = true }), stuck},
}

// spare are worlds in which a rule is left out, and nothing is found: what is modelled
// here holds without it.
var spare = []experiment{
	{"suspended before the wake-up is stored", false, in(Budget{Crash: 1, Take: 1}, func(r *Rules) { r.SuspendFirst = true }), holds},
	{"a claim on its run alone", false, in(Budget{Crash: 1, Take: 1}, refusals, func(r *Rules) { r.ClaimOnRun = true }), holds},
}

func wide(r *Rules)       { r.OwnFence = false }
func refusals(r *Rules)   { r.Refuses = true }
func sends(r *Rules)      { r.Sends = true }
func moves(r *Rules)      { r.Moves = true }
func passivates(r *Rules) { r.Passivates = true }
func twoWaits(r *Rules)   { r.Waits = 2 }

func signals(of run) func(*Rules) { return func(r *Rules) { r.SignalFor = of } }
