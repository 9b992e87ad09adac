package contracts_test

import (
	"maps"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/perdure/perdure"
	"github.com/perdure/perdure/actors"
	"github.com/perdure/perdure/durable"
)

// services are the kinds of all contracts.
type services struct {
	far    string
	client atomic.Pointer[perdure.Client] // what steps signal and cancel with
}

func (s *services) kinds() []*durable.Kind {
	return []*durable.Kind{
		counterKind(), mapKind(), listKind(),
		s.holderKind(), blockKind(), runnerKind(), blockingKind(),
		s.failingKind(), nondeterministicKind(), proxyKind(), limitedKind(),
		s.interpreterKind(), s.utilsKind(), s.queueKind(), s.kitchenKind(),
	}
}

// A change is what an addition did to a counter.
type change struct{ Old, New int }

var (
	counterAdd     = durable.Declare[int, change]("counter.add")
	counterAddFail = durable.Declare[int, durable.None]("counter.add_then_fail")
	counterReset   = durable.Declare[durable.None, durable.None]("counter.reset")
	counterGet     = durable.DeclareQuery[durable.None, int]("counter.get")
)

func counterKind() *durable.Kind {
	return actors.New(actors.Handlers[int]{
		actors.On(counterAdd, func(_ durable.Context, n *int, by int) (change, error) {
			c := change{*n, *n + by}
			*n = c.New
			return c, nil
		}),
		actors.On(counterAddFail, func(ctx durable.Context, n *int, by int) (durable.None, error) {
			*n += by
			return durable.None{}, durable.Fail("refused", "%s is not to be changed", ctx.Info().Key)
		}),
		actors.On(counterReset, func(_ durable.Context, n *int, _ durable.None) (durable.None, error) {
			*n = 0
			return durable.None{}, nil
		}),
		actors.OnQuery(counterGet, func(n int, _ durable.None) (int, error) { return n, nil }),
	})
}

// counterAdds: each addition returns what was and what is.
func counterAdds(t *testing.T, w *world) {
	for _, want := range []change{{0, 1}, {1, 3}, {3, 6}} {
		if got := call(t, w.c, counterAdd.At(key(t)), want.New-want.Old); got != want {
			t.Errorf("got %+v, want %+v", got, want)
		}
	}
	call(t, w.c, counterReset.At(key(t)), durable.None{})
	eventually(t, "the counter is 0", func() bool { return ask(t, w.c, counterGet.At(key(t)), durable.None{}) == 0 })
}

// counterFails: an addition whose run fails names the counter, and changes
// nothing.
func counterFails(t *testing.T, w *world) {
	call(t, w.c, counterAdd.At(key(t)), 1)
	if _, err := perdure.Call(soon(t), w.c, counterAddFail.At(key(t)), 5); !durable.IsCode(err, "refused") {
		t.Errorf("got %v, want the failure", err)
	}
	if got := call(t, w.c, counterAdd.At(key(t)), 1); got != (change{1, 2}) {
		t.Errorf("after a failure an addition does %+v, want 1 to 2", got)
	}
}

// counterIdempotent: the same ID twice is one addition, and both callers get its
// result; with another input it is a conflict.
func counterIdempotent(t *testing.T, w *world) {
	for range 2 {
		if got := call(t, w.c, counterAdd.At(key(t)), 2, perdure.MessageID("same")); got != (change{0, 2}) {
			t.Errorf("got %+v, want 0 to 2 both times", got)
		}
	}
	if _, err := perdure.Call(soon(t), w.c, counterAdd.At(key(t)), 3, perdure.MessageID("same")); !durable.IsCode(err, durable.ErrConflict.Code) {
		t.Errorf("the same ID with another input: %v, want a conflict", err)
	}
	if got := call(t, w.c, counterAdd.At(key(t)), 1); got != (change{2, 3}) {
		t.Errorf("got %+v, want 2 to 3", got)
	}
}

// An entry is one of a map object.
type entry struct{ Key, Value string }

var (
	mapSet   = durable.Declare[entry, durable.None]("map.set")
	mapGet   = durable.Declare[string, string]("map.get")
	mapClear = durable.Declare[durable.None, []entry]("map.clear_all")
)

func mapKind() *durable.Kind {
	return actors.New(actors.Handlers[map[string]string]{
		actors.On(mapSet, func(_ durable.Context, m *map[string]string, e entry) (durable.None, error) {
			if *m == nil {
				*m = map[string]string{}
			}
			(*m)[e.Key] = e.Value
			return durable.None{}, nil
		}),
		actors.On(mapGet, func(_ durable.Context, m *map[string]string, key string) (string, error) { return (*m)[key], nil }),
		actors.On(mapClear, func(_ durable.Context, m *map[string]string, _ durable.None) (all []entry, err error) {
			for _, k := range slices.Sorted(maps.Keys(*m)) {
				all = append(all, entry{k, (*m)[k]})
			}
			*m = nil
			return all, nil
		}),
	})
}

// mapCleared: clearing returns all entries and leaves none, and another key's map
// as it is.
func mapCleared(t *testing.T, w *world) {
	one, other := key(t)+"/one", key(t)+"/other"
	call(t, w.c, mapSet.At(one), entry{"k0", "v0"})
	call(t, w.c, mapSet.At(one), entry{"k1", "v1"})
	call(t, w.c, mapSet.At(other), entry{"k0", "other"})
	if diff := cmp.Diff([]entry{{"k0", "v0"}, {"k1", "v1"}}, call(t, w.c, mapClear.At(one), durable.None{})); diff != "" {
		t.Errorf("what was cleared (-want +got):\n%s", diff)
	}
	for id, want := range map[string]string{one: "", other: "other"} {
		if got := call(t, w.c, mapGet.At(id), "k0"); got != want {
			t.Errorf("%s has %q, want %q", id, got, want)
		}
	}
}

var (
	listAppend = durable.Declare[string, durable.None]("list.append")
	listGet    = durable.DeclareQuery[durable.None, []string]("list.get")
	listClear  = durable.Declare[durable.None, []string]("list.clear")
)

func listKind() *durable.Kind {
	return actors.New(actors.Handlers[[]string]{
		actors.On(listAppend, func(_ durable.Context, l *[]string, s string) (durable.None, error) {
			*l = append(*l, s)
			return durable.None{}, nil
		}),
		actors.OnQuery(listGet, func(l []string, _ durable.None) ([]string, error) { return l, nil }),
		actors.On(listClear, func(_ durable.Context, l *[]string, _ durable.None) ([]string, error) {
			all := *l
			*l = nil
			return all, nil
		}),
	})
}

// listKeepsOrder: messages of one sender to one key are handled in the order in
// which they were accepted.
func listKeepsOrder(t *testing.T, w *world) {
	var want []string
	for i := range 10 {
		want = append(want, string(rune('a'+i)))
		start(t, w.c, listAppend.At(key(t)), want[i])
	}
	if diff := cmp.Diff(want, call(t, w.c, listClear.At(key(t)), durable.None{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	eventually(t, "the list is empty", func() bool { return len(ask(t, w.c, listGet.At(key(t)), durable.None{})) == 0 })
}
