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
// rounds: it asks once for all of its writers, and the answer comes after the fsync.

// newRemoteCommits makes the rounds of a process that is not the server's.
func newRemoteCommits(p *publisher) *commits {
	c := newCommits(p.askRound)
	c.needed = func() bool { return grouped(p.link.nc) }
	c.still = func(lost <-chan struct{}) error {
		if p.link.look(); isClosed(lost) {
			return errLost
		}
		return nil
	}
	return c
}

// grouped reports whether the server acknowledges before the fsync. Its name says so,
// which is known as soon as there is a connection.
func grouped(nc *nats.Conn) bool {
	name := nc.ConnectedServerName()
	return strings.HasPrefix(name, serverPrefix) && strings.HasSuffix(name, groupedMark)
}

// askRound returns when everything that the server had stored in a stream when it was
// called is on its disk.
func (p *publisher) askRound(ctx context.Context, stream string, _ int) error {
	w := p.mux.register()
	defer p.mux.forget(w)
	wait, pause := ackWait, retryWait
	for {
		name := p.link.nc.ConnectedServerName()
		ns := strings.TrimSuffix(strings.TrimPrefix(name, serverPrefix), groupedMark)
		answer, err := p.try(ctx, w, &nats.Msg{Subject: roundSubject(ns), Reply: w.reply, Data: []byte(stream)}, wait)
		switch {
		case err == nil && len(answer.Data) == 0:
			return nil
		case err == nil && answer.Header.Get(HeaderCode) == codeAgain:
			if err := p.link.pause(ctx, jitter(pause)); err != nil {
				return err
			}
			return errLost
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

// codeAgain is the code of an answer that says that the stream is not there any more:
// what was stored is to be stored again, if it can be.
const codeAgain = "again"

// servedMax is how many requests of other processes are answered at a time; above,
// those that come wait in their subscription.
const servedMax = 1024

// servedRounds answers other processes.
type servedRounds struct {
	sub  *nats.Subscription
	room chan struct{}
	wg   sync.WaitGroup

	mu     sync.Mutex
	closed bool
}

// serveRounds begins to answer other processes, until the broker closes.
func (b *Broker) serveRounds() (err error) {
	s, c := &b.served, b.pub.commits
	s.room = make(chan struct{}, servedMax)
	s.sub, err = b.link.nc.Subscribe(roundSubject(b.names.ns), func(m *nats.Msg) {
		select {
		case s.room <- struct{}{}:
		case <-c.life.Done():
			return
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.closed {
			return // whoever asked asks again
		}
		s.wg.Go(func() {
			defer func() { <-s.room }()
			err := b.embedded.disk.knows(string(m.Data))
			unknown := err != nil
			if err == nil {
				err = c.wait(c.life, m.Data, nil)
			}
			if c.life.Err() != nil {
				return
			}
			answer := &nats.Msg{}
			if err != nil {
				answer.Data = []byte(err.Error())
			}
			if unknown || err == errLost {
				answer.Header = nats.Header{HeaderCode: {codeAgain}}
			}
			_ = m.RespondMsg(answer)
		})
	})
	if err != nil {
		return fmt.Errorf("subscribe to requests for rounds: %w", err)
	}
	return nil
}

// close ends the answers; the rounds have stopped.
func (s *servedRounds) close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	if s.sub != nil {
		_ = s.sub.Unsubscribe()
	}
	s.wg.Wait()
}
