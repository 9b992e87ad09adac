package broker

import (
	"testing"
	"time"
	"unicode/utf8"

	"github.com/nats-io/nats.go"
	"github.com/perdure/perdure/schemas"
	"google.golang.org/protobuf/proto"
)

// FuzzDelivery reads whatever a publisher may send: it is bad, and says why, or
// can be stored in a journal.
func FuzzDelivery(f *testing.F) {
	n, err := NewNames("ns", 4)
	if err != nil {
		f.Fatal(err)
	}
	b := &Broker{names: n, timers: &reader{stream: "timers"}, created: time.Unix(1, 0), cfg: Config{PayloadCap: 100}}
	for _, k := range []string{
		HeaderID, hdrMsgID, HeaderMethod, HeaderSignal, HeaderUpdate, HeaderRun, HeaderPriority, HeaderBusy, HeaderAttribute + "a", HeaderAttribute + "\xff",
		HeaderEnvelope, HeaderSequence, HeaderDeadline, "traceparent", "tracestate", "baggage", "X-Name",
	} {
		for _, v := range []string{"1", "a", "\xff", "\ufffd", ""} {
			f.Add("local", k, v, HeaderRun, "1", []byte(`{"a":1}`))
			f.Add("acme", HeaderSignal, "go", k, v, []byte("\"\xff\""))
			f.Add("local", HeaderUpdate, "go", k, v, []byte(``))
		}
	}
	f.Fuzz(func(t *testing.T, from, k1, v1, k2, v2 string, body []byte) {
		id := schemas.Identity{Kind: "wf", Key: "k"}
		d := b.delivery("inbox", message{subject: n.InSubject(from, id), seq: 7, header: nats.Header{k1: {v1}, k2: {v2}}, data: body})
		if d.Bad != nil {
			if d.Envelope != nil || d.BadCode == "" || !utf8.ValidString(d.Bad.Error()) {
				t.Fatalf("%q: %q and %+v, want an error in UTF-8 and nothing else", d.BadCode, d.Bad, d.Envelope)
			}
			return
		}
		if _, err := proto.Marshal(d.Envelope); err != nil {
			t.Fatalf("%+v cannot be stored: %v", d.Envelope, err)
		}
		if err := schemas.RunID(d.Envelope.GetId()).Validate(); err != nil {
			t.Fatalf("%+v has no ID: %v", d.Envelope, err)
		}
	})
}
