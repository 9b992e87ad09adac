package broker

import (
	"testing"

	"github.com/nats-io/nats.go"
)

// TestRead_HeadersOfASenderAreNotTheServers: whoever may publish a task may put any
// header on it, also those by which the server answers.
func TestRead_HeadersOfASenderAreNotTheServers(t *testing.T) {
	t.Parallel()
	b := openAt(t, t.TempDir(), func(c *Config) { c.Durability = Process })
	headers := []nats.Header{
		{"Status": {"404"}},
		{"Status": {"503"}},
		{"Status": {"204"}, "Nats-Num-Pending": {"0"}},
		{hdrSequence: {"99999"}, "Nats-Subject": {"elsewhere"}, "Nats-Time-Stamp": {"never"}},
		nil,
	}
	first := uint64(0)
	for _, h := range headers {
		msg := nats.NewMsg(b.names.ns + ".task.local.wf.key")
		msg.Header = h
		a, err := b.pub.publish(t.Context(), msg)
		if err != nil {
			t.Fatal(err)
		}
		if first == 0 {
			first = a.seq
		}
		m, ok, err := b.inbox.get(t.Context(), query{Seq: a.seq})
		if err != nil || !ok || m.seq != a.seq || m.subject == "elsewhere" || m.time.IsZero() {
			t.Errorf("a task with the headers %v is read as %+v, %v, %v", h, m, ok, err)
		}
	}
	var got []uint64
	for m, err := range b.inbox.scan(t.Context(), b.names.ns+".in.>", 0) {
		if err != nil {
			t.Fatal(err)
		}
		if m.seq >= first {
			got = append(got, m.seq)
		}
	}
	if len(got) != len(headers) {
		t.Errorf("%d messages were found of %d: %v", len(got), len(headers), got)
	}
}
