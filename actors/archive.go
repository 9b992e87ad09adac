package actors

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/perdure/perdure/broker"
	"github.com/perdure/perdure/runtime"
	"github.com/perdure/perdure/schemas"
)

// Retention by outcome: a record leaves the journals when the retention time is
// over, whatever its outcome, so that what an append costs, and how long a message
// ID is remembered, is the same for all. One that is kept longer is copied into the
// archive before it goes; nothing but a look at it is served from there.

// checkKeep returns what is wrong with how long records are kept.
func (c *Config) checkKeep() error {
	check := func(what string, keep map[schemas.Status]time.Duration) (errs []error) {
		for status, d := range keep {
			if d < c.Retention {
				errs = append(errs, fmt.Errorf("%s are %s for %s: it is at least the retention time, %s", what, StatusName(status), d, c.Retention))
			}
		}
		return errs
	}
	errs := check("runs that are to be kept once they", c.Keep)
	for _, k := range c.Kinds {
		errs = append(errs, check(fmt.Sprintf("%s %q: runs that are to be kept once they", k.Type, string(k.Name)), k.Keep)...)
	}
	return errors.Join(errs...)
}

// keep is how long the records of a kind are kept by outcome, the longest of all if
// status is 0.
func (h *Host) keep(kind *runtime.Kind, status schemas.Status) (d time.Duration) {
	if kind.Ledger != nil {
		return 0 // its records are no runs
	}
	for _, s := range []schemas.Status{schemas.Status_COMPLETED, schemas.Status_FAILED, schemas.Status_CANCELLED} {
		if status != 0 && status != s {
			continue
		}
		k, ok := kind.Keep[s]
		if !ok {
			k = h.cfg.Keep[s]
		}
		d = max(d, k)
	}
	return d
}

// archive copies a record that is about to go into the archive if it is kept longer,
// and returns the copy; nil if it is not. The copy has what is shown of a run: not
// its state and messages, whose effects are true.
func (h *Host) archive(ctx context.Context, s schemas.Stored) (*schemas.Entry, error) {
	rec := s.Entry.GetRecord()
	keep := h.keep(h.kinds[s.Ref.Kind], rec.GetStatus())
	if keep <= h.cfg.Retention {
		return nil, nil
	}
	now, err := h.cfg.Broker.Now(ctx)
	if err != nil {
		return nil, err
	}
	left := keep - now.Sub(s.Time)
	if left < time.Second {
		return nil, nil
	}
	rec.State, rec.Outbox, rec.Rest = nil, nil, nil
	return s.Entry, h.cfg.Broker.Archive().Put(ctx, s, left)
}

// unarchive removes what the archive has of runs whose ID was used again by one
// whose record went without a copy: refs are those that went, by what was copied.
func (h *Host) unarchive(ctx context.Context, id schemas.Identity, refs map[schemas.Ref]*schemas.Entry) error {
	if h.keep(h.kinds[id.Kind], 0) <= h.cfg.Retention {
		return nil // what was archived under other settings goes by itself
	}
	archive := h.cfg.Broker.Archive()
	there, err := archive.Of(ctx, id)
	for _, ref := range there {
		copied, went := refs[ref]
		if went && copied == nil && err == nil {
			err = archive.Delete(ctx, ref)
		}
	}
	return err
}

// namedBy are the objects that entries name.
func namedBy(entries map[schemas.Ref]*schemas.Entry) map[string]bool {
	var names map[string]bool
	for _, e := range entries {
		if e == nil {
			continue
		}
		payloads(e, func(p *schemas.Payload) {
			if name := p.GetBlob().GetName(); name != "" {
				if names == nil {
					names = map[string]bool{}
				}
				names[name] = true
			}
		})
	}
	return names
}

// archived returns the record that the archive has of a run, its payloads read; ok
// is false if it has none.
func archived(ctx context.Context, b *broker.Broker, ref schemas.Ref) (s schemas.Stored, ok bool, err error) {
	s, ok, err = b.Archive().Get(ctx, ref)
	if err == nil && ok {
		err = Fill(ctx, b, s.Entry)
	}
	return s, ok && err == nil, err
}
