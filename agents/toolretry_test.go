package agents_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/perdure/perdure/agents"
	"github.com/perdure/perdure/agents/agentstest"
	"github.com/perdure/perdure/agents/models/scripted"
	"github.com/perdure/perdure/durable"
)

// TestFailingToolsAreTriedAgain counts the attempts of a tool, by their keys.
func TestFailingToolsAreTriedAgain(t *testing.T) {
	const wait = 100 * time.Millisecond
	retried := agents.Retry(3, time.Millisecond)
	for name, c := range map[string]struct {
		err      error
		opts     []agents.ToolOption
		attempts int
		want     string
		least    time.Duration // between the attempts together
	}{
		"by default":               {errors.New("down"), nil, 5, "down", 0},
		"by its policy":            {errors.New("down"), []agents.ToolOption{retried}, 3, "down", 0},
		"final":                    {durable.Fail("sold_out", "none left"), []agents.ToolOption{retried}, 1, "sold_out", 0},
		"later":                    {agents.RetryAfter(errors.New("down"), wait), []agents.ToolOption{retried}, 3, "down", 2 * wait},
		"once, not made, in time":  {agents.RetryAfter(agents.NotMade(errors.New("down")), time.Hour), []agents.ToolOption{agents.Once(), retried, agents.Timeout(20 * wait)}, 3, "down", wait / 2},
		"once":                     {errors.New("down"), []agents.ToolOption{agents.Once(), retried}, 1, "down", 0},
		"once, and not made":       {agents.NotMade(errors.New("down")), []agents.ToolOption{agents.Once(), retried}, 3, "down", 0},
		"once, not made, later":    {agents.RetryAfter(agents.NotMade(errors.New("down")), wait), []agents.ToolOption{agents.Once(), retried}, 3, "down", 2 * wait},
		"once, not made, final":    {agents.NotMade(durable.Fail("closed", "for good")), []agents.ToolOption{agents.Once(), retried}, 1, "closed", 0},
		"once, and perhaps made":   {agents.MaybeMade(errors.New("cut off")), []agents.ToolOption{agents.Once(), retried}, 1, "unknown_outcome", 0},
		"perhaps made":             {agents.MaybeMade(errors.New("cut off")), []agents.ToolOption{retried}, 3, "cut off", 0},
		"repeated, perhaps made":   {agents.MaybeMade(errors.New("cut off")), []agents.ToolOption{retried, agents.IfUnknown(agents.Repeat)}, 3, "cut off", 0},
		"wrapped, perhaps made":    {fmt.Errorf("pay: %w", agents.MaybeMade(errors.New("cut off"))), []agents.ToolOption{agents.Once()}, 1, "unknown_outcome", 0},
		"a timeout of one attempt": {nil, []agents.ToolOption{agents.Retry(2, time.Millisecond), agents.Timeout(wait)}, 2, "timeout", wait},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			far := &ledger{}
			m := agentstest.Model(t, script(func(r *scripted.Request) scripted.Reply {
				if r.Rounds() == 0 {
					return calls(call("pay", `{}`))
				}
				return scripted.Reply{Text: r.Last().Content}
			}))
			var first, last time.Time
			b := setup(t, agents.New(weather, agents.UseModel(m), agents.Tools(agents.Func("pay", "", func(ctx context.Context, _ struct{}) (string, error) {
				far.note(ctx)
				if last = time.Now(); first.IsZero() {
					first = last
				}
				if c.err == nil {
					<-ctx.Done()
					return "", ctx.Err()
				}
				return "", c.err
			}, c.opts...))))
			b.Start()
			got, err := do[string](b, ref("weather", "w", "1"), "go")
			if err != nil {
				t.Fatal(err)
			}
			contains(t, got, c.want)
			if far.total() != c.attempts || len(far.keys) != 1 {
				t.Errorf("attempts by key %v, want %d", far.keys, c.attempts)
			}
			if d := last.Sub(first); d < c.least {
				t.Errorf("the attempts took %s, want at least %s", d, c.least)
			}
		})
	}
}
