package broker

import (
	"context"
	"errors"
	"fmt"
	"regexp"

	"github.com/nats-io/nats.go"
	"github.com/perdure/perdure/schemas"
)

// A Denied is the error of what NATS does not let this user do. It matches [ErrDenied].
type Denied struct {
	// Subject is what the user may not publish on.
	Subject string
	// Subscribe says that it is to subscribe that is not allowed.
	Subscribe bool
}

// Error names the subject, and who tells the others.
func (d *Denied) Error() string {
	verb := "publish on"
	if d.Subscribe {
		verb = "subscribe to"
	}
	return fmt.Sprintf("%v to %s %s: allow it; 'perdure doctor' tells every permission that is missing", ErrDenied, verb, d.Subject)
}

// Is makes the error match [ErrDenied].
func (d *Denied) Is(target error) bool { return target == ErrDenied }

// A server says it out of turn, and answers nothing to what it did not take.
var violation = regexp.MustCompile(`Permissions Violation for (Publish|Subscription) to "([^"]+)"`)

// deniedBy returns what an error of a connection says is not allowed, or nil.
func deniedBy(err error) *Denied {
	if !errors.Is(err, nats.ErrPermissionViolation) {
		return nil
	}
	m := violation.FindStringSubmatch(err.Error())
	if m == nil {
		return nil
	}
	return &Denied{Subject: m[2], Subscribe: m[1] == "Subscription"}
}

// listen makes the requests that wait for an answer end when the server says that it did
// not take them. A connection of the caller's has the caller's handler: there it is seen
// once an answer has not come.
func (m *mux) listen(cfg *Config) {
	if cfg.Conn != nil {
		return
	}
	nc := m.link.nc
	before := nc.ErrorHandler()
	nc.SetErrorHandler(func(nc *nats.Conn, sub *nats.Subscription, err error) {
		d := deniedBy(err)
		if d != nil && !d.Subscribe && m.refuse(d) {
			return // whoever asked has the error
		}
		if before != nil {
			before(nc, sub, err)
		}
	})
}

// refuse ends the requests that wait for an answer on a subject on which this user may
// not publish. It reports whether there was one.
func (m *mux) refuse(d *Denied) (heard bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, w := range m.waiting {
		if s := w.subject.Load(); s == nil || *s != d.Subject {
			continue
		}
		heard = true
		select {
		case w.ch <- &nats.Msg{Subject: d.Subject}: // of no subscription, as no answer is
		default:
		}
	}
	return heard
}

// subscribed waits until the server has seen a subscription, and returns a [*Denied] if it is
// not allowed: what the server says about it comes before the answer to what follows.
func subscribed(ctx context.Context, l *link, subject string) error {
	if err := flush(ctx, l); err != nil {
		return err
	}
	if d := deniedBy(l.nc.LastError()); d != nil && d.Subscribe && d.Subject == subject {
		return d
	}
	return nil
}

// allowed tries what a node does without waiting for an answer, each so that nothing comes
// of it: what is not allowed would be missed later, and nobody told. The rest is asked while
// the node opens, and refused then.
func (b *Broker) allowed(ctx context.Context) error {
	n := b.names
	id := schemas.Identity{Kind: probeToken, Key: probeToken}
	for _, subject := range []string{
		"$JS.ACK." + n.InboxStream() + "." + probeToken + ".1.1.1.1.1",
		"$JS.API.CONSUMER.MSG.NEXT." + n.InboxStream() + "." + probeToken,
		"$JS.API.CONSUMER.DELETE." + n.RunsStream() + "." + probeToken,
		n.Done(id.Run(probeToken)), n.Live(id.Run(probeToken)), b.mux.prefix + probeToken,
	} {
		if err := b.link.nc.Publish(subject, nil); err != nil {
			return fmt.Errorf("try what a node may do: %w", err)
		}
		if err := flush(ctx, b.link); err != nil {
			return fmt.Errorf("try what a node may do: %w", err)
		}
		if d := deniedBy(b.link.nc.LastError()); d != nil && !d.Subscribe && d.Subject == subject {
			return d
		}
	}
	for _, subject := range []string{n.API(probeToken), "$SRV.PING." + probeToken} {
		sub, err := b.link.nc.SubscribeSync(subject)
		if err != nil {
			return fmt.Errorf("try what a node may do: %w", err)
		}
		err = subscribed(ctx, b.link, subject)
		_ = sub.Unsubscribe() // it fails only where the connection has ended
		if err != nil {
			return err
		}
	}
	return nil
}
