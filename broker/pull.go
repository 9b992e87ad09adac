package broker

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
)

// PullMax is how many messages a feed holds that [Feed.Next] has not returned.
const PullMax = 256

// How long a pull stays open, and how often the server shows that it does. A
// consumer that loses its leader says nothing: with replicas it is asked again
// soon.
const (
	pullExpires       = 30 * time.Second
	heartbeat         = 10 * time.Second
	heartbeatReplicas = time.Second
)

// A puller pulls the messages of one consumer, one request at a time: it asks
// again when the last request is used up, so it never holds more than PullMax
// messages. Its next is called by one goroutine at a time.
type puller struct {
	link     *link
	stream   string
	consumer string
	lost     <-chan struct{} // closed when the connection that it began with is gone
	stopped  chan struct{}   // closed by stop
	sub      *nats.Subscription
	msgs     chan *nats.Msg
	request  []byte
	patience time.Duration // without a sign of the server for so long, it asks again
	// unheard is called when nobody takes requests of the consumer; nil means
	// to ask again.
	unheard func(context.Context) error

	wanted int    // of the open request, not yet received
	last   uint64 // delivery sequence of the last message
}

// A pulled is a message as a consumer delivers it.
type pulled struct {
	message
	delivery uint64 // sequence of the delivery, from 1 without gaps
	pending  uint64 // how many messages the consumer has after this
	reply    string // where it is acknowledged
}

// newPuller subscribes for the messages of a consumer; lost is of before the
// consumer was made.
func (r *reader) newPuller(consumer string, lost <-chan struct{}) (*puller, error) {
	beat := heartbeat
	if !r.direct {
		beat = heartbeatReplicas
	}
	request, err := json.Marshal(map[string]any{"batch": PullMax, "expires": pullExpires, "idle_heartbeat": beat})
	if err != nil {
		return nil, fmt.Errorf("encode pull: %w", err)
	}
	p := &puller{
		link: r.link, stream: r.stream, consumer: consumer, lost: lost, stopped: make(chan struct{}),
		// All of a request, its heartbeats and its end: nothing is dropped.
		msgs:    make(chan *nats.Msg, PullMax+64),
		request: request, patience: beat * 5 / 2,
	}
	if p.sub, err = r.link.nc.ChanSubscribe(r.link.nc.NewInbox(), p.msgs); err != nil {
		return nil, fmt.Errorf("subscribe to consumer %s: %w", consumer, err)
	}
	return p, nil
}

// next returns the next message. The error matches [ErrConsumerGone],
// [ErrGap], [ErrClosed], or is ctx's.
func (p *puller) next(ctx context.Context) (pulled, error) {
	timer := time.NewTimer(p.patience)
	defer timer.Stop()
	for {
		if isClosed(p.lost) {
			return pulled{}, p.ended()
		}
		if isClosed(p.stopped) {
			return pulled{}, fmt.Errorf("%w: the feed is stopped", ErrClosed)
		}
		if p.wanted == 0 && len(p.msgs) == 0 {
			if err := p.link.nc.PublishRequest("$JS.API.CONSUMER.MSG.NEXT."+p.stream+"."+p.consumer, p.sub.Subject, p.request); err != nil {
				return pulled{}, fmt.Errorf("%w: pull: %w", ErrGap, err)
			}
			p.wanted = PullMax
		}
		timer.Reset(p.patience)
		select {
		case msg := <-p.msgs:
			status := msg.Header.Get("Status")
			if status == "" || msg.Reply != "" {
				return p.receive(msg)
			}
			if err := p.control(ctx, status, msg.Header.Get("Description")); err != nil {
				return pulled{}, err
			}
		case <-timer.C:
			p.wanted = 0 // the request is lost; ask again
		case <-p.lost:
			return pulled{}, p.ended()
		case <-p.stopped:
		case <-ctx.Done():
			return pulled{}, ctx.Err()
		}
	}
}

// ended says why the connection is gone.
func (p *puller) ended() error {
	if isClosed(p.link.closed) {
		return ErrClosed
	}
	return fmt.Errorf("%w: the connection to NATS was lost", ErrGap)
}

// control handles what the server says of a request.
func (p *puller) control(ctx context.Context, status, text string) error {
	switch {
	case status == "100": // heartbeat
		return nil
	case status == "409" && strings.Contains(text, "Consumer Deleted"):
		return ErrConsumerGone
	case status == "503":
		if p.unheard == nil {
			return ErrConsumerGone
		}
		if err := p.unheard(ctx); err != nil {
			return err
		}
	}
	// The request has ended: by its time or by a change of leader.
	p.wanted = 0
	return nil
}

// receive decodes a message and checks that none is missing before it.
func (p *puller) receive(msg *nats.Msg) (pulled, error) {
	m, err := fromConsumer(msg)
	if err != nil {
		return pulled{}, err
	}
	if m.delivery != p.last+1 {
		return pulled{}, fmt.Errorf("%w: delivery %d of %s follows %d", ErrGap, m.delivery, p.consumer, p.last)
	}
	p.last = m.delivery
	p.wanted = max(p.wanted-1, 0)
	return m, nil
}

// fromConsumer reads a delivered message. What the server knows of it is in
// its reply subject: $JS.ACK.<stream>.<consumer>.<times>.<stream seq>.
// <delivery seq>.<time>.<pending>, or with the domain and the account's hash
// before the stream and a token at the end.
func fromConsumer(msg *nats.Msg) (pulled, error) {
	t := strings.Split(msg.Reply, ".")
	at := 5
	if len(t) >= 11 {
		at = 7
	}
	if len(t) < at+4 || t[0] != "$JS" || t[1] != "ACK" {
		return pulled{}, fmt.Errorf("%w: a delivery's reply subject is %q", ErrIncompatible, msg.Reply)
	}
	var n [4]uint64
	for i := range n {
		var err error
		if n[i], err = strconv.ParseUint(t[at+i], 10, 64); err != nil {
			return pulled{}, fmt.Errorf("%w: a delivery's reply subject is %q: %w", ErrIncompatible, msg.Reply, err)
		}
	}
	return pulled{
		message:  message{subject: msg.Subject, seq: n[0], time: time.Unix(0, int64(n[2])), header: msg.Header, data: msg.Data},
		delivery: n[1], pending: n[3], reply: msg.Reply,
	}, nil
}

// stop ends the subscription. It is called once.
func (p *puller) stop() {
	close(p.stopped)
	_ = p.sub.Unsubscribe() // it fails only where the connection is closed
}
