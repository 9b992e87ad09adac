package runtimetest

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/perdure/perdure/runtime"
	"github.com/perdure/perdure/schemas"
	"google.golang.org/protobuf/testing/protocmp"
)

// TestStates is the contract of [runtime.States]: open returns an empty store.
func TestStates(t *testing.T, open func(t *testing.T) runtime.States) {
	for name, test := range map[string]func(*testing.T, runtime.States){
		"an unknown identity has no state":                     noState,
		"a value comes back with its revision":                 stateComesBack,
		"a value of another revision is fenced":                stateIsFenced,
		"the same value again counts as stored":                sameStateAgain,
		"a value older than what is stored counts as stored":   olderState,
		"an empty value is a value":                            emptyState,
		"identities do not disturb one another":                statesAreApart,
		"a context that has ended stores nothing":              endedStates,
		"a value that is refused leaves what was stored alone": refusedState,
	} {
		t.Run(name, func(t *testing.T) { test(t, open(t)) })
	}
}

var stateID = schemas.Identity{Kind: "stock", Key: "a.b/c"}

func state(value, run string, seq uint64) *schemas.State {
	return &schemas.State{Value: &schemas.Payload{Data: []byte(value)}, Run: run, Sequence: seq}
}

func mustPut(t *testing.T, s runtime.States, id schemas.Identity, after uint64, v *schemas.State) uint64 {
	t.Helper()
	out, err := s.Put(t.Context(), id, after, v)
	if err != nil || out.Fenced || out.Seq == 0 {
		t.Fatalf("put %v after %d: got %+v, %v; want it stored", v, after, out, err)
	}
	return out.Seq
}

func mustRefuse(t *testing.T, s runtime.States, after uint64, v *schemas.State) {
	t.Helper()
	out, err := s.Put(t.Context(), stateID, after, v)
	if err != nil || !out.Fenced || out.Seq != 0 {
		t.Fatalf("put %v after %d: got %+v, %v; want it fenced", v, after, out, err)
	}
}

func expectState(t *testing.T, s runtime.States, id schemas.Identity, rev uint64, want *schemas.State) {
	t.Helper()
	got, at, err := s.Get(t.Context(), id)
	if err != nil || at != rev {
		t.Fatalf("get %s: revision %d, %v; want %d", id, at, err, rev)
	}
	if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
		t.Errorf("state of %s (-want +got):\n%s", id, diff)
	}
}

func noState(t *testing.T, s runtime.States) {
	v, rev, err := s.Get(t.Context(), stateID)
	if v != nil || rev != 0 || err != nil {
		t.Errorf("get: %v, %d, %v; want none", v, rev, err)
	}
}

func stateComesBack(t *testing.T, s runtime.States) {
	rev := mustPut(t, s, stateID, 0, state("one", "r1", 3))
	expectState(t, s, stateID, rev, state("one", "r1", 3))
	next := mustPut(t, s, stateID, rev, state("two", "r2", 9))
	if next <= rev {
		t.Errorf("revision %d follows %d", next, rev)
	}
	expectState(t, s, stateID, next, state("two", "r2", 9))
}

func stateIsFenced(t *testing.T, s runtime.States) {
	mustRefuse(t, s, 7, state("behind nothing", "r1", 3))
	rev := mustPut(t, s, stateID, 0, state("one", "r1", 3))
	mustRefuse(t, s, 0, state("two", "r2", 9))
	mustRefuse(t, s, rev+1, state("two", "r2", 9))
	expectState(t, s, stateID, rev, state("one", "r1", 3))
}

func sameStateAgain(t *testing.T, s runtime.States) {
	rev := mustPut(t, s, stateID, 0, state("one", "r1", 3))
	if again := mustPut(t, s, stateID, 0, state("one", "r1", 3)); again != rev {
		t.Errorf("the same value again: revision %d, want that of what is stored, %d", again, rev)
	}
}

func olderState(t *testing.T, s runtime.States) {
	rev := mustPut(t, s, stateID, 0, state("one", "r1", 3))
	next := mustPut(t, s, stateID, rev, state("two", "r2", 9))
	if again := mustPut(t, s, stateID, 0, state("one", "r1", 3)); again != next {
		t.Errorf("a value that was stored and replaced: revision %d, want that of what is stored, %d", again, next)
	}
	expectState(t, s, stateID, next, state("two", "r2", 9))
}

func emptyState(t *testing.T, s runtime.States) {
	rev := mustPut(t, s, stateID, 0, state("one", "r1", 3))
	gone := &schemas.State{Run: "r2", Sequence: 9}
	next := mustPut(t, s, stateID, rev, gone)
	expectState(t, s, stateID, next, gone)
	mustPut(t, s, stateID, next, state("three", "r3", 12))
}

func statesAreApart(t *testing.T, s runtime.States) {
	other := schemas.Identity{Kind: "stock", Key: "a"}
	rev := mustPut(t, s, stateID, 0, state("one", "r1", 3))
	rev2 := mustPut(t, s, other, 0, state("two", "r1", 4))
	expectState(t, s, stateID, rev, state("one", "r1", 3))
	expectState(t, s, other, rev2, state("two", "r1", 4))
}

func endedStates(t *testing.T, s runtime.States) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if out, err := s.Put(ctx, stateID, 0, state("one", "r1", 3)); err == nil {
		t.Errorf("put with an ended context: got %+v, want an error", out)
	}
	noState(t, s)
}

func refusedState(t *testing.T, s runtime.States) {
	rev := mustPut(t, s, stateID, 0, state("one", "r1", 3))
	mustRefuse(t, s, 0, state("by somebody else", "r9", 4))
	expectState(t, s, stateID, rev, state("one", "r1", 3))
}
