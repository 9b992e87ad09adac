package broker

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/perdure/perdure/schemas"
)

// DefaultMaxWaiting is how many messages a pool's inbox holds before clients wait.
const DefaultMaxWaiting = 1_000_000

// maxWaitingKey is where the inbox stream says how many, for clients: a key of the
// stream's metadata. The stream itself has no limit: it would refuse what runs send,
// too, without which they do not end, and the inbox would never be less full.
const maxWaitingKey = "perdure.max_waiting"

const (
	admitFor    = time.Second           // how long what was found of an inbox holds
	admitPart   = 4                     // which part of the room one client takes before it looks again
	admitSlack  = 64                    // how many a client sends behind that time, if the inbox was half empty
	admitPause  = 20 * time.Millisecond // between two looks at one that is full
	admitLook   = 2 * time.Second       // how long a look may take
	admitBlind  = time.Minute           // until the next where the last could not be had
	admitSilent = 3                     // how many looks have no answer before it is believed that none comes
	admitSayFor = time.Minute           // between two lines of the log
)

// An admission lets tasks of clients into an inbox as long as that has room. What is
// found is of a moment: clients that look at the same time may all be let in, so that
// the bound is exceeded by what they send within a second, and near the bound by a
// message each. One that starts a run now and then does not look each time.
type admission struct {
	b       *Broker
	r       *reader
	looking chan struct{} // whoever looks has a token of it, also while the inbox is full

	mu          sync.Mutex
	left        int64     // how many may be sent until it is looked again
	until       time.Time // when it must be
	slack       int64     // how many may be sent all the same
	found, most int64     // when it was looked last
	silent      int       // how many looks in a row had no answer in time
	said        time.Time // when the log last said that the inbox is full
}

// admissions are those of the inboxes that this process has sent to.
type admissions struct {
	byKind     sync.Map // *admission, by schemas.Kind: a kind stays in its pool
	minorities sync.Map // *minority, likewise

	mu       sync.Mutex
	byStream map[string]*admission
}

// Admit returns once the inbox of a kind has room for a task of a client: as long as
// it holds [Config.MaxWaiting] messages that are not acknowledged, Admit waits, unless
// few of them are of the kind: then up to a quarter more are let in. If ctx
// ends first the error matches [ErrFull] and ctx's: nothing was stored. What runs and
// operators send need not be admitted. A kind that nobody hosts is for
// [Inbox.Publish] to refuse.
func (i *Inbox) Admit(ctx context.Context, kind schemas.Kind) error {
	return i.admit(ctx, kind, (*minority).wait)
}

// TryAdmit is [Inbox.Admit] for who does not wait: the error matches [ErrFull] if the
// inbox has no room now.
func (i *Inbox) TryAdmit(ctx context.Context, kind schemas.Kind) error {
	return i.admit(ctx, kind, (*minority).try)
}

func (i *Inbox) admit(ctx context.Context, kind schemas.Kind, how func(*minority, context.Context) error) error {
	a, err := i.b.admissionOf(ctx, kind)
	if errors.Is(err, ErrUnknownKind) {
		return nil
	}
	if err == nil {
		err = how(i.b.minorityOf(a, kind), ctx)
	}
	if err != nil {
		return fmt.Errorf("send a task to kind %q: %w", string(kind), err)
	}
	return nil
}

// admissionOf returns the admission to the inbox of a kind.
func (b *Broker) admissionOf(ctx context.Context, kind schemas.Kind) (*admission, error) {
	if a, ok := b.admissions.byKind.Load(kind); ok {
		return a.(*admission), nil
	}
	r, err := b.inboxOf(ctx, kind)
	if err != nil {
		return nil, err
	}
	s := &b.admissions
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.byStream[r.stream]
	if a == nil {
		a = &admission{b: b, r: r, looking: make(chan struct{}, 1)}
		if s.byStream == nil {
			s.byStream = map[string]*admission{}
		}
		s.byStream[r.stream] = a
	}
	s.byKind.Store(kind, a)
	return a, nil
}

// wait takes one of those that are left, once there is one.
func (k *minority) wait(ctx context.Context) error {
	a := k.a
	again := time.NewTicker(admitFor)
	defer again.Stop()
	for looks := false; !looks; {
		if a.take() || k.take(ctx) {
			return nil
		}
		select {
		case a.looking <- struct{}{}:
			looks = true
		case <-again.C: // whoever looks may wait for long, and of another kind
		case <-ctx.Done():
			return a.full(ctx.Err())
		case <-a.b.link.closed:
			return ErrClosed
		}
	}
	defer func() { <-a.looking }()
	for !a.take() && !k.take(ctx) { // somebody may have looked meanwhile
		room, err := a.look(ctx)
		if err != nil {
			return err
		}
		if room { // which others may have taken by now
			continue
		}
		a.say()
		if err := a.pause(ctx); err != nil {
			return err
		}
	}
	return nil
}

// try is wait for who does not wait until there is room. While somebody else looks, or
// waits, what was found last holds.
func (k *minority) try(ctx context.Context) error {
	a := k.a
	for !a.take() && !k.take(ctx) {
		select {
		case a.looking <- struct{}{}:
			room, err := a.look(ctx)
			<-a.looking
			switch {
			case err != nil:
				return err
			case !room && k.take(ctx):
				return nil
			case !room:
				if err := a.full(nil); err != nil {
					return err
				}
			}
			continue
		default:
		}
		if err := a.full(nil); err != nil {
			return err
		}
		if err := a.pause(ctx); err != nil { // it is looked for the first time
			return err
		}
	}
	return nil
}

// pause waits until it may have changed what is left.
func (a *admission) pause(ctx context.Context) error {
	err := a.b.link.pause(ctx, jitter(admitPause))
	if err == nil || errors.Is(err, ErrClosed) {
		return err
	}
	return a.full(err)
}

// take takes one of those that are left.
func (a *admission) take() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	fresh := time.Now().Before(a.until)
	if a.left <= 0 || !fresh && a.slack <= 0 {
		return false
	}
	a.left--
	if !fresh {
		a.slack--
	}
	return true
}

// look finds out whether there is room, and how much. Where that cannot be said,
// because this client may not ask, or the stream is gone, tasks are let in: whether
// they are taken is then for the server to say. A server that is slow is no such reason: what
// was found last holds, and a few are let in. One that does not answer to the first few
// looks either is taken for one that does not let this client ask.
func (a *admission) look(ctx context.Context) (room bool, err error) {
	short, cancel := context.WithTimeout(ctx, admitLook)
	info, err := a.r.info(short, "")
	slow := short.Err() != nil
	cancel()
	switch {
	case errors.Is(err, ErrClosed):
		return false, err
	case ctx.Err() != nil:
		return false, a.full(ctx.Err())
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case err != nil && slow && (a.most > 0 || a.silent < admitSilent):
		a.silent++
		full := a.most > 0 && a.found >= a.most
		a.left, a.slack, a.until = admitSlack, 0, time.Now().Add(admitFor)
		if full {
			a.left = 0
		}
		return !full, nil
	case err != nil:
		a.b.cfg.Logger.Debug("it cannot be said how much an inbox holds: tasks are sent all the same", "stream", a.r.stream, "error", err)
		a.left, a.until = 1<<62, time.Now().Add(admitBlind)
		return true, nil
	}
	a.silent = 0
	a.found, a.most = max(0, int64(info.State.Messages)-1), maxWaiting(info.Config.Metadata) // without the one that is kept
	a.left, a.slack, a.until = 0, 0, time.Now().Add(admitFor)
	left := a.most - a.found
	if left > 0 {
		a.left = max(1, left/admitPart)
	}
	if left > a.found {
		a.slack = admitSlack
	}
	return left > 0, nil
}

// full is the error of who was not let in; why is what ended its wait. Without a reason
// it is nil if there was room when it was looked last.
func (a *admission) full(why error) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.found < a.most || a.most == 0 { // it was not full when it was looked last, if it was
		if why == nil {
			return nil
		}
		return fmt.Errorf("nothing was sent: %w", why)
	}
	pool := a.r.stream[strings.LastIndex(a.r.stream, inboxInfix)+len(inboxInfix):]
	err := fmt.Errorf("%w: %d messages wait in pool %q, and %d may before clients wait: nothing was sent; send it again later, add a node, or raise MaxWaiting", ErrFull, a.found, pool, a.most)
	if why != nil {
		err = fmt.Errorf("%w: %w", err, why)
	}
	return err
}

// say tells, not too often, that clients wait.
func (a *admission) say() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if now := time.Now(); now.Sub(a.said) >= admitSayFor {
		a.said = now
		a.b.cfg.Logger.Warn("the inbox is full: who starts a run waits until there is room; add a node, or raise MaxWaiting", "stream", a.r.stream, "messages", a.found, "may wait", a.most)
	}
}

// maxWaiting is what the metadata of an inbox stream says.
func maxWaiting(metadata map[string]string) int64 {
	if n, err := strconv.ParseInt(metadata[maxWaitingKey], 10, 64); err == nil && n > 0 {
		return n
	}
	return DefaultMaxWaiting
}

// mind gives a stream the metadata that another description has, and reports whether
// that changed it.
func mind(sc *jetstream.StreamConfig, want map[string]string) (changed bool) {
	for k, v := range want {
		if sc.Metadata[k] == v {
			continue
		}
		if sc.Metadata = maps.Clone(sc.Metadata); sc.Metadata == nil {
			sc.Metadata = map[string]string{}
		}
		sc.Metadata[k], changed = v, true
	}
	return changed
}
