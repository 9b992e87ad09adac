package broker_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/perdure/perdure/broker"
	"github.com/perdure/perdure/broker/brokertest"
	"github.com/perdure/perdure/schemas"
)

// P10: a key whose time to live ends leaves a mark of its own sequence, by
// which a watch sees it, and which is the condition of the next write.
func TestServer_P10_ExpiredKeyLeavesAMark(t *testing.T) {
	t.Parallel()
	r := embedded(t)
	subject := "$KV." + r.n.ClusterBucket() + ".member.a"
	sub, err := r.js.OrderedConsumer(r.ctx, "KV_"+r.n.ClusterBucket(), jetstream.OrderedConsumerConfig{FilterSubjects: []string{subject}})
	must(t, err)
	put := time.Now()
	seq := r.stored(subject, "1", "Nats-TTL", "1s", "Nats-Expected-Last-Subject-Sequence", "0")
	it, err := sub.Messages()
	must(t, err)
	defer it.Stop()
	if _, err := it.Next(); err != nil {
		t.Fatal(err)
	}
	m, err := it.Next()
	must(t, err)
	if m.Headers().Get("Nats-Marker-Reason") != "MaxAge" || len(m.Data()) != 0 {
		t.Errorf("the mark is %q with headers %v", m.Data(), m.Headers())
	}
	if early := time.Second - time.Since(put); early > 0 {
		t.Errorf("the key expired %v early", early)
	}
	r.refused(10071, subject, "2", "Nats-Expected-Last-Subject-Sequence", "0")
	r.refused(10071, subject, "2", "Nats-Expected-Last-Subject-Sequence", "1")
	md, err := m.Metadata()
	must(t, err)
	if md.Sequence.Stream <= seq {
		t.Fatalf("the mark has sequence %d, after %d", md.Sequence.Stream, seq)
	}
	r.stored(subject, "2", "Nats-Expected-Last-Subject-Sequence", fmt.Sprint(md.Sequence.Stream))
}

// P10: a request to a process whose connection is gone is answered at once:
// nobody is there.
func TestServer_P10_NoRespondersForAGoneConnection(t *testing.T) {
	t.Parallel()
	srv := brokertest.Server(t)
	r := connected(t, srv.URL())
	other, err := nats.Connect(srv.URL())
	must(t, err)
	_, err = other.Subscribe("probe", func(m *nats.Msg) { _ = m.Respond(nil) })
	must(t, err)
	must(t, other.Flush())
	if _, err := r.nc.RequestWithContext(r.ctx, "probe", nil); err != nil {
		t.Fatalf("while it is there: %v", err)
	}
	other.Close()
	// A request that meets the connection as it closes is lost, and says nothing.
	r.until("nobody answers", func() bool {
		_, err := r.nc.Request("probe", nil, 200*time.Millisecond)
		return errors.Is(err, nats.ErrNoResponders)
	})
}

// P25: the description of a stream carries the time of the leader that gave
// it, the clock that its messages are stamped by.
func TestServer_P25_StreamInfoHasTheLeadersTime(t *testing.T) {
	t.Parallel()
	r := embedded(t)
	before := time.Now()
	r.stored("$KV."+r.n.ClusterBucket()+".clock", "")
	s, err := r.js.Stream(r.ctx, "KV_"+r.n.ClusterBucket())
	must(t, err)
	info, err := s.Info(r.ctx)
	must(t, err)
	if ts := info.TimeStamp; ts.Before(before) || ts.After(time.Now()) || ts.Before(info.State.LastTime) {
		t.Errorf("the answer's time is %v, asked after %v; the last message is of %v", ts, before, info.State.LastTime)
	}
}

// P03: at one replica a direct get is as good as the leader's answer, for a
// client of another connection, too.
func TestServer_P03_DirectGetAtOneReplicaIsNeverStale(t *testing.T) {
	t.Parallel()
	srv := brokertest.Server(t)
	testReads(t, connected(t, srv.URL()), connected(t, srv.URL()))
}

// Pools: a kind belongs to one inbox; the server refuses a second stream of
// the same subjects, and routes what it takes by the transform of all.
func TestServer_PoolsShareANamespace(t *testing.T) {
	t.Parallel()
	srv := brokertest.Server(t)
	one := newRaw(t, brokertest.Connect(t, srv.URL(), brokertest.Kinds("wf")))
	inPool := func(c *broker.Config) { c.Pool = "gpu" }
	two := newRaw(t, brokertest.Connect(t, srv.URL(), brokertest.Kinds("vision"), inPool))
	a := two.sent("local", identity("wf", "k"), task("1"))
	b := one.sent("local", identity("vision", "k"), task("1"))
	if d, ok, err := one.b.Inbox().Read(one.ctx, a.Seq); !ok || err != nil || d.To.Kind != "wf" {
		t.Errorf("the inbox of the default pool has %+v, %v", d, err)
	}
	if d, ok, err := two.b.Inbox().Read(two.ctx, b.Seq); !ok || err != nil || d.To.Kind != "vision" {
		t.Errorf("the inbox of pool gpu has %+v, %v", d, err)
	}
	err := openFails(t, broker.Config{URL: srv.URL(), Pool: "gpu", Kinds: []schemas.Kind{"other", "wf"}}, broker.ErrKindTaken)
	mentions(t, err, `in pool gpu`, `kind "wf" is of pool "default"`, "rename the kind")
	if strings.Contains(err.Error(), `"other"`) {
		t.Errorf("the error names a kind that nobody has: %v", err)
	}
	brokertest.Connect(t, srv.URL(), brokertest.Kinds("vision"), inPool) // the refused kind left no trace
	_, err = one.b.Inbox().Publish(one.ctx, "local", identity("other", "k"), task("1"))
	if !errors.Is(err, broker.ErrUnknownKind) {
		t.Errorf("a kind of the node that did not open: %v, want ErrUnknownKind", err)
	}
}
