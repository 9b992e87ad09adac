package actors

import (
	"cmp"
	"strconv"
	"strings"
	"time"

	"github.com/perdure/perdure/runtime"
	"github.com/perdure/perdure/schemas"
)

// A condition compares an attribute of a run with a value that was written as
// text: in the type that the attribute has.
type condition struct {
	name string
	op   string
	text string

	// the text as each type that it is one of
	integer         int64
	number          float64
	truth           bool
	time            time.Time
	isInt, isNumber bool
	isTruth, isTime bool
}

// parseCondition reads NAME OP VALUE, e.g. "customer=c-17" or "cents>=4200"; the
// operators are =, !=, <, <=, > and >=. A run without the attribute, or with one of
// a type that the value is not of, fulfils none, not even !=.
func parseCondition(s string) (c condition, err error) {
	i := strings.IndexAny(s, "=!<>")
	if i < 0 {
		return c, runtime.Errorf(runtime.ErrInvalid.Code, "the condition %q has no operator; write it as 'customer=c-17' or 'cents>=4200', with =, !=, <, <=, > or >=", s)
	}
	c.name, c.op = strings.TrimSpace(s[:i]), s[i:i+1]
	if strings.HasPrefix(s[i+1:], "=") && c.op != "=" {
		c.op += "="
	}
	if c.op == "!" || schemas.Kind(c.name).Validate() != nil {
		return c, runtime.Errorf(runtime.ErrInvalid.Code, "the condition %q: an attribute's name of letters, digits, '-' and '_' comes first, then =, !=, <, <=, > or >=, then the value", s)
	}
	c.text = s[i+len(c.op):]
	equality := c.op == "=" || c.op == "!=" // a text may be <so>, but nobody orders by that
	if more := strings.TrimLeft(c.text, "=!<>"); len(more) < len(c.text) && (!equality || c.text[0] == '=') {
		return c, runtime.Errorf(runtime.ErrInvalid.Code, "the condition %q: %q is no operator; there are =, !=, <, <=, > and >=", s, s[i:len(s)-len(more)])
	}
	value := strings.TrimSpace(c.text)
	c.integer, err = strconv.ParseInt(value, 10, 64)
	c.isInt = err == nil
	c.number, err = strconv.ParseFloat(value, 64)
	c.isNumber = err == nil
	c.truth, err = strconv.ParseBool(value)
	c.isTruth = err == nil
	c.time, err = time.Parse(time.RFC3339Nano, value)
	c.isTime = err == nil
	return c, nil
}

// holds reports whether an attribute fulfils the condition.
func (c *condition) holds(v *rowAttribute) bool {
	order := 0
	switch v.kind {
	case textAttribute:
		order = strings.Compare(v.text, c.text)
	case integerAttribute:
		switch {
		case c.isInt:
			order = cmp.Compare(v.integer(), c.integer)
		case c.isNumber:
			order = cmp.Compare(float64(v.integer()), c.number)
		default:
			return false
		}
	case numberAttribute:
		if !c.isNumber {
			return false
		}
		order = cmp.Compare(v.number(), c.number)
	case truthAttribute:
		if !c.isTruth {
			return false
		}
		if v.truth() != c.truth {
			order = 1
			if c.truth {
				order = -1
			}
		}
	case timeAttribute:
		if !c.isTime {
			return false
		}
		order = v.time().Compare(c.time)
	}
	switch c.op {
	case "=":
		return order == 0
	case "!=":
		return order != 0
	case "<":
		return order < 0
	case "<=":
		return order <= 0
	case ">":
		return order > 0
	}
	return order >= 0
}
