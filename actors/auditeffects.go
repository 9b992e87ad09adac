package actors

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/perdure/perdure/broker"
	"github.com/perdure/perdure/schemas"
	"golang.org/x/sync/errgroup"
)

// What an audit looks at of the effects of records: states and messages. A record that
// something carries is settled by whoever takes that up.

// A wrote is the last record of an identity that changed its state.
type wrote struct {
	ref schemas.Ref
	seq uint64
	rev uint64 // of the state that it replaces
}

func wroteState(s schemas.Stored) wrote {
	return wrote{s.Ref, s.Seq, s.Entry.GetRecord().GetStateRevision()}
}

// stateBehind compares a state with the last record that changed it (P17).
func (a *auditor) stateBehind(ctx context.Context, id schemas.Identity, w wrote) error {
	var why string
	var foreign bool // whoever is to settle the record cannot: its owner writes over nothing that it does not know
	behind := func(ctx context.Context) (bool, error) {
		v, rev, err := a.b.State().Get(ctx, id)
		foreign = rev != w.rev && (err != nil || v.GetRun() != "")
		switch {
		case errors.Is(err, broker.ErrIncompatible):
			why = fmt.Sprintf("is none of ours, at revision %d", rev)
		case err != nil:
			return false, err
		case v.GetSequence() >= w.seq:
			return false, nil
		case v == nil:
			why = "is not there"
		case v.GetRun() == "":
			why = fmt.Sprintf("was deleted by hand, at revision %d", rev)
		default:
			why = fmt.Sprintf("is that which run %s left with entry %d", v.GetRun(), v.GetSequence())
		}
		if _, ok, err := a.b.Journal().Last(ctx, w.ref); err != nil || !ok {
			return false, err // its record was removed meanwhile, and all of it was settled
		}
		if foreign {
			return true, nil
		}
		carried, err := a.carried(ctx, w.ref)
		return !carried, err
	}
	is, err := behind(ctx)
	if err != nil || !is {
		return err
	}
	head, _, err := a.b.Journal().Head(ctx, id)
	if err != nil {
		return err
	}
	s := suspect{holds: behind, Finding: Finding{
		Kind: FoundStateBehind, Subject: id.String(),
		Found:  fmt.Sprintf("its state %s; %s left another one with its record, %d", why, w.ref, w.seq),
		Repair: fmt.Sprintf("runs went on without it: read the state in the record of %s (perdure export), and bring it back by a run", w.ref),
	}}
	switch {
	case head.Seq == w.seq && foreign:
		s.Repair = fmt.Sprintf("something else wrote it, and nothing of the identity goes on: delete that value, and resume a run of the identity: the state that %s left is written then", w.ref)
	case head.Seq == w.seq:
		s.Repair = "send the run a wake-up: the owner of the identity writes the state, once nothing of it is in memory"
		s.mend = func(ctx context.Context) error { return a.wake(ctx, w.ref, w.seq) }
	}
	a.suspect(s)
	return nil
}

// sends reports whether a record sends tasks, as far as it says.
func sends(rec *schemas.Record) bool {
	return rec.GetRest() != nil || slices.ContainsFunc(rec.GetOutbox(), isSentTask)
}

// isSentTask reports whether a message of an outbox makes a run of its own: of other
// messages nobody can tell whether they were taken.
func isSentTask(env *schemas.Envelope) bool {
	to, err := schemas.ParseIdentity(env.GetTo())
	return err == nil && env.GetType() == schemas.Envelope_TASK && !to.Kind.IsLedger()
}

// unsent looks for the tasks that a record has sent. Those of a record behind the head
// were sent (P03), and their runs' records may be gone; those of the head's are not
// removed before it is one behind it (P16).
func (a *auditor) unsent(ctx context.Context, ref schemas.Ref) error {
	head, _, err := journal{a.b, a.b.Journal()}.Head(ctx, ref.Identity)
	if err != nil || head.Ref != ref {
		return err
	}
	for _, env := range head.Entry.GetRecord().GetOutbox() {
		if !isSentTask(env) {
			continue
		}
		to, err := schemas.ParseIdentity(env.GetTo())
		if err != nil {
			return err
		}
		run := to.Run(schemas.RunID(env.GetId()))
		missing := func(ctx context.Context) (bool, error) { return a.missing(ctx, head, run) }
		if is, err := missing(ctx); err != nil || !is {
			if err != nil {
				return err
			}
			continue
		}
		a.suspect(suspect{
			Finding: Finding{
				Kind: FoundUnsentMessage, Subject: run.String(),
				Found:  fmt.Sprintf("%s has sent it with its record, %d, and it is neither a run nor a message that waits nor a dead letter", ref, head.Seq),
				Repair: "send the message again, with its ID",
			},
			holds: missing,
			mend:  func(ctx context.Context) error { return outbox{a.b, schemas.LocalDomain}.Send(ctx, to, env) },
		})
	}
	return nil
}

// missing reports whether nobody has the task that makes a run, and the record that
// sent it is the head, and carried by nothing.
func (a *auditor) missing(ctx context.Context, sender schemas.Stored, run schemas.Ref) (bool, error) {
	for d, err := range a.all.Concerning(ctx, run.Identity) { // first: it leaves once its run is there
		if err != nil || concerns(d, run) {
			return false, err
		}
	}
	if _, ok, err := a.b.Journal().Last(ctx, run); err != nil || ok {
		return false, err
	}
	if hosted, err := a.b.Inbox().Hosted(ctx, run.Kind); err != nil || !hosted {
		return false, err // it cannot be delivered, which was said
	}
	dead, err := a.b.Inbox().DeadLetters(ctx, run.Kind, run.Key, 0, 0)
	if err != nil || slices.ContainsFunc(dead, func(d broker.DeadLetter) bool { return d.ID == string(run.ID) }) {
		return false, err
	}
	if carried, err := a.carried(ctx, sender.Ref); err != nil || carried {
		return false, err
	}
	head, _, err := a.b.Journal().Head(ctx, sender.Ref.Identity)
	return err == nil && head.Seq == sender.Seq, err
}

// states looks for states that no run can have left.
func (a *auditor) states(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(looksAtOnce)
	var ended error
	for s, err := range a.all.States(ctx) {
		if err != nil && s.Revision == 0 {
			ended = err
			break
		}
		a.count(&a.report.States, 1)
		switch {
		case err != nil:
			a.unreadable("state on "+s.Subject, err)
		case s.State != nil:
			g.Go(func() error { return a.stateAhead(ctx, s.Identity, s.State) })
		}
	}
	return errors.Join(ended, g.Wait())
}

// stateAhead looks for a record that can have left a state, as it was read.
func (a *auditor) stateAhead(ctx context.Context, id schemas.Identity, v *schemas.State) error {
	var found string
	ahead := func(ctx context.Context, v *schemas.State) (bool, error) {
		if v.GetRun() == "" {
			return false, nil
		}
		head, ok, err := a.b.Journal().Head(ctx, id)
		if err != nil {
			return false, err
		}
		if ok {
			found = fmt.Sprintf("its state says that run %s left it with entry %d, and the last entry of the identity is %d", v.GetRun(), v.GetSequence(), head.Seq)
			return v.GetSequence() > head.Seq, nil
		}
		last, err := a.lastSequence(ctx, v.GetSequence())
		found = fmt.Sprintf("its state says that run %s left it with entry %d, and the journals have had %d entries", v.GetRun(), v.GetSequence(), last)
		return v.GetSequence() > last, err
	}
	is, err := ahead(ctx, v)
	if errors.Is(err, broker.ErrIncompatible) || err == nil && !is { // who cannot read it has said so
		return nil
	} else if err != nil {
		return err
	}
	again := func(ctx context.Context) (bool, error) {
		v, _, err := a.b.State().Get(ctx, id) // before the head, which it cannot overtake
		if err != nil {
			return false, err
		}
		return ahead(ctx, v)
	}
	a.suspect(suspect{holds: again, Finding: Finding{
		Kind: FoundStateAhead, Subject: id.String(), Found: found,
		Repair: "the journals are older than the states, or something else wrote this one, and what runs leave is not written over it: find out which; bring back the backup that they were in together, or delete the state",
	}})
	return nil
}

// lastSequence returns the last sequence of the journals, read again if seq is above
// what was read before.
func (a *auditor) lastSequence(ctx context.Context, seq uint64) (uint64, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	var err error
	if seq > a.last {
		a.last, err = a.all.LastSequence(ctx)
	}
	return a.last, err
}

// objects looks for large payloads of a partition that nothing refers to (P18).
func (a *auditor) objects(ctx context.Context, p schemas.Partition) error {
	names, err := a.b.Blobs().In(ctx, p)
	if err != nil {
		return err
	}
	a.report.Objects += uint64(len(names))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(looksAtOnce)
	horizon := a.now.Add(-a.cfg.Age)
	for run, names := range objectsByRun(names) {
		g.Go(func() error {
			return strayObjects(ctx, a.b, run, names, horizon, func(name string) error {
				is := func(ctx context.Context) (stray bool, err error) {
					err = strayObjects(ctx, a.b, run, []string{name}, horizon, func(string) error { stray = true; return nil })
					return stray, err
				}
				a.suspect(suspect{
					Finding: Finding{
						Kind: FoundStrayObject, Subject: name, Found: "no run, message, dead letter or state refers to the object",
						Repair: "remove it; the node does so once the retention time is over",
					},
					holds: is,
					mend:  func(ctx context.Context) error { return a.b.Blobs().Delete(ctx, name) },
				})
				return nil
			})
		})
	}
	return g.Wait()
}
