package durable_test

import (
	"bytes"
	"encoding/json"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/schemas"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	"pgregory.net/rapid"
)

type order struct {
	ID    string
	Lines []line          `json:"lines,omitempty"`
	Notes map[string]bool `json:"notes,omitempty"`
	Raw   json.RawMessage `json:"raw,omitempty"`
	Next  *order          `json:"next,omitempty"`
}

type line struct {
	SKU   string
	Count int64
	Price float64
}

// TestValueComesBackFromItsPayload: any order, twice with the same bytes.
func TestValueComesBackFromItsPayload(t *testing.T) {
	orders := rapid.Custom(func(t *rapid.T) order {
		o := order{ID: rapid.String().Draw(t, "id"), Lines: rapid.SliceOf(rapid.Make[line]()).Draw(t, "lines"), Notes: rapid.MapOf(rapid.StringMatching(`[a-zä<>&]*`), rapid.Bool()).Draw(t, "notes")}
		if rapid.Bool().Draw(t, "next") {
			o.Next = &order{ID: "next"}
		}
		return o
	})
	rapid.Check(t, func(t *rapid.T) {
		o := orders.Draw(t, "order")
		for i := range o.Lines {
			if math.IsNaN(o.Lines[i].Price) || math.IsInf(o.Lines[i].Price, 0) {
				o.Lines[i].Price = 0
			}
		}
		if len(o.Lines) == 0 {
			o.Lines = nil
		}
		if len(o.Notes) == 0 {
			o.Notes = nil
		}
		p, err := durable.Encode(o)
		if err != nil {
			t.Fatal(err)
		}
		got, err := durable.Decode[order](p)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(o, got); diff != "" {
			t.Fatalf("(-want +got):\n%s", diff)
		}
		if again, err := durable.Encode(got); err != nil || !bytes.Equal(again.GetData(), p.GetData()) {
			t.Fatalf("the same value gives other bytes: %s and %s, %v", p.GetData(), again.GetData(), err)
		}
	})
}

// TestProtobufMessageIsEncodedAsSuch, and read from JSON too, which a client
// without this library sends.
func TestProtobufMessageIsEncodedAsSuch(t *testing.T) {
	want := &schemas.Claimed{Node: "a", Attempt: 3}
	p, err := durable.Encode(want)
	if err != nil || p.GetCodec() != "proto" {
		t.Fatalf("%v, %v", p, err)
	}
	for name, p := range map[string]*schemas.Payload{
		"proto": p,
		"JSON":  {Data: []byte(`{"node":"a","attempt":3}`)},
		"json":  {Data: []byte(`{"node":"a","attempt":3}`), Codec: "json"},
	} {
		got, err := durable.Decode[*schemas.Claimed](p)
		if diff := cmp.Diff(want, got, protocmp.Transform()); err != nil || diff != "" {
			t.Errorf("%s: %v (-want +got):\n%s", name, err, diff)
		}
	}
	for name, p := range map[string]*schemas.Payload{"absent": nil, "empty": {Codec: "proto"}} {
		if got, err := durable.Decode[*schemas.Claimed](p); err != nil || got == nil || !proto.Equal(got, &schemas.Claimed{}) {
			t.Errorf("%s: %v, %v; want an empty message", name, got, err)
		}
	}
}

func TestNoneIsNullAndReadsAnything(t *testing.T) {
	p, err := durable.Encode(durable.None{})
	if err != nil || string(p.GetData()) != "null" {
		t.Errorf("%s, %v", p.GetData(), err)
	}
	for _, data := range []string{"", "null", "17", `{"a":1}`} {
		if _, err := durable.Decode[durable.None](&schemas.Payload{Data: []byte(data)}); err != nil {
			t.Errorf("%q: %v", data, err)
		}
	}
	if _, err := durable.Decode[durable.None](&schemas.Payload{Data: []byte{8, 1}, Codec: "proto"}); err != nil {
		t.Errorf("protobuf: %v", err)
	}
}

func TestAbsentPayloadIsTheZeroValue(t *testing.T) {
	if got, err := durable.Decode[order](nil); err != nil || got.ID != "" {
		t.Errorf("%v, %v", got, err)
	}
	if got, err := durable.Decode[*order](&schemas.Payload{}); err != nil || got != nil {
		t.Errorf("%v, %v", got, err)
	}
}

// TestPayloadThatCannotBeReadSaysWhatIsWrong.
func TestPayloadThatCannotBeReadSaysWhatIsWrong(t *testing.T) {
	decode := map[string]func(*schemas.Payload) error{
		"order":   func(p *schemas.Payload) error { return durable.CheckInput[order](p) },
		"message": func(p *schemas.Payload) error { return durable.CheckInput[*schemas.Claimed](p) },
	}
	for name, c := range map[string]struct {
		into string
		p    *schemas.Payload
		want string
	}{
		"no JSON":              {"order", &schemas.Payload{Data: []byte(`{"ID":`)}, `durable_test.order is wanted as JSON: unexpected end of JSON input in "{\"ID\":"`},
		"other JSON":           {"order", &schemas.Payload{Data: []byte(`[1]`)}, `durable_test.order is wanted as JSON: json: cannot unmarshal array`},
		"a field of a type":    {"order", &schemas.Payload{Data: []byte(`{"ID":17}`)}, "order.ID of type string"},
		"two values":           {"order", &schemas.Payload{Data: []byte(`{"ID":"a"} {"ID":"b"}`)}, "after top-level value"},
		"protobuf for JSON":    {"order", &schemas.Payload{Data: []byte{8, 1}, Codec: "proto"}, "the payload is protobuf; send JSON"},
		"an unknown codec":     {"order", &schemas.Payload{Data: []byte(`{}`), Codec: "cbor"}, `the payload is encoded as "cbor"; this build reads "json" and "proto"`},
		"bytes elsewhere":      {"order", &schemas.Payload{Blob: &schemas.Blob{Name: "shop/a/1/0", Size: 9}}, `the payload is the object "shop/a/1/0", which was not fetched`},
		"no protobuf":          {"message", &schemas.Payload{Data: []byte{1, 2, 3}, Codec: "proto"}, "*schemas.Claimed is wanted"},
		"JSON with no field":   {"message", &schemas.Payload{Data: []byte(`{"nodes":1}`)}, `unknown field "nodes"`},
		"a very long rubbish":  {"order", &schemas.Payload{Data: []byte(strings.Repeat("x", 10_000))}, "invalid character"},
		"codec cbor for proto": {"message", &schemas.Payload{Codec: "cbor"}, `"cbor"`},
	} {
		t.Run(name, func(t *testing.T) {
			err := decode[c.into](c.p)
			if !durable.IsCode(err, "invalid") || !strings.Contains(err.Error(), c.want) || len(err.Error()) > 300 {
				t.Errorf("got %v\nwant %s", err, c.want)
			}
		})
	}
}

func TestValueThatCannotBeEncodedSaysWhichTypeItIs(t *testing.T) {
	for _, v := range []any{func() {}, make(chan int), math.NaN(), map[string]any{"f": func() {}}} {
		if _, err := durable.Encode(v); err == nil || !strings.Contains(err.Error(), "as JSON: json: unsupported") {
			t.Errorf("%T: %v", v, err)
		}
	}
}
