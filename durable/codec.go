package durable

import (
	"bytes"
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

const codecProto = "proto"

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
	if m, ok := any(v).(proto.Message); ok {
		m = m.ProtoReflect().New().Interface()
		if len(p.GetData()) == 0 {
			return m.(T), nil
		}
		if err := unmarshalProto(p, m); err != nil {
			return v, fmt.Errorf("decode %T: %w", v, err)
		}
		return m.(T), nil
	}
	if len(p.GetData()) == 0 {
		return v, nil
	}
	if p.GetCodec() == codecProto {
		return v, Fail(ErrInvalid.Code, "%s is wanted and the payload is protobuf; send JSON", reflect.TypeFor[T]())
	}
	dec := json.NewDecoder(bytes.NewReader(p.GetData()))
	if err := dec.Decode(&v); err != nil {
		return v, Fail(ErrInvalid.Code, "%s is wanted as JSON: %v in %.80q", reflect.TypeFor[T](), err, p.GetData())
	}
	return v, nil
}

func unmarshalProto(p *schemas.Payload, m proto.Message) error {
	if p.GetCodec() == codecProto {
		return proto.Unmarshal(p.GetData(), m)
	}
	return protojson.Unmarshal(p.GetData(), m)
}
