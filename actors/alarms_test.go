package actors_test

import (
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/perdure/perdure/broker"
	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/runtime"
	"github.com/perdure/perdure/schemas"
)

var dozes = durable.DeclareWorkflow[string, string]("dozer") // sleeps for as long as it is told, and sends a line to its key's account

func dozer() *runtime.Kind {
	return durable.Workflow(dozes, func(ctx durable.Context, d string) (string, error) {
		wait, err := time.ParseDuration(d)
		if err != nil {
			return "", durable.Fail("invalid", "%v", err)
		}
		began := durable.Now(ctx)
		if err := durable.Sleep(ctx, wait); err != nil {
			return "", err
		}
		if _, err := durable.Send(ctx, write.At(ctx.Info().Key), "woken"); err != nil {
			return "", err
		}
		if slept := durable.Now(ctx).Sub(began); slept < wait {
			return fmt.Sprintf("woken %s early", wait-slept), nil
		}
		return "in time", nil
	})
}

// dozers is a bench on which runs are suspended at once. With alone the broker forgets
// their wake-ups: what wakes a run then is its host.
func dozers(t *testing.T, alone bool) *bench {
	t.Helper()
	s := setup(t, append(newGates().all(), dozer(), listener())...)
	s.cfg.SuspendAfter, s.cfg.PassivateAfter = time.Millisecond, time.Hour
	if alone {
		s.fault = func(p broker.FaultPoint) {
			if p.Op != "schedule" || !p.After {
				return
			}
			id, _, err := s.b.Names().ParseTimer(p.Subject)
			if err == nil {
				err = s.b.Schedules().Cancel(s.ctx, id, "")
			}
			if err != nil {
				t.Error(err)
			}
		}
	}
	return s
}

func (s *bench) untilAlarms(want ...string) {
	s.t.Helper()
	s.until(fmt.Sprintf("the alarms are %q", want), func() bool { return slices.Equal(s.host.Alarms(), want) })
}

// TestHostWakesWhatItSuspended with nothing from the broker: runs whose activation has
// left memory, and one whose has not.
func TestHostWakesWhatItSuspended(t *testing.T) {
	t.Parallel()
	s := dozers(t, true)
	s.start()
	runs := []schemas.Ref{ref("dozer", "a", "a"), ref("dozer", "b", "b"), ref("account", "c", "1")}
	s.send(runs[0], "", "1500ms")
	s.send(runs[1], "", "1600ms")
	s.send(runs[2], "slumber", "1700ms")
	s.until("the workflows have left memory", func() bool { return len(s.host.Alarms()) == 3 && s.host.Activations() == 1 })
	for _, r := range runs[:2] {
		if got := result[string](s, r); got != "in time" {
			t.Errorf("%s: %s", r, got)
		}
	}
	result[int](s, runs[2])
	for _, r := range runs {
		s.idle(r.Identity)
	}
	s.untilAlarms()
}

// TestP12_WakeUpStandsUntilTheEffectsAreConfirmed: no message carries a run that its
// host has woken, so that its wake-up goes last.
func TestP12_WakeUpStandsUntilTheEffectsAreConfirmed(t *testing.T) {
	t.Parallel()
	s := dozers(t, false)
	r := ref("dozer", "a", "a")
	var sent atomic.Bool
	s.fault = func(p broker.FaultPoint) {
		if p.Op != "send" || p.After || !strings.Contains(p.Subject, ".account.") {
			return
		}
		if ok, err := s.carried(r); err != nil || !ok {
			t.Errorf("the run that sends is carried: %v, %v; want true", ok, err)
		}
		sent.Store(true)
	}
	s.start()
	s.send(r, "", "300ms")
	s.end(r)
	s.idle(r.Identity)
	s.until("its wake-up has gone", func() bool { return len(s.timers(r.Identity)) == 0 })
	s.until("its line is added", func() bool { return len(state[ledger](s, ref("account", "a", "").Identity).Lines) == 1 })
	if !sent.Load() {
		t.Error("nothing was sent")
	}
	at := func(op, subject string, after bool) int {
		return slices.IndexFunc(s.visited(), func(p broker.FaultPoint) bool {
			return p.Op == op && p.After == after && strings.Contains(p.Subject, subject)
		})
	}
	if send, unwake := at("send", ".account.", true), at("cancel-schedule", ".dozer.", false); send < 0 || unwake < send {
		t.Errorf("the wake-up went at %d, the message was accepted at %d: %v", unwake, send, s.visited())
	}
}

// TestAlarmsAreForgotten once nothing is due any more.
func TestAlarmsAreForgotten(t *testing.T) {
	t.Parallel()
	s := dozers(t, false)
	stop := s.start()
	s.send(ref("listener", "far", "far"), "", 1) // waits for 10 h
	s.send(ref("dozer", "a", "a"), "", "30m")
	s.send(ref("dozer", "b", "b"), "", "40m")
	s.send(ref("account", "c", "1"), "slumber", "50m")
	s.untilStatus(ref("listener", "far", "far"), "suspended")
	s.untilAlarms("account/c/1", "dozer/a/a", "dozer/b/b")
	s.publish(ref("dozer", "a", "").Identity, &schemas.Envelope{Type: schemas.Envelope_CANCEL, Id: "c", Run: "a"})
	s.fails(ref("dozer", "a", "a"), durable.ErrCancelled.Code)
	s.untilAlarms("account/c/1", "dozer/b/b")
	stop()
	s.untilAlarms()
}

// TestHostKeepsTheSoonestAlarms, and no more than so many.
func TestHostKeepsTheSoonestAlarms(t *testing.T) {
	t.Parallel()
	s := dozers(t, true)
	const most = 4
	s.cfg.SetAlarms(most)
	s.start()
	for i := range 3 * most {
		r := ref("dozer", fmt.Sprint(i), fmt.Sprint(i))
		s.send(r, "", fmt.Sprintf("%dm", 10+i))
		s.untilStatus(r, "suspended")
		if n := len(s.host.Alarms()); n > most {
			t.Fatalf("%d alarms, want at most %d", n, most)
		}
	}
	soon := ref("dozer", "soon", "soon")
	s.send(soon, "", "1s")
	if got := result[string](s, soon); got != "in time" {
		t.Error(got)
	}
	s.until("the soonest are left", func() bool {
		got := s.host.Alarms()
		return len(got) >= most/2 && slices.Contains(got, "dozer/0/0") && slices.Contains(got, "dozer/1/1")
	})
}
