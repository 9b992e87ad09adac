package actors

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/perdure/perdure/broker"
	"github.com/perdure/perdure/schemas"
	"golang.org/x/sync/errgroup"
)

// What an audit looks at of runs. The order of the reads matters: something carries an
// open run at every moment (P12), and what carries it changes only with an entry of the
// run between. So a run whose last entry is the same before and after the schedules and
// then the messages were read, and of which neither has anything, is carried by nothing.

// partition looks at the runs and schedules of a partition.
func (a *auditor) partition(ctx context.Context, p schemas.Partition) error {
	open := map[schemas.Ref]uint64{} // the last entry of each open run
	wrote := map[schemas.Identity]wrote{}
	var senders []schemas.Ref // that have sent a task with their record
	for last, err := range a.all.Lasts(ctx, p) {
		switch {
		case err != nil && last.Seq == 0:
			return err
		case a.own != nil:
			if err == nil && last.Copy == 0 && a.own[last.Ref.Kind] != nil {
				if rec := last.Entry.GetRecord(); rec == nil {
					open[last.Ref] = last.Seq
				} else if last.More && !rec.GetHistory() {
					a.leftEntries(last)
				}
			}
		case err != nil:
			a.unreadable(fmt.Sprintf("journal entry %d", max(last.Seq, last.Copy)), err)
		case last.Copy != 0 && last.Entry.GetRecord() == nil:
			a.halfCopy(last)
		case last.Entry.GetRecord() == nil:
			open[last.Ref] = last.Seq
			a.report.Runs++
		default:
			a.report.Runs++
			rec := last.Entry.GetRecord()
			if last.More && !rec.GetHistory() && last.Copy == 0 {
				a.leftEntries(last)
			}
			if last.Ref.Kind.IsLedger() { // has neither a state nor tasks
				continue
			}
			if id := last.Ref.Identity; rec.GetStateChanged() && last.Seq > wrote[id].seq {
				wrote[id] = wroteState(last.Stored)
			}
			if sends(rec) {
				senders = append(senders, last.Ref)
			}
		}
	}
	a.report.Open += uint64(len(open))
	if err := a.schedules(ctx, p, open); err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(looksAtOnce)
	for ref, seq := range open {
		g.Go(func() error { return a.lostRun(ctx, ref, seq) })
	}
	for id, w := range wrote {
		g.Go(func() error { return a.stateBehind(ctx, id, w) })
	}
	for _, ref := range senders {
		g.Go(func() error { return a.unsent(ctx, ref) })
	}
	return g.Wait()
}

func (a *auditor) unreadable(what string, err error) {
	a.suspect(suspect{Finding: Finding{
		Kind: FoundUnreadable, Subject: what, Found: err.Error(),
		Repair: "look at it with the version of Perdure that wrote it; what was stored by something else remove by hand",
	}})
}

// schedules looks at the schedules of a partition, and removes the runs that they carry
// from open.
func (a *auditor) schedules(ctx context.Context, p schemas.Partition, open map[schemas.Ref]uint64) error {
	carried := map[schemas.Ref]bool{}
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(looksAtOnce)
	var ended error
	for s, err := range a.all.Schedules(ctx, p) {
		if err != nil && s.Subject == "" {
			ended = err
			break
		}
		a.count(&a.report.Schedules, 1)
		if err != nil {
			if a.own == nil {
				a.unreadable("schedule on "+s.Subject, err)
			}
			continue
		}
		_, is := open[s.Ref]
		switch {
		case is:
			carried[s.Ref] = true
			if late := a.now.Sub(s.Due); !s.Due.IsZero() && late > a.cfg.Overdue {
				a.overdue(s, late)
			}
		case a.own == nil:
			g.Go(func() error { return a.straySchedule(gctx, s) })
		}
	}
	for ref := range carried {
		delete(open, ref)
	}
	return errors.Join(ended, g.Wait())
}

func (a *auditor) overdue(s broker.Standing, late time.Duration) {
	a.suspect(suspect{
		Finding: Finding{
			Kind: FoundOverdueSchedule, Subject: s.Ref.String(),
			Found:  fmt.Sprintf("its wake-up %s was due %s ago, at %s, and has not fired", s.Subject, late.Round(time.Second), s.Due.UTC().Format(time.RFC3339)),
			Repair: "publish the schedule again: the NATS server then looks at it anew; see that its stream has room",
		},
		holds: func(ctx context.Context) (bool, error) { return a.all.Stands(ctx, s) },
		mend:  func(ctx context.Context) error { return a.all.Republish(ctx, s, time.Time{}) },
	})
}

// straySchedule looks at a schedule whose run did not look open.
func (a *auditor) straySchedule(ctx context.Context, s broker.Standing) error {
	look := func(ctx context.Context) (last schemas.Stored, there, stray bool, err error) {
		if stands, err := a.all.Stands(ctx, s); err != nil || !stands {
			return last, false, false, err
		}
		last, there, err = a.b.Journal().Last(ctx, s.Ref)
		return last, there, err == nil && (!there || last.Entry.GetRecord() != nil), err
	}
	last, there, stray, err := look(ctx)
	if err != nil || !stray {
		return err
	}
	f := Finding{Kind: FoundStraySchedule, Subject: s.Ref.String(), Repair: "remove the schedule"}
	mend := func(ctx context.Context) error { return a.all.Unschedule(ctx, s) }
	f.Found = fmt.Sprintf("there is no such run, and its wake-up %s stands", s.Subject)
	if there {
		f.Found = fmt.Sprintf("it has ended, and its wake-up %s stands", s.Subject)
		head, _, err := a.b.Journal().Head(ctx, s.Ref.Identity)
		if err != nil {
			return err
		}
		if head.Seq == last.Seq { // it may be all that brings somebody to settle the record
			f.Repair = "let it be due now: the owner of the run sees that nothing is left to be done, and removes it"
			mend = func(ctx context.Context) error { return a.all.Republish(ctx, s, a.now) }
		}
	}
	a.suspect(suspect{Finding: f, mend: mend, holds: func(ctx context.Context) (bool, error) {
		_, _, stray, err := look(ctx)
		return stray, err
	}})
	return nil
}

// lostRun looks for what brings an open run back.
func (a *auditor) lostRun(ctx context.Context, ref schemas.Ref, seq uint64) error {
	lost, err := a.lost(ctx, ref, seq)
	if err != nil || !lost {
		return err
	}
	a.suspect(suspect{
		Finding: Finding{
			Kind: FoundLostRun, Subject: ref.String(),
			Found:  fmt.Sprintf("it is open, its last entry is %d, and nothing that is stored brings it back: no message of it waits, and no wake-up of it stands", seq),
			Repair: "send it a wake-up: its owner goes on with it from its journal",
		},
		holds: func(ctx context.Context) (bool, error) { return a.lost(ctx, ref, seq) },
		mend:  func(ctx context.Context) error { return a.wake(ctx, ref, seq) },
	})
	return nil
}

// lost reports whether a run is open, as it was at an entry, and nothing carries it.
func (a *auditor) lost(ctx context.Context, ref schemas.Ref, seq uint64) (bool, error) {
	same := func() (bool, error) {
		last, ok, err := a.b.Journal().Last(ctx, ref)
		return ok && last.Seq == seq && last.Entry.GetRecord() == nil, err
	}
	if is, err := same(); err != nil || !is {
		return false, err
	}
	if carried, err := a.carried(ctx, ref); err != nil || carried {
		return false, err
	}
	return same()
}

// carried reports whether a schedule or a message concerns a run.
func (a *auditor) carried(ctx context.Context, ref schemas.Ref) (bool, error) {
	if is, err := a.all.Scheduled(ctx, ref); err != nil || is { // first: it may fire
		return is, err
	}
	for d, err := range a.all.Concerning(ctx, ref.Identity) {
		if err != nil || concerns(d, ref) {
			return err == nil, err
		}
	}
	return false, nil
}

// concerns reports whether a message of an identity is of its run ref: its task, or for
// it. The ID of a task that came without one begins with when its inbox was made, which
// only the nodes of its pool know; it ends with its sequence. One that this version cannot
// read may be.
func concerns(d broker.Delivery, ref schemas.Ref) bool {
	tail := func(id string) string { return id[strings.LastIndexByte(id, '-')+1:] }
	return d.Bad != nil || isTaskOf(d, ref) || d.Envelope.GetRun() == string(ref.ID) || d.NoID && tail(d.Envelope.GetId()) == tail(string(ref.ID))
}

// wake sends a wake-up to a run, named by what it is to see, so that two audits send
// the same one.
func (a *auditor) wake(ctx context.Context, ref schemas.Ref, seq uint64) error {
	id := fmt.Sprintf("audit-%d", seq)
	return Publish(ctx, a.b, schemas.LocalDomain, ref.Identity, &schemas.Envelope{Type: schemas.Envelope_WAKE, Id: id, Path: id, Run: string(ref.ID)})
}

// leftEntries looks for entries below a record that stands for them.
func (a *auditor) leftEntries(last broker.LastEntry) {
	a.suspect(suspect{
		Finding: Finding{
			Kind: FoundLeftEntries, Subject: last.Ref.String(), Note: true,
			Found:  fmt.Sprintf("its journal has entries before its record, %d, which stands for them, and nothing reads them: a node or a server ended, or lost the other, before they were removed", last.Seq),
			Repair: "remove the entries before the record; the owner of the partition does so when it next looks",
		},
		holds: func(ctx context.Context) (bool, error) {
			now, ok, err := a.b.Journal().Unmoved(ctx, last.Ref)
			if err != nil || !ok || now.Seq != last.Seq {
				return false, err
			}
			return a.all.Below(ctx, last.Ref, last.Seq)
		},
		mend: func(ctx context.Context) error { return a.b.Journal().DeleteBefore(ctx, last.Ref, last.Seq) },
	})
}

// halfCopy looks at a copy without a record (decision 33).
func (a *auditor) halfCopy(last broker.LastEntry) {
	if a.now.Sub(last.Copied) < a.cfg.Age {
		return // it may be on its way
	}
	a.suspect(suspect{
		Finding: Finding{
			Kind: FoundHalfCopy, Subject: last.Ref.String(),
			Found:  fmt.Sprintf("the copy by which it was to leave the journals, whose last entry is %d, has no record", last.Copy),
			Repair: "remove the copy: the run is in the journals still; the node does so once the retention time is over",
		},
		holds: func(ctx context.Context) (bool, error) {
			past, whole, err := a.b.Journal().Past(ctx, last.Ref)
			return err == nil && !whole && past.Copy == last.Copy, err
		},
		mend: func(ctx context.Context) error {
			if _, there, err := a.b.Journal().Unmoved(ctx, last.Ref); err != nil || !there {
				if err == nil {
					err = fmt.Errorf("%s is not in the journals, and the copy is all that is left of it", last.Ref)
				}
				return err
			}
			return a.b.Journal().DeletePast(ctx, last.Ref, last.Copy)
		},
	})
}
