package agents_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/perdure/perdure/agents"
	"github.com/perdure/perdure/agents/agentstest"
	"github.com/perdure/perdure/agents/models/scripted"
	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/runtime/runtimetest"
)

// moved makes a run of three calls of a tool in one message, of which the first fails, and
// one of another tool, which ends only once the first of them was begun. It returns what
// happened in order, and the answer.
func moved(t *testing.T, when runtimetest.When, n int) (b *bundle, said []string, got string) {
	t.Helper()
	var mu sync.Mutex
	open, most := 0, 0
	begun, once := make(chan struct{}), sync.Once{}
	move := func(ctx context.Context, in place) (string, error) {
		if err := ctx.Err(); err != nil { // its process has died, and it comes late
			return "", err
		}
		mu.Lock()
		open++
		most = max(most, open)
		said = append(said, in.City)
		mu.Unlock()
		defer func() {
			mu.Lock()
			open--
			mu.Unlock()
		}()
		once.Do(func() { close(begun) })
		if in.City == "Oslo" {
			return "", durable.Fail("blocked", "the way to %s is blocked", in.City)
		}
		return "in " + in.City, nil
	}
	m := agentstest.Model(t, script(func(r *scripted.Request) scripted.Reply {
		if r.Rounds() == 0 {
			return calls(call("move", `{"city":"Oslo"}`), call("move", `{"city":"Rome"}`), call("wait", `{}`), call("move", `{"city":"Lima"}`))
		}
		var all []string
		for _, m := range r.Messages[len(r.Messages)-4:] {
			all = append(all, m.Content)
		}
		return scripted.Reply{Text: strings.Join(all, " | ")}
	}))
	b = setup(t, agents.New(weather, agents.UseModel(m), agents.Tools(
		agents.Func("move", "", move, agents.Sequential()),
		agents.Func("wait", "", func(ctx context.Context, _ struct{}) (string, error) {
			select {
			case <-begun:
			case <-ctx.Done():
			}
			return "waited", ctx.Err()
		}))))
	if n > 0 {
		b.CrashAt(when, n)
	}
	b.Start()
	got, err := do[string](b, ref("weather", "w", "1"), "go")
	if err != nil {
		t.Fatal(err)
	}
	if most != 1 {
		t.Errorf("%d calls were made at once", most)
	}
	return b, said, got
}

// TestSequentialCallsAreMadeInOrder kills the process around every write, too.
func TestSequentialCallsAreMadeInOrder(t *testing.T) {
	b, said, want := moved(t, 0, 0)
	if got := strings.Join(said, " "); got != "Oslo Rome Lima" {
		t.Errorf("calls in the order %q", got)
	}
	contains(t, want, `"code":"blocked"`, " | in Rome | waited | in Lima")
	if err := b.Settle(b.ctx); err != nil {
		t.Fatal(err)
	}
	for n := range b.Points() {
		for _, when := range []runtimetest.When{runtimetest.Before, runtimetest.After} {
			t.Run(fmt.Sprintf("%d.%d", n+1, when), func(t *testing.T) {
				_, said, got := moved(t, when, n+1)
				if said = slices.Compact(said); got != want || strings.Join(said, " ") != "Oslo Rome Lima" {
					t.Errorf("calls %q, answer %q", said, got)
				}
			})
		}
	}
}
