package schemas_test

import (
	"bytes"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/perdure/perdure/schemas"
)

// fuzzMessage decodes any bytes as an M. What it accepts must survive being
// encoded and decoded, and have one encoding.
func fuzzMessage(f *testing.F, prefix string, empty proto.Message) {
	for name := range samples() {
		if strings.HasPrefix(name, prefix) {
			f.Add(goldenBytes(f, name))
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		m := empty.ProtoReflect().New().Interface()
		if proto.Unmarshal(data, m) != nil {
			return
		}
		encoded := encode(t, m)
		again := empty.ProtoReflect().New().Interface()
		if err := proto.Unmarshal(encoded, again); err != nil {
			t.Fatalf("decode what was encoded: %v", err)
		}
		if !proto.Equal(m, again) {
			t.Fatalf("%x decodes to\n%v\nand after a round trip to\n%v", data, m, again)
		}
		if second := encode(t, again); !bytes.Equal(encoded, second) {
			t.Fatalf("%x has two encodings:\n%x\n%x", data, encoded, second)
		}
	})
}

func FuzzEnvelope(f *testing.F) { fuzzMessage(f, "envelope", &schemas.Envelope{}) }

func FuzzEvent(f *testing.F) { fuzzMessage(f, "event", &schemas.Event{}) }

func FuzzEntry(f *testing.F) { fuzzMessage(f, "entry", &schemas.Entry{}) }

func FuzzRecord(f *testing.F) { fuzzMessage(f, "record", &schemas.Record{}) }
