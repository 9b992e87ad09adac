package actors_test

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/perdure/perdure/actors"
	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/schemas"
)

var reports = durable.Declare[string, string]("report.write")

// reportKind fails, or returns what was asked for, as often as asked.
func reportKind(opts ...durable.KindOption) *durable.Kind {
	return actors.New(actors.Handlers[durable.None]{actors.On(reports, func(ctx durable.Context, _ *durable.None, in string) (string, error) {
		if err := durable.SetAttribute(ctx, "in", in); err != nil {
			return "", err
		}
		switch in {
		case "fail":
			return "", durable.Fail("no", "no")
		case "large":
			return strings.Repeat("l", 2<<20), nil
		}
		return in, nil
	})}, opts...)
}

// find looks a run up; it is nowhere if the status is empty.
func (s *bench) find(r schemas.Ref) (status string, archived bool) {
	s.t.Helper()
	f, err := actors.Find(s.ctx, s.b, r)
	if err != nil {
		return "", false
	}
	return actors.StatusName(f.Status), f.Archived
}

func (s *bench) archived(r schemas.Ref) bool {
	s.t.Helper()
	_, archived := s.find(r)
	return archived
}

// A record whose outcome is kept longer is shown and listed when it has left the
// journals, also what of it is large, and holds no later one back; its ID is not
// remembered.
func TestKeep_ByOutcome(t *testing.T) {
	t.Parallel()
	s := setup(t, reportKind(durable.Keep(durable.Completed, time.Hour))).sweeping(1500 * time.Millisecond)
	s.cfg.Keep = map[schemas.Status]time.Duration{schemas.Status_FAILED: 10 * time.Hour}
	s.start()
	id := ref("report", "a", "").Identity
	failed, large := id.Run("failed"), id.Run("large")
	s.send(failed, "write", "fail")
	s.fails(failed, "no")
	s.send(large, "write", "large")
	s.end(large)
	for _, r := range []schemas.Ref{failed, large} {
		s.until("the record of "+r.String()+" is in the archive alone", func() bool { return !s.has(r) && s.archived(r) })
	}
	f, err := actors.Find(s.ctx, s.b, large)
	if err != nil || len(f.Record.GetResult().GetData()) != 2<<20+2 {
		t.Errorf("the large result is %d bytes, %v", len(f.Record.GetResult().GetData()), err)
	}
	x := actors.NewIndex(s.ctx, s.b, slog.New(slog.DiscardHandler), nil)
	page, err := x.List(s.ctx, actors.Filter{Where: []string{"in=fail"}}, "", 10)
	if err != nil || len(page.Runs) != 1 || page.Runs[0].Run != failed.String() || page.Runs[0].Status != "failed" || !page.Runs[0].Archived {
		t.Errorf("listed %+v, %v; want the archived run", page.Runs, err)
	}
	if counts, err := x.Count(s.ctx, actors.Filter{}); err != nil || len(counts) != 2 {
		t.Errorf("counted %+v, %v; want one completed and one failed", counts, err)
	}
	// The ID starts another run, which is the one that is found, and, once it is
	// over, the one that is kept.
	s.send(failed, "write", "again")
	if got := result[string](s, failed); got != "again" {
		t.Errorf("the second run of the ID returned %q", got)
	}
	if status, archived := s.find(failed); status != "completed" || archived {
		t.Errorf("the second run of the ID is %s, archived %v", status, archived)
	}
	s.until("the second record is in the archive alone", func() bool { return !s.has(failed) && s.archived(failed) })
	if status, _ := s.find(failed); status != "completed" {
		t.Errorf("the archive has the ID as %s, want the later run", status)
	}
	page, err = x.List(s.ctx, actors.Filter{Status: []string{"failed"}}, "", 10)
	if err != nil || len(page.Runs) != 0 {
		t.Errorf("listed as failed are %+v, %v", page.Runs, err)
	}
}

// What is archived goes by itself, with its objects, and a later run of the ID that
// is not kept takes an earlier one with it.
func TestKeep_IsNotForEver(t *testing.T) {
	t.Parallel()
	s := setup(t, reportKind(durable.Keep(durable.Completed, 4*time.Second), durable.Keep(durable.Failed, 10*time.Hour), durable.Keep(durable.Cancelled, 1500*time.Millisecond))).sweeping(1500 * time.Millisecond)
	s.start()
	large, twice := ref("report", "a", "large"), ref("report", "b", "twice")
	s.send(large, "write", "large")
	s.until("the large one is archived", func() bool { return s.archived(large) })
	s.send(twice, "write", "fail")
	s.until("the other is archived", func() bool { return s.archived(twice) })
	s.until("the large one is gone", func() bool { status, _ := s.find(large); return status == "" })
	s.until("and its object", func() bool { return len(s.blobs()) == 0 })
	// As if its time were over when it leaves the journal.
	s.send(twice, "write", "x")
	s.end(twice)
	s.until("the second run is archived in place of the first", func() bool { status, archived := s.find(twice); return archived && status == "completed" })
	s.until("and goes with it", func() bool { status, _ := s.find(twice); return status == "" })
}

// A crash between the copy and the removal leaves one record, whichever side it is
// looked at from.
func TestKeep_CrashBetweenCopyAndRemoval(t *testing.T) {
	t.Parallel()
	s := setup(t, reportKind()).sweeping(1500 * time.Millisecond)
	s.cfg.Keep = map[schemas.Status]time.Duration{schemas.Status_FAILED: 10 * time.Hour}
	stop := s.start()
	r := ref("report", "a", "1")
	s.send(r, "write", "fail")
	s.end(r)
	stop()
	last, _, err := s.b.Journal().Last(s.ctx, r)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.b.Archive().Put(s.ctx, last, time.Hour); err != nil { // as the one that crashed did
		t.Fatal(err)
	}
	if status, archived := s.find(r); status != "failed" || archived {
		t.Errorf("with both it is %s, archived %v; want what the journal has", status, archived)
	}
	x := actors.NewIndex(s.ctx, s.b, slog.New(slog.DiscardHandler), nil)
	if page, err := x.List(s.ctx, actors.Filter{}, "", 10); err != nil || len(page.Runs) != 1 {
		t.Errorf("listed %+v, %v; want it once", page.Runs, err)
	}
	s.start()
	s.until("it is in the archive alone", func() bool { return !s.has(r) && s.archived(r) })
	if page, err := x.List(s.ctx, actors.Filter{}, "", 10); err != nil || len(page.Runs) != 1 || !page.Runs[0].Archived {
		t.Errorf("listed %+v, %v; want it once, archived", page.Runs, err)
	}
}

func TestKeep_ForLessThanTheRetentionIsRefused(t *testing.T) {
	t.Parallel()
	b := setup(t).b
	for _, cfg := range []actors.Config{
		{Keep: map[schemas.Status]time.Duration{schemas.Status_FAILED: time.Hour}},
		{Kinds: []*durable.Kind{reportKind(durable.Keep(durable.Failed, time.Hour))}},
		{Kinds: []*durable.Kind{reportKind(durable.Keep("lost", 100*time.Hour))}},
	} {
		cfg.Broker = b
		if _, err := actors.NewHost(cfg); err == nil || !strings.Contains(err.Error(), "retention time") && !strings.Contains(err.Error(), `"lost"`) {
			t.Errorf("%+v: %v", cfg, err)
		}
	}
}
