package actors

import (
	"log/slog"
	"testing"

	"github.com/asynkron/protoactor-go/actor"
)

// What the actor system itself has registered, and what is registered later, is found
// in fewer maps, each name in one of them.
func TestSystem_NamesAreFoundInFewerMaps(t *testing.T) {
	t.Parallel()
	s := newSystem(slog.New(slog.DiscardHandler))
	defer s.shutdown()
	r := s.actors.ProcessRegistry
	if n := len(r.LocalPIDs.LocalPIDs); n != registryMaps {
		t.Errorf("the registry has %d maps, want %d", n, registryMaps)
	}
	for range 100 {
		if _, err := s.actors.Root.SpawnNamed(actor.PropsFromFunc(func(actor.Context) {}), r.NextId()); err != nil {
			t.Fatal(err)
		}
	}
	var names []string
	for _, m := range r.LocalPIDs.LocalPIDs {
		names = append(names, m.Keys()...)
	}
	if own := 2; len(names) != 100+own {
		t.Errorf("%d names are registered, want 100 and %d of the system: %q", len(names), own, names)
	}
	for _, name := range names {
		if _, ok := r.GetLocal(name); !ok {
			t.Errorf("%q is not found", name)
		}
	}
	for _, own := range []string{"deadletter", "eventstream"} {
		if _, ok := r.GetLocal(own); !ok {
			t.Errorf("%q of the system is not found", own)
		}
	}
}
