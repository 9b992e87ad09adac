package actors_test

import (
	"strings"
	"testing"
	"time"

	"github.com/perdure/perdure/actors"
	"github.com/perdure/perdure/schemas"
)

// auditOf is an audit that waits for little.
func (s *bench) auditOf(repair bool) *actors.AuditReport {
	s.t.Helper()
	report, err := actors.RunAudit(s.ctx, s.b, actors.Audit{Repair: repair, Settle: 200 * time.Millisecond, Overdue: time.Second, Age: time.Nanosecond})
	if err != nil {
		s.t.Fatal(err)
	}
	return report
}

// found holds that an audit finds this alone, changes nothing when it looks, and
// repairs it if it says so; it returns the finding.
func (s *bench) found(kind, subject string) actors.Finding {
	s.t.Helper()
	for range 2 { // looking changes nothing
		s.finds(kind, subject, s.auditOf(false))
	}
	f := s.finds(kind, subject, s.auditOf(true))
	if f.Mends != f.Repaired {
		s.t.Errorf("it was to be repaired: %v, and was: %v: %+v", f.Mends, f.Repaired, f)
	}
	if f.Mends {
		s.clean()
	}
	return f
}

func (s *bench) finds(kind, subject string, report *actors.AuditReport) actors.Finding {
	s.t.Helper()
	if len(report.Findings) != 1 || report.Findings[0].Kind != kind || report.Findings[0].Subject != subject {
		s.t.Fatalf("found %+v, want one %s of %s", report.Findings, kind, subject)
	}
	return report.Findings[0]
}

// clean holds that an audit finds nothing.
func (s *bench) clean() {
	s.t.Helper()
	if report := s.auditOf(false); len(report.Findings) > 0 {
		s.t.Fatalf("found %+v, want nothing", report.Findings)
	}
}

// TestAudit_ARunThatNothingBringsBack deletes what carries a run that is suspended, and
// one whose node died, behind the engine's back.
func TestAudit_ARunThatNothingBringsBack(t *testing.T) {
	t.Parallel()
	g := newGates()
	s := setup(t, g.all()...)
	s.cfg.SuspendAfter = time.Millisecond
	stop := s.start()
	r := ref("account", "a", "1")
	s.send(r, "slumber", "6s")
	s.untilStatus(r, "suspended")
	s.idle(r.Identity)
	s.clean()
	stop()
	if err := s.b.Schedules().CancelRun(s.ctx, r); err != nil {
		t.Fatal(err)
	}
	f := s.found(actors.FoundLostRun, r.String())
	if !strings.Contains(f.Found, "nothing that is stored brings it back") {
		t.Errorf("it says %q", f.Found)
	}
	s.start()
	if got := result[int](s, r); got != 1 {
		t.Errorf("%d lines, want 1", got)
	}
	s.idle(r.Identity)
	s.clean()
}

var _ schemas.Ref
