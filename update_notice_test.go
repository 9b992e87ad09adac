package perdure_test

import (
	"context"
	"testing"

	"github.com/perdure/perdure"
	"github.com/perdure/perdure/durable"
)

// TestUpdate_TheEndOfARunOfItsIDIsNoAnswer, and neither is the answer to an update of
// its ID to another run: both are told in the same place.
func TestUpdate_TheEndOfARunOfItsIDIsNoAnswer(t *testing.T) {
	t.Parallel()
	let, begun := make(chan struct{}), make(chan struct{})
	node := running(t, "", perdure.Host(durable.Workflow(bundle, func(ctx durable.Context, address string) (string, error) {
		durable.OnUpdate(ctx, setAddress, nil, func(ctx durable.Context, to string) (string, error) {
			return durable.Step(ctx, "label", func(ctx context.Context) (string, error) {
				close(begun)
				select {
				case <-let:
				case <-ctx.Done():
				}
				return "to " + to, ctx.Err()
			})
		})
		_, err := durable.Await(ctx, durable.DeclareSignal[string]("go"))
		return address, err
	})))
	ctx := testContext(t)
	nc := plain(t, node)
	run, err := perdure.Start(ctx, node.Client(), bundle.At("p"), "Main Street 1")
	if err != nil {
		t.Fatal(err)
	}
	type answer struct {
		got string
		err error
	}
	answered := make(chan answer, 1)
	go func() {
		got, err := perdure.Update(ctx, node.Client(), run.Ref(), setAddress, "Side Street 2", perdure.MessageID("p"))
		answered <- answer{got, err}
	}()
	<-begun
	for _, notice := range []string{
		`{"run":"bundle/p/p","status":"completed","result":"the run's end","input_sha256":"AAAA"}`,
		`{"run":"bundle/p/other","status":"completed","result":"of another run"}`,
	} {
		if err := nc.Publish("perdure.done.bundle.p.p", []byte(notice)); err != nil {
			t.Fatal(err)
		}
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	close(let)
	if a := <-answered; a.got != "to Side Street 2" || a.err != nil {
		t.Errorf("the update is answered with %q, %v", a.got, a.err)
	}
}
