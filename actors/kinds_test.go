package actors_test

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/perdure/perdure/actors"
	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/runtime"
)

// A ledger is the state of the account, which most tests use.
type ledger struct {
	Lines []string `json:"lines"`
	Blob  string   `json:"blob,omitempty"`
}

var (
	write    = durable.Declare[string, int]("account.write")    // adds a line, and returns how many there are
	hold     = durable.Declare[string, int]("account.hold")     // adds a line once the gate of its name opens
	spoil    = durable.Declare[string, int]("account.spoil")    // adds a line and fails
	burst    = durable.Declare[string, int]("account.burst")    // adds a line and panics
	slumber  = durable.Declare[string, int]("account.slumber")  // adds a line after a time that it is given
	ask      = durable.Declare[string, int]("account.ask")      // calls write of another key
	loop     = durable.Declare[string, int]("account.loop")     // calls a key that calls back
	stuff    = durable.Declare[string, string]("account.stuff") // keeps and returns its input twice
	notify   = durable.Declare[string, int]("account.notify")   // sends to write of another key
	lines    = durable.DeclareQuery[durable.None, []string]("account.lines")
	delegate = durable.DeclareWorkflow[string, int]("delegate") // calls the chore
	chore    = durable.DeclareWorkflow[string, int]("chore")    // waits at the gate of its key
)

// gates are where steps wait, and where what they do is counted.
type gates struct {
	mu    sync.Mutex
	opens map[string]chan struct{}
	count map[string]int
}

func newGates() *gates { return &gates{opens: map[string]chan struct{}{}, count: map[string]int{}} }

func (g *gates) gate(name string) chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.opens[name] == nil {
		g.opens[name] = make(chan struct{})
	}
	return g.opens[name]
}

func (g *gates) open(name string) { close(g.gate(name)) }

// pass counts and waits.
func (g *gates) pass(ctx context.Context, name string) error {
	g.done(name)
	select {
	case <-g.gate(name):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (g *gates) done(name string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.count[name]++
}

// times returns how often something was done.
func (g *gates) times(name string) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.count[name]
}

func (g *gates) account() *runtime.Kind {
	add := func(s *ledger, line string) (int, error) {
		s.Lines = append(s.Lines, line)
		return len(s.Lines), nil
	}
	return actors.New(actors.Handlers[ledger]{
		actors.On(write, func(ctx durable.Context, s *ledger, line string) (int, error) {
			if _, err := durable.Step(ctx, "write", func(context.Context) (int, error) { g.done(line); return 0, nil }); err != nil {
				return 0, err
			}
			return add(s, line)
		}),
		actors.On(hold, func(ctx durable.Context, s *ledger, line string) (int, error) {
			add(s, line+" begun")
			_, err := durable.Step(ctx, "hold", func(ctx context.Context) (int, error) { return 0, g.pass(ctx, line) })
			if err != nil {
				return 0, err
			}
			return add(s, line)
		}),
		actors.On(spoil, func(_ durable.Context, s *ledger, line string) (int, error) {
			n, _ := add(s, line)
			return n, durable.Fail("spoiled", "%s", line)
		}),
		actors.On(burst, func(_ durable.Context, s *ledger, line string) (int, error) {
			add(s, line)
			panic("burst " + line)
		}),
		actors.On(slumber, func(ctx durable.Context, s *ledger, d string) (int, error) {
			wait, err := time.ParseDuration(d)
			if err != nil {
				return 0, durable.Fail("invalid", "%v", err)
			}
			if err := durable.Sleep(ctx, wait); err != nil {
				return 0, err
			}
			return add(s, d)
		}),
		actors.On(ask, func(ctx durable.Context, _ *ledger, to string) (int, error) {
			return durable.Call(ctx, write.At(to), ctx.Info().Key)
		}),
		actors.On(loop, func(ctx durable.Context, _ *ledger, to string) (int, error) {
			next, rest, _ := strings.Cut(to, ",")
			return durable.Call(ctx, loop.At(next), rest)
		}),
		actors.On(stuff, func(ctx durable.Context, s *ledger, in string) (string, error) {
			twice, err := durable.Step(ctx, "twice", func(context.Context) (string, error) { g.done("stuff"); return in + in, nil })
			if err != nil {
				return "", err
			}
			s.Blob = twice
			return twice, nil
		}),
		actors.On(notify, func(ctx durable.Context, s *ledger, to string) (int, error) {
			if _, err := durable.Send(ctx, write.At(to), ctx.Info().ID); err != nil {
				return 0, err
			}
			return add(s, to)
		}),
		actors.OnQuery(lines, func(s ledger, _ durable.None) ([]string, error) { return s.Lines, nil }),
	})
}

func (g *gates) workflows() []*runtime.Kind {
	return []*runtime.Kind{
		durable.Workflow(delegate, func(ctx durable.Context, to string) (int, error) { return durable.Call(ctx, chore.At(to), to) }),
		durable.Workflow(chore, func(ctx durable.Context, gate string) (int, error) {
			return durable.Step(ctx, "pass", func(ctx context.Context) (int, error) {
				if err := g.pass(ctx, gate); err != nil {
					return 0, err
				}
				return g.times(gate), nil
			})
		}),
	}
}

// all returns every kind.
func (g *gates) all() []*runtime.Kind { return append(g.workflows(), g.account()) }
