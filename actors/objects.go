package actors

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/perdure/perdure/broker"
	"github.com/perdure/perdure/schemas"
	"google.golang.org/protobuf/proto"
)

// Objects, payloads that are too large for a message, are removed with the record
// of the run that they are of. What is left then, or is of no run (a message that
// was never accepted, a result that came too late, a dead letter that was
// removed), is looked for from time to time.

// removeObjects removes the objects of runs of an identity whose records were
// removed, and those of states that later ones have replaced; archived are those
// that a record in the archive names.
func removeObjects(ctx context.Context, b *broker.Broker, id schemas.Identity, runs []schemas.Ref, archived map[string]bool) error {
	names, err := b.Blobs().Of(ctx, id)
	if err != nil || len(names) == 0 {
		return err
	}
	kept, err := stateObject(ctx, b, id)
	if err != nil {
		return err
	}
	var dead map[string]bool
	for _, name := range names {
		run, err := broker.BlobRun(name)
		if err != nil || name == kept || archived[name] {
			continue
		}
		switch {
		case slices.Contains(runs, run):
		case strings.HasPrefix(lastPart(name), stateBlob):
			// A run has a record before its state is stored: of one that has none
			// any more nobody stores a state at this moment.
			if _, ok, err := b.Journal().Last(ctx, run); err != nil || ok {
				if err != nil {
					return err
				}
				continue
			}
		default:
			continue
		}
		if dead == nil {
			if dead, err = deadObjects(ctx, b, id); err != nil {
				return err
			}
		}
		if dead[name] {
			continue
		}
		if err := b.Blobs().Delete(ctx, name); err != nil {
			return err
		}
	}
	return nil
}

// removeLeft removes objects of an identity that an entry of its run has replaced,
// that of a ledger, or of a run that continues as new. What the entry names stays, and
// so does what is of messages, which may be on their way, of a state, and of another
// run that is no ledger's: those go with their record.
func removeLeft(ctx context.Context, b *broker.Broker, run schemas.Ref, names []string, part string) error {
	for _, name := range names {
		last := lastPart(name)
		if strings.HasPrefix(last, part+"-") || strings.HasPrefix(last, messageBlob) || strings.HasPrefix(last, stateBlob) {
			continue
		}
		if of, err := broker.BlobRun(name); err != nil || of != run && !run.Kind.IsLedger() {
			continue
		}
		if err := b.Blobs().Delete(ctx, name); err != nil {
			return err
		}
	}
	return nil
}

func lastPart(name string) string { return name[strings.LastIndexByte(name, '/')+1:] }

// stateObject names the object of an identity's state; empty for none.
func stateObject(ctx context.Context, b *broker.Broker, id schemas.Identity) (string, error) {
	v, _, err := b.State().Get(ctx, id)
	return v.GetValue().GetBlob().GetName(), err
}

// deadObjects are the objects of an identity's dead letters.
func deadObjects(ctx context.Context, b *broker.Broker, id schemas.Identity) (map[string]bool, error) {
	letters, err := b.Inbox().DeadLetters(ctx, id.Kind, id.Key, 0, 0)
	if err != nil {
		return nil, err
	}
	names := map[string]bool{}
	for _, d := range letters {
		env := &schemas.Envelope{}
		if proto.Unmarshal(d.Data, env) == nil { // otherwise it is no message of ours
			payloads(env, func(p *schemas.Payload) { names[p.GetBlob().GetName()] = true })
		}
	}
	return names, nil
}

// collect removes the partition's objects that are older than horizon and that
// nothing refers to: their run has no journal, and no message that waits, no dead
// letter and no state names them. Of a run that continues as new they are those of
// messages that earlier generations took.
func (u *pump) collect(ctx context.Context, horizon time.Time) error {
	b := u.host.cfg.Broker
	names, err := b.Blobs().In(ctx, u.p)
	if err != nil {
		return err
	}
	for run, names := range objectsByRun(names) {
		if mine, err := u.mine(ctx, run.Kind); err != nil || !mine {
			if err != nil {
				return err
			}
			continue
		}
		err := strayObjects(ctx, b, run, names, horizon, func(name string) error { return b.Blobs().Delete(ctx, name) })
		if err != nil {
			return err
		}
	}
	return nil
}

func objectsByRun(names []string) map[schemas.Ref][]string {
	of := map[schemas.Ref][]string{}
	for _, name := range names {
		if run, err := broker.BlobRun(name); err == nil {
			of[run] = append(of[run], name)
		}
	}
	return of
}

// mine reports whether the objects of a kind are this host's to remove: it hosts
// the kind, or nobody does.
func (u *pump) mine(ctx context.Context, kind schemas.Kind) (bool, error) {
	if u.host.kinds[kind] != nil {
		return true, nil
	}
	hosted, err := u.host.cfg.Broker.Inbox().Hosted(ctx, kind)
	return !hosted && err == nil, err
}

// strayObjects calls each with those of the names of objects of a run that are older
// than horizon and that nothing refers to, until that fails.
func strayObjects(ctx context.Context, b *broker.Broker, run schemas.Ref, names []string, horizon time.Time, each func(name string) error) error {
	if last, ok, err := b.Journal().Last(ctx, run); err != nil {
		return err
	} else if ok {
		if last.Entry.GetRecord() != nil {
			return nil // they go with it
		}
		return strayTaken(ctx, b, run, names, horizon, each)
	}
	kept, err := stateObject(ctx, b, run.Identity)
	if err != nil {
		return err
	}
	var used map[string]bool
	for _, name := range names {
		at, ok, err := b.Blobs().Stored(ctx, name)
		if err != nil {
			return err
		}
		if !ok || name == kept || at.After(horizon) {
			continue
		}
		if used == nil {
			if used, err = usedObjects(ctx, b, run); err != nil {
				return err
			}
			s, _, err := b.Archive().Get(ctx, run)
			if err != nil {
				return err
			}
			maps.Copy(used, namedBy(map[schemas.Ref]*schemas.Entry{run: s.Entry}))
		}
		if used[name] {
			continue
		}
		// A task leaves the inbox after its run is in the journal.
		if _, ok, err := b.Journal().Last(ctx, run); ok || err != nil {
			return err
		}
		if err := each(name); err != nil {
			return err
		}
	}
	return nil
}

// strayTaken is [strayObjects] of the objects of messages to an open run that its
// journal does not name any more: it has continued as new since it took them, and goes
// on for years, maybe.
func strayTaken(ctx context.Context, b *broker.Broker, run schemas.Ref, names []string, horizon time.Time, each func(name string) error) error {
	var old []string
	for _, name := range names {
		if !strings.HasPrefix(lastPart(name), messageBlob) {
			continue
		}
		at, ok, err := b.Blobs().Stored(ctx, name)
		if err != nil {
			return err
		}
		if ok && !at.After(horizon) {
			old = append(old, name)
		}
	}
	if len(old) == 0 {
		return nil
	}
	// in this order: a message leaves the inbox after its run's journal names it
	used, err := usedObjects(ctx, b, run)
	if err != nil {
		return err
	}
	entries, err := b.Journal().Entries(ctx, run)
	if err != nil || len(entries) == 0 || !entries[0].Entry.Replaces() || entries[len(entries)-1].Entry.GetRecord() != nil {
		return err
	}
	for _, s := range entries {
		maps.Copy(used, namedBy(map[schemas.Ref]*schemas.Entry{run: s.Entry}))
	}
	for _, name := range old {
		if used[name] {
			continue
		}
		if err := each(name); err != nil {
			return err
		}
	}
	return nil
}

// usedObjects are those that messages to the run's identity name.
func usedObjects(ctx context.Context, b *broker.Broker, run schemas.Ref) (map[string]bool, error) {
	before, err := deadObjects(ctx, b, run.Identity) // one of which may be sent again now
	if err != nil {
		return nil, err
	}
	waiting, err := b.Inbox().Pending(ctx, run.Identity, 0)
	if err != nil && !errors.Is(err, broker.ErrUnknownKind) {
		return nil, err
	}
	used, err := deadObjects(ctx, b, run.Identity) // or have been put aside now
	if err != nil {
		return nil, err
	}
	maps.Copy(used, before)
	for _, d := range waiting {
		if d.Envelope != nil {
			payloads(d.Envelope, func(p *schemas.Payload) { used[p.GetBlob().GetName()] = true })
		}
	}
	return used, nil
}
