package broker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"strconv"
	"time"
)

// scanBatch is how many messages a scan asks for at once.
const scanBatch = 256

// scanBytes bounds what a scan asks for at once.
const scanBytes = 4 << 20

// scanStale is how long a scan waits before it asks again after a follower
// that was behind has answered.
const scanStale = 5 * time.Millisecond

// scan yields the messages of a stream that match filter, in order, from
// sequence from on: at least all that were acknowledged when it began and are
// still there. It reads by direct gets; where these may be answered by a
// follower, the leader is first asked how far there is to go.
func (r *reader) scan(ctx context.Context, filter string, from uint64) iter.Seq2[message, error] {
	return func(yield func(message, error) bool) {
		next, goal := max(from, 1), uint64(0)
		if !r.direct {
			last, ok, err := r.get(ctx, query{LastBy: filter})
			if err != nil {
				yield(message{}, err)
				return
			}
			if !ok {
				return
			}
			goal = last.seq
		}
		for {
			more, err := r.batch(ctx, filter, &next, yield)
			switch {
			case err != nil:
				yield(message{}, err)
				return
			case more == stopped:
				return
			case more == some:
				continue
			case next > goal:
				return
			}
			// A follower had no more, and the leader does: it may be behind,
			// or the message was removed.
			if next, goal, err = r.behind(ctx, filter, next); err != nil {
				yield(message{}, err)
				return
			}
		}
	}
}

// behind asks the leader again how far there is to go, after a pause.
func (r *reader) behind(ctx context.Context, filter string, next uint64) (uint64, uint64, error) {
	if err := r.link.pause(ctx, scanStale); err != nil {
		return next, 0, err
	}
	last, ok, err := r.get(ctx, query{LastBy: filter})
	if err != nil || !ok {
		return next, 0, err
	}
	return next, last.seq, nil
}

// What a batch found.
type found int

const (
	none    found = iota // no message at or after next
	some                 // messages, and there may be more
	stopped              // yield wanted no more
)

// batch reads the next messages and moves next behind them. Where the
// connection is lost in the middle, it has moved next over what it yielded.
func (r *reader) batch(ctx context.Context, filter string, next *uint64, yield func(message, error) bool) (found, error) {
	body, err := json.Marshal(map[string]any{"seq": *next, "next_by_subj": filter, "batch": scanBatch, "max_bytes": scanBytes})
	if err != nil {
		return none, fmt.Errorf("encode direct get: %w", err)
	}
	w := r.mux.registerMany(scanBatch + 1)
	defer r.mux.forget(w)
	lost := r.link.session()
	subject := "$JS.API.DIRECT.GET." + r.stream
	if err := r.link.nc.PublishRequest(subject, w.reply, body); err != nil {
		return some, r.again(ctx, err)
	}
	for {
		answer, err := r.mux.receive(ctx, w, lost, requestWait)
		if err != nil {
			if err := r.again(ctx, err); err != nil {
				return none, err
			}
			return some, nil
		}
		switch status := statusOf(answer); status {
		case "":
		case "204":
			if pending, err := strconv.ParseUint(answer.Header.Get("Nats-Num-Pending"), 10, 64); err == nil && pending > 0 {
				return some, nil
			}
			return none, nil
		case "404":
			return none, nil
		default:
			return none, fmt.Errorf("%w: direct get from %s answered %s %s", ErrIncompatible, r.stream, status, answer.Header.Get("Description"))
		}
		m, err := fromDirect(answer)
		if err != nil {
			return none, err
		}
		if m.seq < *next {
			continue
		}
		*next = m.seq + 1
		if !yield(m, nil) {
			return stopped, nil
		}
	}
}

// again waits out a failure after which a read may be repeated.
func (r *reader) again(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if errors.Is(err, ErrClosed) {
		return err
	}
	r.link.look()
	if err := r.link.connected(ctx); err != nil {
		return err
	}
	return r.link.pause(ctx, retryWait)
}
