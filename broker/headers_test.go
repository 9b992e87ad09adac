package broker_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"github.com/perdure/perdure/broker"
	"github.com/perdure/perdure/broker/brokertest"
	"github.com/perdure/perdure/schemas"
)

// Nothing that a publisher puts on a task removes what others have waiting, or
// a wake-up that stands: by answer the server refuses it, and without one, too.
func TestInbox_NoHeaderOfAPublisherRemovesWhatWaits(t *testing.T) {
	t.Parallel()
	testHeaders(t, embedded(t))
}

// At three replicas the leader looks at headers before it proposes a message:
// another path of the server.
func testClusterHeaders(t *testing.T, g *brokertest.Group) {
	testHeaders(t, connected(t, g.URL(), replicated, func(c *broker.Config) { c.Namespace = "headers" }))
}

func testHeaders(t *testing.T, r *raw) {
	t.Helper()
	id, other := identity("wf", "victim"), identity("wf", "other")
	first := r.sent("local", id, task("1"))
	second := r.sent("acme", id, task("2"))
	third := r.sent("local", other, task("3"))
	timer := broker.TimerID("1", "1")
	must(t, r.b.Schedules().Set(r.ctx, id, timer, time.Now().Add(time.Hour), wake("1", "1")))
	schedule := r.n.TimerSubject(id, timer)

	for _, to := range []schemas.Identity{id, other} {
		subject := r.n.TaskSubject("acme", to)
		for i, h := range [][]string{
			{"Nats-Rollup", "sub"},
			{"Nats-Rollup", "all"},
			{"Nats-Schedule", at(time.Second), "Nats-Schedule-Target", r.n.TaskSubject("local", id)},
			{"Nats-Schedule", at(time.Second), "Nats-Schedule-Target", r.n.WakeSubject(id), "Nats-Schedule-Rollup", "sub"},
			{"Nats-Schedule", "@every 1s", "Nats-Schedule-Target", r.n.TaskSubject("acme", id), "Nats-Schedule-Source", r.n.TaskSubject("local", id)},
			{"Nats-Scheduler", schedule, "Nats-Schedule-Next", "purge"},
			{"Nats-Scheduler", r.n.InSubject("local", id), "Nats-Schedule-Next", "purge"},
			{"Nats-Scheduler", schedule},
			{"Nats-TTL", "1s"},
			{"Nats-Incr", "1"},
			{"Nats-Batch-Id", "b", "Nats-Batch-Sequence", "1", "Nats-Batch-Commit", "1", "Nats-Rollup", "all"},
			{"Nats-Stream-Source", "x 1 > >", "Nats-Rollup", "all"},
		} {
			seq, err := r.publish(subject, `1`, h...)
			if err == nil {
				t.Errorf("a task with the headers %q was accepted as %d", h, seq)
			}
			m := nats.NewMsg(subject)
			m.Header.Set("Perdure-Id", fmt.Sprint("unheard ", i))
			for k := 0; k < len(h); k += 2 {
				m.Header[h[k]] = []string{h[k+1]}
			}
			must(t, r.nc.PublishMsg(m)) // whoever publishes without a reply is told nothing
		}
	}
	// A condition concerns its own message alone.
	last := r.stored(r.n.TaskSubject("acme", id), `1`, "Nats-Expected-Last-Sequence", fmt.Sprint(third.Seq))
	got := map[uint64]string{}
	f := r.take(r.n.Partition(id), 1)
	for range 3 {
		d := r.next(f)
		got[d.Seq] = d.From
	}
	if p := r.n.Partition(other); p != r.n.Partition(id) {
		d := r.next(r.take(p, 1))
		got[d.Seq] = d.From
	} else {
		d := r.next(f)
		got[d.Seq] = d.From
	}
	if diff := cmp.Diff(map[uint64]string{first.Seq: "local", second.Seq: "acme", third.Seq: "local", last: "acme"}, got); diff != "" {
		t.Errorf("what waits (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{timer}, r.timers(id)); diff != "" {
		t.Errorf("the wake-ups that stand (-want +got):\n%s", diff)
	}
}
