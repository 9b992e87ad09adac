package broker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/perdure/perdure/schemas"
)

// Leases are the keys of a cluster: members, with a time to live, and owners
// of partitions. Every write is conditioned on the key's revision. A key is
// one or more tokens of a subject joined by dots.
type Leases struct {
	b *Broker
}

// Leases returns the cluster's keys of the namespace.
func (b *Broker) Leases() *Leases { return &Leases{b} }

// A Lease is a key as it is stored.
type Lease struct {
	Key   string
	Value []byte
	Rev   uint64    // its revision, the condition of the next write
	Time  time.Time // when it was written, by the broker's clock
}

// absent reports whether m marks a key that was deleted or has expired.
func absent(m message) bool {
	return m.header.Get(hdrMarkerReason) != "" || m.header.Get(hdrKVOperation) != ""
}

// Get returns a key's value and revision, as the leader has it; ok is false
// when there is none, or it was deleted or has expired.
func (l *Leases) Get(ctx context.Context, key string) (value []byte, rev uint64, ok bool, err error) {
	m, ok, err := l.last(ctx, key)
	if err != nil || !ok || absent(m) {
		return nil, 0, false, err
	}
	return m.data, m.seq, true, nil
}

func (l *Leases) last(ctx context.Context, key string) (message, bool, error) {
	if err := validKey(key); err != nil {
		return message{}, false, fmt.Errorf("read key %s: %w", key, err)
	}
	m, ok, err := l.b.cluster.get(ctx, query{LastBy: l.b.names.clusterPrefix() + key})
	if err != nil {
		return message{}, false, fmt.Errorf("read key %s: %w", key, err)
	}
	return m, ok, nil
}

// Put stores a key if its revision is after; 0 means that there is none, or
// that it was deleted or has expired. ttl is rounded up to whole seconds; 0
// keeps the key for ever. Fenced means that the condition does not hold, and
// Head.Seq is then the present revision, 0 for none. When an unknown outcome
// is resolved, a stored value equal to value counts as this write. An error
// means that ctx ended, with the outcome unknown.
func (l *Leases) Put(ctx context.Context, key string, value []byte, after uint64, ttl time.Duration) (schemas.Outcome, error) {
	h := nats.Header{}
	if ttl > 0 {
		seconds := (ttl + time.Second - 1) / time.Second
		h[hdrTTL] = []string{strconv.FormatInt(int64(seconds), 10) + "s"}
	}
	out, err := l.write(ctx, key, after, &nats.Msg{Data: value, Header: h})
	if err != nil {
		return out, fmt.Errorf("store key %s after revision %d: %w", key, after, err)
	}
	return out, nil
}

// Delete removes a key if its revision is after. A key that is not there is
// not an error; one of another revision stays, which is not an error either:
// it is not the caller's.
func (l *Leases) Delete(ctx context.Context, key string, after uint64) error {
	if after == 0 {
		return nil
	}
	h := nats.Header{hdrKVOperation: {"DEL"}, hdrTTL: {strconv.Itoa(int(markerTTL/time.Second)) + "s"}}
	if _, err := l.write(ctx, key, after, &nats.Msg{Header: h}); err != nil {
		return fmt.Errorf("delete key %s of revision %d: %w", key, after, err)
	}
	return nil
}

func (l *Leases) write(ctx context.Context, key string, after uint64, msg *nats.Msg) (schemas.Outcome, error) {
	if err := validKey(key); err != nil {
		return schemas.Outcome{}, err
	}
	msg.Subject = l.b.names.clusterPrefix() + key
	pause, expected := retryWait, after
	for {
		msg.Header[hdrExpectedSeq] = []string{strconv.FormatUint(expected, 10)}
		ack, err := l.b.pub.publish(ctx, msg)
		if err == nil {
			return schemas.Outcome{Seq: ack.seq}, nil
		}
		if r := refused(err); r == nil || !r.fenced() && !r.inFlight() {
			return schemas.Outcome{}, err
		}
		m, ok, err := l.last(ctx, key)
		gone := !ok || absent(m)
		switch {
		case err != nil:
			return schemas.Outcome{}, err
		case ok && m.seq > expected && same(m, msg):
			return schemas.Outcome{Seq: m.seq}, l.b.pub.durable(ctx, l.b.cluster.stream)
		case after == 0 && gone && ok && m.seq != expected:
			expected = m.seq // create over the mark of what is gone
			continue
		case after == 0 && gone && !ok && expected != 0:
			expected = 0 // the mark itself has expired
			continue
		case gone && after != 0:
			return schemas.Outcome{Fenced: true}, nil
		case !gone && m.seq != after:
			return schemas.Outcome{Fenced: true, Head: schemas.Stored{Seq: m.seq, Time: m.time}}, nil
		}
		if err := l.b.link.pause(ctx, jitter(pause)); err != nil {
			return schemas.Outcome{}, unknown(msg.Subject, err)
		}
		pause = min(2*pause, retryWaitMax)
	}
}

// same reports whether a stored message is the one that was sent. Values of
// keys name the process that wrote them, so equal values are of one writer.
func same(m message, msg *nats.Msg) bool {
	return m.header.Get(hdrMarkerReason) == "" && m.header.Get(hdrKVOperation) == msg.Header.Get(hdrKVOperation) &&
		string(m.data) == string(msg.Data)
}

// List returns the keys below prefix, sorted by key. A prefix is whole
// tokens, e.g. "member" for member.a and member.b; empty means every key.
func (l *Leases) List(ctx context.Context, prefix string) ([]Lease, error) {
	byKey := map[string]message{}
	for m, err := range l.b.cluster.scan(ctx, l.filter(prefix), 0) {
		if err != nil {
			return nil, fmt.Errorf("list keys below %q: %w", prefix, err)
		}
		byKey[m.subject] = m // a key that is written meanwhile comes again, later
	}
	var out []Lease
	for _, m := range byKey {
		if !absent(m) {
			out = append(out, l.lease(m))
		}
	}
	slices.SortFunc(out, func(a, b Lease) int { return strings.Compare(a.Key, b.Key) })
	return out, nil
}

func (l *Leases) filter(prefix string) string {
	if prefix = strings.TrimSuffix(prefix, "."); prefix == "" {
		return l.b.names.clusterPrefix() + ">"
	}
	return l.b.names.clusterPrefix() + prefix + ".>"
}

func (l *Leases) lease(m message) Lease {
	return Lease{Key: strings.TrimPrefix(m.subject, l.b.names.clusterPrefix()), Value: m.data, Rev: m.seq, Time: m.time}
}

func validKey(key string) error {
	if key == "" {
		return errors.New("the key is empty")
	}
	for t := range strings.SplitSeq(key, ".") {
		if t == "" || strings.ContainsAny(t, "*> \t\r\n") {
			return fmt.Errorf("%w: key %q is not tokens joined by dots; encode parts with schemas.EncodeToken", schemas.ErrInvalidName, key)
		}
	}
	return nil
}
