package contracts_test

import "testing"

// The contracts that Restate's SDKs are tested with, as our own: see
// docs/contracts.md for what each is of, and what differs.
var restate = []struct {
	name string
	hold func(t *testing.T, w *world)
}{
	{"counter adds", counterAdds},
	{"counter fails", counterFails},
	{"counter idempotent", counterIdempotent},
	{"map cleared", mapCleared},
	{"list keeps order", listKeepsOrder},
	{"block and wait", blockAndWait},
	{"unblocked before it waits", unblockedBefore},
	{"cancel call", cancelled("call", "the API")},
	{"cancel sleep", cancelled("sleep", "the API")},
	{"cancel awakeable", cancelled("awakeable", "the API")},
	{"cancel call by a run", cancelled("call", "a run")},
	{"cancel sleep by a run", cancelled("sleep", "a run")},
	{"cancel awakeable by a run", cancelled("awakeable", "a run")},
	{"self call", selfCall},
	{"killed", killed},
	{"paused and resumed", pausedAndResumed},
	{"fails finally", failsFinally},
	{"step is retried", stepIsRetried},
	{"undoes in reverse", undoesInReverse},
	{"mismatch of a sleep and a call", mismatches("either sleep or call")},
	{"mismatch of a method", mismatches("another method")},
	{"mismatch of a target", mismatches("another target")},
	{"proxied", proxied},
	{"proxied once", proxiedOnce},
	{"delayed", delayed},
	{"stays within its limit", staysWithin},
	{"order of send, call, call", ordered(true, false, false)},
	{"order of call, send, call", ordered(false, true, false)},
	{"order of send, send, call", ordered(true, true, false)},
	{"sleep lasts", sleepLasts},
	{"many sleeps", manySleeps},
	{"sleeps together", sleepsTogether},
	{"awakeable or sleep", interprets([]command{await("first", awaits("awk1"), sleeps(100))}, nil, "slept")},
	{"awakeable or timeout", interprets([]command{{Op: "awakeable or timeout", Name: "awk1", MS: 100}}, nil, "failed: await-timeout")},
	{"awakeable before its timeout", interprets([]command{{Op: "awakeable or timeout", Name: "awk1", MS: 60_000}}, []entry{{"awk1", "in time"}}, "in time")},
	{"first success", interprets(
		[]command{await("first success", awaits("awk0"), fails("run0"), awaits("awk1"), fails("run1"), awaits("awk2"), fails("run2"))},
		[]entry{{"reject awk2", "no"}, {"awk1", "yes"}}, "yes")},
	{"first completed fails", interprets([]command{await("first", awaits("awk0"), fails("run0"))}, nil, "failed: run0")},
	{"all or first failure", interprets([]command{await("all or first failure", awaits("awk0"), sleeps(60_000), fails("run0"))}, nil, "failed: run0")},
	{"all completed", interprets(
		[]command{await("all completed", awaits("awk0"), fails("run0"), sleeps(20), command{Op: "runs", Name: "run1"}, awaits("awk1"))},
		[]entry{{"awk1", "one"}, {"reject awk0", "zero"}}, "failed:zero failed:run0 slept run1 one")},
	{"resolved", interprets([]command{await("one", awaits("awk0"))}, []entry{{"awk0", "hello"}}, "hello")},
	{"rejected", interprets([]command{await("one", awaits("awk0"))}, []entry{{"reject awk0", "boom"}}, "failed: boom")},
	{"resolved from within before it is awaited", interprets([]command{{Op: "settle", Name: "awk0"}, await("one", awaits("awk0"))}, nil, "awk0", "mine")},
	{"one after another", interprets(
		[]command{await("one", awaits("awk0")), await("first", sleeps(5), awaits("awk2")), await("one", awaits("awk1"))},
		[]entry{{"awk0", "a"}, {"awk1", "b"}}, "a", "slept", "b")},
	{"echoes", echoes},
	{"counts once", countsOnce},
}

// TestRestate holds the contracts in each environment.
func TestRestate(t *testing.T) {
	for _, env := range environments {
		t.Run(env.name, func(t *testing.T) {
			t.Parallel()
			w := env.open(t)
			for _, c := range restate {
				t.Run(c.name, func(t *testing.T) {
					t.Parallel()
					c.hold(t, w)
				})
			}
		})
	}
}
