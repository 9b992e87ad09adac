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

// allSubjects is the filter that every message matches.
const allSubjects = ">"

// scan yields the messages of a stream that match filter, in order, from
// sequence from on: at least all that were acknowledged when it began and are
// still there. It reads by direct gets; where these may be answered by a
// follower, the leader is first asked how far there is to go.
func (r *reader) scan(ctx context.Context, filter string, from uint64) iter.Seq2[message, error] {
	return func(yield func(message, error) bool) {
		next, goal := max(from, 1), uint64(0)
		if !r.direct {
			var err error
			if goal, err = r.goal(ctx, filter); err != nil {
				yield(message{}, err)
				return
			}
			if next > goal {
				return
			}
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
			// A follower had no more, and the leader may: then it is behind. Otherwise
			// what there was up to the goal was removed.
			m, ok, err := r.get(ctx, query{Seq: next, NextBy: filter})
			if err == nil && (!ok || m.seq > goal) {
				return
			}
			if err == nil {
				err = r.link.pause(ctx, scanStale)
			}
			if err != nil {
				yield(message{}, err)
				return
			}
		}
	}
}

// goal returns the sequence that a scan has to reach, as the leader has it: no message
// of the filter is behind it.
func (r *reader) goal(ctx context.Context, filter string) (uint64, error) {
	if filter == allSubjects {
		// Asked for the last of all subjects, a server looks at the last sequence that
		// there ever was, and says that it has none if that was removed.
		l, err := r.look(ctx)
		return l.State.Last, err
	}
	last, ok, err := r.get(ctx, query{LastBy: filter})
	if err != nil || !ok {
		return 0, err
	}
	return last.seq, nil
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
	w.subject.Store(&subject)
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
