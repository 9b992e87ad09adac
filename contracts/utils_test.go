package contracts_test

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/perdure/perdure/actors"
	"github.com/perdure/perdure/broker/brokertest"
	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/schemas"
)

var (
	utilsEcho   = durable.Declare[[]byte, []byte]("utils.echo")
	utilsUpper  = durable.Declare[string, string]("utils.upper")
	utilsSleep  = durable.Declare[[]int, durable.None]("utils.sleep")
	utilsCount  = durable.Declare[int, int]("utils.count")
	utilsCancel = durable.Declare[string, durable.None]("utils.cancel")
	queueWork   = durable.Declare[string, change]("queue.work")
	queueDone   = durable.DeclareQuery[durable.None, []string]("queue.done")
)

func (s *services) utilsKind() *durable.Kind {
	return actors.New(actors.Handlers[durable.None]{
		actors.On(utilsEcho, func(_ durable.Context, _ *durable.None, in []byte) ([]byte, error) { return in, nil }),
		actors.On(utilsUpper, func(_ durable.Context, _ *durable.None, in string) (string, error) { return strings.ToUpper(in), nil }),
		actors.On(utilsSleep, func(ctx durable.Context, _ *durable.None, ms []int) (durable.None, error) {
			var all []*durable.Future[time.Time]
			for _, d := range ms {
				all = append(all, durable.After(ctx, time.Duration(d)*time.Millisecond))
			}
			_, err := durable.All(ctx, all...)
			return durable.None{}, err
		}),
		actors.On(utilsCount, func(ctx durable.Context, _ *durable.None, n int) (int, error) {
			executed, name := 0, "count "+ctx.Info().Key // executed is no state: a replay begins it again
			for range n {
				if _, err := durable.Step(ctx, "count", func(ctx context.Context) (int, error) {
					executed++
					return visit(ctx, s.far, name)
				}); err != nil {
					return 0, err
				}
			}
			return executed, durable.Sleep(ctx, 50*time.Millisecond)
		}),
		actors.On(utilsCancel, func(ctx durable.Context, _ *durable.None, run string) (durable.None, error) {
			ref, err := schemas.ParseRef(run)
			if err != nil {
				return durable.None{}, err
			}
			return durable.None{}, durable.CancelRun(ctx, ref, "another run")
		}),
	})
}

// queueKind has one piece of work done after another, each a step.
func (s *services) queueKind() *durable.Kind {
	return actors.New(actors.Handlers[[]string]{
		actors.On(queueWork, func(ctx durable.Context, done *[]string, what string) (change, error) {
			name := "work of " + ctx.Info().Key
			if _, err := durable.Step(ctx, "work", func(ctx context.Context) (int, error) { return visit(ctx, s.far, name) }, durable.RetryFor(time.Minute)); err != nil {
				return change{}, err
			}
			c := change{len(*done), len(*done) + 1}
			*done = append(*done, what)
			return c, nil
		}),
		actors.OnQuery(queueDone, func(done []string, _ durable.None) ([]string, error) { return done, nil }),
	})
}

// echoes: bytes come back as they were, text as it should be.
func echoes(t *testing.T, w *world) {
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	if got := call(t, w.c, utilsEcho.At(key(t)), all); !bytes.Equal(got, all) {
		t.Errorf("got %x, want the bytes that were sent", got)
	}
	if got := call(t, w.c, utilsUpper.At(key(t)), "straße"); got != "STRASSE" && got != "STRAßE" {
		t.Errorf("got %q", got)
	}
}

// sleepsTogether: timers of one run run at the same time.
func sleepsTogether(t *testing.T, w *world) {
	began := time.Now()
	call(t, w.c, utilsSleep.At(key(t)), slices.Repeat([]int{400, 300}, 10))
	switch took := time.Since(began); {
	case took < 400*time.Millisecond:
		t.Errorf("they took %s, the longest is 400 ms", took)
	case took > 7*time.Second:
		t.Errorf("they took %s, which is what they take one after another", took)
	}
}

// countsOnce: each step is executed once, whether or not its run is replayed; what
// it leaves in memory is gone where it was.
func countsOnce(t *testing.T, w *world) {
	const n = 3
	want := n
	if w.env.suspends {
		want = 0 // the run was replayed after its last wait
	}
	if got := call(t, w.c, utilsCount.At(key(t)), n); got != want {
		t.Errorf("the last execution of the handler executed %d steps, want %d", got, want)
	}
	if times := w.far.times("count " + key(t)); !slices.Equal(times, slices.Repeat([]int{1}, n)) {
		t.Errorf("the steps were executed %v times, want once each", times)
	}
}

// foreign publishes a message to a run as a client without this library does.
func (w *world) foreign(t *testing.T, run string, headers map[string]string, body string) {
	t.Helper()
	ref, err := schemas.ParseRef(run)
	if err != nil {
		t.Fatal(err)
	}
	headers["Perdure-Run"] = string(ref.ID)
	if err := brokertest.Foreign(soon(t), brokertest.Connect(t, w.url), ref.Identity, headers, body); err != nil {
		t.Fatal(fmt.Errorf("to %s: %w", run, err))
	}
}

// encoded is the test's key as it stands in a reference.
func encoded(t testing.TB) string { return schemas.EncodeToken(key(t)) }
