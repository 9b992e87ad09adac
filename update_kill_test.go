//go:build unix

package perdure_test

import (
	"context"
	"testing"

	"github.com/perdure/perdure"
	"github.com/perdure/perdure/broker/brokertest"
	"github.com/perdure/perdure/durable"
)

var (
	parley    = durable.DeclareWorkflow[durable.None, durable.None]("parley")
	parleySay = durable.DeclareUpdate[string, string]("say")
)

// parley answers what is said to it once it is told to go on.
func (s shop) parley(ctx durable.Context, _ durable.None) (durable.None, error) {
	said := false
	durable.OnUpdate(ctx, parleySay, nil, func(ctx durable.Context, what string) (string, error) {
		answer, err := durable.Step(ctx, "say", func(ctx context.Context) (string, error) { return s.far.tool(ctx, "say", what) })
		if err == nil {
			_, err = durable.Await(ctx, onward)
		}
		said = true
		return answer, err
	})
	return durable.None{}, durable.Until(ctx, func() bool { return said })
}

// TestUpdate_OutlivesTheNodeThatTookIt: the only node that can have taken the request
// is killed while the update is handled, and the client has the answer from another.
func TestUpdate_OutlivesTheNodeThatTookIt(t *testing.T) {
	t.Parallel()
	external, far := brokertest.Server(t), newFarSide(t)
	first := startNode(t, nodeConfig{Name: "first", URL: external.URL(), Far: far.URL}).run()
	first.await(lineReady)
	s := openStore(t, external.URL())
	run, err := perdure.Start(soon(t, patience), s.client, parley.At("p"), durable.None{})
	if err != nil {
		t.Fatal(err)
	}
	type answer struct {
		text string
		err  error
	}
	answered := make(chan answer, 1)
	go func() {
		text, err := perdure.Update(soon(t, 2*patience), s.client, run.Ref(), parleySay, "hello")
		answered <- answer{text, err}
	}()
	far.wait(t, 1)
	second := startNode(t, nodeConfig{Name: "second", URL: external.URL(), Far: far.URL}).run()
	first.kill()
	second.await(lineReady)
	if err := perdure.Signal(soon(t, patience), s.client, run.Ref(), onward, ""); err != nil {
		t.Fatal(err)
	}
	if a := <-answered; a.text != "say(hello)" || a.err != nil {
		t.Errorf("got %q, %v", a.text, a.err)
	}
	s.settled()
}
