package broker

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/nats-io/nats.go"
)

// A process that is connected to the embedded server of another joins that one's
// rounds: it asks, once for all of its writers, and the answer comes after the fsync.

// newRemoteRounds makes the rounds of a process that is not the server's.
func newRemoteRounds(p *publisher) *rounds {
	r := newRounds(p.askRound)
	r.needed = func() bool { return grouped(p.link.nc) }
	r.still = func(lost <-chan struct{}) error {
		if p.link.look(); isClosed(lost) {
			return errLost
		}
		return nil
	}
	return r
}

// grouped reports whether the server acknowledges before the fsync. Its name says so,
// which is known as soon as there is a connection.
func grouped(nc *nats.Conn) bool {
	name := nc.ConnectedServerName()
	return strings.HasPrefix(name, serverPrefix) && strings.HasSuffix(name, groupedMark)
}

// askRound returns when everything that the server had stored when it was called is on its
// disk.
func (p *publisher) askRound(ctx context.Context) error {
	w := p.mux.register()
	defer p.mux.forget(w)
	wait, pause := ackWait, retryWait
	for {
		name := p.link.nc.ConnectedServerName()
		ns := strings.TrimSuffix(strings.TrimPrefix(name, serverPrefix), groupedMark)
		answer, err := p.try(ctx, w, &nats.Msg{Subject: roundSubject(ns), Reply: w.reply}, wait)
		switch {
		case err == nil && len(answer.Data) == 0:
			return nil
		case err == nil:
			return fmt.Errorf("%w (by the process of server %s: %s)", ErrDisk, name, answer.Data)
		case errors.Is(err, errNoAnswer):
			wait = min(2*wait, ackWaitMax)
		case errors.Is(err, errNoResponders): // it is just starting, or stopping
			if err := p.link.pause(ctx, jitter(pause)); err != nil {
				return err
			}
			pause = min(2*pause, retryWaitMax)
		default:
			return err
		}
	}
}

// servedMax is how many requests of other processes wait at most; above, those that
// come wait in their subscription.
const servedMax = 1024

// servedRounds answers other processes.
type servedRounds struct {
	sub   *nats.Subscription
	queue chan servedRound
	wg    sync.WaitGroup
}

// A servedRound is a request and the round that answers it.
type servedRound struct {
	msg   *nats.Msg
	round *round
}

// serveRounds begins to answer other processes, until the broker closes.
func (b *Broker) serveRounds() error {
	s, r := &b.served, b.pub.rounds
	s.queue = make(chan servedRound, servedMax)
	s.wg.Go(func() {
		for {
			select {
			case q := <-s.queue:
				err := r.wait(r.life, q.round, nil)
				if r.life.Err() != nil {
					return
				}
				var body []byte
				if err != nil {
					body = []byte(err.Error())
				}
				_ = q.msg.Respond(body) // whoever asked asks again
			case <-r.life.Done():
				return
			}
		}
	})
	var err error
	s.sub, err = b.link.nc.Subscribe(roundSubject(b.names.ns), func(m *nats.Msg) {
		select {
		case s.queue <- servedRound{m, r.join()}:
		case <-r.life.Done():
		}
	})
	if err != nil {
		return fmt.Errorf("subscribe to requests for rounds: %w", err)
	}
	return nil
}

// close ends the answers; the rounds have stopped.
func (s *servedRounds) close() {
	if s.sub != nil {
		_ = s.sub.Unsubscribe()
	}
	s.wg.Wait()
}
