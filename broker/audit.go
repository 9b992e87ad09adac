package broker

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/perdure/perdure/schemas"
)

// An Audit looks at what is stored of a namespace, of one of its pools or of all, for
// who compares what should be where. It walks over a partition at a time, and holds
// nothing of it.
type Audit struct {
	b     *Broker
	pools []auditPool
}

// An auditPool is a pool with its streams; a stream that is not there is nil.
type auditPool struct {
	names         Names
	inbox, timers *reader
}

// OwnAudit returns the audit of the pool of this node.
func (b *Broker) OwnAudit() *Audit {
	return &Audit{b, []auditPool{{b.names, b.inbox, b.timers}}}
}

// Audit returns the audit of all pools that the namespace has.
func (b *Broker) Audit(ctx context.Context) (*Audit, error) {
	a := &Audit{b: b}
	pools, err := b.Inbox().Pools(ctx)
	if err != nil {
		return nil, err
	}
	kinds, err := a.Kinds(ctx)
	if err != nil {
		return nil, err
	}
	for pool := range kinds {
		pools = append(pools, pool)
	}
	slices.Sort(pools)
	for _, pool := range slices.Compact(pools) {
		p := auditPool{names: b.names}
		p.names.pool = pool
		var ierr, terr error
		p.inbox, ierr = a.reader(ctx, p.names.InboxStream())
		p.timers, terr = a.reader(ctx, p.names.TimersStream())
		if err := errors.Join(ierr, terr); err != nil {
			return nil, err
		}
		a.pools = append(a.pools, p)
	}
	return a, nil
}

// reader returns the reader of a stream, nil if there is none.
func (a *Audit) reader(ctx context.Context, stream string) (*reader, error) {
	r, err := a.b.inboxNamed(ctx, stream)
	if errors.Is(err, ErrNoNamespace) {
		return nil, nil
	}
	return r, err
}

// A LastEntry is the last entry of a run, in the journals or among those that were moved.
type LastEntry struct {
	schemas.Stored
	More   bool      // its run has, or had just now, entries before it there
	Copy   uint64    // of a run that was moved: the sequence that it has now; 0 otherwise
	Copied time.Time // and when that was stored
}

// Lasts yields the last entry of every run of a partition, in the order in which they
// were stored: at least those of what was there when it began, and did not change. One
// that cannot be read is yielded with an error, and Lasts goes on; with an error and no
// sequence it ends.
func (a *Audit) Lasts(ctx context.Context, p schemas.Partition) iter.Seq2[LastEntry, error] {
	return func(yield func(LastEntry, error) bool) {
		n, runs := a.b.names, a.b.runs
		fail := func(err error) { yield(LastEntry{}, fmt.Errorf("look at the journals of partition %v: %w", p, err)) }
		info, err := runs.info(ctx, n.runFilter(p))
		if err != nil {
			fail(err)
			return
		}
		more := map[string]bool{}
		for subject, entries := range info.State.Subjects {
			if entries > 1 {
				more[subject] = true
			}
		}
		info.State.Subjects = nil
		for m, err := range runs.follow(ctx, n.runFilter(p), n.past(n.runFilter(p))) {
			switch {
			case err != nil:
				fail(err)
				return
			case m.subject == "" || m.seq > info.State.Last:
				return
			}
			s, err := a.b.Journal().stored(m)
			if err != nil {
				err = fmt.Errorf("look at the journals of partition %v: %w", p, err)
			}
			last := LastEntry{Stored: s, More: more[m.subject]}
			if n.isPast(m.subject) {
				last.Copy, last.Copied = m.seq, m.time
			} else {
				last.Seq = m.seq
			}
			if !yield(last, err) {
				return
			}
		}
	}
}

// LastSequence returns the last sequence that the journals' stream has given.
func (a *Audit) LastSequence(ctx context.Context) (uint64, error) {
	info, err := a.b.runs.info(ctx, "")
	if err != nil {
		return 0, fmt.Errorf("look at the journals: %w", err)
	}
	return info.State.Last, nil
}

// Below reports whether the journal of a run has entries before a sequence.
func (a *Audit) Below(ctx context.Context, ref schemas.Ref, seq uint64) (bool, error) {
	m, ok, err := a.b.runs.get(ctx, query{Seq: 1, NextBy: a.b.names.RunSubject(ref)})
	if err != nil {
		return false, fmt.Errorf("look for entries of %v before %d: %w", ref, seq, err)
	}
	return ok && m.seq < seq, nil
}

// Concerning yields the messages to an identity that are not acknowledged, its wake-ups
// first. Of one that cannot be decoded Bad says why: it may be of a newer version.
func (a *Audit) Concerning(ctx context.Context, id schemas.Identity) iter.Seq2[Delivery, error] {
	return func(yield func(Delivery, error) bool) {
		for _, p := range a.pools {
			for _, q := range []struct {
				r      *reader
				filter string
			}{{p.timers, p.names.WakeSubject(id)}, {p.inbox, p.names.InSubject("*", id)}} {
				if q.r == nil {
					continue
				}
				for m, err := range q.r.scan(ctx, q.filter, 0) {
					if err != nil {
						yield(Delivery{}, fmt.Errorf("list the messages of %v: %w", id, err))
						return
					}
					if !yield(a.b.delivery(q.r.stream, m), nil) {
						return
					}
				}
			}
		}
	}
}

// A Stated is a state as it is stored.
type Stated struct {
	Identity schemas.Identity
	Revision uint64
	State    *schemas.State // nil if it was deleted by hand
	Subject  string
}

// States yields every state. One that cannot be read is yielded with an error, and
// States goes on; with an error and no revision it ends.
func (a *Audit) States(ctx context.Context) iter.Seq2[Stated, error] {
	return func(yield func(Stated, error) bool) {
		prefix := "$KV." + a.b.names.StateBucket() + "."
		for m, err := range a.b.state.scan(ctx, prefix+">", 0) {
			if err != nil {
				yield(Stated{}, fmt.Errorf("list the states: %w", err))
				return
			}
			s := Stated{Revision: m.seq, Subject: m.subject}
			kind, key, _ := strings.Cut(strings.TrimPrefix(m.subject, prefix), ".")
			s.Identity.Kind = schemas.Kind(kind)
			s.Identity.Key, err = schemas.DecodeToken(key)
			if err == nil {
				err = s.Identity.Validate()
			}
			if err == nil && !absent(m) {
				s.State, err = decodeState(m)
			}
			if err != nil {
				err = fmt.Errorf("state on %s: %w: %w", m.subject, ErrIncompatible, err)
			}
			if !yield(s, err) {
				return
			}
		}
	}
}
