package actors_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/perdure/perdure/actors"
	"github.com/perdure/perdure/broker"
	"github.com/perdure/perdure/broker/brokertest"
	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/runtime"
	"github.com/perdure/perdure/schemas"
	"google.golang.org/protobuf/proto"
)

// quick is an audit that waits for little.
var quick = actors.Audit{Settle: 300 * time.Millisecond, Overdue: time.Second, Age: time.Nanosecond}

// audit looks through the namespace.
func (s *bench) audit(repair bool) *actors.AuditReport {
	s.t.Helper()
	a := quick
	a.Repair = repair
	report, err := actors.RunAudit(s.ctx, s.b, a)
	if err != nil {
		s.t.Fatal(err)
	}
	return report
}

// finds holds that an audit finds one thing of this kind, whatever else.
func (s *bench) finds(kind, subject string, report *actors.AuditReport) (found actors.Finding) {
	s.t.Helper()
	n := 0
	for _, f := range report.Findings {
		if f.Kind == kind {
			found = f
			n++
		}
	}
	if n != 1 || found.Subject != subject {
		s.t.Fatalf("found %+v, want one %s of %s", report.Findings, kind, subject)
	}
	return found
}

// found holds that audits find one thing of this kind, that looking changes nothing, and
// that it is repaired if it says so.
func (s *bench) found(kind, subject string) actors.Finding {
	s.t.Helper()
	s.finds(kind, subject, s.audit(false))
	f := s.finds(kind, subject, s.audit(true))
	if f.Mends != f.Repaired {
		s.t.Fatalf("it was to be repaired: %v, and was: %v: %+v", f.Mends, f.Repaired, f)
	}
	if !f.Mends {
		s.finds(kind, subject, s.audit(false))
		return f
	}
	for _, f := range s.audit(false).Findings {
		if f.Kind == kind {
			s.t.Errorf("it was repaired, and there is %+v", f)
		}
	}
	return f
}

// clean holds that an audit finds nothing.
func (s *bench) clean() {
	s.t.Helper()
	if report := s.audit(false); len(report.Findings) > 0 {
		s.t.Fatalf("found %+v, want nothing", report.Findings)
	}
}

// api asks JetStream, behind the engine's back.
func (s *bench) api(subject string, in any) (answer map[string]any) {
	s.t.Helper()
	body, err := json.Marshal(in)
	if err != nil {
		s.t.Fatal(err)
	}
	m, err := s.b.Conn().RequestWithContext(s.ctx, "$JS.API."+subject, body)
	if err == nil {
		err = json.Unmarshal(m.Data, &answer)
	}
	if err != nil || answer["error"] != nil {
		s.t.Fatalf("%s: %v, %v", subject, err, answer)
	}
	return answer
}

// purge removes what a stream has on a subject.
func (s *bench) purge(stream, subject string) {
	s.t.Helper()
	if n := s.api("STREAM.PURGE."+stream, map[string]any{"filter": subject})["purged"]; n == 0.0 {
		s.t.Fatalf("nothing was on %s", subject)
	}
}

// store stores a message on a subject, behind the engine's back.
func (s *bench) store(subject string, m proto.Message) {
	s.t.Helper()
	data, err := proto.Marshal(m)
	if err != nil {
		s.t.Fatal(err)
	}
	if answer, err := s.b.Conn().RequestWithContext(s.ctx, subject, data); err != nil || strings.Contains(string(answer.Data), "error") {
		s.t.Fatalf("store on %s: %v, %+v", subject, err, answer)
	}
}

var journey = durable.DeclareWorkflow[string, int]("journey")

// journeys are runs of a step, a sleep and another step.
func (g *gates) journeys() *runtime.Kind {
	return durable.Workflow(journey, func(ctx durable.Context, sleep string) (int, error) {
		wait, err := time.ParseDuration(sleep)
		if err != nil {
			return 0, err
		}
		step := func(name string) error {
			_, err := durable.Step(ctx, name, func(context.Context) (int, error) {
				g.done(name)
				return 0, nil
			})
			return err
		}
		if err := step("first"); err != nil {
			return 0, err
		}
		if err := durable.Sleep(ctx, wait); err != nil {
			return 0, err
		}
		if err := step("last"); err != nil {
			return 0, err
		}
		return g.times("first")*10 + g.times("last"), nil
	})
}

// TestAudit_ARunThatNothingBringsBack deletes what carries a run: the wake-up of one
// that is suspended, and the task of one that a node was executing.
func TestAudit_ARunThatNothingBringsBack(t *testing.T) {
	t.Parallel()
	g := newGates()
	s := setup(t, append(g.all(), g.journeys())...)
	s.cfg.SuspendAfter, s.cfg.Grace = time.Millisecond, time.Millisecond
	stop := s.start()
	asleep, held := ref("journey", "asleep", "asleep"), ref("account", "held", "1")
	s.send(asleep, "", "10h")
	s.untilStatus(asleep, "suspended")
	s.idle(asleep.Identity)
	s.send(held, "hold", "gate")
	s.until("a step is in flight", func() bool { return g.times("gate") == 1 })
	s.clean()
	stop()
	if err := s.b.Schedules().CancelRun(s.ctx, asleep); err != nil {
		t.Fatal(err)
	}
	f := s.found(actors.FoundLostRun, asleep.String())
	if !strings.Contains(f.Found, "nothing that is stored brings it back") {
		t.Errorf("it says %q", f.Found)
	}
	s.purge(s.b.Names().InboxStream(), s.b.Names().InSubject("local", held.Identity))
	s.found(actors.FoundLostRun, held.String())

	g.open("gate")
	s.start()
	if got := result[int](s, held); got != 2 {
		t.Errorf("%d lines, want 2", got)
	}
	s.until("a wake-up stands again", func() bool { return len(s.timers(asleep.Identity)) == 1 })
	s.idle(asleep.Identity)
	s.untilStatus(asleep, "suspended")
	if n := g.times("first"); n != 1 {
		t.Errorf("the step that was recorded was executed %d times", n)
	}
	s.clean()
}

// TestAudit_EachRunFinishesWithEachStepOnce is the whole way of a run that was lost.
func TestAudit_EachRunFinishesWithEachStepOnce(t *testing.T) {
	t.Parallel()
	g := newGates()
	s := setup(t, g.journeys())
	s.cfg.SuspendAfter = time.Millisecond
	s.cfg.SetAlarms(1) // beside it nothing but what is stored wakes it
	stop := s.start()
	r := ref("journey", "a", "a")
	s.send(r, "", "2s")
	s.untilStatus(r, "suspended")
	s.idle(r.Identity)
	stop()
	if err := s.b.Schedules().CancelRun(s.ctx, r); err != nil {
		t.Fatal(err)
	}
	s.found(actors.FoundLostRun, r.String())
	s.start()
	if got := result[int](s, r); got != 11 {
		t.Errorf("its steps were executed %d times each (first, last), want 11", got)
	}
	s.idle(r.Identity)
	s.clean()
}

// TestAudit_TheOwnerOfAPartitionRepairs has no fsck: the node itself finds the run and
// the wake-up.
func TestAudit_TheOwnerOfAPartitionRepairs(t *testing.T) {
	t.Parallel()
	g := newGates()
	s := setup(t, g.journeys())
	s.cfg.SuspendAfter, s.cfg.AuditEvery = time.Millisecond, 50*time.Millisecond
	s.cfg.SetAuditSettle(50 * time.Millisecond)
	s.start()
	r := ref("journey", "a", "a")
	s.send(r, "", "10h")
	s.untilStatus(r, "suspended")
	s.idle(r.Identity)
	if found, _ := s.host.Audited(); found != 0 {
		t.Errorf("found %d things of a namespace that is whole: %s", found, s.log)
	}
	before := s.timers(r.Identity)
	if err := s.b.Schedules().CancelRun(s.ctx, r); err != nil {
		t.Fatal(err)
	}
	s.until("a wake-up stands again", func() bool { return len(s.timers(r.Identity)) == 1 })
	s.idle(r.Identity)
	if now := s.timers(r.Identity); now[0] == before[0] {
		t.Errorf("the wake-up is %s still", now[0])
	}
	s.until("it is counted", func() bool { found, repaired := s.host.Audited(); return found > 0 && repaired == found })
	if log := s.log.String(); !strings.Contains(log, "level=WARN") || !strings.Contains(log, "kind=lost_run subject=journey/a/a") {
		t.Errorf("the log says nothing of it:\n%s", log)
	}
	if n := g.times("first"); n != 1 {
		t.Errorf("the step that was recorded was executed %d times", n)
	}
}

// TestAudit_AnOverdueWakeUp has a server whose store is full when a wake-up is due: it
// never fires again by itself (P13).
func TestAudit_AnOverdueWakeUp(t *testing.T) {
	t.Parallel()
	for _, by := range []string{"fsck", "the owner of its partition"} {
		t.Run(by, func(t *testing.T) {
			t.Parallel()
			srv := brokertest.Server(t, func(c *brokertest.ServerConfig) { c.MaxStore = 4 << 20 })
			g := newGates()
			s := setupWith(t, func(c *broker.Config) { c.Dir, c.URL = "", srv.URL() }, g.journeys())
			s.cfg.SuspendAfter = time.Millisecond
			stop := s.start()
			r := ref("journey", "a", "a")
			s.send(r, "", "6s")
			s.untilStatus(r, "suspended")
			s.idle(r.Identity)
			due := time.Now().Add(8 * time.Second)
			stop() // which would wake it itself
			s.api("STREAM.CREATE.FILL", map[string]any{"name": "FILL", "subjects": []string{"fill"}, "storage": "file", "num_replicas": 1})
			s.until("the store is full", func() bool {
				answer, err := s.b.Conn().RequestWithContext(s.ctx, "fill", make([]byte, 500_000))
				return err != nil || strings.Contains(string(answer.Data), "error")
			})
			s.until("it is due", func() bool { return time.Now().After(due) })
			s.api("STREAM.DELETE.FILL", struct{}{})
			if n := len(s.timers(r.Identity)); n != 1 {
				t.Fatalf("%d wake-ups stand, want the one that is overdue", n)
			}
			if by == "fsck" {
				if f := s.found(actors.FoundOverdueSchedule, r.String()); !strings.Contains(f.Found, "has not fired") {
					t.Errorf("it says %q", f.Found)
				}
			} else {
				s.cfg.AuditEvery = time.Second
				s.cfg.SetAuditSettle(50 * time.Millisecond)
				s.cfg.SetAuditOverdue(time.Second)
			}
			s.start()
			if got := result[int](s, r); got != 11 {
				t.Errorf("its steps were executed %d times each (first, last), want 11", got)
			}
			s.idle(r.Identity)
			s.clean()
		})
	}
}

// TestAudit_AWakeUpOfARunThatIsOverOrNotThere stores wake-ups that nobody waits for.
func TestAudit_AWakeUpOfARunThatIsOverOrNotThere(t *testing.T) {
	t.Parallel()
	g := newGates()
	s := setup(t, g.all()...)
	stop := s.start()
	id := ref("account", "a", "").Identity
	for _, run := range []schemas.RunID{"1", "2"} {
		s.send(id.Run(run), "write", run)
		s.end(id.Run(run))
	}
	s.idle(id)
	stop()
	set := func(r schemas.Ref) {
		t.Helper()
		env := &schemas.Envelope{Type: schemas.Envelope_WAKE, Id: "t", Run: string(r.ID), Path: "t"}
		if err := s.b.Schedules().Set(s.ctx, r.Identity, broker.TimerID(r.ID, "t"), time.Now().Add(10*time.Hour), env); err != nil {
			t.Fatal(err)
		}
	}
	for _, run := range []schemas.RunID{"1", "never"} { // behind the head, and not there
		set(id.Run(run))
		s.found(actors.FoundStraySchedule, id.Run(run).String())
		if left := s.timers(id); len(left) > 0 {
			t.Errorf("%v stands", left)
		}
	}
	set(id.Run("2")) // the head, which may not be settled
	s.found(actors.FoundStraySchedule, id.Run("2").String())
	if n := len(s.fired(id)); n != 1 {
		t.Errorf("%d wake-ups have fired, want the one: the owner is to settle the record", n)
	}
	s.start()
	s.idle(id)
	s.clean()
}
