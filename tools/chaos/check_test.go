package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// at is a moment of a history.
func at(ms int) int64 { return int64(time.Hour) + int64(ms)*int64(time.Millisecond) }

// good is a history in which nothing is wrong: an order, a nap, and a cell.
func good() []event {
	step := func(ms, n int, node, run, path, name string) event {
		return event{T: at(ms), Ev: evStep, Op: n, Node: node, Run: run, Path: path, Name: name, Begun: at(ms)}
	}
	entry := func(ms int, seq uint64, run string, what ...string) event {
		return event{T: at(ms), Ev: evEntry, Seq: seq, At: at(ms), Epoch: 1, Nonce: "a", Run: run, What: what}
	}
	const order, nap, cell = "order/7/7", "nap/8/8", "cell/c/m1"
	return []event{
		{T: at(0), Ev: evRun, What: []string{"kill-node"}},
		{T: at(0), Ev: evPhase, Phase: "load"},
		{T: at(1), Ev: evFault, Fault: "kill-node", Target: "node1", Phase: "begin", Flight: 1},
		{T: at(2), Ev: evFault, Fault: "kill-node", Target: "node1", Phase: "end", Flight: 1, Hit: true},
		{T: at(10), Ev: evInvoke, Op: 1, Verb: "order", Run: order, Cell: "c", Ledger: "l", In: 7, WaitMS: 10},
		{T: at(11), Ev: evAccept, Op: 1},
		entry(12, 1, order, "claimed node1", "started"),
		step(13, 1, "node1", order, "1", "reserve"),
		entry(14, 2, order, "step 1"),
		step(25, 2, "node1", order, "3", "charge"),
		entry(26, 3, order, "step 3"),
		step(27, 3, "node1", order, "5", "pick"),
		step(27, 4, "node1", order, "6", "pack"),
		step(27, 5, "node1", order, "7", "label"),
		entry(28, 4, order, "step 5", "step 6", "step 7"),
		{T: at(29), Ev: evInvoke, Op: 2, Verb: "add", Run: cell, Cell: "c", In: 5},
		{T: at(29), Ev: evInvoke, Op: 3, Verb: "ask", Cell: "c"},
		{T: at(30), Ev: evReturn, Op: 2, Out: 12, Result: "12"},
		{T: at(30), Ev: evReturn, Op: 3, Out: 7, Result: "7"},
		step(31, 6, "node1", order, "11", "ship"),
		entry(32, 5, order, "step 11", "record COMPLETED"),
		{T: at(33), Ev: evReturn, Op: 1, Out: 7, Result: `{"steps":["reserve#1","charge#2","pick#3","pack#4","label#5","ship#6"],"approved":"yes 7","sum":7}`},
		{T: at(34), Ev: evAgain, Run: cell, Result: "12"},
		{T: at(40), Ev: evInvoke, Op: 4, Verb: "nap", Run: nap, Ledger: "l", In: 8, WaitMS: 5},
		{T: at(41), Ev: evAccept, Op: 4},
		step(42, 7, "node2", nap, "1", "yawn"),
		{T: at(51), Ev: evReturn, Op: 4, Result: `["yawn#7"]`},
		{T: at(60), Ev: evPhase, Phase: "quiet"},
		{T: at(70), Ev: evList, Ledger: "l", What: []string{"7.1", "7.2", "8.1"}},
	}
}

// Each thing that can be wrong is noticed, and nothing else.
func TestJudge_NoticesWhatIsWrong(t *testing.T) {
	change := func(ev string, nth int, f func(*event)) func([]event) []event {
		return func(all []event) []event {
			for i := range all {
				if all[i].Ev == ev {
					if nth--; nth == 0 {
						f(&all[i])
					}
				}
			}
			return all
		}
	}
	drop := func(which func(event) bool) func([]event) []event {
		return func(all []event) []event { return slices.DeleteFunc(all, which) }
	}
	more := func(e event) func([]event) []event {
		return func(all []event) []event { return append(all, e) }
	}
	late := event{T: at(30), Ev: evStep, Op: 9, Node: "node2", Run: "order/7/7", Path: "1", Name: "reserve", Begun: at(30)}
	for _, x := range []struct {
		name string
		do   func([]event) []event
		want string // of the first violation, or failure; empty: nothing is wrong
	}{
		{"nothing", func(all []event) []event { return all }, ""},
		{"a lost task", drop(func(e event) bool { return e.Ev == evReturn && e.Op == 4 }), "nap nap/8/8 does not end, accepted=true"},
		{"an error", change(evReturn, 1, func(e *event) { e.Err = "unavailable" }), "add cell/c/m1c ends with an error"},
		{"a recorded step runs again", more(late), "step 1 reserve began on node2 16ms after it was recorded"},
		{"a step is recorded twice", change(evEntry, 3, func(e *event) { e.What = []string{"step 1"} }), "step 1 is recorded twice"},
		{"an early timer", change(evStep, 2, func(e *event) { e.Begun = at(20) }), "its timer of 10 ms fired early"},
		{"an early timer of a nap", change(evReturn, 4, func(e *event) { e.T = at(45) }), "its timer of 5 ms fired early"},
		{"another result", change(evAgain, 1, func(e *event) { e.Result = "13" }), "asked for again is 13"},
		{"a result of nowhere", change(evReturn, 3, func(e *event) { e.Result = strings.Replace(e.Result, "pick#3", "pick#7", 1) }), "pick#7, which is an execution of"},
		{"a lost signal", change(evReturn, 3, func(e *event) { e.Result = strings.Replace(e.Result, "yes 7", "", 1) }), "it was approved with"},
		{"a lost message", change(evList, 1, func(e *event) { e.What = e.What[:2] }), "lacks its messages"},
		{"a message twice", change(evList, 1, func(e *event) { e.What = append(e.What, "7.1") }), "has 7.1 twice"},
		{"messages out of order", change(evList, 1, func(e *event) { e.What[0], e.What[1] = e.What[1], e.What[0] }), "its second message came before its first"},
		{"an old owner", change(evEntry, 1, func(e *event) { e.Epoch = 2 }), "entry 2 of order/7/7: epoch 1 comes behind epoch 2"},
		{"two owners", change(evEntry, 1, func(e *event) { e.Nonce = "b" }), "is not who claimed the run"},
		{"two runs at once", change(evEntry, 2, func(e *event) { e.Run, e.What = "order/7/8", nil }), "entry 2 of order/7/8: order/7/7 is open"},
		{"two records", change(evEntry, 2, func(e *event) { e.What = []string{"record COMPLETED"} }), "the run has its record already"},
		{"a signal twice", func(all []event) []event {
			return change(evEntry, 4, func(e *event) { e.What = []string{"signal approve yes"} })(change(evEntry, 3, func(e *event) { e.What = append(e.What, "signal approve yes") })(all))
		}, "signal approve yes is recorded twice"},
		{"an early timer of a journal", func(all []event) []event {
			return change(evEntry, 3, func(e *event) { e.What = append(e.What, "fired 2") })(change(evEntry, 2, func(e *event) { e.What = append(e.What, fmt.Sprint("timer 2 ", at(30))) })(all))
		}, "timer 2 fired 4ms early"},
		{"a run that begins again", change(evEntry, 5, func(e *event) { e.What = []string{"claimed node2", "started"} }), "started is recorded twice"},
		{"a node whose clock is wrong", func(all []event) []event {
			return append(all, event{T: at(5), Ev: evFault, Fault: clockJump, Target: "node1 by -1m0s, and it is started anew", Phase: "begin"},
				event{T: at(50), Ev: evFault, Fault: clockJump, Target: "node1 by -1m0s, and it is started anew", Phase: "end"})
		}, "node1 claimed it in entry 1, 7ms after its clock had jumped by -1m0s"},
		{"a run that stands still", change(evEntry, 2, func(e *event) { e.What = []string{"parked because"} }), "is parked"},
		{"a lost update", change(evReturn, 1, func(e *event) { e.Out = 5 }), "not linearizable"},
		{"a stale answer", func(all []event) []event {
			return append(all, event{T: at(55), Ev: evInvoke, Op: 5, Verb: "ask", Cell: "c"}, event{T: at(56), Ev: evReturn, Op: 5, Out: 7})
		}, "not linearizable"},
		{"a run that nothing carries", more(event{Ev: evFound, Name: "lost_run", Run: "order/7/7"}), "an audit finds lost_run at order/7/7"},
		{"what a crash left", more(event{Ev: evFound, Name: "left_entries", Run: "order/7/7"}), ""},
		{"a process that ends", more(event{Ev: evEnded, Node: "node1", Err: "exit status 66"}), "node1 ended by itself"},
		{"a fault that hits nothing", change(evFault, 2, func(e *event) { e.Flight = 0 }), "kill-node hit no run in flight"},
		{"nobody read the ledgers", drop(func(e event) bool { return e.Ev == evList }), "the ledgers were not read"},
		{"a step that had been started", func(all []event) []event {
			return append(all, late, event{T: at(20), Ev: evFault, Fault: "pause-node", Target: "node2", Phase: "begin"},
				event{T: at(29), Ev: evFault, Fault: "pause-node", Target: "node2", Phase: "end"})
		}, ""},
	} {
		v := judge(x.do(good()))
		got := append(v.violations, v.failures...)
		switch {
		case x.want == "" && len(got) > 0:
			t.Errorf("%s: %s", x.name, got[0])
		case x.want != "" && (len(got) == 0 || !strings.Contains(strings.Join(got, "\n"), x.want)):
			t.Errorf("%s: it says %q, want %q", x.name, got, x.want)
		}
	}
}

func TestVerdict_LastLine(t *testing.T) {
	const want = "chaos: seed 3, operations 4 (checked 4), faults 1 (kinds 1, hit runs in flight 1), longest pause 1.0 s (bare publisher 0.0 s), violations: 0"
	v := judge(good())
	if got := v.line(3); got != want {
		t.Errorf("the last line is\n%s, want\n%s", got, want)
	}
	if got := fmt.Sprint(seedOf([]event{{Name: "seed 77, 30s"}})); got != "77" {
		t.Errorf("the seed is %s", got)
	}
}
