package perdure_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/perdure/perdure"
	"github.com/perdure/perdure/durable"
)

// TestPausedRunGoesOnWhereItWas: signals that come meanwhile are not lost, it is
// listed as paused, and later runs of its key wait.
func TestPausedRunGoesOnWhereItWas(t *testing.T) {
	t.Parallel()
	node := running(t, "", perdure.Host(shipKind()), perdure.SuspendAfter(time.Millisecond))
	ctx, c := testContext(t), node.Client()
	run, err := perdure.Start(ctx, c, ship.At("o1"), "o1")
	if err != nil {
		t.Fatal(err)
	}
	is := func(status string) func() bool {
		return func() bool {
			info, err := c.Get(ctx, run.Ref())
			return err == nil && info.Status == status
		}
	}
	eventually(t, "the run is suspended", is("suspended"))
	if err := c.Pause(ctx, run.Ref(), perdure.Why{By: "ann", Reason: "a strike"}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the run is paused", is("paused"))
	for _, by := range []string{"ben", "cid"} {
		if err := perdure.Signal(ctx, c, run.Ref(), approved, approval{by}); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "the signals are recorded", func() bool {
		info, err := c.Get(ctx, run.Ref())
		return err == nil && info.StepCount == 2 && info.Status == "paused"
	})
	list, err := c.List(ctx, perdure.ListRuns{Status: "paused"})
	if err != nil || len(list.Runs) != 1 || list.Runs[0].Run != run.Ref() {
		t.Errorf("paused runs: %+v, %v", list, err)
	}
	short, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
	defer cancel()
	if _, err := run.Result(short); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("its result: %v", err)
	} else if !strings.Contains(err.Error(), "the run is paused") {
		t.Errorf("its result: %v, want that the run is paused", err)
	}
	if err := c.Resume(ctx, run.Ref(), perdure.Why{}); err != nil {
		t.Fatal(err)
	}
	if got, err := run.Result(ctx); err != nil || got != "o1 ben cid" {
		t.Errorf("got %q, %v", got, err)
	}
	for verb, ask := range map[string]func(context.Context, string, perdure.Why) error{"pause": c.Pause, "resume": c.Resume, "terminate": c.Terminate} {
		if err := ask(ctx, run.Ref(), perdure.Why{}); !errors.Is(err, durable.ErrConflict) {
			t.Errorf("%s of a run that has ended: %v, want ErrConflict", verb, err)
		}
		if err := ask(ctx, "ship/o1/never", perdure.Why{}); !errors.Is(err, durable.ErrNotFound) {
			t.Errorf("%s of a run that never was: %v, want ErrNotFound", verb, err)
		}
		if err := ask(ctx, "ship", perdure.Why{}); !errors.Is(err, durable.ErrInvalid) {
			t.Errorf("%s of no reference: %v, want ErrInvalid", verb, err)
		}
	}
}

// TestTerminatedRunTellsWhoWaits, and leaves no wake-up.
func TestTerminatedRunTellsWhoWaits(t *testing.T) {
	t.Parallel()
	node := running(t, "", perdure.Host(shipKind()), perdure.SuspendAfter(time.Millisecond))
	ctx, c := testContext(t), node.Client()
	run, err := perdure.Start(ctx, c, ship.At("o1"), "o1")
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the run is suspended", func() bool {
		info, err := c.Get(ctx, run.Ref())
		return err == nil && info.Status == "suspended"
	})
	if err := c.Terminate(ctx, run.Ref(), perdure.Why{Reason: "nobody wants it"}); err != nil {
		t.Fatal(err)
	}
	_, err = run.Result(ctx)
	if !errors.Is(err, durable.ErrTerminated) || errors.Is(err, durable.ErrCancelled) {
		t.Errorf("its result: %v, want ErrTerminated", err)
	} else if !strings.Contains(err.Error(), "nobody wants it") {
		t.Errorf("its result: %v, want the reason", err)
	}
	info, err := c.Get(ctx, run.Ref())
	if err != nil || info.Status != "cancelled" || len(info.Claims) == 0 {
		t.Errorf("it is %+v, %v", info, err)
	}
	s := openStore(t, node.URL())
	s.settled()
	for _, o := range s.orphans() {
		t.Error("orphan:", o)
	}
}
