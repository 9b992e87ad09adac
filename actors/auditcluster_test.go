package actors_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/perdure/perdure/actors"
	"github.com/perdure/perdure/broker"
	"github.com/perdure/perdure/broker/brokertest"
	"github.com/perdure/perdure/schemas"
)

// TestAudit_OnThreeServers is the same with three replicas, where a read may be answered
// by a server that is behind.
func TestAudit_OnThreeServers(t *testing.T) {
	t.Parallel()
	group := brokertest.Cluster(t)
	g := newGates()
	s := setupWith(t, func(c *broker.Config) { c.Dir, c.URL, c.Durability = "", group.URL(), broker.Quorum }, append(g.all(), g.journeys())...)
	s.cfg.SuspendAfter = time.Millisecond
	stop := s.start()
	var asleep []schemas.Ref
	for i := range 10 {
		r := ref("journey", fmt.Sprint(i), fmt.Sprint(i))
		asleep = append(asleep, r)
		s.send(r, "", "10h")
		s.send(ref("account", "a", fmt.Sprint(i)), "write", "x")
	}
	s.clean() // while they begin, or have
	for _, r := range asleep {
		s.untilStatus(r, "suspended")
		s.idle(r.Identity)
	}
	head := ref("account", "a", "9")
	s.end(head)
	s.idle(head.Identity)
	s.clean()
	stop()
	if err := s.b.Schedules().CancelRun(s.ctx, asleep[3]); err != nil {
		t.Fatal(err)
	}
	s.found(actors.FoundLostRun, asleep[3].String())
	env := &schemas.Envelope{Type: schemas.Envelope_WAKE, Id: "t", Run: string(head.ID), Path: "t"}
	if err := s.b.Schedules().Set(s.ctx, head.Identity, broker.TimerID(head.ID, "t"), time.Now().Add(10*time.Hour), env); err != nil {
		t.Fatal(err)
	}
	s.found(actors.FoundStraySchedule, head.String()) // which is published again, to be due now
	s.start()
	s.until("a wake-up stands again", func() bool { return len(s.timers(asleep[3].Identity)) == 1 })
	s.idle(asleep[3].Identity)
	s.idle(head.Identity)
	if n := g.times("first"); n != len(asleep) {
		t.Errorf("the first steps of %d runs were executed %d times", len(asleep), n)
	}
	s.clean()
}
