package actors_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/runtime"
	"github.com/perdure/perdure/schemas"
)

var (
	word    = durable.DeclareSignal[string]("word")
	listens = durable.DeclareWorkflow[int, []string]("listener") // returns so many words that it hears
)

func listener() *runtime.Kind {
	return durable.Workflow(listens, func(ctx durable.Context, n int) (heard []string, err error) {
		for range n {
			w, err := durable.Await(ctx, word, durable.Timeout(10*time.Hour))
			if err != nil {
				return nil, err
			}
			heard = append(heard, w)
		}
		return heard, nil
	})
}

// utter sends a word to a run.
func (s *bench) utter(r schemas.Ref, w string) {
	s.t.Helper()
	p, err := durable.Encode(w)
	if err != nil {
		s.t.Fatal(err)
	}
	s.publish(r.Identity, &schemas.Envelope{Type: schemas.Envelope_SIGNAL, Id: "say " + w, Run: string(r.ID), Method: word.String(), Payload: p})
}

// TestSuspendedWorkflowsLeaveMemory at once, without waiting until they have been
// idle for long, and come back when something is for them.
func TestSuspendedWorkflowsLeaveMemory(t *testing.T) {
	t.Parallel()
	s := setup(t, listener())
	s.cfg.SuspendAfter, s.cfg.PassivateAfter = time.Millisecond, time.Hour
	s.start()
	runs := make([]schemas.Ref, 20)
	for i := range runs {
		runs[i] = ref("listener", fmt.Sprint(i), fmt.Sprint(i))
		s.send(runs[i], "", 2)
	}
	for _, w := range []string{"one", "two"} {
		for _, r := range runs {
			s.untilStatus(r, "suspended")
		}
		s.until("no activation is in memory", func() bool { return s.host.Activations() == 0 })
		for _, r := range runs {
			s.utter(r, w)
		}
		for _, r := range runs {
			s.idle(r.Identity)
		}
	}
	for _, r := range runs {
		if got := result[[]string](s, r); !slices.Equal(got, []string{"one", "two"}) {
			t.Errorf("%s heard %q, want one and two", r, got)
		}
	}
	s.until("no activation is in memory", func() bool { return s.host.Activations() == 0 })
}

// TestNoMessageIsLostWhileASuspendedRunLeavesMemory: each signal comes when the
// activation may just be leaving, or coming back.
func TestNoMessageIsLostWhileASuspendedRunLeavesMemory(t *testing.T) {
	t.Parallel()
	s := setup(t, listener())
	s.cfg.SuspendAfter, s.cfg.PassivateAfter = time.Nanosecond, time.Hour
	s.start()
	const each = 40
	want := make([]string, each)
	for i := range want {
		want[i] = fmt.Sprint(i)
	}
	var wg sync.WaitGroup
	runs := make([]schemas.Ref, 8)
	for k := range runs {
		runs[k] = ref("listener", fmt.Sprint(k), fmt.Sprint(k))
		wg.Go(func() {
			s.send(runs[k], "", each)
			for i, w := range want {
				s.utter(runs[k], w)
				if i%4 == k%4 {
					s.idle(runs[k].Identity) // it has suspended again
				}
				pause := time.NewTimer(time.Duration(i) * 50 * time.Microsecond)
				<-pause.C
			}
		})
	}
	wg.Wait()
	for _, r := range runs {
		if got := result[[]string](s, r); !slices.Equal(got, want) {
			t.Errorf("%s heard %q, want 0 to %d", r, got, each-1)
		}
		s.idle(r.Identity)
	}
}
