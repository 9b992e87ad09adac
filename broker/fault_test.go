package broker_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/perdure/perdure/broker"
	"github.com/perdure/perdure/broker/brokertest"
)

// Every write of a run has one point before it and one after it, a write that is
// refused none after it, and a message that was stored before another: the crash
// sweep counts on it.
func TestFault_OnePairOfPointsPerWrite(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var points []string
	r := newRaw(t, brokertest.Open(t, kinds, func(c *broker.Config) {
		c.Fault = func(f broker.FaultPoint) {
			mu.Lock()
			defer mu.Unlock()
			when := "before"
			if f.After {
				when = "after"
			}
			points = append(points, fmt.Sprintf("%s %s %s", when, f.Op, strings.TrimPrefix(f.Subject, "perdure.")))
		}
	}))
	id := identity("wf", "k")
	ref, p := id.Run("1"), r.n.Partition(id)
	check := func(want ...string) {
		t.Helper()
		mu.Lock()
		defer mu.Unlock()
		for i := range want {
			want[i] = strings.ReplaceAll(want[i], "<p>", p.String())
		}
		if diff := cmp.Diff(want, points); diff != "" {
			t.Errorf("points (-want +got):\n%s", diff)
		}
		points = nil
	}
	r.sent("local", id, task("1"))
	check("before send task.local.wf.k", "after send task.local.wf.k")
	r.sent("local", id, task("1"))
	check("before send task.local.wf.k", "after duplicate task.local.wf.k")
	f := r.take(p, 1)
	d := r.next(f)
	check([]string(nil)...)
	a := r.appended(ref, 0, entry("w", 1))
	check("before append run.<p>.wf.k.1", "after append run.<p>.wf.k.1")
	r.fenced(ref, 0, entry("z", 1), a)
	check("before append run.<p>.wf.k.1")
	must(t, r.b.Schedules().Set(r.ctx, id, broker.TimerID("1", "1"), time.Now().Add(time.Hour), wake("1", "1")))
	check("before schedule timer.<p>.wf.k.1.1", "after schedule timer.<p>.wf.k.1.1")
	must(t, r.b.Schedules().CancelRun(r.ctx, ref))
	check("before cancel-schedule timer.<p>.wf.k.1.*", "after cancel-schedule timer.<p>.wf.k.1.*")
	r.appended(ref, a, record("w", 2))
	check("before commit run.<p>.wf.k.1", "after commit run.<p>.wf.k.1")
	_, err := r.b.State().Put(r.ctx, id, 0, state("1", 2, "x"))
	must(t, err)
	check("before state $KV.perdure_state.wf.k", "after state $KV.perdure_state.wf.k")
	must(t, f.Ack(r.ctx, d))
	check("before ack in.<p>.local.wf.k", "after ack in.<p>.local.wf.k")
	must(t, r.b.Done().Notify(ref, nil))
	check([]string(nil)...)
}
