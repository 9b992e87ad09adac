package brokerbench

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Leader returns the name of the server that leads a stream.
func Leader(ctx context.Context, url, stream string) (name string, err error) {
	nc, js, err := client(url)
	if err != nil {
		return "", err
	}
	defer nc.Close()
	s, err := js.Stream(ctx, stream)
	if err != nil {
		return "", fmt.Errorf("look up stream %s: %w", stream, err)
	}
	c := s.CachedInfo().Cluster
	if c == nil || c.Leader == "" {
		return "", fmt.Errorf("stream %s has no leader", stream)
	}
	return c.Leader, nil
}

func client(url string) (*nats.Conn, jetstream.JetStream, error) {
	nc, err := nats.Connect(url, nats.MaxReconnects(-1), nats.ReconnectWait(50*time.Millisecond), nats.ReconnectBufSize(-1))
	if err != nil {
		return nil, nil, fmt.Errorf("connect to %s: %w", url, err)
	}
	js, err := jetstream.New(nc)
	if err != nil {
		nc.Close()
		return nil, nil, err
	}
	return nc, js, nil
}

// A Publisher publishes one message after another to a stream that is there, with nats.go
// alone, and knows how long it had to wait at most.
type Publisher struct {
	subject string
	nc      *nats.Conn
	js      jetstream.JetStream
	stop    context.CancelFunc
	ended   chan struct{}
	longest time.Duration // of one message until it was stored; read once ended is closed
	err     error         // why it ended early; likewise
}

// gapTry is how long a try to publish waits: then the message is sent again, with its
// ID, as a client does that means to lose none.
const gapTry = 250 * time.Millisecond

// gapPause is how long it waits between two messages: it is there to notice, not to load
// the stream.
const gapPause = 5 * time.Millisecond

// NewPublisher begins to publish to a subject of a stream.
func NewPublisher(ctx context.Context, url, subject string) (_ *Publisher, err error) {
	p := &Publisher{subject: subject, ended: make(chan struct{})}
	if p.nc, p.js, err = client(url); err != nil {
		return nil, err
	}
	life, stop := context.WithCancel(context.WithoutCancel(ctx))
	p.stop = stop
	go p.publish(life)
	return p, nil
}

func (p *Publisher) publish(ctx context.Context) {
	defer close(p.ended)
	for i := 0; ctx.Err() == nil; i++ {
		began := time.Now()
		for {
			try, cancel := context.WithTimeout(ctx, gapTry)
			_, err := p.js.Publish(try, p.subject, []byte("x"), jetstream.WithMsgID(fmt.Sprint(i)), jetstream.WithRetryAttempts(0))
			cancel()
			if err == nil {
				p.longest = max(p.longest, time.Since(began))
				select {
				case <-time.After(gapPause):
				case <-ctx.Done():
				}
				break
			}
			if ctx.Err() != nil {
				p.longest = max(p.longest, time.Since(began)) // at least so long
				return
			}
			if p.nc.IsClosed() {
				p.err = err
				return
			}
		}
	}
}

// Stop ends the publisher, and returns how long a message took at most until it was
// stored.
func (p *Publisher) Stop() (time.Duration, error) {
	p.stop()
	<-p.ended
	p.nc.Close()
	if p.err != nil {
		return 0, errors.Join(errors.New("the bare publisher ended early"), p.err)
	}
	return p.longest, nil
}
