package contracts_test

import (
	"fmt"
	"strings"

	"pgregory.net/rapid"
)

// orders draws trees whose outcome does not depend on time.
func orders() *rapid.Generator[set] { return sets(3, true) }

// sets draws sets of actions; only those that may end their workflow return or
// fail, and only those of a root wait for deliveries of the client.
func sets(depth int, root bool) *rapid.Generator[set] {
	return rapid.Custom(func(t *rapid.T) set {
		s := set{Concurrent: rapid.Bool().Draw(t, "concurrent")}
		least := 1
		if root {
			least = 3
		}
		s.Actions = rapid.SliceOfN(actions(depth, root, !s.Concurrent), least, 6).Draw(t, "actions")
		return s
	})
}

var activities = []string{"noop", "delay", "payload", "final", "panics", "exhausted", "retried", "timeout"}

func actions(depth int, root, ends bool) *rapid.Generator[action] {
	ops := append([]string{"timer", "timer", "signal", "signal child", "cancel child", "condition", "patch", "show"}, activities...)
	if root {
		ops = append(ops, "delivery", "delivery")
	}
	if depth > 0 {
		ops = append(ops, "set", "set", "set", "child", "child")
	}
	if ends {
		ops = append(ops, "return", "fail")
		if depth > 0 {
			ops = append(ops, "continue")
		}
	}
	return rapid.Custom(func(t *rapid.T) action {
		a := action{Op: rapid.SampledFrom(ops).Draw(t, "op"), N: rapid.IntRange(1, 3).Draw(t, "n")}
		hows := []string{"", "", abandoned, cancelledBefore, cancelledAfter, cancelledLate}
		switch a.Op {
		case "timer", "delay":
			a.N = rapid.IntRange(0, 15).Draw(t, "ms")
			a.How = rapid.SampledFrom(hows).Draw(t, "how")
		case "noop":
			a.How = rapid.SampledFrom(hows).Draw(t, "how")
		case "payload":
			a.N = rapid.SampledFrom([]int{0, 100, 300_000}).Draw(t, "bytes")
		case "set":
			below := set{Concurrent: rapid.Bool().Draw(t, "concurrent")}
			below.Actions = rapid.SliceOfN(actions(depth-1, root, ends && !below.Concurrent), 1, 3).Draw(t, "actions")
			a.Set = &below
		case "continue":
			below := sets(depth-1, root).Draw(t, "again")
			a.Set = &below
		case "child":
			below := sets(depth-1, false).Draw(t, "child")
			a.Set = &below
			a.How = rapid.SampledFrom([]string{"", "", "", abandoned, cancelledAfter}).Draw(t, "how")
		}
		return a
	})
}

// An expectation is what must come of a tree: the simplest thing that can be said
// of it without executing it.
type expectation struct {
	Result     string
	Code       string
	Deliveries int  // that the root waits for
	steps      int  // that reach the far side, of the root and of all below it
	attempts   int  // of them, where nothing is disturbed
	again      set  // what the workflow continues as new with
	more       bool // there may be more attempts: some have little time
}

func expect(s set) expectation {
	var e expectation
	e.Result, e.Code = e.run(s)
	return e
}

// run is the outcome of a workflow: of the root, or of a child.
func (e *expectation) run(s set) (result, code string) {
	before := e.Deliveries
	out, end := e.set(s)
	for end == "continued" {
		out, end = e.set(e.again)
	}
	switch end {
	case "ordered":
		return "", end
	case "returned":
		out = end
	}
	got := make([]int, e.Deliveries-before) // only a root has any
	for i := range got {
		got[i] = i + 1
	}
	return fmt.Sprint(out, got), ""
}

// set returns what a set says, or how it ends its workflow.
func (e *expectation) set(s set) (out, end string) {
	var all []string
	for _, a := range s.Actions {
		said, end := e.action(a)
		if end != "" {
			return "", end
		}
		all = append(all, said)
	}
	if s.Concurrent {
		return "{" + strings.Join(all, " ") + "}", ""
	}
	return "[" + strings.Join(all, " ") + "]", ""
}

func (e *expectation) action(a action) (said, end string) {
	switch a.Op {
	case "set":
		return e.set(*a.Set)
	case "continue":
		e.again = *a.Set
		return "", "continued"
	case "return":
		return "", "returned"
	case "fail":
		return "", "ordered"
	case "delivery":
		e.Deliveries++
		return a.Op, ""
	case "signal":
		return "nudged", ""
	case "signal child":
		return fmt.Sprintf("%s[delivery][%d]", a.Op, a.N), ""
	case "cancel child":
		return a.Op + "[timer!cancelled][]", ""
	case "patch":
		return "patch 1", ""
	case "show", "condition":
		return a.Op, ""
	case "child":
		return e.child(a), ""
	}
	switch a.How {
	case abandoned:
		return a.How, ""
	case cancelledBefore, cancelledAfter:
		return a.Op + "!cancelled", ""
	}
	if a.Op == "timer" {
		return a.Op, ""
	}
	e.steps++
	switch a.Op {
	case "final":
		e.attempts++
		return a.Op + "!final", ""
	case "panics":
		e.attempts++
		return a.Op + "!panic", ""
	case "exhausted":
		e.attempts += a.N
		return a.Op + "!exhausted", ""
	case "retried", "timeout":
		e.attempts += a.N
		e.more = e.more || a.Op == "timeout"
	}
	e.attempts++
	return a.Op, ""
}

func (e *expectation) child(a action) string {
	result, code := e.run(*a.Set)
	switch {
	case a.How == abandoned:
		return a.How
	case a.How == cancelledAfter:
		return a.Op + "!cancelled"
	case code != "":
		return a.Op + "!" + code
	}
	return a.Op + result
}
