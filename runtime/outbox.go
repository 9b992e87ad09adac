package runtime

import (
	"context"
	"errors"
	"fmt"

	"github.com/perdure/perdure/schemas"
	"golang.org/x/sync/errgroup"
)

// send puts messages out and returns once all of them are accepted.
func (l *live) send(ctx context.Context, out []*Future) *Ending {
	if len(out) == 0 {
		return nil
	}
	if end := l.stale(ctx); end != nil {
		return end
	}
	never := make([]error, len(out))
	err := inOrder(ctx, len(out), func(i int) schemas.Identity { return out[i].msg.to.Identity }, func(ctx context.Context, i int) error {
		f := out[i]
		var err error
		if large := l.tooLarge(f); large != nil {
			err = large
		} else {
			err = l.cfg.Outbox.Send(ctx, f.msg.to.Identity, f.msg.env)
		}
		if undeliverable(err) {
			never[i], err = err, nil
		}
		if err != nil {
			return fmt.Errorf("send to %s: %w", f.msg.to, err)
		}
		return nil
	})
	if err != nil {
		return ending(Restart, err)
	}
	l.undelivered(out, never)
	return nil
}

// inOrder sends n messages: those to one identity one after another, as they
// were issued, those to different ones at the same time.
func inOrder[K comparable](ctx context.Context, n int, to func(int) K, send func(ctx context.Context, i int) error) error {
	switch n {
	case 0:
		return nil
	case 1:
		return send(ctx, 0)
	}
	var keys []K
	by := map[K][]int{}
	for i := range n {
		k := to(i)
		if by[k] == nil {
			keys = append(keys, k)
		}
		by[k] = append(by[k], i)
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(64)
	for _, k := range keys {
		g.Go(func() error {
			for _, i := range by[k] {
				if err := send(ctx, i); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return g.Wait()
}

// undeliverable reports whether a message can never be accepted.
func undeliverable(err error) bool {
	return errors.Is(err, ErrNotFound) || errors.Is(err, ErrTooLarge) || errors.Is(err, schemas.ErrInvalidName)
}

// tooLarge returns what is wrong with a message whose payload is over the cap.
func (x *Executor) tooLarge(f *Future) *Error {
	n := int64(len(f.msg.env.GetPayload().GetData()))
	if limit := x.cfg.PayloadCap; limit <= 0 || n <= limit {
		return nil
	}
	return Errorf(ErrTooLarge.Code, "the input of %s %s %q to %s has %d bytes; the cap is %d: store it elsewhere and send its name", f.kind, f.path, f.name, f.msg.to, n, x.cfg.PayloadCap)
}

// oversized returns the failure of a run that sends what can never be accepted,
// and would not hear of it: a call fails by itself.
func (l *live) oversized() *Error {
	for _, f := range l.r.issued {
		if f.kind == kindSend && !f.created && !f.idle() {
			if err := l.tooLarge(f); err != nil {
				return err
			}
		}
	}
	return nil
}

// undelivered is what becomes of messages that can never be accepted: each is the
// failure of who waits for its result, and is said. Failures are in the next entry,
// all of them: whoever reads that takes what was put out before it for accepted
// ([run.confirm]), and would wait for the results.
func (l *live) undelivered(out []*Future, never []error) {
	var failed []*schemas.Event
	for i, f := range out {
		if never[i] == nil {
			continue
		}
		l.cfg.Log.Error("a message cannot be delivered", "run", l.r.ref.String(), "to", f.msg.to.String(), "error", never[i])
		if f.kind.answered() && !f.done {
			delete(l.armed, f)
			failed = append(failed, &schemas.Event{Kind: &schemas.Event_CallReturned{CallReturned: &schemas.CallReturned{Path: f.path, Error: EncodeError(never[i])}}})
		}
	}
	for _, e := range failed { // however many there are, they fit into one entry
		why := e.GetCallReturned().GetError()
		why.Message, why.Details = recordable(why.GetMessage(), max(entryBytes/len(failed), maxName)), ""
	}
	l.queue, l.whole = append(failed, l.queue...), len(failed)
}
