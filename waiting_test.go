package perdure_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/perdure/perdure"
	"github.com/perdure/perdure/durable"
)

var (
	holding = durable.DeclareWorkflow[string, string]("holding")
	leading = durable.DeclareWorkflow[string, string]("leading")
)

// told is a logger that tells of lines which begin so.
func told(begins string) (*slog.Logger, <-chan struct{}) {
	said := make(chan struct{}, 1)
	return slog.New(tellsOf{slog.DiscardHandler, begins, said}), said
}

type tellsOf struct {
	slog.Handler
	begins string
	said   chan<- struct{}
}

func (h tellsOf) Enabled(context.Context, slog.Level) bool { return true }
func (h tellsOf) WithAttrs([]slog.Attr) slog.Handler       { return h }

func (h tellsOf) Handle(_ context.Context, r slog.Record) error {
	if strings.HasPrefix(r.Message, h.begins) {
		select {
		case h.said <- struct{}{}:
		default:
		}
	}
	return nil
}

// TestMaxWaiting_WhoStartsARunWaits: and goes on when there is room; who does not wait
// is refused, and nothing of it is stored. What runs and their steps start is not held
// up: they could not end without it.
func TestMaxWaiting_WhoStartsARunWaits(t *testing.T) {
	t.Parallel()
	ctx := testContext(t)
	gates := map[string]chan struct{}{"leader": make(chan struct{}), "": make(chan struct{})}
	hold := func(ctx durable.Context, in string) (string, error) {
		return durable.Step(ctx, "hold", func(ctx context.Context) (string, error) {
			if in == "child" {
				return in, nil
			}
			select {
			case <-gates[in]:
				return in, nil
			case <-ctx.Done():
				return "", ctx.Err()
			}
		})
	}
	log, full := told("the inbox is full")
	var c *perdure.Client
	node := running(t, "", perdure.MaxWaiting(4), perdure.Logger(log), perdure.Host(
		durable.Workflow(holding, hold),
		durable.Workflow(leading, func(ctx durable.Context, in string) (string, error) {
			if _, err := hold(ctx, in); err != nil {
				return "", err
			}
			if _, err := durable.Step(ctx, "start", func(ctx context.Context) (string, error) {
				run, err := perdure.Start(ctx, c, holding.At("of a step"), "child")
				if err != nil {
					return "", err
				}
				return run.Ref(), nil
			}); err != nil {
				return "", err
			}
			return durable.Call(ctx, holding.At("child"), "child")
		})))
	c = node.Client()
	leader, err := perdure.Start(ctx, c, leading.At("leader"), "leader")
	if err != nil {
		t.Fatal(err)
	}
	var held []*perdure.Run[string]
	for i := range 3 {
		r, err := perdure.Start(ctx, c, holding.At(fmt.Sprint(i)), "")
		if err != nil {
			t.Fatal(err)
		}
		held = append(held, r)
	}

	if _, e := api[struct{}](t, plain(t, node), "runs.start", `{"kind":"holding","key":"no","input":""}`); e.Code != "unavailable" || !strings.Contains(e.Message, "nothing was sent") {
		t.Errorf("runs.start with a full inbox: %+v, want unavailable, and that nothing was sent", e)
	}
	eventually(t, "a run that was accepted has begun", func() bool {
		info, err := c.Get(ctx, held[0].Ref())
		return err == nil && info.Status != "queued"
	})
	if r := answered[struct{ Run string }](t, plain(t, node), "runs.start", `{"kind":"holding","key":"0","input":""}`); r.Run != held[0].Ref() {
		t.Errorf("runs.start of a run that has begun answers %q, want %q", r.Run, held[0].Ref())
	}
	short, cancel := context.WithCancel(ctx)
	gaveUp := make(chan error)
	go func() {
		_, err := perdure.Start(short, c, holding.At("given-up"), "")
		gaveUp <- err
	}()
	<-full
	cancel()
	if err := <-gaveUp; !errors.Is(err, durable.ErrUnavailable) || !errors.Is(err, context.Canceled) {
		t.Errorf("a start that was given up: %v, want unavailable and canceled", err)
	}
	for _, key := range []string{"no", "given-up"} {
		if _, err := c.Get(ctx, "holding/"+key+"/"+key); !errors.Is(err, durable.ErrNotFound) {
			t.Errorf("what was not admitted: %v, want not found", err)
		}
	}

	late := make(chan *perdure.Run[string])
	go func() {
		r, err := perdure.Start(ctx, c, holding.At("late"), "")
		if err != nil {
			t.Error(err)
		}
		late <- r
	}()
	close(gates["leader"])
	if out, err := leader.Result(ctx); err != nil || out != "child" {
		t.Errorf("a run that starts others: %q, %v", out, err)
	}
	if r := <-late; r != nil {
		held = append(held, r)
	}
	close(gates[""])
	for _, r := range held {
		if _, err := r.Result(ctx); err != nil {
			t.Errorf("%s: %v", r.Ref(), err)
		}
	}
}

// TestMaxWaiting_AFloodLosesNothing: many start more than can be executed. No more than
// may wait are accepted, but for one of each that starts at the same time, and each
// runs once.
func TestMaxWaiting_AFloodLosesNothing(t *testing.T) {
	t.Parallel()
	const most, starters, runs = 40, 32, 300
	ctx := testContext(t)
	var ended, accepted, executed atomic.Int64
	log, said := told("the inbox is full")
	full := make(chan struct{})
	go func() {
		select {
		case <-said:
			close(full)
		case <-ctx.Done():
		}
	}()
	node := running(t, "", perdure.MaxWaiting(most), perdure.MaxRuns(8), perdure.Logger(log), perdure.Host(
		durable.Workflow(holding, func(ctx durable.Context, in string) (string, error) {
			out, err := durable.Step(ctx, "hold", func(ctx context.Context) (string, error) {
				select {
				case <-full: // until then none ends
					return in, nil
				case <-ctx.Done():
					return "", ctx.Err()
				}
			})
			executed.Add(1)
			ended.Add(1)
			return out, err
		})))
	var next atomic.Int64
	var wg sync.WaitGroup
	for range starters {
		wg.Go(func() {
			for i := next.Add(1); i <= runs; i = next.Add(1) {
				if _, err := perdure.Start(ctx, node.Client(), holding.At(fmt.Sprint(i)), fmt.Sprint(i)); err != nil {
					t.Errorf("start %d: %v", i, err)
					return
				}
				over := ended.Load()
				if n := accepted.Add(1) - over; n > most+starters {
					t.Errorf("%d are accepted and have not ended, want at most %d", n, most+starters)
				}
			}
		})
	}
	wg.Wait()
	for i := range runs {
		key := fmt.Sprint(i + 1)
		run, err := perdure.Attach(node.Client(), holding, "holding/"+key+"/"+key)
		if err != nil {
			t.Fatal(err)
		}
		if out, err := run.Result(ctx); err != nil || out != key {
			t.Errorf("run %s: %q, %v", key, out, err)
		}
	}
	if n := executed.Load(); n != runs {
		t.Errorf("%d executions of %d runs", n, runs)
	}
}
