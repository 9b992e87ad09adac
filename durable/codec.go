package durable

import (
	"encoding/json"
	"fmt"
	"reflect"

	"github.com/perdure/perdure/schemas"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// None is the type of a value that says nothing: an input or a result that is
// not there. Its JSON is null.
type None struct{}

// MarshalJSON returns null.
func (None) MarshalJSON() ([]byte, error) { return []byte("null"), nil }

// UnmarshalJSON accepts anything.
func (*None) UnmarshalJSON([]byte) error { return nil }

// Codecs of payloads. An empty codec is JSON.
const (
	codecJSON  = "json"
	codecProto = "proto"
)

// Encode returns v as a payload: protobuf if v is a proto.Message, JSON
// otherwise. The same value gives the same bytes.
func Encode(v any) (*schemas.Payload, error) {
	if m, ok := v.(proto.Message); ok {
		data, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
		if err != nil {
			return nil, fmt.Errorf("encode %T: %w", v, err)
		}
		return &schemas.Payload{Data: data, Codec: codecProto}, nil
	}
	if s, is := v.(string); is {
		if data, plain := plainJSON(s); plain {
			return &schemas.Payload{Data: data}, nil
		}
	}
	data, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("encode %T as JSON: %w", v, err)
	}
	return &schemas.Payload{Data: data}, nil
}

// Decode reads a payload that [Encode], or a client without this library, made.
// An absent payload is the zero value.
func Decode[T any](p *schemas.Payload) (T, error) {
	var v T
	if err := decodable(p); err != nil {
		return v, fmt.Errorf("decode %s: %w", reflect.TypeFor[T](), err)
	}
	if m, ok := any(v).(proto.Message); ok {
		m = m.ProtoReflect().New().Interface()
		if len(p.GetData()) == 0 {
			return m.(T), nil
		}
		if err := unmarshalProto(p, m); err != nil {
			return v, Fail(ErrInvalid.Code, "%s is wanted: %v", reflect.TypeFor[T](), err)
		}
		return m.(T), nil
	}
	if len(p.GetData()) == 0 {
		return v, nil
	}
	if _, none := any(v).(None); none && p.GetCodec() == codecProto {
		return v, nil // whatever it is, nobody wants to know
	}
	if p.GetCodec() == codecProto {
		return v, Fail(ErrInvalid.Code, "%s is wanted and the payload is protobuf; send JSON", reflect.TypeFor[T]())
	}
	if s, is := any(&v).(*string); is {
		var plain bool
		if *s, plain = plainString(p.GetData()); plain {
			return v, nil
		}
	}
	if err := json.Unmarshal(p.GetData(), &v); err != nil {
		var zero T
		return zero, Fail(ErrInvalid.Code, "%s is wanted as JSON: %v in %.80q", reflect.TypeFor[T](), err, p.GetData())
	}
	return v, nil
}

// decodable reports why the bytes of p cannot be read at all.
func decodable(p *schemas.Payload) error {
	switch c := p.GetCodec(); {
	case c != "" && c != codecJSON && c != codecProto:
		return Fail(ErrInvalid.Code, "the payload is encoded as %q; this build reads %q and %q", c, codecJSON, codecProto)
	case p.GetBlob() != nil && len(p.GetData()) == 0 && p.GetBlob().GetSize() > 0:
		return Fail(ErrInvalid.Code, "the payload is the object %q, which was not fetched", p.GetBlob().GetName())
	}
	return nil
}

func unmarshalProto(p *schemas.Payload, m proto.Message) error {
	if p.GetCodec() == codecProto {
		return proto.Unmarshal(p.GetData(), m)
	}
	return protojson.Unmarshal(p.GetData(), m)
}
