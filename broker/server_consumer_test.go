package broker_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/perdure/perdure/broker"
	"github.com/perdure/perdure/broker/brokertest"
	"github.com/perdure/perdure/schemas"
)

func replicated(c *broker.Config) { c.Replicas = 3 }

// fill publishes n tasks to identities of one partition, and returns their
// sequences.
func (r *raw) fill(p schemas.Partition, n int) []uint64 {
	r.t.Helper()
	var out []uint64
	for k := 0; len(out) < n; k++ {
		if id := identity("wf", fmt.Sprint("k", k)); r.n.Partition(id) == p {
			out = append(out, r.stored(r.n.TaskSubject("local", id), `1`))
		}
	}
	return out
}

// wakes matches the wake-ups of a partition.
func (r *raw) wakes(p schemas.Partition) string {
	return r.n.Namespace() + ".wake." + p.String() + ".>"
}

func (r *raw) filter(p schemas.Partition) string { return r.n.Namespace() + ".in." + p.String() + ".>" }

// P08: a work queue refuses a second consumer of the same messages.
func TestServer_P08_SecondConsumerRefused10100(t *testing.T) {
	t.Parallel()
	r := embedded(t)
	_, err := r.consumer("p7-e1", r.filter(7))
	must(t, err)
	if _, err := r.consumer("p7-e2", r.filter(7)); errorCode(err) != 10100 {
		t.Fatalf("a second consumer of the partition: %v, want code 10100", err)
	}
	_, err = r.consumer("p8-e1", r.filter(8))
	must(t, err)
}

// P08: an acknowledgement through a deleted consumer goes nowhere, and what it
// left unacknowledged is delivered to the next at once and in stream order.
func TestServer_P08_AckOfDeletedConsumerGoesNowhere_RedeliveredInOrder(t *testing.T) {
	t.Parallel()
	testTakeover(t, embedded(t), 20)
}

func testTakeover(t *testing.T, r *raw, n int) {
	old, err := r.consumer("p7-e1", r.filter(7))
	must(t, err)
	want := r.fill(7, n)
	held := r.fetch(old, n)
	must(t, held[0].DoubleAck(r.ctx))
	must(t, r.js.DeleteConsumer(r.ctx, r.n.InboxStream(), "p7-e1"))
	next, err := r.consumer("p7-e2", r.filter(7))
	must(t, err)
	short, cancel := context.WithTimeout(r.ctx, 200*time.Millisecond)
	defer cancel()
	if err := held[1].DoubleAck(short); err == nil {
		t.Error("an acknowledgement through the deleted consumer was confirmed")
	}
	if diff := cmp.Diff(want[1:], sequences(t, r.fetch(next, n-1))); diff != "" {
		t.Errorf("redelivered sequences (-want +got):\n%s", diff)
	}
}

// P08: a pull of a deleted consumer ends with "consumer deleted", which is how
// an owner learns that it was replaced.
func TestServer_P08_PullEndsWithConsumerDeleted(t *testing.T) {
	t.Parallel()
	r := embedded(t)
	c, err := r.consumer("p7-e1", r.filter(7))
	must(t, err)
	it, err := c.Messages(jetstream.PullMaxMessages(10))
	must(t, err)
	defer it.Stop()
	id := r.fill(7, 1)
	m, err := it.Next() // its pull is open
	must(t, err)
	if got := sequences(t, []jetstream.Msg{m}); got[0] != id[0] {
		t.Fatalf("got sequence %d, want %d", got[0], id[0])
	}
	must(t, r.js.DeleteConsumer(r.ctx, r.n.InboxStream(), "p7-e1"))
	if _, err := it.Next(jetstream.NextContext(r.ctx)); !errors.Is(err, jetstream.ErrConsumerDeleted) {
		t.Errorf("the iterator ended with %v, want consumer deleted", err)
	}
	// And whoever asks later finds that nobody answers.
	_, err = r.nc.RequestWithContext(r.ctx, "$JS.API.CONSUMER.MSG.NEXT."+r.n.InboxStream()+".p7-e1", nil)
	if !errors.Is(err, nats.ErrNoResponders) {
		t.Errorf("a pull from the deleted consumer: %v, want no responders", err)
	}
}

// P08: deliveries of a consumer are numbered without gaps, by which an owner
// knows that it missed none.
func TestServer_P08_DeliverySequenceHasNoGaps(t *testing.T) {
	t.Parallel()
	r := embedded(t)
	c, err := r.consumer("p7-e1", r.filter(7))
	must(t, err)
	r.fill(8, 3)
	r.fill(7, 5)
	r.fill(8, 3)
	r.fill(7, 5)
	for i, m := range r.fetch(c, 10) {
		md, err := m.Metadata()
		must(t, err)
		if md.Sequence.Consumer != uint64(i+1) {
			t.Errorf("delivery %d has the sequence %d", i+1, md.Sequence.Consumer)
		}
	}
}

// P11: the server's transform and schemas.PartitionOf agree, for keys of every
// kind.
func TestServer_P11_PartitionHashGolden(t *testing.T) {
	t.Parallel()
	for _, partitions := range []uint32{1, 7, 64, 100} {
		t.Run(fmt.Sprint(partitions), func(t *testing.T) {
			t.Parallel()
			r := embedded(t, func(c *broker.Config) { c.Partitions = partitions })
			keys := []string{"a", "amsterdam", "Zürich", "東京", "🚲", "a.b", "a/b", "a b", "50%", "*", ">", "x\ty", "\u00a0", "..", strings.Repeat("k", 200)}
			for i := range 200 {
				keys = append(keys, fmt.Sprintf("key-%d", i*7919), fmt.Sprintf("é%d.%d", i, i))
			}
			for _, key := range keys {
				id := identity("wf", key)
				want := r.n.InSubject("local", id)
				if _, err := schemas.ParseIdentity(id.String()); err != nil {
					t.Fatal(err)
				}
				seq := r.stored(r.n.TaskSubject("local", id), `1`)
				d, ok, err := r.b.Inbox().Read(r.ctx, seq)
				must(t, err)
				if !ok || d.Subject != want || d.To != id || d.Partition != r.n.Partition(id) || d.Bad != nil {
					t.Fatalf("key %q was stored as %q (to %v, bad: %v), want %q", key, d.Subject, d.To, d.Bad, want)
				}
			}
		})
	}
}

// The partition of known identities: a change would lose every namespace.
func TestServer_P11_PartitionGoldenValues(t *testing.T) {
	t.Parallel()
	r := embedded(t)
	for key, want := range map[string]schemas.Partition{"amsterdam": 37, "Zürich": 2, "a.b c": 60} {
		id := identity("weather", key)
		seq := r.stored(r.n.TaskSubject("local", id), `1`)
		d, _, err := r.b.Inbox().Read(r.ctx, seq)
		must(t, err)
		if d.Partition != want || schemas.PartitionOf(id, 64) != want {
			t.Errorf("%v: the server says %v, PartitionOf %v, want %v", id, d.Partition, schemas.PartitionOf(id, 64), want)
		}
	}
}

// P21: message IDs are deduplicated over all subjects of the inbox, so they
// name the whole reference; the window ends.
func TestServer_P21_DedupOverSubjects(t *testing.T) {
	t.Parallel()
	r := embedded(t, func(c *broker.Config) { c.DuplicateWindow = 500 * time.Millisecond })
	a, b := r.n.TaskSubject("a", identity("weather", "amsterdam")), r.n.TaskSubject("b", identity("billing", "kim"))
	publish := func(subject string) *jetstream.PubAck {
		ack, err := r.js.PublishMsg(r.ctx, &nats.Msg{Subject: subject, Data: []byte("1"), Header: nats.Header{"Nats-Msg-Id": {"order-17"}}})
		must(t, err)
		return ack
	}
	first, other := publish(a), publish(b)
	if first.Duplicate || !other.Duplicate || other.Sequence != first.Sequence {
		t.Errorf("first %+v, on another subject %+v; want a duplicate of the first", first, other)
	}
	r.until("the window ends", func() bool { return !publish(b).Duplicate })
}

// P12, P13: a message of the inbox stays when its consumer is gone, and when
// the server has no consumer at all.
func TestServer_P12_UnacknowledgedMessageOutlivesItsConsumer(t *testing.T) {
	t.Parallel()
	r := embedded(t)
	seqs := r.fill(7, 2)
	c, err := r.consumer("p7-e1", r.filter(7))
	must(t, err)
	msgs := r.fetch(c, 2)
	must(t, msgs[0].DoubleAck(r.ctx))
	must(t, r.js.DeleteConsumer(r.ctx, r.n.InboxStream(), "p7-e1"))
	if _, ok, err := r.b.Inbox().Read(r.ctx, seqs[0]); ok || err != nil {
		t.Errorf("the acknowledged message is there: %v, %v", ok, err)
	}
	if _, ok, err := r.b.Inbox().Read(r.ctx, seqs[1]); !ok || err != nil {
		t.Errorf("the unacknowledged message is there: %v, %v", ok, err)
	}
}

func testClusterConsumers(t *testing.T, g *brokertest.Group) {
	testTakeover(t, connected(t, g.URL(), replicated, func(c *broker.Config) { c.Namespace = "takeover" }), 20)
}
