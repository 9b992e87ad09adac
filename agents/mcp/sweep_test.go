package mcp_test

import (
	"fmt"
	"testing"

	"github.com/perdure/perdure/agents"
	"github.com/perdure/perdure/agents/agentstest"
	"github.com/perdure/perdure/agents/mcp"
	"github.com/perdure/perdure/agents/models/scripted"
	"github.com/perdure/perdure/runtime/runtimetest"
)

// sweptRun makes a run with two calls one after the other, whose process ends at the n-th
// write, if n is not 0.
func sweptRun(t *testing.T, when runtimetest.When, n int) (*world, *site, string) {
	t.Helper()
	s := newSite(t, nil)
	m := agentstest.Model(t, script(func(r *scripted.Request) scripted.Reply {
		switch r.Rounds() {
		case 0:
			return calls("words", `{}`)
		case 1:
			return calls("add", `{"a":1,"b":2}`)
		}
		return scripted.Reply{Text: seen(r)}
	}))
	w := host(t, agent(m, agents.Tools(mcp.HTTP(s.URL))))
	if n > 0 {
		w.CrashAt(when, n)
	}
	w.Start()
	return w, s, w.ask("1", "go")
}

// TestACallThatIsRecordedIsNotMadeAgain kills the process before and after each write of a
// run. A call whose record is lost comes again, with its key; no other does.
func TestACallThatIsRecordedIsNotMadeAgain(t *testing.T) {
	undisturbed, _, want := sweptRun(t, 0, 0)
	if err := undisturbed.Settle(undisturbed.ctx); err != nil {
		t.Fatal(err)
	}
	points := undisturbed.Points()
	if len(points) < 6 || want != "one\ntwo\n{\"total\":3}" {
		t.Fatalf("the undisturbed run has points %q and answers %q", points, want)
	}
	crashed, repeated := 0, 0
	for n := 1; n <= len(points); n++ {
		for _, when := range []runtimetest.When{runtimetest.Before, runtimetest.After} {
			t.Run(fmt.Sprintf("%d.%d", n, when), func(t *testing.T) {
				w, s, got := sweptRun(t, when, n)
				if err := w.Settle(w.ctx); err != nil {
					t.Fatal(err)
				}
				if got != want {
					t.Errorf("the answer is %q, undisturbed %q", got, want)
				}
				crashed += len(w.Processes()) - 1
				again := 0
				for _, tool := range []string{"words", "add"} {
					keys := s.called(tool)
					for _, k := range keys {
						if k == "" || k != keys[0] {
							t.Errorf("%s was called with the keys %q", tool, keys)
						}
					}
					again += len(keys) - 1
				}
				if lost := when == runtimetest.Before; again > 1 || again > 0 && !lost {
					t.Errorf("%d calls came again", again)
				}
				repeated += again
			})
		}
	}
	if crashed < len(points) || repeated != 2 {
		t.Errorf("%d processes were killed at %d points, and %d calls came again, want 2", crashed, len(points), repeated)
	}
}
