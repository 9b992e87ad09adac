package contracts_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/perdure/perdure"
	"github.com/perdure/perdure/durable"
)

// The kitchen sink: a workflow whose input says what it does, as a tree of
// actions, after the one that Temporal's SDKs are tested with.

// An action is one thing that a kitchen workflow does.
type action struct {
	Op  string `json:"op"`
	How string `json:"how,omitempty"` // what becomes of it: waited for where it is empty
	N   int    `json:"n,omitempty"`   // milliseconds, attempts or bytes
	Set *set   `json:"set,omitempty"` // what is below it
}

// A set is actions one after another, or all at once.
type set struct {
	Actions    []action `json:"actions"`
	Concurrent bool     `json:"concurrent,omitempty"`
}

// An order is a tree for a root workflow, or for a child of it.
type order struct {
	Root string `json:"root"` // names the tree to the far side
	Set  set    `json:"set"`
	Got  []int  `json:"got,omitempty"` // what was delivered before it continued as new
}

// What becomes of a timer, an activity or a child.
const (
	abandoned       = "abandoned"
	cancelledBefore = "cancelled before it begins"
	cancelledAfter  = "cancelled after it has begun"
	cancelledLate   = "cancelled after it has ended"
)

// A stop ends a kitchen workflow from within its tree.
type stop struct {
	result string
	err    error
	again  *set // it continues as new with this
}

func (s stop) Error() string { return "the workflow is to end" }

var (
	kitchen   = durable.DeclareWorkflow[order, string]("kitchen")
	nudged    = durable.DeclareSignal[string]("nudged") // from within
	delivered = durable.DeclareSignal[int]("delivered") // from the client
)

func (s *services) kitchenKind() *durable.Kind {
	return durable.Workflow(kitchen, func(ctx durable.Context, o order) (string, error) {
		c := &cook{services: s, root: o.Root, got: o.Got, state: map[int]bool{}}
		out, err := c.set(ctx, o.Set)
		var end stop
		if errors.As(err, &end) {
			out, err = end.result, end.err
		}
		if end.again != nil {
			return "", durable.ContinueAsNew(ctx, order{o.Root, *end.again, c.got})
		}
		if err != nil {
			return "", err
		}
		slices.Sort(c.got)
		return fmt.Sprint(out, c.got), nil
	})
}

// A cook is one execution of an order.
type cook struct {
	*services
	root  string
	got   []int        // what the client delivered
	state map[int]bool // what set actions have set
	waits int          // conditions that were waited for so far
}

func (c *cook) set(ctx durable.Context, s set) (string, error) {
	out := make([]string, len(s.Actions))
	if !s.Concurrent {
		for i, a := range s.Actions {
			var err error
			if out[i], err = c.action(ctx, a); err != nil {
				return "", err
			}
		}
		return "[" + strings.Join(out, " ") + "]", nil
	}
	var all []*durable.Future[string]
	for _, a := range s.Actions {
		all = append(all, durable.Go(ctx, "concurrent", func(ctx durable.Context) (string, error) { return c.action(ctx, a) }))
	}
	out, err := durable.All(ctx, all...)
	return "{" + strings.Join(out, " ") + "}", err
}

func (c *cook) action(ctx durable.Context, a action) (string, error) {
	switch a.Op {
	case "set":
		return c.set(ctx, *a.Set)
	case "timer":
		return become(ctx, a, func(ctx durable.Context, long bool) *durable.Future[time.Time] {
			return durable.After(ctx, duration(a.N, long))
		})
	case "child":
		return c.child(ctx, a)
	case "signal":
		return c.signal(ctx)
	case "signal child", "cancel child":
		return c.steer(ctx, a)
	case "condition":
		return c.condition(ctx, a)
	case "delivery":
		n, err := durable.Await(ctx, delivered)
		c.got = append(c.got, n)
		return a.Op, err
	case "patch":
		return fmt.Sprint("patch ", durable.Version(ctx, fmt.Sprint("change-", a.N), 0, 1)), nil
	case "show":
		return a.Op, durable.SetStatus(ctx, fmt.Sprint(a.N))
	case "continue":
		return "", stop{again: a.Set}
	case "return":
		return "", stop{result: "returned"}
	case "fail":
		return "", stop{err: durable.Fail("ordered", "as it was ordered")}
	}
	return c.activity(ctx, a)
}

// duration is that of something that ends by itself, or that is to be cancelled.
func duration(ms int, long bool) time.Duration {
	if long {
		return time.Hour
	}
	return time.Duration(ms) * time.Millisecond
}

// become begins something, and does with it what its action says.
func become[T any](ctx durable.Context, a action, begin func(ctx durable.Context, long bool) *durable.Future[T]) (string, error) {
	scope, cancel := durable.WithCancel(ctx)
	var err error
	switch a.How {
	case abandoned:
		begin(scope, true)
		return a.How, nil
	case cancelledBefore:
		cancel()
		_, err = begin(scope, true).Result(ctx)
	case cancelledAfter:
		f := begin(scope, true)
		if err := durable.Sleep(ctx, time.Millisecond); err != nil {
			return "", err
		}
		cancel()
		_, err = f.Result(ctx)
	default:
		_, err = begin(scope, false).Result(ctx)
		cancel()
	}
	return told(a.Op, err)
}

// told is what an action says of how it ended.
func told(what string, err error) (string, error) {
	var e *durable.Error
	if errors.As(err, &e) {
		return what + "!" + e.Code, nil
	}
	return what, err
}

// activity is a step, of one of several kinds.
func (c *cook) activity(ctx durable.Context, a action) (string, error) {
	name, opts := "kitchen "+c.root, []durable.StepOption{durable.Retry(50, time.Millisecond)}
	switch a.Op {
	case "panics":
		opts = []durable.StepOption{durable.Retry(1, 0)}
	case "exhausted":
		opts = []durable.StepOption{durable.Retry(a.N, time.Millisecond)}
	case "timeout":
		opts = append(opts, durable.Timeout(50*time.Millisecond))
	}
	attempt := 0 // of this process
	return become(ctx, a, func(ctx durable.Context, long bool) *durable.Future[string] {
		return durable.StepAsync(ctx, a.Op, func(ctx context.Context) (string, error) {
			if long { // whether it begins is a matter of chance
				<-ctx.Done()
				return "", ctx.Err()
			}
			if _, err := visit(ctx, c.far, name); err != nil {
				return "", err
			}
			attempt++
			switch a.Op {
			case "noop":
			case "delay":
				select {
				case <-time.After(duration(a.N, false)):
				case <-ctx.Done():
					return "", ctx.Err()
				}
			case "payload":
				return strings.Repeat("x", a.N), nil
			case "final":
				return "", durable.Fail("final", "no attempt helps")
			case "panics":
				panic("as it was ordered")
			case "exhausted":
				return "", &durable.Error{Code: "exhausted", Message: "not now"}
			case "retried":
				if attempt <= a.N {
					return "", errors.New("not yet")
				}
			case "timeout":
				if attempt <= a.N {
					<-ctx.Done()
					return "", ctx.Err()
				}
			default:
				return "", durable.Fail(durable.ErrInvalid.Code, "no action %q", a.Op)
			}
			return "done", nil
		}, opts...)
	})
}

// child runs a tree as a workflow of its own.
func (c *cook) child(ctx durable.Context, a action) (string, error) {
	scope, cancel := durable.WithCancel(ctx)
	run, err := durable.Start(scope, kitchen.At(durable.NewID(ctx)), order{Root: c.root, Set: *a.Set})
	if err != nil || a.How == abandoned {
		return a.How, err
	}
	if a.How == cancelledAfter { // its parent gives it up, and it goes on
		if err := durable.Sleep(ctx, time.Millisecond); err != nil {
			return "", err
		}
		cancel()
		_, _ = run.Result(ctx) // it may have been faster
		return a.Op + "!cancelled", ctx.Err()
	}
	out, err := run.Result(ctx)
	return told(a.Op+out, err)
}

// signal nudges the run itself from a step, while a branch waits for it.
func (c *cook) signal(ctx durable.Context) (string, error) {
	sent := durable.StepAsync(ctx, "nudge", func(step context.Context) (string, error) {
		return "", perdure.Signal(step, c.client.Load(), ctx.Info().Ref().String(), nudged, "nudged", perdure.MessageID(durable.IdempotencyKey(step)))
	}, durable.RetryFor(time.Minute))
	got, err := durable.Await(ctx, nudged)
	if err == nil {
		_, err = sent.Result(ctx)
	}
	return got, err
}

// steer starts a child that waits for ever, and signals or cancels it.
func (c *cook) steer(ctx durable.Context, a action) (string, error) {
	id := durable.NewID(ctx)
	wait := action{Op: "delivery"}
	if a.Op == "cancel child" {
		wait = action{Op: "timer", N: int(time.Hour.Milliseconds())}
	}
	run, err := durable.Start(ctx, kitchen.At(id), order{Root: c.root, Set: set{Actions: []action{wait}}})
	if err != nil {
		return "", err
	}
	if a.Op == "cancel child" {
		err = durable.CancelRun(ctx, run.Ref(), "its parent")
	} else {
		_, err = durable.Step(ctx, "signal", func(step context.Context) (string, error) {
			return "", perdure.Signal(step, c.client.Load(), run.Ref().String(), delivered, a.N, perdure.MessageID(durable.IdempotencyKey(step)))
		}, durable.RetryFor(time.Minute))
	}
	if err != nil {
		return "", err
	}
	out, err := run.Result(ctx)
	return told(a.Op+out, err)
}

// condition waits until another branch has set something.
func (c *cook) condition(ctx durable.Context, a action) (string, error) {
	n := c.waits
	c.waits++
	setter := durable.Go(ctx, "setter", func(ctx durable.Context) (string, error) {
		err := durable.Sleep(ctx, duration(a.N, false))
		c.state[n] = true
		return "", err
	})
	if err := durable.Until(ctx, func() bool { return c.state[n] }); err != nil {
		return "", err
	}
	_, err := setter.Result(ctx)
	return a.Op, err
}
