package broker_test

// The tests of server_*_test.go pin what the rules of protocol.md rest on: the
// behaviour of the NATS server itself. One that turns red after an upgrade of
// nats-server says by its name which rule falls.

import (
	"context"
	"errors"
	"strconv"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/perdure/perdure/broker"
	"github.com/perdure/perdure/broker/brokertest"
	"github.com/perdure/perdure/schemas"
)

// testWait bounds every wait of a test: what has not happened by then does not.
const testWait = 60 * time.Second

// A raw speaks to the server of a namespace without this package's ways.
type raw struct {
	t   *testing.T
	ctx context.Context
	b   *broker.Broker
	n   broker.Names
	nc  *nats.Conn
	js  jetstream.JetStream
}

func newRaw(t *testing.T, b *broker.Broker) *raw {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), testWait)
	t.Cleanup(cancel)
	js, err := jetstream.New(b.Conn(), jetstream.WithDefaultTimeout(10*time.Second))
	must(t, err)
	return &raw{t, ctx, b, b.Names(), b.Conn(), js}
}

// kinds are those that the tests' nodes host.
var kinds = brokertest.Kinds("wf", "weather", "billing", "stock")

func embedded(t *testing.T, opts ...brokertest.Option) *raw {
	t.Helper()
	return newRaw(t, brokertest.Open(t, append(opts, kinds)...))
}

func connected(t *testing.T, url string, opts ...brokertest.Option) *raw {
	t.Helper()
	return newRaw(t, brokertest.Connect(t, url, append(opts, kinds)...))
}

// publish stores a message with headers given as pairs.
func (r *raw) publish(subject, body string, headers ...string) (uint64, error) {
	msg := nats.NewMsg(subject)
	msg.Data = []byte(body)
	for i := 0; i < len(headers); i += 2 {
		msg.Header[headers[i]] = []string{headers[i+1]}
	}
	ack, err := r.js.PublishMsg(r.ctx, msg)
	if err != nil {
		return 0, err
	}
	return ack.Sequence, nil
}

// stored publishes what the server must take.
func (r *raw) stored(subject, body string, headers ...string) uint64 {
	r.t.Helper()
	seq, err := r.publish(subject, body, headers...)
	if err != nil {
		r.t.Fatalf("publish on %s: %v", subject, err)
	}
	return seq
}

// refused publishes what the server must refuse with a code.
func (r *raw) refused(code int, subject, body string, headers ...string) {
	r.t.Helper()
	seq, err := r.publish(subject, body, headers...)
	if got := errorCode(err); got != code {
		r.t.Fatalf("publish on %s: sequence %d, error %v with code %d; want code %d", subject, seq, err, got, code)
	}
}

func errorCode(err error) int {
	var api *jetstream.APIError
	if errors.As(err, &api) {
		return int(api.ErrorCode)
	}
	return 0
}

// fence is the condition of an append to an identity.
func (r *raw) fence(id schemas.Identity, after uint64) []string {
	return []string{
		"Nats-Expected-Last-Subject-Sequence", strconv.FormatUint(after, 10),
		"Nats-Expected-Last-Subject-Sequence-Subject", r.n.FenceFilter(id),
	}
}

// subjects counts the messages of a stream by subject.
func (r *raw) subjects(stream, filter string) map[string]uint64 {
	r.t.Helper()
	s, err := r.js.Stream(r.ctx, stream)
	must(r.t, err)
	info, err := s.Info(r.ctx, jetstream.WithSubjectFilter(filter))
	must(r.t, err)
	return info.State.Subjects
}

// consumer makes a consumer as those of a partition are.
func (r *raw) consumer(name, filter string) (jetstream.Consumer, error) {
	return r.consumerOf(r.n.InboxStream(), name, filter)
}

func (r *raw) consumerOf(stream, name, filter string) (jetstream.Consumer, error) {
	return r.js.CreateConsumer(r.ctx, stream, jetstream.ConsumerConfig{
		Durable: name, FilterSubject: filter, AckPolicy: jetstream.AckExplicitPolicy,
		AckWait: 24 * time.Hour, MaxDeliver: -1, MaxAckPending: -1,
	})
}

// fetch returns n messages of a consumer.
func (r *raw) fetch(c jetstream.Consumer, n int) []jetstream.Msg {
	r.t.Helper()
	var out []jetstream.Msg
	for len(out) < n {
		batch, err := c.Fetch(n-len(out), jetstream.FetchContext(r.ctx))
		must(r.t, err)
		for m := range batch.Messages() {
			out = append(out, m)
		}
		if err := batch.Error(); err != nil || r.ctx.Err() != nil {
			r.t.Fatalf("fetch: %d of %d messages: %v", len(out), n, err)
		}
	}
	return out
}

func sequences(t *testing.T, msgs []jetstream.Msg) []uint64 {
	t.Helper()
	var out []uint64
	for _, m := range msgs {
		md, err := m.Metadata()
		must(t, err)
		out = append(out, md.Sequence.Stream)
	}
	return out
}

// until waits for what the server has no event for.
func (r *raw) until(what string, ok func() bool) {
	r.t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-r.ctx.Done():
			r.t.Fatalf("%s: not within %v", what, testWait)
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// at formats a schedule for a time from now on.
func at(d time.Duration) string { return "@at " + time.Now().Add(d).UTC().Format(time.RFC3339Nano) }

func identity(kind, key string) schemas.Identity {
	return schemas.Identity{Kind: schemas.Kind(kind), Key: key}
}

// entry is the n-th entry of a writer.
func entry(writer string, n uint64) *schemas.Entry {
	return &schemas.Entry{Epoch: 1, Nonce: []byte(writer), Counter: n}
}

// record is the n-th entry of a writer, and the run's last.
func record(writer string, n uint64) *schemas.Entry {
	e := entry(writer, n)
	e.Record = &schemas.Record{Status: schemas.Status_COMPLETED}
	return e
}

// task is a message that starts a run.
func task(id string) *schemas.Envelope {
	return &schemas.Envelope{Type: schemas.Envelope_TASK, Id: id, Payload: &schemas.Payload{Data: []byte(`"x"`), Codec: "json"}}
}
