package perdure

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/perdure/perdure/actors"
	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/schemas"
)

// decoded makes a handler of a function of its decoded request, a struct. A
// field that the request does not have is refused: it would change what is
// meant, e.g. select everything.
func decoded[In any](fn func(context.Context, In) (any, error)) func(context.Context, []byte) (any, error) {
	fields := fieldsOf(reflect.TypeFor[In]())
	return func(ctx context.Context, body []byte) (any, error) {
		var in In
		if len(strings.TrimSpace(string(body))) > 0 {
			if err := json.Unmarshal(body, &in); err != nil {
				return nil, durable.Fail(durable.ErrInvalid.Code, "the request is not the JSON that is wanted: %v", err)
			}
			if err := known(body, fields); err != nil {
				return nil, err
			}
		}
		return fn(ctx, in)
	}
}

// fieldsOf returns the names that the fields of a struct have in JSON.
func fieldsOf(t reflect.Type) []string {
	var names []string
	for _, f := range reflect.VisibleFields(t) {
		if f.Anonymous { // its fields are visible as well
			continue
		}
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		names = append(names, name)
	}
	return names
}

// known refuses a JSON object that has other fields; case does not matter.
func known(body []byte, fields []string) error {
	var given map[string]json.RawMessage
	if err := json.Unmarshal(body, &given); err != nil {
		return durable.Fail(durable.ErrInvalid.Code, "the request is not the JSON that is wanted: %v", err)
	}
	for _, name := range slices.Sorted(maps.Keys(given)) {
		if !slices.ContainsFunc(fields, func(f string) bool { return strings.EqualFold(f, name) }) {
			return durable.Fail(durable.ErrInvalid.Code, "the request has no field %q; it has %s", name, quoted(fields))
		}
	}
	return nil
}

// quoted lists names for people.
func quoted(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	var list []string
	for _, n := range names {
		list = append(list, fmt.Sprintf("%q", n))
	}
	return strings.Join(list, ", ")
}

// checkStatus refuses what is the status of no run.
func checkStatus(status string) error {
	var names []string
	for _, n := range slices.Sorted(maps.Keys(schemas.Status_name)) {
		if s := schemas.Status(n); s != schemas.Status_STATUS_UNSPECIFIED {
			names = append(names, actors.StatusName(s))
		}
	}
	if !slices.Contains(names, status) {
		return durable.Fail(durable.ErrInvalid.Code, "%q is no status of a run; there are %s", status, quoted(names))
	}
	return nil
}
