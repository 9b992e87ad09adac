package actors

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"testing"
)

// TestSlots_NoRunBeginsWhileTheJournalIsBusy: one begins with each entry that arrives
// below the bound, in the order in which they came, and none waits for nothing.
func TestSlots_NoRunBeginsWhileTheJournalIsBusy(t *testing.T) {
	t.Parallel()
	s := newSlots(100, 3, slog.New(slog.DiscardHandler))
	var begun []int
	begins := func(n int, takes bool) func() bool {
		return func() bool { begun = append(begun, n); return takes }
	}
	is := func(want ...int) {
		t.Helper()
		if !slices.Equal(begun, want) {
			t.Errorf("%v have begun, want %v", begun, want)
		}
	}
	for range 3 {
		if !s.Try(party{}) {
			t.Fatal("there is no place while the journal is idle")
		}
		s.Appends()
	}
	if s.Try(party{}) {
		t.Error("a run may begin while three entries are on their way")
	}
	for n, takes := range []bool{true, false, true, true} {
		if !s.Begin(nil, party{}, begins(n, takes)) {
			t.Errorf("%d was refused, want it to wait", n)
		}
	}
	s.Appends() // of one that executes
	s.Appended()
	is()
	s.Appended() // two are left
	is(0)
	s.Appended()
	is(0, 1, 2) // 1 does not want the place
	s.Free(party{})
	is(0, 1, 2, 3)
	if s.Begin(nil, party{}, begins(4, false)) {
		t.Error("what does not begin is said to wait")
	}
	s.Appended()
	if s.free != 100-6+1 || s.shares.waiting.Load() != 0 {
		t.Errorf("%d places are free, and %d wait; want 95, and none", s.free, s.shares.waiting.Load())
	}
}

// TestSlots_WhoIsForgottenOrGivesUpTakesNoPlace.
func TestSlots_WhoIsForgottenOrGivesUpTakesNoPlace(t *testing.T) {
	t.Parallel()
	s := newSlots(1, 1, slog.New(slog.DiscardHandler))
	if !s.Try(party{}) {
		t.Fatal("there is no place")
	}
	ended, lives := &pump{}, &pump{}
	took := ""
	s.Begin(ended, party{}, func() bool { took += "ended "; return true })
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Wait(ctx, party{}, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("who gives up: %v", err)
	}
	s.Begin(lives, party{}, func() bool { took += "lives"; return true })
	s.Forget(ended)
	s.Free(party{})
	if took != "lives" {
		t.Errorf("the place was taken by %q, want the one that lives", took)
	}
	waits := make(chan error)
	go func() { waits <- s.Wait(t.Context(), party{}, nil) }()
	s.Free(party{})
	if err := <-waits; err != nil || s.free != 0 {
		t.Errorf("who waits: %v, and %d places are free", err, s.free)
	}
}

// TestSlots_WhoComesNudgesWhoWaits: what was given a place may wait for something before
// its first entry; then those who come see to it that the next one begins.
func TestSlots_WhoComesNudgesWhoWaits(t *testing.T) {
	t.Parallel()
	for how, comes := range map[string]func(*slots) bool{
		"Try":   func(s *slots) bool { return s.Try(party{}) },
		"Begin": func(s *slots) bool { return s.Begin(nil, party{}, func() bool { return true }) },
		"Wait":  func(s *slots) bool { return s.Wait(t.Context(), party{}, nil) == nil },
	} {
		s := newSlots(8, 1, slog.New(slog.DiscardHandler))
		s.Appends()
		var begun []string
		for _, name := range []string{"a", "b", "c"} {
			s.Begin(nil, party{}, func() bool { begun = append(begun, name); return true })
		}
		s.Appended()
		if want := []string{"a"}; !slices.Equal(begun, want) {
			t.Fatalf("%q began, want %q", begun, want)
		}
		if !comes(s) || s.free != 8-3 {
			t.Errorf("%s: %d places are free, want that who comes has one, too", how, s.free)
		}
		if want := []string{"a", "b"}; !slices.Equal(begun, want) {
			t.Errorf("%s: %q began, want %q", how, begun, want)
		}
	}
}
