package contracts_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/perdure/perdure"
	"github.com/perdure/perdure/broker/brokertest"
	"github.com/perdure/perdure/durable"
)

// patience bounds every wait of the contracts.
const patience = 60 * time.Second

// An environment is what the contracts are run in.
type environment struct {
	name     string
	suspends bool // every wait leaves memory at once
	restarts bool // the server syncs each write, and the node leaves again and again
}

// Restate runs its contracts in these, too: as they come; where every wait
// suspends; and where no timer waits in memory. Here a timer waits in memory for
// as long as its run does: in the third no node lives as long as the timers.
var environments = []environment{
	{name: "waits in memory"},
	{name: "every wait suspends", suspends: true},
	{name: "every timer on disk", suspends: true, restarts: true},
}

// A world is a namespace with the services of all contracts.
type world struct {
	env environment
	far *farSide
	c   *perdure.Client
	url string
}

// open starts a NATS server and a node, which end with the test.
func (e environment) open(t *testing.T) *world {
	t.Helper()
	w := &world{env: e, far: newFarSide(t)}
	s := &services{far: w.far.URL}
	opts := []perdure.Option{perdure.Host(s.kinds()...), perdure.Logger(quiet), perdure.AuditEvery(0)}
	if e.suspends {
		opts = append(opts, perdure.SuspendAfter(time.Nanosecond))
	}
	var life *lifecycle
	if e.restarts {
		w.url = brokertest.Server(t, func(c *brokertest.ServerConfig) { c.SyncAlways = true }).URL()
		life = live(t, func(ctx context.Context) (*perdure.Node, error) { return perdure.Connect(ctx, w.url, opts...) })
	} else {
		opts = append(opts, perdure.Dir(t.TempDir()), perdure.Listen("127.0.0.1:0"), perdure.WithDurability(perdure.Process))
		life = live(t, func(ctx context.Context) (*perdure.Node, error) { return perdure.Open(ctx, opts...) })
		w.url = life.node.URL()
	}
	w.c = dial(t, w.url)
	s.client.Store(w.c)
	if e.restarts {
		life.again(t)
	}
	return w
}

// quiet is where what nobody asks for is logged.
var quiet = slog.New(slog.DiscardHandler)

func dial(t testing.TB, url string) *perdure.Client {
	t.Helper()
	c, err := perdure.Dial(soon(t), url, perdure.Logger(quiet))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// A lifecycle is a node that runs, or several, one after another.
type lifecycle struct {
	open func(context.Context) (*perdure.Node, error)
	node *perdure.Node
	stop func() error // in good order
}

// live opens a node and waits until it takes work; it leaves with the test.
func live(t *testing.T, open func(context.Context) (*perdure.Node, error)) *lifecycle {
	t.Helper()
	l := &lifecycle{open: open}
	if err := l.start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.stop(); err != nil {
			t.Errorf("the node ended with %v", err)
		}
	})
	return l
}

func (l *lifecycle) start(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	node, err := l.open(ctx)
	if err != nil {
		return err
	}
	run, leave := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- node.Run(run) }() // ends with leave
	l.node, l.stop = node, sync.OnceValue(func() error { leave(); return <-ended })
	select {
	case <-node.Ready():
		return nil
	case <-ctx.Done():
		return fmt.Errorf("the node takes no work: %w", ctx.Err())
	}
}

// again lets the node leave and another one come, until the test ends.
func (l *lifecycle) again(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { // ends with cancel
		for {
			life := time.NewTimer(500 * time.Millisecond) // from when it takes work
			select {
			case <-ctx.Done():
				life.Stop()
				ended <- nil
				return
			case <-life.C:
			}
			err := l.stop()
			if err == nil {
				err = l.start(ctx)
			}
			if err != nil {
				ended <- err
				return
			}
		}
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the node did not come again: %v", err)
		}
	})
}

// soon returns a context that ends with the test or its patience.
func soon(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// eventually waits until ok, of a condition for which nothing gives an event.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	limit := time.After(patience)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-limit:
			t.Fatalf("not within %s: %s", patience, what)
		}
	}
}

// call starts a run and returns its result, which must be one.
func call[In, Out any](t testing.TB, c *perdure.Client, to durable.Target[In, Out], in In, opts ...perdure.StartOption) Out {
	t.Helper()
	out, err := perdure.Call(soon(t), c, to, in, opts...)
	if err != nil {
		t.Fatalf("%s: %v", to.Identity(), err)
	}
	return out
}

// start starts a run.
func start[In, Out any](t testing.TB, c *perdure.Client, to durable.Target[In, Out], in In, opts ...perdure.StartOption) *perdure.Run[Out] {
	t.Helper()
	run, err := perdure.Start(soon(t), c, to, in, opts...)
	if err != nil {
		t.Fatalf("%s: %v", to.Identity(), err)
	}
	return run
}

// result waits for the result of a run.
func result[Out any](t testing.TB, run *perdure.Run[Out]) Out {
	t.Helper()
	out, err := run.Result(soon(t))
	if err != nil {
		t.Fatalf("%s: %v", run.Ref(), err)
	}
	return out
}

// ask asks a query, again while no node is there.
func ask[In, Out any](t testing.TB, c *perdure.Client, to durable.QueryTarget[In, Out], in In) (out Out) {
	t.Helper()
	retried(t, "the query", func(ctx context.Context) (err error) {
		out, err = perdure.Ask(ctx, c, to, in)
		return err
	})
	return out
}

// get returns what is known of a run, which may be nothing.
func get(t testing.TB, c *perdure.Client, run string) (info *perdure.RunInfo) {
	t.Helper()
	retried(t, "the run", func(ctx context.Context) (err error) {
		if info, err = c.Get(ctx, run); durable.IsCode(err, durable.ErrNotFound.Code) {
			info, err = &perdure.RunInfo{}, nil
		}
		return err
	})
	return info
}

// status returns the status of a run, "" where nothing is known of it, and what it
// shows.
func status(t testing.TB, c *perdure.Client, run string) (string, string) {
	t.Helper()
	info := get(t, c, run)
	var shown string
	if len(info.CustomStatus) > 0 {
		if err := json.Unmarshal(info.CustomStatus, &shown); err != nil {
			t.Fatal(err)
		}
	}
	return info.Status, shown
}

// retried asks the API until a node answers.
func retried(t testing.TB, what string, fn func(context.Context) error) {
	t.Helper()
	ctx := soon(t)
	eventually(t, what+" is answered", func() bool {
		err := fn(ctx)
		if err != nil && !durable.IsCode(err, durable.ErrUnavailable.Code) {
			t.Fatalf("%s: %v", what, err)
		}
		return err == nil
	})
}

// key returns a key of the test's own.
func key(t testing.TB) string { return t.Name() }
