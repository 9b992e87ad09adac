package actors_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/schemas"
)

var (
	counts = durable.DeclareWorkflow[int, int]("counts")
	tick   = durable.DeclareSignal[int]("tick")
)

// TestP12_AChattyRunHoldsAPartOfWhatItsHostHolds, so that the host takes the messages
// of others as fast as they come.
func TestP12_AChattyRunHoldsAPartOfWhatItsHostHolds(t *testing.T) {
	t.Parallel()
	const most, signals = 300, 1500
	s := setup(t, durable.Workflow(counts, func(ctx durable.Context, n int) (sum int, _ error) {
		for range n {
			v, err := durable.Await(ctx, tick)
			if err != nil {
				return 0, err
			}
			sum += v
		}
		return sum, nil
	}))
	s.cfg.MaxHeld, s.cfg.SuspendAfter = most, time.Hour
	s.cfg.SetStillness(time.Hour)
	s.start()
	r := ref("counts", "a", "a")
	s.send(r, "", signals+1)
	p, err := durable.Encode(1)
	if err != nil {
		t.Fatal(err)
	}
	for i := range signals {
		s.publish(r.Identity, &schemas.Envelope{Type: schemas.Envelope_SIGNAL, Id: fmt.Sprint(i), Run: "a", Method: "tick", Payload: p})
	}
	other := ref("counts", "b", "b")
	s.send(other, "", 0)
	if got := result[int](s, other); got != 0 {
		t.Errorf("another run ended with %d", got)
	}
	s.publish(r.Identity, &schemas.Envelope{Type: schemas.Envelope_SIGNAL, Id: "last", Run: "a", Method: "tick", Payload: p})
	if got := result[int](s, r); got != signals+1 {
		t.Errorf("the run has taken %d signals, want %d", got, signals+1)
	}
}
