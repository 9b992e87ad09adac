//go:build unix

package perdure_test

import (
	"fmt"
	"syscall"
	"testing"

	"github.com/perdure/perdure"
	"github.com/perdure/perdure/broker/brokertest"
	"github.com/perdure/perdure/durable"
)

// TestLimitHoldsAcrossNodesAndDeaths starts sixty runs behind a limit of three on
// two nodes. One is killed in the middle, another joins, and then the second
// leaves, so that the limit's own partition moves: the far side, which outlives
// them all, never sees more than three at once.
func TestLimitHoldsAcrossNodesAndDeaths(t *testing.T) {
	t.Parallel()
	external, far := brokertest.Server(t), newFarSide(t)
	node := func(name string) *nodeProc {
		return startNode(t, nodeConfig{Name: name, URL: external.URL(), Far: far.URL}).run()
	}
	first, second := node("first"), node("second")
	s := openStore(t, external.URL())
	const runs = 60
	var started []*perdure.Run[string]
	for i := range runs {
		r, err := perdure.Start(soon(t, patience), s.client, press.At(fmt.Sprint(i)), fmt.Sprint(i))
		if err != nil {
			t.Fatal(err)
		}
		started = append(started, r)
	}
	far.wait(t, 20)
	first.signal(syscall.SIGKILL)
	node("third")
	far.wait(t, 60)
	second.leave()
	for i, r := range started {
		out, err := r.Result(soon(t, patience))
		if want := fmt.Sprintf("leave(%d)", i); err != nil || out != want {
			t.Fatalf("run %d: %q, %v, want %q", i, out, err, want)
		}
	}
	s.settled()
	if most := far.mostInside(); most != pressMax {
		t.Errorf("at most %d runs were at the far side at once, want %d", most, pressMax)
	}
	limit, err := perdure.Ask(soon(t, patience), s.client, limitShow.At("press"), durable.None{})
	if err != nil || len(limit.Holders)+len(limit.Waiting) > 0 {
		t.Errorf("when all runs are over the limit has %v, %v", limit, err)
	}
}

// shownLimit is what a limit tells of itself.
type shownLimit struct {
	Holders []struct{ Run string }
	Waiting []struct{ Run string }
}

var limitShow = durable.DeclareQuery[durable.None, shownLimit]("perdure-limit.show")
