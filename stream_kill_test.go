//go:build unix

package perdure_test

import (
	"fmt"
	"testing"

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
