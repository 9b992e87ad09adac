package broker

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
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

// missingWait is how long after a connection was lost a message may still be on its way
// that a consumer has delivered: it may be overtaken by what the server says of that.
const missingWait = 500 * time.Millisecond

// A puller pulls the messages of one consumer or a few. Its next is called by
// one goroutine at a time.
type puller struct {
	link    *link
	lost    <-chan struct{} // closed when the connection that it pulls over is gone; next's
	stopped chan struct{}   // closed by stop
	msgs    chan *nats.Msg
	begun   chan error // that the late leg can be pulled now, or why not; capacity 1
	// unheard is called when nobody takes requests of a consumer; nil means
	// to ask again.
	unheard func(context.Context, *leg) error
	// delivered asks how many messages a consumer has delivered, so that the puller
	// goes on after its connection was lost; nil means that it ends then.
	delivered func(context.Context, *leg) (uint64, error)
	legs      []*leg
	timer     *time.Timer // of next, used again; nil before
}

// A leg is one consumer of a puller. It is pulled by one request at a time: the
// next is made when the last is used up, so it never holds more than PullMax
// messages.
type leg struct {
	stream   string
	consumer string
	sub      *nats.Subscription
	request  []byte
	patience time.Duration // without a sign of the server for so long, it is asked again

	late   bool          // its consumer is not made yet: begun tells
	inbox  string        // of the replies to requests, each its own below it
	asked  uint64        // requests so far
	wanted int           // of the open request, not yet received
	last   atomic.Uint64 // delivery sequence of the last message
	sent   uint64        // what the consumer had delivered when the connection was back
	back   time.Time     // when that was
	doubt  bool          // its leader may be another one, and what the last one delivered not sent
	heard  time.Time     // when the server last gave a sign, or was asked
}

// A pulled is a message as a consumer delivers it.
type pulled struct {
	message
	stream   string
	delivery uint64 // sequence of the delivery, from 1 without gaps
	pending  uint64 // how many messages the consumer has after this
	reply    string // where it is acknowledged
}

// newPuller returns a puller of no consumer; lost is of before the first
// consumer was made.
func (l *link) newPuller(lost <-chan struct{}, legs int) *puller {
	return &puller{
		link: l, lost: lost, stopped: make(chan struct{}),
		// All of a request, its heartbeats and its end, and of one that was made over
		// a connection before: nothing is dropped.
		msgs:  make(chan *nats.Msg, legs*2*(PullMax+64)),
		begun: make(chan error, 1),
	}
}

// add subscribes for the messages of a consumer of r.
func (p *puller) add(r *reader, consumer string) error {
	beat := heartbeat
	if !r.direct {
		beat = heartbeatReplicas
	}
	request, err := json.Marshal(map[string]any{"batch": PullMax, "expires": pullExpires, "idle_heartbeat": beat})
	if err != nil {
		return fmt.Errorf("encode pull: %w", err)
	}
	l := &leg{stream: r.stream, consumer: consumer, request: request, patience: beat * 5 / 2}
	l.inbox = p.link.nc.NewInbox()
	if l.sub, err = p.link.nc.ChanSubscribe(l.inbox+".*", p.msgs); err != nil {
		return fmt.Errorf("subscribe to consumer %s: %w", consumer, err)
	}
	p.legs = append(p.legs, l)
	return nil
}

// ask pulls from the consumers that have no open request, and again from those
// whose request must be lost: they gave no sign, and nothing is left to read
// that could be one.
func (p *puller) ask() error {
	now, silent := time.Now(), len(p.msgs) == 0
	for _, l := range p.legs {
		if l.late {
			continue
		}
		if silent && now.Sub(l.heard) >= l.patience {
			l.wanted, l.doubt = 0, true
		}
		if l.wanted > 0 {
			continue
		}
		l.asked++
		if err := p.link.nc.PublishRequest("$JS.API.CONSUMER.MSG.NEXT."+l.stream+"."+l.consumer, l.reply(), l.request); err != nil {
			if p.link.look(); isClosed(p.lost) {
				return nil // next goes on over the next connection, or ends
			}
			return fmt.Errorf("%w: pull: %w", ErrGap, err)
		}
		l.wanted, l.heard = PullMax, now
	}
	return nil
}

// reply is where the server says how it stands with the last request. One that was made
// over a connection before may be open, too; it is not made again when it ends.
func (l *leg) reply() string { return l.inbox + "." + strconv.FormatUint(l.asked, 10) }

// patience is that of the least patient leg.
func (p *puller) patience() time.Duration {
	d := pullExpires
	for _, l := range p.legs {
		d = min(d, l.patience)
		if l.last.Load() < l.sent {
			d = min(d, missingWait)
		}
	}
	return d
}

// leg returns the consumer that a message came from.
func (p *puller) leg(sub *nats.Subscription) *leg {
	for _, l := range p.legs {
		if l.sub == sub {
			return l
		}
	}
	return nil
}

// next returns the next message. The error matches [ErrConsumerGone],
// [ErrGap], [ErrClosed], or is ctx's.
func (p *puller) next(ctx context.Context) (pulled, error) {
	if p.timer == nil {
		p.timer = time.NewTimer(p.patience())
	}
	timer := p.timer
	defer timer.Stop()
	for {
		if isClosed(p.stopped) {
			return pulled{}, fmt.Errorf("%w: the feed is stopped", ErrClosed)
		}
		if isClosed(p.lost) {
			if err := p.resume(ctx); err != nil {
				return pulled{}, err
			}
		}
		if err := p.missing(); err != nil {
			return pulled{}, err
		}
		if err := p.ask(); err != nil {
			return pulled{}, err
		}
		timer.Reset(p.patience())
		select {
		case msg := <-p.msgs:
			l := p.leg(msg.Sub)
			if l == nil {
				return pulled{}, fmt.Errorf("%w: a message of no consumer", ErrGap)
			}
			l.heard = time.Now()
			if msg.Header.Get("Status") == "" || msg.Reply != "" {
				return l.receive(msg)
			}
			if err := p.control(ctx, l, msg); err != nil {
				return pulled{}, err
			}
		case err := <-p.begun:
			if err != nil {
				return pulled{}, err
			}
			for _, l := range p.legs {
				l.late = false
			}
		case <-timer.C: // is a request lost?
		case <-p.lost:
		case <-p.stopped:
		case <-ctx.Done():
			return pulled{}, ctx.Err()
		}
	}
}

// resume goes on over a new connection. What was sent over the old one and never came
// is found by what the consumers have delivered, see missing: to wait until the next
// message shows it could be for ever. The subscriptions are of the same subjects as
// before and are there before the consumers are asked, so that what these deliver from
// then on is received.
func (p *puller) resume(ctx context.Context) error {
	switch {
	case isClosed(p.link.closed):
		return ErrClosed
	case p.delivered == nil:
		return fmt.Errorf("%w: the connection to NATS was lost", ErrGap)
	}
	lost, err := p.link.begin(ctx)
	if err != nil {
		return err
	}
	for _, l := range p.legs {
		if l.late {
			continue
		}
		if err := p.account(ctx, l); err != nil {
			return err
		}
		l.wanted = 0
	}
	p.lost = lost
	return nil
}

// missing reports as an error what a consumer has delivered over a connection that was
// lost, and that is not among what was received; and what was received and is not held,
// since requests of connections before were open as well.
func (p *puller) missing() error {
	if len(p.msgs) > 0 {
		return nil // it may be
	}
	for _, l := range p.legs {
		if n, err := l.sub.Dropped(); err == nil && n > 0 {
			return fmt.Errorf("%w: %d messages of %s were more than could be held", ErrGap, n, l.consumer)
		}
		if l.last.Load() < l.sent && time.Since(l.back) >= missingWait {
			return fmt.Errorf("%w: deliveries %d to %d of %s were lost, with a connection to NATS or the consumer's leader", ErrGap, l.last.Load()+1, l.sent, l.consumer)
		}
	}
	return nil
}

// control handles what the server says of a request.
func (p *puller) control(ctx context.Context, l *leg, msg *nats.Msg) error {
	status, text := msg.Header.Get("Status"), msg.Header.Get("Description")
	switch {
	case status == "100": // heartbeat
		return p.settle(ctx, l)
	case status == "409" && strings.Contains(text, "Consumer Deleted"):
		return ErrConsumerGone
	case status == "503":
		if p.unheard == nil {
			return ErrConsumerGone
		}
		if err := p.unheard(ctx, l); err != nil {
			return err
		}
		l.doubt = true
	case status == "409":
		l.doubt = true
	}
	if msg.Subject == l.reply() { // the request has ended: by its time or by a change of leader
		l.wanted = 0
	}
	return nil
}

// settle asks a leader that is there what has been delivered, if another one may have
// been before: a consumer of several replicas sends a message once its group knows that it
// has, and a leader that is killed in between has not sent it.
func (p *puller) settle(ctx context.Context, l *leg) error {
	if !l.doubt || p.delivered == nil {
		return nil
	}
	if err := p.account(ctx, l); err != nil {
		return err
	}
	l.doubt = false
	return nil
}

// account asks a consumer how many messages it has delivered. One that knows of fewer
// than were received has forgotten, with most of its servers, what it delivered, and
// does so again.
func (p *puller) account(ctx context.Context, l *leg) (err error) {
	if l.sent, err = p.delivered(ctx, l); err != nil {
		return err
	}
	if last := l.last.Load(); l.sent < last {
		return fmt.Errorf("%w: the consumer %s knows of %d deliveries of %d", ErrGap, l.consumer, l.sent, last)
	}
	l.back = time.Now()
	return nil
}

// receive decodes a message and checks that none is missing before it.
func (l *leg) receive(msg *nats.Msg) (pulled, error) {
	m, err := fromConsumer(msg)
	if err != nil {
		return pulled{}, err
	}
	if last := l.last.Load(); m.delivery != last+1 {
		return pulled{}, fmt.Errorf("%w: delivery %d of %s follows %d", ErrGap, m.delivery, l.consumer, last)
	}
	l.last.Store(m.delivery)
	m.stream = l.stream
	l.wanted = max(l.wanted-1, 0)
	return m, nil
}

// fromConsumer reads a delivered message. What the server knows of it is in
// its reply subject: $JS.ACK.<stream>.<consumer>.<times>.<stream seq>.
// <delivery seq>.<time>.<pending>, or with the domain and the account's hash
// before the stream and a token at the end.
func fromConsumer(msg *nats.Msg) (pulled, error) {
	t := strings.Split(msg.Reply, ".")
	at := replySeq(t)
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

// replySeq is at which token of a delivery's reply subject the sequences begin.
func replySeq(tokens []string) int {
	if len(tokens) >= 11 {
		return 7
	}
	return 5
}

// replyTo returns where a message is acknowledged that the same consumer delivered as
// the one whose reply subject is sample: of that, the server reads the two sequences.
func replyTo(sample string, at Place) string {
	t := strings.Split(sample, ".")
	i := replySeq(t)
	t[i], t[i+1] = strconv.FormatUint(at.Seq, 10), strconv.FormatUint(at.Delivery, 10)
	return strings.Join(t, ".")
}

// stop ends the subscriptions. It is called once.
func (p *puller) stop() {
	close(p.stopped)
	for _, l := range p.legs {
		_ = l.sub.Unsubscribe() // it fails only where the connection is closed
	}
}
