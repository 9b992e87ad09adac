package actors

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/perdure/perdure/broker"
	"github.com/perdure/perdure/runtime"
	"github.com/perdure/perdure/schemas"
)

// Retention: the owner of a partition removes the records of runs that finished
// longer ago than the retention time, in stream order, by sequence (P16). It
// may, because it sees the partition's inbox: it removes only once everything
// that was there when the sweep began has been delivered to it, so that no
// message of the run can still be on its way.

// sweep removes old records, once.
func (u *pump) sweep(ctx context.Context, feed *broker.Feed) {
	if u.p == 0 {
		if err := u.expireDead(ctx); err != nil && ctx.Err() == nil {
			u.host.cfg.Log.Warn("old dead letters could not be removed", "error", err)
		}
	}
	if err := u.sweepOnce(ctx, feed); err != nil && ctx.Err() == nil {
		u.host.cfg.Log.Warn("old records could not be removed", "partition", u.p.String(), "error", err)
	}
}

func (u *pump) sweepOnce(ctx context.Context, feed *broker.Feed) error {
	b := u.host.cfg.Broker
	mark, err := b.Inbox().Mark(ctx)
	if err != nil {
		return err
	}
	if ok, err := feed.CaughtUp(ctx, mark, u.routed.Load()); err != nil || !ok {
		return err // next time
	}
	now, err := b.Now(ctx)
	if err != nil {
		return err
	}
	horizon := now.Add(-u.host.cfg.Retention)
	old, n := map[schemas.Identity][]expired{}, 0
	kept := map[schemas.Identity]bool{} // what is behind a record that stays, stays
	if n, err = u.oldPast(ctx, horizon, old, kept); err != nil {
		return err
	}
	for s, err := range b.Journal().Walk(ctx, u.p, 0) {
		id := s.Ref.Identity
		if err != nil {
			if s.Seq == 0 {
				return err
			}
			// of a newer version, or damaged: it stays, and what is behind it
			u.host.cfg.Log.Debug("a journal entry is not understood, and stays", "error", err)
			kept[id] = true
			continue
		}
		if s.Time.After(horizon) || n == sweepMax {
			break
		}
		if u.host.kinds[id.Kind] == nil || kept[id] {
			continue
		}
		switch goes, err := u.old(ctx, s, horizon); {
		case err != nil:
			return err
		case !goes:
			kept[id] = true
		case s.Entry.GetRecord() != nil:
			old[id] = append(old[id], expired{s.Ref, s.Seq, false})
			n++
		}
	}
	for id, records := range old {
		if u.lines.hasPutOff(u.lines.hash(id)) {
			continue // a message of one of these runs may be among those that are put off
		}
		u.route(id, expire{records})
	}
	if time.Since(u.collected) < u.host.cfg.Retention/2 {
		return nil
	}
	u.collected = time.Now()
	return u.collect(ctx, horizon)
}

// sweepMax is how many records a sweep removes at most, and sweepYoung over how many
// that were moved, and are not old, it looks for one that is: those of an identity are
// in their order, and one of another, which was moved late, may be behind them. It goes
// when they do, and when its copy is as old at the latest.
const (
	sweepMax   = 16_384
	sweepYoung = 256
)

// oldPast collects the records that were moved and are old, and returns how many. What
// is left of a copy that was never whole it removes.
func (u *pump) oldPast(ctx context.Context, horizon time.Time, old map[schemas.Identity][]expired, kept map[schemas.Identity]bool) (n int, err error) {
	young := 0
	j := u.host.cfg.Broker.Journal()
	for s, err := range j.WalkPast(ctx, u.p) {
		id := s.Ref.Identity
		if err != nil {
			if s.Copy == 0 {
				return n, err
			}
			u.host.cfg.Log.Debug("an entry that was moved is not understood, and stays", "error", err)
			kept[id] = true
			continue
		}
		if s.Time.After(horizon) {
			if young++; young > sweepYoung {
				break
			}
			continue
		}
		if n == sweepMax {
			break
		}
		if u.host.kinds[id.Kind] == nil || kept[id] {
			continue
		}
		if s.Entry.GetRecord() == nil { // it goes with its record
			if s.Copied.After(horizon) {
				continue // which may be on its way
			}
			_, whole, err := j.Past(ctx, s.Ref)
			if err == nil && !whole {
				err = j.DeletePast(ctx, s.Ref, s.Copy)
			}
			if err != nil {
				return n, err
			}
			continue
		}
		switch goes, err := u.old(ctx, s.Stored, horizon); {
		case err != nil:
			return n, err
		case !goes:
			kept[id] = true
		default:
			old[id] = append(old[id], expired{s.Ref, s.Copy, true})
			n++
		}
	}
	return n, nil
}

// old reports whether an entry that is older than the retention time may go.
// One that is left below a record it removes; those that a record keeps go with
// it.
func (u *pump) old(ctx context.Context, s schemas.Stored, horizon time.Time) (bool, error) {
	b := u.host.cfg.Broker
	if s.Entry.GetRecord() == nil {
		// of an open run, or left by a crash between storing a record and purging
		// what is before it: then it goes before the record does (P19)
		last, ok, err := b.Journal().Last(ctx, s.Ref)
		if err != nil || !ok || last.Entry.GetRecord() == nil {
			return false, err
		}
		if last.Entry.GetRecord().GetHistory() {
			return !last.Time.After(horizon), nil
		}
		return true, b.Journal().Delete(ctx, s.Seq)
	}
	if l := u.host.kinds[s.Ref.Kind].Ledger; l != nil {
		state := s.Entry.GetRecord().GetState()
		return state.GetBlob() == nil && l.Idle(state, u.host.now()), nil // what needs an object says something
	}
	parent := s.Entry.GetRecord().GetParent()
	if parent == "" {
		return true, nil
	}
	return u.senderDone(ctx, parent)
}

// senderDone reports whether the run that sent a task can never send it again:
// it is gone, or has a record behind the head of its identity.
func (u *pump) senderDone(ctx context.Context, parent string) (bool, error) {
	ref, err := schemas.ParseRef(parent)
	if err != nil {
		return true, nil // no run of ours
	}
	j := u.host.cfg.Broker.Journal()
	last, ok, err := j.Last(ctx, ref)
	if err != nil || !ok {
		return !ok && err == nil, err
	}
	if last.Entry.GetRecord() == nil {
		return false, nil
	}
	head, _, err := j.Head(ctx, ref.Identity)
	return err == nil && head.Seq > last.Seq, err
}

// expire takes in which records are to be removed. They go between two runs, in
// the identity's own queue, so that nothing of the identity happens meanwhile.
func (a *activation) expire(m expire) { a.due = m.records }

// removeDue begins to remove the records that are due, if no run is open. They
// are the identity's oldest, and go in their order: if a record went before an
// older one, that would be the head again one day, and what it sent would be
// sent again, to runs whose records may be gone. A record stays, and with it
// those behind it, while there is a message of its run: nothing but the record
// says that the run is not to be started again.
func (a *activation) removeDue() bool {
	if len(a.due) == 0 || a.open != nil || a.thinning {
		return false
	}
	records := a.due
	a.due = nil
	held := slices.IndexFunc(records, func(r expired) bool {
		return slices.ContainsFunc(a.items, func(it *item) bool { return it.run == r.ref.ID })
	})
	if held >= 0 {
		records = records[:held]
	}
	if len(records) == 0 {
		return false
	}
	settling := slices.Clone(a.settling)
	return a.begin(records[0].ref.ID, func(ctx context.Context) *runtime.Ending {
		for _, done := range settling { // what is not acknowledged may come again
			select {
			case <-done:
			case <-ctx.Done():
			}
		}
		if ctx.Err() != nil {
			return &runtime.Ending{Kind: runtime.Restart, Err: context.Cause(ctx)}
		}
		return a.removeRecords(ctx, records)
	})
}

// over reports whether done is closed.
func over(done <-chan struct{}) bool {
	select {
	case <-done:
		return true
	default:
		return false
	}
}

var errSwept = errors.New("records were removed")

// removeHistory removes the entries that a record keeps. They go before it: left
// without it they would be a run that is open. So would those of an earlier
// generation, which a server that was killed between storing the entry that replaces
// them and removing them has left: the record, stored without a roll-up, left them
// there, too. Whoever dies in between leaves a record with less before it, which
// goes with the next sweep.
func removeHistory(ctx context.Context, b *broker.Broker, ref schemas.Ref, record schemas.Stored) error {
	if !record.Entry.GetRecord().GetHistory() {
		return nil
	}
	return b.Journal().DeleteBefore(ctx, ref, record.Seq)
}

// removeRecords removes records and what belongs to them. Its ending is Restart,
// for errSwept if all went well: the head may be gone.
func (a *activation) removeRecords(ctx context.Context, records []expired) *runtime.Ending {
	if !a.exec.Known() { // the head is settled before it goes
		if end := a.exec.Open(ctx); end != nil {
			return end
		}
	}
	b := a.pump.host.cfg.Broker
	var gone []schemas.Ref
	archived := map[schemas.Ref]*schemas.Entry{}
	head, moved := a.exec.Head()
	for _, r := range records {
		if r.past {
			went, err := a.removePast(ctx, r, archived)
			if err != nil {
				return &runtime.Ending{Kind: runtime.Restart, Err: err}
			}
			if went {
				gone = append(gone, r.ref)
			}
			continue
		}
		if moved && r.seq == head { // without it nobody would look for those that were moved
			if n, err := b.Journal().PastOf(ctx, a.id); err != nil || n > 0 {
				if err != nil {
					return &runtime.Ending{Kind: runtime.Restart, Err: err}
				}
				break
			}
		}
		last, ok, err := b.Journal().Unmoved(ctx, r.ref)
		switch {
		case err == nil && ok && last.Seq == r.seq:
			if archived[r.ref], err = a.pump.host.archive(ctx, last); err == nil {
				err = removeHistory(ctx, b, r.ref, last)
			}
			if err == nil {
				err = b.Journal().Delete(ctx, r.seq)
			}
		case err == nil && !ok: // it went before, and its objects may be left
			if _, is, err := b.Journal().Past(ctx, r.ref); err != nil || is {
				if err != nil {
					return &runtime.Ending{Kind: runtime.Restart, Err: err}
				}
				continue // it was moved since it was found
			}
			last, ok, err = b.Archive().Get(ctx, r.ref)
			if ok {
				archived[r.ref] = last.Entry
			}
			ok = false
		}
		if err != nil {
			return &runtime.Ending{Kind: runtime.Restart, Err: err}
		}
		if !ok || last.Seq == r.seq { // otherwise the ID is of another run by now
			gone = append(gone, r.ref)
		}
	}
	if err := a.pump.host.unarchive(ctx, a.id, archived); err != nil {
		return &runtime.Ending{Kind: runtime.Restart, Err: err}
	}
	if err := removeObjects(ctx, b, a.id, gone, namedBy(archived)); err != nil {
		return &runtime.Ending{Kind: runtime.Restart, Err: err}
	}
	return &runtime.Ending{Kind: runtime.Restart, Err: errSwept}
}

// removePast removes a record that was moved, with its history. It reports whether
// nothing of its run is left.
func (a *activation) removePast(ctx context.Context, r expired, archived map[schemas.Ref]*schemas.Entry) (gone bool, err error) {
	b := a.pump.host.cfg.Broker
	past, ok, err := b.Journal().Past(ctx, r.ref)
	if err != nil || !ok || past.Copy != r.seq {
		return false, err
	}
	// it may be in the journal still, or its ID is of another run by now
	_, there, err := b.Journal().Unmoved(ctx, r.ref)
	if err == nil && !there {
		archived[r.ref], err = a.pump.host.archive(ctx, past.Stored)
	}
	if err == nil {
		err = b.Journal().DeletePast(ctx, r.ref, past.Copy)
	}
	return !there && err == nil, err
}
