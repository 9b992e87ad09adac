package broker

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"iter"
	"strings"
	"time"
)

// followIdle is how long the server keeps the consumer of a follower that is
// gone.
const followIdle = time.Minute

// lookAgain is how long a follower that has not caught up waits for the next
// message before it asks whether there is one: the last may have expired.
const lookAgain = 250 * time.Millisecond

// lostAfter is after how many times lookAgain a message that was sent and has not come is
// taken for lost.
const lostAfter = 20

// follow yields the last message of every subject that matches a filter, then,
// once, a message without a subject as the mark that it has caught up, then
// every new message. It keeps on over lost connections and consumers, and
// ends with an error when ctx or the broker ends.
func (r *reader) follow(ctx context.Context, filters ...string) iter.Seq2[message, error] {
	return func(yield func(message, error) bool) {
		f := &follower{reader: r, filters: filters, yield: yield}
		pause := retryWait
		for {
			last := f.last
			err := f.run(ctx)
			if f.done {
				return
			}
			if ctx.Err() != nil || !errors.Is(err, ErrGap) && !errors.Is(err, ErrConsumerGone) {
				yield(message{}, err)
				return
			}
			if f.last != last {
				pause = retryWait
			}
			if r.link.pause(ctx, jitter(pause)) == nil {
				pause = min(2*pause, retryWaitMax)
			}
		}
	}
}

// A follower is the state of one follow, over all of its consumers.
type follower struct {
	*reader
	filters  []string
	yield    func(message, error) bool
	last     uint64 // stream sequence of the last message yielded
	caughtUp bool
	done     bool // yield wanted no more
}

// run follows by one consumer until that is lost.
func (f *follower) run(ctx context.Context) error {
	lost, err := f.link.begin(ctx)
	if err != nil {
		return err
	}
	name := "follow-" + rand.Text()
	pending, err := f.create(ctx, name)
	if err != nil {
		return err
	}
	p := f.link.newPuller(lost, 1)
	if err := p.add(f.reader, name); err != nil {
		return err
	}
	defer f.release(name, p)
	if pending == 0 && !f.mark() {
		return nil
	}
	for idle := 0; ; {
		m, err := f.next(ctx, p)
		switch {
		case errors.Is(err, errIdle):
			pending, sent, err := f.pending(ctx, name)
			switch {
			case err != nil:
				return err
			case pending == 0 && sent > f.last: // it is on its way
				if idle++; idle > lostAfter {
					return ErrGap
				}
			case pending == 0 && !f.mark():
				return nil
			}
			continue
		case err != nil:
			return err
		}
		idle = 0
		f.last = m.seq
		if !f.yield(m.message, nil) {
			f.done = true
			return nil
		}
		if m.pending == 0 && !f.mark() {
			return nil
		}
	}
}

// errIdle says that no message came for lookAgain.
var errIdle = errors.New("no message came")

func (f *follower) next(ctx context.Context, p *puller) (pulled, error) {
	if f.caughtUp {
		return p.next(ctx)
	}
	short, cancel := context.WithTimeout(ctx, lookAgain)
	defer cancel()
	m, err := p.next(short)
	if err != nil && short.Err() != nil && ctx.Err() == nil {
		return m, errIdle
	}
	return m, err
}

// mark yields once that everything there was has been yielded.
func (f *follower) mark() bool {
	if f.caughtUp {
		return true
	}
	f.caughtUp = true
	f.done = !f.yield(message{}, nil)
	return !f.done
}

// create makes a consumer that begins where the last one ended, and returns
// how many messages it has.
func (f *follower) create(ctx context.Context, name string) (uint64, error) {
	config := map[string]any{
		"name": name, "filter_subjects": f.filters,
		"ack_policy": "none", "replay_policy": "instant", "deliver_policy": "last_per_subject",
		"inactive_threshold": followIdle, "mem_storage": true, "num_replicas": 1,
	}
	if f.last > 0 {
		// In the order of sequences: a subject that was not yielded has its
		// last message behind the last one that was.
		config["deliver_policy"], config["opt_start_seq"] = "by_start_sequence", f.last+1
	}
	var info struct {
		Pending uint64 `json:"num_pending"`
	}
	err := f.request(ctx, "$JS.API.CONSUMER.CREATE."+f.stream+"."+name, map[string]any{
		"stream_name": f.stream, "action": "create", "config": config,
	}, &info)
	if err != nil {
		return 0, fmt.Errorf("follow %s: %w", strings.Join(f.filters, ", "), err)
	}
	return info.Pending, nil
}

// pending returns how many messages the consumer has not sent, and the sequence of the
// last one that it has.
func (f *follower) pending(ctx context.Context, name string) (n, sent uint64, err error) {
	var info struct {
		Pending   uint64 `json:"num_pending"`
		Delivered struct {
			Stream uint64 `json:"stream_seq"`
		} `json:"delivered"`
	}
	err = f.request(ctx, "$JS.API.CONSUMER.INFO."+f.stream+"."+name, struct{}{}, &info)
	return info.Pending, info.Delivered.Stream, err
}

// release ends a consumer. The server would do so by itself, after followIdle.
func (f *follower) release(name string, p *puller) {
	p.stop()
	_ = f.link.nc.Publish("$JS.API.CONSUMER.DELETE."+f.stream+"."+name, nil)
}
