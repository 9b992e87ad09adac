package actors

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"

	"github.com/perdure/perdure/schemas"
)

// Attributes are those of a run, by name: string, int64, float64, bool or
// time.Time. In JSON a time is a string.
type Attributes map[string]any

// AttributesOf returns attributes for people and programs; none are nil.
func AttributesOf(all map[string]*schemas.Attribute) Attributes {
	if len(all) == 0 {
		return nil
	}
	out := make(Attributes, len(all))
	for name, a := range all {
		out[name] = a.Plain()
	}
	return out
}

// ParseAttributes reads attributes as JSON has them: a text that is an RFC 3339
// time is a time. The error matches schemas.ErrAttributes.
func ParseAttributes(in Attributes) (map[string]*schemas.Attribute, error) {
	if len(in) == 0 {
		return nil, nil
	}
	out := make(map[string]*schemas.Attribute, len(in))
	for name, v := range in {
		if s, ok := v.(string); ok {
			if t, err := time.Parse(time.RFC3339Nano, s); err == nil {
				v = t
			}
		}
		a, err := schemas.AttributeOf(v)
		if err != nil {
			return nil, fmt.Errorf("attribute %q: %w", name, err)
		}
		out[name] = a
	}
	return out, schemas.ValidAttributes(out)
}

// UnmarshalJSON keeps whole numbers whole.
func (a *Attributes) UnmarshalJSON(data []byte) error {
	var all map[string]any
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	if err := d.Decode(&all); err != nil {
		return err
	}
	for name, v := range all {
		n, ok := v.(json.Number)
		if !ok {
			continue
		}
		if i, err := n.Int64(); err == nil {
			all[name] = i
		} else if f, err := n.Float64(); err == nil {
			all[name] = f
		}
	}
	*a = all
	return nil
}
