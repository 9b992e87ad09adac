package agents

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"

	"github.com/google/jsonschema-go/jsonschema"
)

// A schema is the JSON Schema of a Go type, ready to check values with.
type schema struct {
	root     *jsonschema.Schema
	resolved *jsonschema.Resolved
	text     json.RawMessage
}

// schemaOf derives the schema of T; that of a pointer is the one of what it
// points to.
func schemaOf[T any]() (*jsonschema.Schema, error) {
	t := reflect.TypeFor[T]()
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	s, err := jsonschema.ForType(t, &jsonschema.ForOptions{TypeSchemas: map[reflect.Type]*jsonschema.Schema{
		reflect.TypeFor[[]byte](): {Types: []string{"null", "string"}, Description: "base64"}, // as encoding/json has it
	}})
	if err != nil {
		return nil, fmt.Errorf("derive the JSON Schema of %s: %w", t, err)
	}
	return s, nil
}

func compile(root *jsonschema.Schema) (*schema, error) {
	resolved, err := root.Resolve(nil)
	if err != nil {
		return nil, fmt.Errorf("resolve a JSON Schema: %w", err)
	}
	text, err := json.Marshal(root)
	if err != nil {
		return nil, fmt.Errorf("encode a JSON Schema: %w", err)
	}
	return &schema{root, resolved, text}, nil
}

// readSchema returns a JSON Schema that others wrote, of objects. One that cannot be read
// here, for the dialect of a pattern in it for instance, allows any object.
func readSchema(text json.RawMessage) *schema {
	var root jsonschema.Schema
	err := json.Unmarshal(text, &root)
	if err == nil {
		var resolved *jsonschema.Resolved
		if resolved, err = root.Resolve(nil); err == nil {
			return &schema{&root, resolved, text}
		}
	}
	anything, err := (&jsonschema.Schema{Type: "object"}).Resolve(nil)
	if err != nil {
		panic(err) // it is the same each time
	}
	return &schema{nil, anything, text}
}

// check reports whether data is JSON that matches the schema.
func (s *schema) check(data []byte) error {
	var v any
	if err := json.Unmarshal(data, &v); err != nil {
		return err
	}
	return s.resolved.Validate(v)
}

// strict reports whether providers can enforce a schema while the model writes:
// objects have no properties but those named, and all of them are required.
func strict(s *jsonschema.Schema) bool {
	if s == nil {
		return true
	}
	object := s.Type == "object" || slices.Contains(s.Types, "object")
	switch {
	case s.Type == "" && len(s.Types) == 0: // anything goes
		return false
	case object && (s.AdditionalProperties == nil || s.AdditionalProperties.Not == nil):
		return false
	case object && len(s.Required) != len(s.Properties):
		return false
	}
	for _, p := range s.Properties {
		if !strict(p) {
			return false
		}
	}
	return strict(s.Items)
}

// object returns a schema of objects with exactly these properties, in order.
func object(names []string, properties ...*jsonschema.Schema) *jsonschema.Schema {
	s := &jsonschema.Schema{
		Type: "object", Required: names, PropertyOrder: names,
		Properties:           map[string]*jsonschema.Schema{},
		AdditionalProperties: &jsonschema.Schema{Not: &jsonschema.Schema{}},
	}
	for i, name := range names {
		s.Properties[name] = properties[i]
	}
	return s
}
