package contracts_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/perdure/perdure"
	"github.com/perdure/perdure/durable"
)

// A command is one of the interpreter's: what it awaits is below it.
type command struct {
	Op   string
	Name string // of an awakeable, or what a step returns or fails with
	MS   int    // of a sleep or a timeout
	Of   []command
}

func sleeps(ms int) command                   { return command{Op: "sleep", MS: ms} }
func awaits(name string) command              { return command{Op: "awakeable", Name: name} }
func fails(reason string) command             { return command{Op: "fails", Name: reason} }
func await(how string, of ...command) command { return command{Op: how, Of: of} }

// A settlement resolves an awakeable, or rejects it.
type settlement struct{ Value, Reason string }

var interpret = durable.DeclareWorkflow[[]command, []string]("interpret")

// interpreterKind executes commands one after another and returns the result of
// each. The names that it waits for are what it shows.
func (s *services) interpreterKind() *durable.Kind {
	return durable.Workflow(interpret, func(ctx durable.Context, commands []command) (results []string, err error) {
		for _, c := range commands {
			got, err := s.interpret(ctx, c)
			if err != nil {
				return results, err
			}
			results = append(results, got)
		}
		return results, nil
	})
}

func (s *services) interpret(ctx durable.Context, c command) (string, error) {
	var names []string
	for _, of := range c.Of {
		names = append(names, of.Name)
	}
	if c.Op == "awakeable or timeout" {
		names = []string{c.Name}
	}
	if err := durable.SetStatus(ctx, strings.Join(names, " ")); err != nil {
		return "", err
	}
	var fs []*durable.Future[string]
	for _, of := range c.Of {
		fs = append(fs, durable.Go(ctx, of.Op, func(ctx durable.Context) (string, error) { return s.awaitable(ctx, of) }))
	}
	switch c.Op {
	case "one":
		return fs[0].Result(ctx)
	case "first": // completed, in whichever way
		var waits []durable.Waitable
		for _, f := range fs {
			waits = append(waits, f)
		}
		i, err := durable.Select(ctx, waits...)
		if err != nil {
			return "", err
		}
		return fs[i].Result(ctx)
	case "first success":
		return durable.Any(ctx, fs...)
	case "all or first failure":
		all, err := durable.All(ctx, fs...)
		return strings.Join(all, " "), err
	case "all completed":
		var all []string
		for _, f := range fs {
			got, err := f.Result(ctx)
			if err != nil {
				got = "failed:" + err.Error()
			}
			all = append(all, got)
		}
		return strings.Join(all, " "), nil
	case "awakeable or timeout":
		v, err := durable.Await(ctx, durable.DeclareSignal[settlement](c.Name), durable.Timeout(time.Duration(c.MS)*time.Millisecond))
		if errors.Is(err, durable.ErrTimeout) {
			err = durable.Fail("await_timeout", "await-timeout")
		}
		return v.Value, err
	case "settle": // its own awakeable, from within
		return durable.Step(ctx, "settle", func(step context.Context) (string, error) {
			return c.Name, perdure.Signal(step, s.client.Load(), ctx.Info().Ref().String(), durable.DeclareSignal[settlement](c.Name), settlement{Value: "mine"}, perdure.MessageID(durable.IdempotencyKey(step)))
		})
	}
	return "", durable.Fail(durable.ErrInvalid.Code, "no command %q", c.Op)
}

// awaitable is a branch that ends when what the command waits for is there.
func (s *services) awaitable(ctx durable.Context, c command) (string, error) {
	switch c.Op {
	case "sleep":
		return "slept", durable.Sleep(ctx, time.Duration(c.MS)*time.Millisecond)
	case "awakeable":
		v, err := durable.Await(ctx, durable.DeclareSignal[settlement](c.Name))
		if err == nil && v.Reason != "" {
			err = durable.Fail("rejected", "%s", v.Reason)
		}
		return v.Value, err
	case "runs":
		return durable.Step(ctx, "run", func(context.Context) (string, error) { return c.Name, nil })
	case "fails":
		return durable.Step(ctx, "run", func(context.Context) (string, error) { return "", durable.Fail("run_failed", "%s", c.Name) })
	}
	return "", durable.Fail(durable.ErrInvalid.Code, "nothing to await %q", c.Op)
}

// interprets starts commands, settles awakeables by Value or Reason in the order
// given once the last of those waits, and compares the results.
func interprets(commands []command, settle []entry, want ...string) func(t *testing.T, w *world) {
	return func(t *testing.T, w *world) {
		run := start(t, w.c, interpret.At(key(t)), commands)
		for _, s := range settle {
			name, reject := strings.CutPrefix(s.Key, "reject ")
			eventually(t, name+" is awaited", func() bool {
				_, shown := status(t, w.c, run.Ref())
				return strings.Contains(shown, name)
			})
			v := settlement{Value: s.Value}
			if reject {
				v = settlement{Reason: s.Value}
			}
			if err := perdure.Signal(soon(t), w.c, run.Ref(), durable.DeclareSignal[settlement](name), v); err != nil {
				t.Fatal(err)
			}
		}
		got, err := run.Result(soon(t))
		if err != nil {
			got = []string{fmt.Sprint("failed: ", err)}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
}

// sleepLasts: a sleep lasts as long as it says, at least.
func sleepLasts(t *testing.T, w *world) {
	const ms = 120
	began := time.Now()
	call(t, w.c, interpret.At(key(t)), []command{await("one", sleeps(ms))})
	if took := time.Since(began); took < ms*time.Millisecond {
		t.Errorf("a sleep of %d ms took %s", ms, took)
	}
}

// manySleeps: many runs that each wait for many timers end.
func manySleeps(t *testing.T, w *world) {
	const runs, timers = 20, 20
	var started []*perdure.Run[[]string]
	for i := range runs {
		var all []command
		for n := range timers {
			all = append(all, sleeps(10+(7*i+13*n)%40))
		}
		started = append(started, start(t, w.c, interpret.At(fmt.Sprint(key(t), i)), []command{await("all completed", all...)}))
	}
	want := []string{strings.TrimSpace(strings.Repeat("slept ", timers))}
	for _, run := range started {
		if diff := cmp.Diff(want, result(t, run)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", run.Ref(), diff)
		}
	}
}
