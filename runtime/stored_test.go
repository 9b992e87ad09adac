package runtime

import (
	"slices"
	"testing"

	"github.com/perdure/perdure/schemas"
)

// TestStored_KnowsAllEntriesOfARunOrNone: an entry that replaces others removes what is
// known of its run, and a fence is put on the last of them.
func TestStored_KnowsAllEntriesOfARunOrNone(t *testing.T) {
	t.Parallel()
	id := schemas.Identity{Kind: "wf", Key: "a"}
	open, other := id.Run("open"), id.Run("other")
	began := (&Executor{cfg: &Config{}}).newEntry(&schemas.Event{Kind: &schemas.Event_Claimed{Claimed: &schemas.Claimed{}}}, &schemas.Event{Kind: &schemas.Event_Started{Started: &schemas.Started{}}})
	step, refusal := (&Executor{cfg: &Config{}}).newEntry(), &schemas.Entry{Record: &schemas.Record{}}
	var s stored
	check := func(what string, want ...uint64) {
		t.Helper()
		if got := s.of(open); !slices.Equal(got, want) {
			t.Errorf("%s: %v are known, want %v", what, got, want)
		}
	}
	s.add(open, 1, began)
	s.add(open, 2, step)
	check("a run that began", 1, 2)
	s.add(other, 3, refusal)
	check("beside it another was refused", 1, 2)
	s.add(open, 4, step)
	check("it goes on", 1, 2, 4)
	s.add(open, 5, &schemas.Entry{Record: &schemas.Record{}})
	check("its record", 5)
	s = stored{ref: other, seq: []uint64{1, 2}}
	s.add(open, 6, step)
	s.add(open, 7, step)
	check("a run whose beginning is not known")
	s.load(open, []schemas.Stored{{Seq: 6}, {Seq: 7}})
	s.add(open, 8, step)
	check("a run that was loaded", 6, 7, 8)
}
