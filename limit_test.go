package perdure_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/perdure/perdure"
	"github.com/perdure/perdure/actors"
	"github.com/perdure/perdure/durable"
)

var (
	billing = durable.DeclareWorkflow[string, string]("billing")
	talking = durable.Declare[string, string]("talking.say")
)

// TestLimitsAndPoliciesOfAnyPool: a limit is hosted beside its kind, is no run and
// no kind of the user's, and a client says what becomes of its message.
func TestLimitsAndPoliciesOfAnyPool(t *testing.T) {
	t.Parallel()
	ctx := testContext(t)
	gate := make(chan struct{})
	hold := func(ctx durable.Context, in string) (string, error) {
		return durable.Step(ctx, "hold", func(ctx context.Context) (string, error) {
			select {
			case <-gate:
				return in, nil
			case <-ctx.Done():
				return "", ctx.Err()
			}
		})
	}
	node := running(t, "", perdure.Pool("money"), perdure.Host(
		durable.Workflow(billing, hold, durable.Concurrency(1)),
		actors.New(actors.Handlers[struct{}]{
			actors.On(talking, func(ctx durable.Context, _ *struct{}, in string) (string, error) { return hold(ctx, in) }),
		})))
	c := node.Client()
	start := func(key string, opts ...perdure.StartOption) *perdure.Run[string] {
		r, err := perdure.Start(ctx, c, billing.At(key), key, opts...)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	until := func(ref, what string, ok func(*perdure.RunInfo) bool) {
		t.Helper()
		for end := time.Now().Add(testWait); time.Now().Before(end); {
			if info, err := c.Get(ctx, ref); err == nil && ok(info) {
				return
			}
		}
		t.Fatalf("%s is not %s", ref, what)
	}
	first := start("first")
	until(first.Ref(), "in", func(i *perdure.RunInfo) bool { return len(i.Steps) == 1 }) // the permit
	second := start("second")
	until(second.Ref(), "waiting", func(i *perdure.RunInfo) bool {
		return strings.HasPrefix(i.Reason, "waits for a permit of the limit billing: 1 of 1 are taken, 0 came before it")
	})
	third := start("third", perdure.Priority(5))
	until(third.Ref(), "before the second", func(i *perdure.RunInfo) bool { return i.Reason != "" })

	say := func(id string, opts ...perdure.StartOption) *perdure.Run[string] {
		r, err := perdure.Start(ctx, c, talking.At("ann"), id, append(opts, perdure.MessageID(id))...)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	a := say("a")
	until(a.Ref(), "running", func(i *perdure.RunInfo) bool { return i.Status == "running" })
	if _, err := say("b", perdure.IfBusy(durable.Reject)).Result(ctx); !errors.Is(err, durable.ErrBusy) {
		t.Errorf("a rejected message: %v, want busy", err)
	}
	queued, last := say("c"), say("d", perdure.IfBusy(durable.Replace))
	if _, err := queued.Result(ctx); !errors.Is(err, durable.ErrSuperseded) {
		t.Errorf("a message that was replaced: %v, want superseded", err)
	}
	until(queued.Ref(), "superseded by d", func(i *perdure.RunInfo) bool { return i.SupersededBy == last.Ref() })

	close(gate)
	for _, r := range []*perdure.Run[string]{first, second, third, last} {
		if _, err := r.Result(ctx); err != nil {
			t.Errorf("%s: %v", r.Ref(), err)
		}
	}
	if list, err := c.List(ctx, perdure.ListRuns{}); err != nil || len(list.Runs) != 7 {
		t.Errorf("listed %+v, %v; want the seven runs, and none of the limit", list, err)
	}
	own := durable.Workflow(durable.DeclareWorkflow[string, string]("perdure-mine"), hold)
	if _, err := perdure.Open(ctx, perdure.Dir(t.TempDir()), perdure.Host(own)); err == nil || !strings.Contains(err.Error(), "names that begin with perdure- are those of built-in kinds; choose another") {
		t.Errorf("a kind of a user's with a built-in name: %v", err)
	}
}
