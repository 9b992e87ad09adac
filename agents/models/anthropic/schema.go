package anthropic

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// A member is a member of a JSON object.
type member struct {
	name  string
	value json.RawMessage
}

// members returns the members of a JSON object in their order, which is the one
// that a model writes an answer's properties in.
func members(object json.RawMessage) (all []member, err error) {
	dec := json.NewDecoder(bytes.NewReader(object))
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return nil, fmt.Errorf("%.100q is no JSON object", object)
	}
	for dec.More() {
		t, err := dec.Token()
		if err != nil {
			return nil, err
		}
		m := member{name: t.(string)} // of a key, always
		if err := dec.Decode(&m.value); err != nil {
			return nil, err
		}
		all = append(all, m)
	}
	return all, nil
}

func join(all []member) json.RawMessage {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, m := range all {
		if i > 0 {
			b.WriteByte(',')
		}
		name, _ := json.Marshal(m.name) // a string: it cannot fail
		b.Write(name)
		b.WriteByte(':')
		b.Write(m.value)
	}
	b.WriteByte('}')
	return b.Bytes()
}

// formats are those of strings that the API enforces.
var formats = []string{"date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid"}

// enforced returns a schema without the constraints that the API has no means to
// enforce, and that it refuses; they go into the description, for the model to
// read. It is not ok if more is missing: objects with properties of any name,
// values of any type, and schemas that refer to others.
func enforced(schema json.RawMessage) (out json.RawMessage, ok bool, err error) {
	in, err := members(schema)
	if err != nil {
		return nil, false, nil // true: anything goes
	}
	var kept []member
	var left []string
	description := ""
	typed, object, closed := false, false, false
	for _, m := range in {
		switch m.name {
		case "type":
			typed = true
			object = bytes.Contains(m.value, []byte(`"object"`))
		case "enum", "const", "title", "required":
			typed = typed || m.name == "enum" || m.name == "const"
		case "description":
			if err := json.Unmarshal(m.value, &description); err != nil {
				return nil, false, fmt.Errorf("its description: %w", err)
			}
			continue
		case "additionalProperties":
			closed = string(bytes.TrimSpace(m.value)) == "false"
		case "properties":
			if m.value, ok, err = enforcedEach(m.value); !ok {
				return nil, false, err
			}
		case "items":
			if m.value, ok, err = enforced(m.value); !ok {
				return nil, false, err
			}
		case "format":
			var format string
			if json.Unmarshal(m.value, &format) != nil || !slices.Contains(formats, format) {
				left = append(left, m.name+": "+string(m.value))
				continue
			}
		case "minItems":
			if n := string(m.value); n != "0" && n != "1" {
				left = append(left, m.name+": "+n)
				continue
			}
		case "maxItems", "uniqueItems", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf",
			"minLength", "maxLength", "pattern", "contentEncoding", "contentMediaType", "default", "examples":
			left = append(left, m.name+": "+string(m.value))
			continue
		case "$schema", "$comment", "$id":
			continue
		default: // $ref, anyOf, patternProperties, …: what they do to the whole, this does not judge
			return nil, false, nil
		}
		kept = append(kept, m)
	}
	if !typed || object && !closed {
		return nil, false, nil
	}
	if len(left) > 0 {
		description = strings.TrimSpace(description + " {" + strings.Join(left, ", ") + "}")
	}
	if description != "" {
		text, err := json.Marshal(description)
		if err != nil {
			return nil, false, err
		}
		kept = append(kept, member{"description", text})
	}
	return join(kept), true, nil
}

// enforcedEach is enforced for each schema in an object of them.
func enforcedEach(properties json.RawMessage) (out json.RawMessage, ok bool, err error) {
	all, err := members(properties)
	if err != nil {
		return nil, false, err
	}
	for i := range all {
		if all[i].value, ok, err = enforced(all[i].value); !ok {
			return nil, false, err
		}
	}
	return join(all), true, nil
}
