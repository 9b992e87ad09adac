package broker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
)

// requestWait is how long one try of a JetStream request waits, where it is of a message
// or a consumer after shorter ones: what is asked of one without a leader is lost, and
// soon there is one.
const (
	requestWait      = 5 * time.Second
	firstRequestWait = 500 * time.Millisecond
)

// request asks a JetStream API subject until something answers, and decodes
// the answer into out. It is for requests that may be repeated. The error is
// a *refusal, [ErrClosed], or says that ctx ended.
func (p *publisher) request(ctx context.Context, subject string, in, out any) error {
	return p.requestEach(ctx, requestWait, subject, in, out)
}

// requestEach is a request each try of which waits for so long.
func (p *publisher) requestEach(ctx context.Context, wait time.Duration, subject string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return fmt.Errorf("encode request %s: %w", subject, err)
	}
	if p.gate != nil && changes(subject) {
		if err := p.gate.enter(ctx); err != nil {
			return fmt.Errorf("request %s: %w", subject, err)
		}
		defer p.gate.leave()
	}
	msg, err := p.ask(ctx, wait, subject, body)
	if err != nil {
		return err
	}
	return decodeAnswer(subject, msg.Data, out)
}

// decodeAnswer decodes the answer of the JetStream API to a request into out, unless that
// is nil. The error is a *refusal, or [ErrIncompatible].
func decodeAnswer(subject string, data []byte, out any) error {
	var head struct {
		Error *refusal `json:"error"`
	}
	if err := json.Unmarshal(data, &head); err != nil {
		return fmt.Errorf("%w: answer to %s: %w", ErrIncompatible, subject, err)
	}
	if head.Error != nil {
		return head.Error
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(data, out); err != nil {
		return fmt.Errorf("%w: answer to %s: %w", ErrIncompatible, subject, err)
	}
	return nil
}

// ask sends body until one answer comes that is not a temporary refusal.
func (p *publisher) ask(ctx context.Context, wait time.Duration, subject string, body []byte) (*nats.Msg, error) {
	w := p.mux.register()
	defer p.mux.forget(w)
	msg := &nats.Msg{Subject: subject, Reply: w.reply, Data: body}
	pause, short := retryWait, wait
	if brief(subject) {
		short = min(firstRequestWait, wait)
	}
	var last error // what an attempt ended with, for people
	for {
		answer, err := p.try(ctx, w, msg, short)
		short = min(2*short, wait)
		if err == nil {
			// a stored message says what its sender wrote
			if serverSays(answer.Header, hdrSequence) != "" || !temporaryAnswer(answer.Data) {
				return answer, nil
			}
			err = ErrNoLeader
		}
		switch {
		case errors.Is(err, errLost):
			if err := p.link.connected(ctx); err != nil {
				return nil, fmt.Errorf("request %s: %w", subject, err)
			}
		case errors.Is(err, errNoAnswer), errors.Is(err, errNoResponders), err == ErrNoLeader:
		default:
			if last != nil && ctx.Err() != nil { // it ended while an answer was waited for
				err = fmt.Errorf("%w (last: %w)", err, last)
			}
			return nil, err
		}
		if last == nil || !errors.Is(err, errNoAnswer) { // silence says less than what was said before
			last = err
		}
		if perr := p.link.pause(ctx, jitter(pause)); perr != nil {
			return nil, fmt.Errorf("request %s: %w (last: %w)", subject, perr, last)
		}
		pause = min(2*pause, retryWaitMax)
	}
}

// brief reports whether a request is answered in a moment, by a leader. One to restore a
// stream is not, and finds its own if it is made twice.
func brief(subject string) bool {
	return strings.HasPrefix(subject, "$JS.API.CONSUMER.") || strings.HasPrefix(subject, "$JS.API.DIRECT.GET.") || strings.HasPrefix(subject, "$JS.API.STREAM.MSG.GET.")
}

// temporaryAnswer reports whether data is a refusal of a server that cannot
// answer at the moment.
func temporaryAnswer(data []byte) bool {
	if len(data) == 0 || len(data) > 512 {
		return false
	}
	var head struct {
		Error *refusal `json:"error"`
	}
	if json.Unmarshal(data, &head) != nil || head.Error == nil {
		return false
	}
	e := head.Error
	return e.temporary() && e.Code != codeNotEnabled && e.Code != codeNotEnabledAccount
}

// A message is one as a stream holds it.
type message struct {
	subject string
	seq     uint64
	time    time.Time
	header  nats.Header
	data    []byte
}

// hdrSequence is the header by which the server says which message of a stream it
// answers with.
const hdrSequence = "Nats-Sequence"

// serverSays returns what the server says in a header of a message that it answers
// with: it stands behind what the message's sender has written under that name.
func serverSays(h nats.Header, name string) string {
	if all := h[name]; len(all) > 0 {
		return all[len(all)-1]
	}
	return ""
}

// statusOf returns the status of an answer. A message of a stream has none, whatever its
// sender has written.
func statusOf(m *nats.Msg) string {
	if serverSays(m.Header, hdrSequence) != "" {
		return ""
	}
	return m.Header.Get("Status")
}

// fromDirect reads an answer to a direct get.
func fromDirect(m *nats.Msg) (message, error) {
	seq, err := strconv.ParseUint(serverSays(m.Header, hdrSequence), 10, 64)
	if err != nil {
		return message{}, fmt.Errorf("%w: direct get without a sequence: %w", ErrIncompatible, err)
	}
	at, err := time.Parse(time.RFC3339Nano, serverSays(m.Header, "Nats-Time-Stamp"))
	if err != nil {
		return message{}, fmt.Errorf("%w: direct get without a time: %w", ErrIncompatible, err)
	}
	return message{subject: serverSays(m.Header, "Nats-Subject"), seq: seq, time: at, header: m.Header, data: m.Data}, nil
}

// A query selects one message of a stream.
type query struct {
	Seq    uint64 `json:"seq,omitempty"`
	LastBy string `json:"last_by_subj,omitempty"`
	NextBy string `json:"next_by_subj,omitempty"`
}

// A reader reads one stream.
type reader struct {
	*publisher
	stream string
	// direct says that the stream has one replica, so that a direct get is as
	// good as an answer of the leader, and faster. With more, a direct get
	// may be answered by a follower that is behind.
	direct bool
	// places bounds the messages that are asked for at once; nil: no bound. The
	// server answers direct gets in the loop that reads from this connection, before
	// it looks at what came after them: thousands of runs that are resumed at once
	// would keep all else that this connection carries waiting, which on an external
	// server is the member's lease, too.
	places chan struct{}
}

// readsAtOnce is how many messages of the journals are asked for at once.
const readsAtOnce = 64

// enter takes one of the reader's places, which leave gives back.
func (r *reader) enter(ctx context.Context) error {
	if r.places == nil {
		return nil
	}
	select {
	case r.places <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-r.link.closed:
		return ErrClosed
	}
}

func (r *reader) leave() {
	if r.places != nil {
		<-r.places
	}
}

// get returns the message that q selects, as the stream's leader has it; ok
// is false when there is none.
func (r *reader) get(ctx context.Context, q query) (m message, ok bool, err error) {
	if r.direct {
		return r.getDirect(ctx, q)
	}
	var answer struct {
		Message struct {
			Subject string    `json:"subject"`
			Seq     uint64    `json:"seq"`
			Header  []byte    `json:"hdrs"`
			Data    []byte    `json:"data"`
			Time    time.Time `json:"time"`
		} `json:"message"`
	}
	if err := r.enter(ctx); err != nil {
		return message{}, false, err
	}
	err = r.request(ctx, "$JS.API.STREAM.MSG.GET."+r.stream, q, &answer)
	r.leave()
	if e := refused(err); e != nil && e.Code == codeMessageNotFound {
		return message{}, false, nil
	}
	if err != nil {
		return message{}, false, err
	}
	v := answer.Message
	m = message{subject: v.Subject, seq: v.Seq, time: v.Time, data: v.Data}
	if len(v.Header) > 0 {
		if m.header, err = nats.DecodeHeadersMsg(v.Header); err != nil {
			return message{}, false, fmt.Errorf("%w: headers of message %d of %s: %w", ErrIncompatible, v.Seq, r.stream, err)
		}
	}
	return m, true, nil
}

func (r *reader) getDirect(ctx context.Context, q query) (message, bool, error) {
	body, err := json.Marshal(q)
	if err != nil {
		return message{}, false, fmt.Errorf("encode direct get: %w", err)
	}
	if err := r.enter(ctx); err != nil {
		return message{}, false, err
	}
	answer, err := r.ask(ctx, requestWait, "$JS.API.DIRECT.GET."+r.stream, body)
	r.leave()
	if err != nil {
		return message{}, false, err
	}
	switch status := statusOf(answer); status {
	case "":
		m, err := fromDirect(answer)
		return m, err == nil, err
	case "404":
		return message{}, false, nil
	default:
		return message{}, false, fmt.Errorf("%w: direct get from %s answered %s %s", ErrIncompatible, r.stream, status, answer.Header.Get("Description"))
	}
}

// deleteMessage removes one message by its sequence; one that is not there is
// not an error.
func (r *reader) deleteMessage(ctx context.Context, seq uint64) error {
	err := r.request(ctx, "$JS.API.STREAM.MSG.DELETE."+r.stream, map[string]any{"seq": seq, "no_erase": true}, nil)
	if e := refused(err); e != nil && (e.Code == codeMessageNotFound || e.Code == codeSequenceNotFound) {
		return nil
	} else if e != nil && e.Code == codeDeleteFailed {
		// Which is also said of a message that is not there.
		if _, ok, gerr := r.get(ctx, query{Seq: seq}); gerr == nil && !ok {
			return nil
		}
	}
	return err
}

// A streamInfo is the part of a stream's description that is used here.
type streamInfo struct {
	Config struct {
		Replicas int               `json:"num_replicas"`
		Metadata map[string]string `json:"metadata"`
	} `json:"config"`
	Created time.Time `json:"created"`
	Now     time.Time `json:"ts"` // by the clock of the stream's leader
	State   struct {
		Messages uint64 `json:"messages"`
		Last     uint64 `json:"last_seq"`
		Bytes    uint64 `json:"bytes"`
		// NumSubjects is how many subjects have a message.
		NumSubjects uint64            `json:"num_subjects"`
		Subjects    map[string]uint64 `json:"subjects"`
	} `json:"state"`
}

// info describes the stream; subjects is a filter of the subjects to list,
// none when empty. It reads every page of them.
func (r *reader) info(ctx context.Context, subjects string) (streamInfo, error) {
	in := map[string]any{}
	if subjects != "" {
		in["subjects_filter"] = subjects
	}
	all := map[string]uint64{}
	for {
		var v struct {
			streamInfo
			Total int `json:"total"`
		}
		in["offset"] = len(all)
		if err := r.request(ctx, "$JS.API.STREAM.INFO."+r.stream, in, &v); err != nil {
			return streamInfo{}, err
		}
		maps.Copy(all, v.State.Subjects)
		if subjects == "" || len(v.State.Subjects) == 0 || len(all) >= v.Total {
			v.State.Subjects = all
			return v.streamInfo, nil
		}
	}
}
