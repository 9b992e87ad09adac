package schemas

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// What the attributes of a run are bounded by: an index of runs keeps them in
// memory.
const (
	MaxAttributes      = 32      // of a run
	MaxAttributeName   = 64      // bytes
	MaxAttributeText   = 256     // bytes
	MaxAttributesBytes = 4 << 10 // of a run: names and texts, and 8 for each other value
)

// ErrAttributes is matched by the error of attributes that are over a bound, or
// not of the right form.
var ErrAttributes = errors.New("invalid attribute")

// AttributeOf returns a value as an attribute: a text, whole number, number, truth
// value or time. The error matches [ErrAttributes].
func AttributeOf(v any) (*Attribute, error) {
	a := &Attribute{}
	switch v := v.(type) {
	case string:
		a.Value = &Attribute_Text{v}
	case int64:
		a.Value = &Attribute_Integer{v}
	case float64:
		a.Value = &Attribute_Number{v}
	case bool:
		a.Value = &Attribute_Truth{v}
	case time.Time:
		if v.Year() < 1678 || v.Year() > 2261 {
			return nil, fmt.Errorf("%w: the time %v: years from 1678 to 2261 are kept", ErrAttributes, v)
		}
		a.Value = &Attribute_Time{v.UnixNano()}
	default:
		return nil, fmt.Errorf("%w: a %T: use a text, a number, a truth value or a time", ErrAttributes, v)
	}
	return a, a.valid()
}

// ParseAttribute reads a value that was written as text: a JSON number or truth
// value is one, an RFC 3339 time is a time, and everything else is text; in JSON's
// quotes everything is. The error matches [ErrAttributes].
func ParseAttribute(s string) (*Attribute, error) {
	var v any = s
	if t, err := time.Parse(time.RFC3339Nano, s); err == nil {
		v = t
	} else if len(s) <= 8*MaxAttributeText {
		d := json.NewDecoder(strings.NewReader(s))
		d.UseNumber()
		var parsed any
		if d.Decode(&parsed) == nil && !d.More() && d.InputOffset() == int64(len(s)) {
			switch p := parsed.(type) {
			case string, bool:
				v = p
			case json.Number:
				if i, err := p.Int64(); err == nil {
					v = i
				} else if f, err := p.Float64(); err == nil {
					v = f
				}
			}
		}
	}
	return AttributeOf(v)
}

func (x *Attribute) valid() error {
	switch v := x.GetValue().(type) {
	case *Attribute_Text:
		if len(v.Text) > MaxAttributeText {
			return fmt.Errorf("%w: the text %.20q... has %d bytes; at most %d are kept", ErrAttributes, v.Text, len(v.Text), MaxAttributeText)
		}
		if !utf8.ValidString(v.Text) {
			return fmt.Errorf("%w: the text %.20q is not UTF-8", ErrAttributes, v.Text)
		}
	case *Attribute_Number:
		if math.IsNaN(v.Number) || math.IsInf(v.Number, 0) {
			return fmt.Errorf("%w: the number %v: use one that JSON has", ErrAttributes, v.Number)
		}
	case nil:
		return fmt.Errorf("%w: it has no value", ErrAttributes)
	}
	return nil
}

// ValidAttributes returns an error that matches [ErrAttributes] if a run cannot
// have these.
func ValidAttributes(all map[string]*Attribute) error {
	if len(all) == 0 {
		return nil
	}
	if len(all) > MaxAttributes {
		return fmt.Errorf("%w: a run with %d of them; it has at most %d", ErrAttributes, len(all), MaxAttributes)
	}
	size := 0
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if err := validAttributeName(name); err != nil {
			return err
		}
		if err := all[name].valid(); err != nil {
			return fmt.Errorf("attribute %q: %w", name, err)
		}
		size += len(name) + 8
		if t, ok := all[name].GetValue().(*Attribute_Text); ok {
			size += len(t.Text) - 8
		}
	}
	if size > MaxAttributesBytes {
		return fmt.Errorf("%w: the attributes of the run have %d bytes; at most %d are kept: set fewer, or shorter ones", ErrAttributes, size, MaxAttributesBytes)
	}
	return nil
}

func validAttributeName(name string) error {
	if len(name) > MaxAttributeName {
		return fmt.Errorf("%w: the name %.20q... has %d bytes; at most %d are kept", ErrAttributes, name, len(name), MaxAttributeName)
	}
	if err := Kind(name).Validate(); err != nil {
		return fmt.Errorf("%w: the name %q: use letters, digits, '-' and '_', e.g. \"customer\"", ErrAttributes, name)
	}
	return nil
}

// Plain returns the value: a string, int64, float64, bool or time.Time.
func (x *Attribute) Plain() any {
	switch v := x.GetValue().(type) {
	case *Attribute_Text:
		return v.Text
	case *Attribute_Integer:
		return v.Integer
	case *Attribute_Number:
		return v.Number
	case *Attribute_Truth:
		return v.Truth
	case *Attribute_Time:
		return time.Unix(0, v.Time).UTC()
	}
	return nil
}
