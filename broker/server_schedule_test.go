package broker_test

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/perdure/perdure/broker"
	"github.com/perdure/perdure/broker/brokertest"
)

// A streamConfig is a stream of a test's own.
type streamConfig struct {
	name      string
	subjects  []string
	ttl       bool
	schedules bool
	batches   bool
	discard   jetstream.DiscardPolicy
}

func (r *raw) tryStream(c streamConfig) error {
	_, err := r.js.CreateStream(r.ctx, jetstream.StreamConfig{
		Name: c.name, Subjects: c.subjects, AllowMsgTTL: c.ttl, AllowMsgSchedules: c.schedules,
		AllowRollup: true, AllowDirect: true, AllowAtomicPublish: c.batches, Discard: c.discard,
	})
	return err
}

func (r *raw) stream(c streamConfig) string {
	r.t.Helper()
	must(r.t, r.tryStream(c))
	return c.name
}

// P13: a stream with schedules cannot refuse new messages at a limit, and
// would drop accepted ones: so inbox streams have no limits.
func TestServer_P13_SchedulesExcludeDiscardNew(t *testing.T) {
	t.Parallel()
	r := embedded(t)
	if err := r.tryStream(streamConfig{name: "S", subjects: []string{"s.>"}, schedules: true, discard: jetstream.DiscardNew}); err == nil {
		t.Error("a stream with schedules and discard new was created")
	}
}

// A stream with schedules has roll-ups whether it wants them or not, and keeps
// its schedules for ever: so schedules are in a stream of their own, on which no
// client publishes.
func TestServer_SchedulesBringRollUps(t *testing.T) {
	t.Parallel()
	r := embedded(t)
	sc := jetstream.StreamConfig{Name: "S", Subjects: []string{"s.>"}, AllowMsgSchedules: true}
	s, err := r.js.CreateStream(r.ctx, sc)
	must(t, err)
	if !s.CachedInfo().Config.AllowRollup {
		t.Error("a stream has schedules without roll-ups: one stream would do")
	}
	r.stored("s.a", "1")
	last := r.stored("s.b", "2", "Nats-Rollup", "all")
	if got := r.subjects("S", ">"); got["s.a"] != 0 || got["s.b"] != 1 {
		t.Errorf("after a roll-up of all at %d there are %v", last, got)
	}
	sc.AllowMsgSchedules = false
	if _, err := r.js.UpdateStream(r.ctx, sc); err == nil {
		t.Error("schedules were switched off; an inbox that had them could be changed")
	}
}

// P13: a schedule whose product the server refuses when it is due does not
// fire when there is room again; it does after a restart.
func TestServer_P13_RefusedScheduleNeverFiresAgainUntilRestart(t *testing.T) {
	t.Parallel()
	srv := brokertest.Server(t, func(c *brokertest.ServerConfig) { c.MaxStore = 4 << 20 })
	r := connected(t, srv.URL())
	stream := r.stream(streamConfig{name: "S", subjects: []string{"s.>"}, schedules: true})
	r.stored("s.timer.1", "", "Nats-Schedule", at(time.Second), "Nats-Schedule-Target", "s.fired.1")
	big := string(make([]byte, 500_000))
	full := func() bool {
		_, err := r.publish("s.fill", big)
		return err != nil
	}
	r.until("the store is full", full)
	due := time.After(2 * time.Second) // the schedule's time and a tick
	select {
	case <-due:
	case <-r.ctx.Done():
		t.Fatal(r.ctx.Err())
	}
	s, err := r.js.Stream(r.ctx, stream)
	must(t, err)
	must(t, s.Purge(r.ctx, jetstream.WithPurgeSubject("s.fill")))
	r.stored("s.timer.2", "", "Nats-Schedule", at(500*time.Millisecond), "Nats-Schedule-Target", "s.fired.2")
	r.until("a later schedule fires", func() bool { return r.subjects(stream, "s.fired.2")["s.fired.2"] == 1 })
	if got := r.subjects(stream, "s.>"); got["s.fired.1"] != 0 || got["s.timer.1"] != 1 {
		t.Fatalf("after there is room again: %v; want the first schedule, not fired", got)
	}
	srv.Stop()
	srv.Restart()
	r.until("the schedule fires after the restart", func() bool {
		s, err := r.js.Stream(r.ctx, stream)
		if err != nil {
			return false
		}
		info, err := s.Info(r.ctx, jetstream.WithSubjectFilter("s.fired.1"))
		return err == nil && info.State.Subjects["s.fired.1"] == 1
	})
}

// P14: a schedule is seen by no consumer, its product is stored
// where that says, has no message ID, and names its schedule.
func TestServer_P14_ScheduleProductIsStoredAndHasNoMsgID(t *testing.T) {
	t.Parallel()
	r := embedded(t)
	id := identity("weather", "Den Haag")
	p := r.n.Partition(id)
	c, err := r.consumerOf(r.n.TimersStream(), "p-e1", r.wakes(p))
	must(t, err)
	timer := r.n.TimerSubject(id, broker.TimerID("order-17", "3"))
	r.stored(timer, "wake", "Nats-Schedule", at(100*time.Millisecond), "Nats-Schedule-Target", r.n.WakeSubject(id),
		"Nats-Msg-Id", "of the schedule", "Nats-Expected-Last-Subject-Sequence", "0", "Perdure-Envelope", "1")
	if got, err := c.Info(r.ctx); err != nil || got.NumPending != 0 {
		t.Fatalf("the consumer of the partition has %d messages (%v), want none before the schedule fires", got.NumPending, err)
	}
	m := r.fetch(c, 1)[0]
	if m.Subject() != r.n.WakeSubject(id) || string(m.Data()) != "wake" {
		t.Errorf("the product is %q on %s, want \"wake\" on %s", m.Data(), m.Subject(), r.n.WakeSubject(id))
	}
	h := m.Headers()
	if h.Get("Nats-Msg-Id") != "" || h.Get("Nats-Scheduler") != timer || h.Get("Perdure-Envelope") != "1" {
		t.Errorf("the product's headers are %v; want no message ID, the schedule %s and our own", h, timer)
	}
	if got := r.subjects(r.n.TimersStream(), timer); len(got) != 0 {
		t.Errorf("the schedule is still there: %v", got)
	}
}

// P14: a schedule that was created in an atomic batch hands the batch's headers
// to what it produces, which therefore mean nothing there.
func TestServer_P14_ScheduleOfABatchLeaksItsHeaders(t *testing.T) {
	t.Parallel()
	r := embedded(t)
	stream := r.stream(streamConfig{name: "S", subjects: []string{"s.>"}, schedules: true, batches: true})
	msg := nats.NewMsg("s.timer.1")
	msg.Header = nats.Header{
		"Nats-Schedule": {at(100 * time.Millisecond)}, "Nats-Schedule-Target": {"s.fired"},
		"Nats-Batch-Id": {"b1"}, "Nats-Batch-Sequence": {"1"}, "Nats-Batch-Commit": {"1"},
	}
	_, err := r.nc.RequestMsgWithContext(r.ctx, msg)
	must(t, err)
	r.until("the schedule fires", func() bool { return r.subjects(stream, "s.fired")["s.fired"] == 1 })
	s, err := r.js.Stream(r.ctx, stream)
	must(t, err)
	m, err := s.GetLastMsgForSubject(r.ctx, "s.fired")
	must(t, err)
	if m.Header.Get("Nats-Batch-Id") != "b1" {
		t.Errorf("the product's headers are %v; want those of the batch", m.Header)
	}
}

// P12: a purge by subject cancels a schedule, and leaves the consumer of the
// partition as it was.
func TestServer_P12_PurgeCancelsAScheduleAndDisturbsNoConsumer(t *testing.T) {
	t.Parallel()
	r := embedded(t)
	id := identity("wf", "k")
	p := r.n.Partition(id)
	c, err := r.consumerOf(r.n.TimersStream(), "p-e1", r.wakes(p))
	must(t, err)
	r.stored(r.n.WakeSubject(id), `1`)
	held := r.fetch(c, 1)
	timer := r.n.TimerSubject(id, broker.TimerID("1", "1"))
	r.stored(timer, "", "Nats-Schedule", at(time.Hour), "Nats-Schedule-Target", r.n.WakeSubject(id))
	second := r.stored(r.n.WakeSubject(id), `2`)
	s, err := r.js.Stream(r.ctx, r.n.TimersStream())
	must(t, err)
	must(t, s.Purge(r.ctx, jetstream.WithPurgeSubject(timer)))
	if got := r.subjects(r.n.TimersStream(), timer); len(got) != 0 {
		t.Fatalf("the schedule is still there: %v", got)
	}
	if got := sequences(t, r.fetch(c, 1)); got[0] != second {
		t.Errorf("the consumer delivered %d next, want %d", got[0], second)
	}
	must(t, held[0].DoubleAck(r.ctx))
	info, err := c.Info(r.ctx)
	must(t, err)
	if info.NumAckPending != 1 || info.NumPending != 0 {
		t.Errorf("the consumer has %d unacknowledged and %d pending, want 1 and 0", info.NumAckPending, info.NumPending)
	}
}

// P12: setting a schedule is conditioned on there being none, so that it can be
// repeated.
func TestServer_P12_ScheduleExpectedZero(t *testing.T) {
	t.Parallel()
	r := embedded(t)
	id := identity("wf", "k")
	timer := r.n.TimerSubject(id, broker.TimerID("1", "1"))
	set := []string{"Nats-Schedule", at(time.Hour), "Nats-Schedule-Target", r.n.WakeSubject(id), "Nats-Expected-Last-Subject-Sequence", "0"}
	r.stored(timer, "", set...)
	r.refused(10071, timer, "", set...)
}
