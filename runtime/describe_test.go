package runtime

import (
	"testing"

	"github.com/perdure/perdure/schemas"
)

// TestDescribed: every event has a description of its own.
func TestDescribed(t *testing.T) {
	all := (&schemas.Event{}).ProtoReflect().Descriptor().Oneofs().ByName("kind").Fields()
	of := map[string]string{}
	for i := range all.Len() {
		e := &schemas.Event{}
		m := e.ProtoReflect()
		m.Set(all.Get(i), m.NewField(all.Get(i)))
		name, what := string(all.Get(i).Name()), described(e)
		if what == "an event" {
			t.Errorf("%s is described as %q", name, what)
		}
		if other := of[what]; other != "" && name != "timer_fired" {
			t.Errorf("%s and %s are both described as %q", name, other, what)
		}
		of[what] = name
	}
}
