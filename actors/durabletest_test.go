package actors_test

import (
	"context"
	"errors"
	"testing"

	"github.com/perdure/perdure/actors"
	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/durable/durabletest"
)

// TestDurabletest_OfAVirtualActor: the kit for users' tests runs actors, with
// their state and queries, over a crash at every write.
func TestDurabletest_OfAVirtualActor(t *testing.T) {
	type stock struct{ Left int }
	reserve := durable.Declare[int, int]("stock.reserve")
	level := durable.DeclareQuery[durable.None, int]("stock.level")
	unknown := durable.DeclareQuery[durable.None, int]("stock.colour")
	durabletest.CrashSweep(t, func(t *testing.T, w *durabletest.World) {
		for want := 3; want >= 0; want-- {
			left, err := durabletest.Call(w, reserve.At("sku"), 1)
			if want == 0 {
				if !durable.IsCode(err, "sold_out") {
					t.Errorf("the last reservation: %v, want sold_out", err)
				}
				break
			}
			if left != want-1 || err != nil {
				t.Errorf("%d left, %v, want %d", left, err, want-1)
			}
		}
		if left, err := durabletest.Ask(w, level.At("sku"), durable.None{}); left != 0 || err != nil {
			t.Errorf("the level is %d, %v, want 0", left, err)
		}
		if _, err := durabletest.Ask(w, unknown.At("sku"), durable.None{}); !errors.Is(err, durable.ErrNotFound) {
			t.Errorf("an unknown query: %v, want not_found", err)
		}
	}, actors.New(actors.Handlers[stock]{
		actors.On(reserve, func(ctx durable.Context, s *stock, n int) (int, error) {
			if *s == (stock{}) && ctx.Info().ID == "run-1" {
				s.Left = 3
			}
			if s.Left < n {
				return 0, durable.Fail("sold_out", "%d left", s.Left)
			}
			s.Left -= n
			return durable.Step(ctx, "count", func(context.Context) (int, error) { return s.Left, nil })
		}),
		actors.OnQuery(level, func(s stock, _ durable.None) (int, error) { return s.Left, nil }),
	}))
}
