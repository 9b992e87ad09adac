package actors

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/perdure/perdure/schemas"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// fillPayloads puts a payload of its own into every field of m, at any depth,
// that holds one: of a oneof, into the field whose number is pick.
func fillPayloads(m protoreflect.Message, pick map[protoreflect.FullName]protoreflect.FieldNumber, depth int) {
	if p, ok := m.Interface().(*schemas.Payload); ok {
		p.Data = []byte{1}
		return
	}
	if depth == 0 {
		return
	}
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		if f.Message() == nil || f.IsMap() {
			continue
		}
		if o := f.ContainingOneof(); o != nil && pick[o.FullName()] != f.Number() {
			continue
		}
		if f.IsList() {
			fillPayloads(m.Mutable(f).List().AppendMutable().Message(), pick, depth-1)
			continue
		}
		fillPayloads(m.Mutable(f).Message(), pick, depth-1)
	}
}

// countPayloads counts them by reflection.
func countPayloads(m protoreflect.Message) (n int) {
	if _, ok := m.Interface().(*schemas.Payload); ok {
		return 1
	}
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case f.Message() == nil || f.IsMap():
		case f.IsList():
			for i := range v.List().Len() {
				n += countPayloads(v.List().Get(i).Message())
			}
		default:
			n += countPayloads(v.Message())
		}
		return true
	})
	return n
}

// P18: every payload of every message that is stored can go to the object
// store, and comes back from it. A field that the schema gains is found here.
func TestP18_EveryPayloadIsVisited(t *testing.T) {
	kinds := (&schemas.Event{}).ProtoReflect().Descriptor().Oneofs().ByName("kind")
	if kinds == nil || kinds.Fields().Len() < 10 {
		t.Fatal("the kinds of an event are not where this test looks")
	}
	total := 0
	for _, m := range []proto.Message{&schemas.Envelope{}, &schemas.Entry{}, &schemas.State{}} {
		for i := range kinds.Fields().Len() {
			m := m.ProtoReflect().New()
			fillPayloads(m, map[protoreflect.FullName]protoreflect.FieldNumber{kinds.FullName(): kinds.Fields().Get(i).Number()}, 4)
			visited := map[*schemas.Payload]bool{}
			payloads(m.Interface(), func(p *schemas.Payload) { visited[p] = true })
			if want := countPayloads(m); len(visited) != want || want == 0 {
				t.Errorf("%T with an event of kind %s: %d payloads were visited, it has %d", m.Interface(), kinds.Fields().Get(i).Name(), len(visited), want)
			}
			total += len(visited)
		}
	}
	if total == 0 {
		t.Error("no message has a payload")
	}
	var none int
	payloads(&schemas.Entry{Events: []*schemas.Event{{Kind: &schemas.Event_StepCompleted{StepCompleted: &schemas.StepCompleted{}}}}}, func(*schemas.Payload) { none++ })
	if diff := cmp.Diff(0, none); diff != "" {
		t.Errorf("payloads of a step without a result: %s", diff)
	}
}
