//go:build unix

package perdure_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/perdure/perdure"
	"github.com/perdure/perdure/broker/brokertest"
)

// TestStream_TheOwnerIsKilledInMidMessage: a process that executes a run is killed while
// its model writes. Who watches is told that the message is void, and sees the one that
// another node asks for; what counts in the end is what the journal has.
func TestStream_TheOwnerIsKilledInMidMessage(t *testing.T) {
	t.Parallel()
	ty := newTypist(t)
	url := brokertest.Server(t).URL()
	nodes := map[string]*nodeProc{}
	for i := range 2 {
		name := fmt.Sprint("node", i+1)
		nodes[name] = startNode(t, nodeConfig{Name: name, URL: url, Far: ty.url}).run()
		nodes[name].await(lineReady)
	}
	c := dial(t, url)
	run, err := perdure.Start(testContext(t), c, weather.At("me"), "Do I need a coat?", perdure.MessageID("q"))
	if err != nil {
		t.Fatal(err)
	}
	s := newScreen()
	stop := watch(t, c, run.Ref(), s)
	first := ty.next()
	first.write(`{"answer":"In Amsterdam `)
	s.shows(t, "1", `{"answer":"In Amsterdam `)
	info, err := c.Get(testContext(t), run.Ref())
	if err != nil {
		t.Fatal(err)
	}
	nodes[info.Claims[0].Node].kill()
	second := ty.next()
	s.until(t, "that it is void", func(s *screen) bool { return len(s.voids) == 1 })
	second.write(`{"answer":"No`)
	s.shows(t, "1", `{"answer":"No`)
	stop() // and goes on by another connection, which never heard of the first
	second.finish(`, stay in.","coat":false}`)
	watch(t, dial(t, url), run.Ref(), s)
	s.over(t)
	s.right(t)
	want := `{"answer":"No, stay in.","coat":false}`
	if diff := cmp.Diff([]string{`{"answer":"In Amsterdam `}, s.voids); diff != "" || s.text["1"] != want || string(s.done.Done.Result) != want {
		t.Errorf("told was %q, the result is %s, void (-want +got):\n%s", s.text["1"], s.done.Done.Result, diff)
	}
	if e := s.ended["1"]; e.Owner != 2 || e.Message.Content != want {
		t.Errorf("the message was ended by owner %d, as %+v", e.Owner, e.Message)
	}
}

// TestCrashSweepOfAWatchedAgent kills the node of the weather agent, NATS with it, before
// and after each of its writes, while somebody watches the run, and goes on from where
// they were at the node that is started next. They are told each thing once, and in the end
// what the journal has.
func TestCrashSweepOfAWatchedAgent(t *testing.T) {
	sweepBy(t, weatherScenario, 1, func(t *testing.T, sc scenario, d death, calm calm) bool {
		far := newFarSide(t)
		sc.node.Name, sc.node.Far, sc.node.Dir = "first", far.URL, t.TempDir()
		sc.node.Kill, sc.node.Nth = d.at.String(), d.nth
		first := startNode(t, sc.node)
		c := dial(t, first.url)
		if err := sc.start(soon(t, patience), c); err != nil {
			t.Fatal(err)
		}
		store := openStore(t, first.url)
		const ref = "weather/me/q-1"
		s := newScreen()
		stop := watch(t, c, ref, s)
		first.run()
		for died := false; !died; {
			select {
			case <-first.exited:
				died = first.killed()
			case <-time.After(20 * time.Millisecond):
				points := first.visited()
				if over := pointed(points, "before").Acks > 0 && pointed(points, "before").Acks == pointed(points, "after").Acks; over && !slices.Contains(deaths(points), d) && store.over(len(calm.outcome.Results)) {
					return false
				}
			}
		}
		stop()
		sc.node.Name, sc.node.Kill = "second", ""
		second := startNode(t, sc.node).run()
		second.await(lineReady)
		watch(t, dial(t, second.url), ref, s)
		s.over(t)
		s.right(t)
		want := calm.outcome.Results[ref]
		if got := s.done.Done; got.Status != "completed" || !strings.Contains(want, string(got.Result)) {
			t.Errorf("killed at %s: the end that was told is %s %s, that of the undisturbed run %s", d, got.Status, got.Result, want)
		}
		if got := strings.Join(s.order, ","); got != "model,tool get_weather,tool get_weather,model" {
			t.Errorf("killed at %s: told are the ends of %s", d, got)
		}
		return true
	})
}
