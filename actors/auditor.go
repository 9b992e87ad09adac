package actors

import (
	"context"
	"math/rand/v2"
	"time"
)

// Each owner of a partition looks, some time after it took it and then from time to
// time, for open runs of it that nothing brings back, and for wake-ups that are overdue.
// It sends those a wake-up, by the inbox, and publishes these again: what comes of them
// takes the usual way. Entries below a record, which nothing reads, it removes. Nothing
// rests on it, and it can be switched off.

const (
	// auditSoon is within what time of a take-over the first look is.
	auditSoon = time.Minute
	// auditsAtOnce is how many partitions of a host are looked at at once: what one look
	// has in memory grows with the open runs of a partition.
	auditsAtOnce = 1
)

// auditTimer returns when a partition is looked at for the first time; nil for never.
func (h *Host) auditTimer() *time.Timer {
	if h.cfg.AuditEvery < 0 {
		return nil
	}
	return time.NewTimer(rand.N(min(h.cfg.AuditEvery, auditSoon)))
}

// auditWait is how long it is until the next look: not the same for all partitions.
func (h *Host) auditWait() time.Duration {
	every := h.cfg.AuditEvery
	return every*3/4 + rand.N(every/2+1)
}

// Audited returns how many open runs that nothing brought back, and how many overdue
// wake-ups, this host has found, and how many of both it has repaired.
func (h *Host) Audited() (found, repaired uint64) {
	return h.auditFound.Load(), h.auditRepaired.Load()
}

// audit looks at the partition once.
func (u *pump) audit(ctx context.Context) {
	h := u.host
	select {
	case h.audits <- struct{}{}:
		defer func() { <-h.audits }()
	case <-ctx.Done():
		return
	}
	report, err := u.auditOnce(ctx)
	if err != nil && ctx.Err() == nil {
		h.cfg.Log.Warn("a partition could not be audited; it is tried again later", "partition", u.p.String(), "error", err)
	}
	if n := report.Notes(); n > 0 {
		h.cfg.Log.Info("the auditor has removed journal entries that nothing reads any more", "partition", u.p.String(), "runs", n)
	}
	for _, f := range report.Findings {
		if f.Note {
			continue
		}
		h.auditFound.Add(1)
		if f.Repaired {
			h.auditRepaired.Add(1)
		}
		h.cfg.Log.Warn("the auditor has found what should not be", "kind", f.Kind, "subject", f.Subject, "found", f.Found,
			"repaired", f.Repaired, "repair", f.Repair, "error", f.Error, "so_far", h.auditFound.Load())
	}
}

func (u *pump) auditOnce(ctx context.Context) (*AuditReport, error) {
	b := u.host.cfg.Broker
	a := &auditor{b: b, all: b.OwnAudit(), own: u.host.kinds, cfg: Audit{Repair: true, Settle: u.host.cfg.auditSettle, Overdue: u.host.cfg.auditOverdue}}
	a.cfg.defaults()
	err := a.begin(ctx)
	if err == nil {
		err = a.partition(ctx, u.p)
	}
	if err == nil && u.lease.Valid() {
		err = a.judge(ctx)
	}
	return &a.report, err
}
