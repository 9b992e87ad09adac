//go:build unix

package perdure_test

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/perdure/perdure/broker/brokertest"
)

// outage is how long NATS is away: a second, or half a minute for make chaos.
func outage() time.Duration {
	if os.Getenv("PERDURE_CHAOS") != "" {
		return 30 * time.Second
	}
	return time.Second
}

// TestChaosNATSGoesAwayInTheMiddleOfARun kills the NATS server while a run
// executes, and starts it again: the node that was without it finishes the run.
func TestChaosNATSGoesAwayInTheMiddleOfARun(t *testing.T) {
	t.Parallel()
	sc := shopScenario(nodeConfig{}, 200*time.Millisecond)
	calm := undisturbed(t, sc)
	for _, after := range []int{1, 4, 8} { // calls of the far side
		external := brokertest.Server(t)
		far := newFarSide(t)
		sc.node.Name, sc.node.Far, sc.node.URL = "first", far.URL, external.URL()
		startNode(t, sc.node).run().await(lineReady)
		s := openStore(t, external.URL())
		if err := sc.start(soon(t, patience), s.client); err != nil {
			t.Fatal(err)
		}
		far.wait(t, after)
		external.Kill()
		away := time.NewTimer(outage())
		<-away.C
		external.Restart()
		eventually(t, "the store answers again", func() bool { return s.over(len(calm.outcome.Results)) })
		s.settled()
		if diff := cmp.Diff(calm.outcome, s.outcome()); diff != "" {
			t.Errorf("away after %d calls: results and states (-undisturbed +disturbed):\n%s", after, diff)
		}
		for _, o := range s.orphans() {
			t.Errorf("away after %d calls: orphan: %s", after, o)
		}
		if diff := cmp.Diff(calm.keys, far.keys()); diff != "" {
			t.Errorf("away after %d calls: keys of the executed steps (-undisturbed +disturbed):\n%s", after, diff)
		}
		for key, n := range far.total() {
			if n > 2 || n > 1 && strings.HasSuffix(far.step(key), " charge") {
				t.Errorf("away after %d calls: %s ran %d times", after, far.step(key), n)
			}
		}
	}
}
