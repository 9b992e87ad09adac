package contracts_test

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/perdure/perdure/durable"
)

// mismatching is code that does one thing when a run is first executed, and
// another whenever it is replayed, until it is mended.
var mismatching = struct {
	mu         sync.Mutex
	executions map[string]int
	mended     map[string]bool
}{executions: map[string]int{}, mended: map[string]bool{}}

// deviates reports whether the code is to do the other thing.
func deviates(key string) bool {
	m := &mismatching
	m.mu.Lock()
	defer m.mu.Unlock()
	m.executions[key]++
	return m.executions[key] > 1 && !m.mended[key]
}

var mismatch = durable.DeclareWorkflow[string, change]("mismatch")

func nondeterministicKind() *durable.Kind {
	return durable.Workflow(mismatch, func(ctx durable.Context, which string) (change, error) {
		id, err := ctx.Info().Key, error(nil)
		switch right := deviates(id); which {
		case "either sleep or call":
			if right {
				_, err = durable.Call(ctx, counterAdd.At(id), 1)
			} else {
				err = durable.Sleep(ctx, time.Millisecond)
			}
		case "another method":
			if right {
				_, err = durable.Call(ctx, counterAdd.At(id), 1)
			} else {
				_, err = durable.Call(ctx, counterReset.At(id+"/other"), durable.None{})
			}
		case "another target":
			to := counterAdd.At(id + "/other")
			if right {
				to = counterAdd.At(id)
			}
			_, err = durable.Send(ctx, to, 1)
		}
		if err != nil {
			return change{}, err
		}
		if err := durable.Sleep(ctx, 50*time.Millisecond); err != nil { // long enough to suspend
			return change{}, err
		}
		return durable.Call(ctx, counterAdd.At(id), 1)
	})
}

// mismatches: a run whose code does not agree with its journal stands still as
// that and says why, and nothing of what the code asks for then leaves. Mended, it
// goes on.
func mismatches(which string) func(t *testing.T, w *world) {
	return func(t *testing.T, w *world) {
		if !w.env.suspends {
			return // nothing is replayed: no execution is a second one
		}
		call(t, w.c, counterAdd.At(key(t)), 1)
		run := start(t, w.c, mismatch.At(key(t)), which)
		var why string
		eventually(t, "the run stands still", func() bool {
			info := get(t, w.c, run.Ref())
			why = info.Reason
			return info.Status == "nondeterministic"
		})
		if !strings.Contains(why, "the journal has") {
			t.Errorf("the run stands still because of %q, want what the journal has and the code asks for", why)
		}
		if got := call(t, w.c, counterAdd.At(key(t)), 0); got != (change{1, 1}) {
			t.Errorf("the counter is %+v, want what it was: 1", got)
		}
		if !w.env.restarts {
			return // a run that stands still is looked at again by the next node
		}
		mismatching.mu.Lock()
		mismatching.mended[key(t)] = true
		mismatching.mu.Unlock()
		if got := result(t, run); got != (change{1, 2}) {
			t.Errorf("mended, the run ends with %+v, want 1 to 2", got)
		}
	}
}
