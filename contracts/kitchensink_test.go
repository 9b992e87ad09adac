//go:build unix

package contracts_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/perdure/perdure"
	"github.com/perdure/perdure/broker/brokertest"
	"github.com/perdure/perdure/durable"
	"pgregory.net/rapid"
)

// A cooking is an order that was given.
type cooking struct {
	key  string
	want expectation
	run  *perdure.Run[string]
}

// give starts the workflow of a tree, and delivers to it what it waits for, each
// twice.
func give(ctx context.Context, c *perdure.Client, key string, s set) (*cooking, error) {
	k := &cooking{key: key, want: expect(s)}
	var err error
	if k.run, err = perdure.Start(ctx, c, kitchen.At(key), order{Root: key, Set: s}); err != nil {
		return nil, err
	}
	for n := range k.want.Deliveries {
		for range 2 {
			if err := perdure.Signal(ctx, c, k.run.Ref(), delivered, n+1, perdure.MessageID(fmt.Sprint("delivery-", n))); err != nil {
				return nil, err
			}
		}
	}
	return k, nil
}

// check compares what came of an order with what was expected. Undisturbed, the
// attempts of its steps are counted, too.
func (k *cooking) check(ctx context.Context, far *farSide, disturbed bool) error {
	out, err := k.run.Result(ctx)
	var e *durable.Error
	if err != nil && !errors.As(err, &e) {
		return fmt.Errorf("%s: %w", k.key, err)
	}
	code := ""
	if e != nil {
		code = e.Code
	}
	if diff := cmp.Diff([]string{k.want.Result, k.want.Code}, []string{out, code}); diff != "" {
		return fmt.Errorf("%s: result and code (-want +got):\n%s", k.key, diff)
	}
	tick := time.NewTicker(2 * time.Millisecond) // children that were abandoned go on
	defer tick.Stop()
	for {
		times, sum := far.times("kitchen "+k.key), 0
		for _, n := range times {
			sum += n
		}
		switch done := len(times) == k.want.steps && sum >= k.want.attempts; {
		case done && (disturbed || k.want.more || sum == k.want.attempts):
			return nil
		case len(times) > k.want.steps, sum > k.want.attempts && !disturbed && !k.want.more:
			return fmt.Errorf("%s: %d steps were executed %v times, want %d steps with %d attempts", k.key, len(times), times, k.want.steps, k.want.attempts)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("%s: %d steps were executed %v times, want %d steps with %d attempts", k.key, len(times), times, k.want.steps, k.want.attempts)
		}
	}
}

// TestKitchenSink executes random trees on a node: each comes out as a simple
// reading of it says.
func TestKitchenSink(t *testing.T) {
	t.Parallel()
	w := environments[0].open(t)
	n := 0
	rapid.Check(t, func(rt *rapid.T) {
		s := orders().Draw(rt, "order")
		n++
		ctx := soon(t)
		k, err := give(ctx, w.c, fmt.Sprint("each-", n), s)
		if err == nil {
			err = k.check(ctx, w.far, false)
		}
		if err != nil {
			rt.Fatal(err)
		}
	})
}

// TestKitchenSinkSuspended executes random trees all at once, where every wait
// leaves memory.
func TestKitchenSinkSuspended(t *testing.T) {
	t.Parallel()
	w := environments[1].open(t)
	for _, k := range giveMany(t, w.c, 80) {
		if err := k.check(soon(t), w.far, false); err != nil {
			t.Error(err)
		}
	}
}

// giveMany gives orders that are the same in every execution of the tests.
func giveMany(t *testing.T, c *perdure.Client, n int) (all []*cooking) {
	t.Helper()
	for i := range n {
		k, err := give(soon(t), c, fmt.Sprint("many-", i), orders().Example(i))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, k)
	}
	return all
}

// TestKitchenSinkKilled executes random trees all at once, on a node that is
// killed again and again, and a NATS server that is killed in between: each comes
// out as if nothing had been.
func TestKitchenSinkKilled(t *testing.T) {
	t.Parallel()
	far, server := newFarSide(t), brokertest.Server(t)
	c := nodeConfig{URL: server.URL(), Far: far.URL, SuspendAfter: 50 * time.Millisecond}
	node := startNode(t, c)
	all := giveMany(t, dial(t, c.URL), 80)
	total := 0
	for _, k := range all {
		total += k.want.steps
	}
	executed := func() (n int) {
		for _, k := range all {
			n += len(far.times("kitchen " + k.key))
		}
		return n
	}
	const kills = 4
	for i := range kills {
		eventually(t, "some are done", func() bool { return executed() >= total*i/kills })
		if i%2 == 1 {
			server.Kill()
			server.Restart()
			continue
		}
		node.kill()
		node = startNode(t, c)
	}
	for _, k := range all {
		if err := k.check(soon(t), far, true); err != nil {
			t.Error(err)
		}
	}
	if n := executed(); n != total {
		t.Errorf("%d steps were executed, want %d", n, total)
	}
}

// TestExpectationCanBeWrong: the comparison sees what it is there for.
func TestExpectationCanBeWrong(t *testing.T) {
	t.Parallel()
	w := environments[0].open(t)
	s := set{Actions: []action{{Op: "noop"}, {Op: "retried", N: 2}, {Op: "delivery"}}}
	for what, break_ := range map[string]func(e *expectation){
		"result":   func(e *expectation) { e.Result += " " },
		"code":     func(e *expectation) { e.Code = "other" },
		"steps":    func(e *expectation) { e.steps-- },
		"attempts": func(e *expectation) { e.attempts-- },
	} {
		k, err := give(soon(t), w.c, what, s)
		if err != nil {
			t.Fatal(err)
		}
		if err := k.check(soon(t), w.far, false); err != nil {
			t.Fatal(err)
		}
		break_(&k.want)
		if err := k.check(soon(t), w.far, false); err == nil || !strings.Contains(err.Error(), "want") {
			t.Errorf("a wrong %s: %v", what, err)
		}
	}
	for op, n := range opsOf(1000) {
		if n < 5 {
			t.Errorf("the action %q is %d times in 1000 trees", op, n)
		}
	}
}

// opsOf counts in how many of n trees each action is, with what becomes of it.
func opsOf(n int) map[string]int {
	counts := map[string]int{}
	for _, op := range slices.Concat(activities, []string{"set", "timer", "child", "signal", "signal child", "cancel child", "condition", "delivery", "patch", "show", "continue", "return", "fail"}) {
		counts[op] = 0
	}
	var look func(s set)
	look = func(s set) {
		for _, a := range s.Actions {
			counts[a.Op]++
			if a.How != "" {
				counts[a.Op+" "+a.How]++
			}
			if a.Set != nil {
				look(*a.Set)
			}
		}
	}
	for i := range n {
		look(orders().Example(i))
	}
	return counts
}
