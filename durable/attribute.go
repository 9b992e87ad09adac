package durable

import (
	"reflect"
	"time"

	"github.com/perdure/perdure/schemas"
)

// An AttributeValue is what an attribute of a run may be: a text of at most 256
// bytes, a number, a truth value or a time.
type AttributeValue interface {
	~string | ~bool | ~int | ~int8 | ~int16 | ~int32 | ~int64 | ~uint8 | ~uint16 | ~uint32 | ~float32 | ~float64 | time.Time
}

// SetAttribute gives the run an attribute by which it can be found: by
// Client.List, runs.list and perdure runs --where, while it runs and after. It
// replaces the one of the same name. It is stored with the run's next entry, so
// that several that are set between two waits are stored at once. Names are of
// letters, digits, '-' and '_'; a run has at most 32 attributes of 4 KiB together.
// The error is [ErrInvalid] for one that is over a bound, or of a wrong form.
//
//	err := durable.SetAttribute(ctx, "customer", order.Customer)
//
// Wrong: an attribute for what nobody searches for: show that with [SetStatus]. And
// SetAttribute in a step; its body has no durable context.
func SetAttribute[T AttributeValue](ctx Context, name string, v T) error {
	a, err := attributeOf(name, v)
	if err != nil {
		return err
	}
	return ctx.engine().SetAttribute(name, a)
}

// RemoveAttribute takes an attribute away from the run; one that it does not have
// is not an error.
func RemoveAttribute(ctx Context, name string) error { return ctx.engine().SetAttribute(name, nil) }

// An AttributeOption gives the run that a message starts an attribute.
type AttributeOption struct {
	name  string
	value *schemas.Attribute
	err   error
}

// Attribute gives the run that a message starts an attribute from its start, as
// [SetAttribute] does from within; use it once for each. The same task sent again
// with other attributes is the same run, with those that came first.
func Attribute[T AttributeValue](name string, v T) AttributeOption {
	a, err := attributeOf(name, v)
	return AttributeOption{name, a, err}
}

func (o AttributeOption) applyCall(c *callConfig) { o.ApplyStart(&c.StartConfig) }

// ApplyStart adds the attribute.
func (o AttributeOption) ApplyStart(c *StartConfig) {
	if c.Attributes == nil {
		c.Attributes = map[string]*schemas.Attribute{}
	}
	c.Attributes[o.name] = o.value
	if c.Err == nil {
		c.Err = o.err
	}
}

func attributeOf[T AttributeValue](name string, v T) (*schemas.Attribute, error) {
	var plain any = v
	switch r := reflect.ValueOf(v); r.Kind() {
	case reflect.String:
		plain = r.String()
	case reflect.Bool:
		plain = r.Bool()
	case reflect.Float32, reflect.Float64:
		plain = r.Float()
	case reflect.Uint8, reflect.Uint16, reflect.Uint32:
		plain = int64(r.Uint())
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		plain = r.Int()
	}
	a, err := schemas.AttributeOf(plain)
	if err != nil {
		return nil, Fail(ErrInvalid.Code, "attribute %q of the run: %v", name, err)
	}
	return a, nil
}
