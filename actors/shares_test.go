package actors

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/perdure/perdure/broker"
	"github.com/perdure/perdure/runtime"
	"github.com/perdure/perdure/schemas"
)

// waits lets n of a party wait, which note themselves in order when they begin.
func (s *slots) waits(p party, n int, order *[]string) {
	for range n {
		s.Begin(nil, p, func() bool { *order = append(*order, string(p.kind)+p.tenant); return true })
	}
}

// TestShares_KindsTakeTurnsByTheirWeights: while there are places, and the journal is
// busy; within a kind its tenants do.
func TestShares_KindsTakeTurnsByTheirWeights(t *testing.T) {
	t.Parallel()
	s := newSlots(1000, 1, slog.New(slog.DiscardHandler))
	s.shares.weights = func(k schemas.Kind) int64 { return map[schemas.Kind]int64{"a": 1, "b": 3}[k] }
	s.Appends()
	var order []string
	s.waits(party{"a", ""}, 100, &order)
	s.waits(party{"b", "1"}, 100, &order)
	s.waits(party{"b", "2"}, 3, &order)
	for range 16 {
		s.Appended() // one begins
		s.Appends()
	}
	got := strings.Join(order, " ")
	if n := strings.Count(got, "a"); n != 4 {
		t.Errorf("of 16 the kind of a quarter had %d: %s", n, got)
	}
	if n := strings.Count(got, "b2"); n != 3 {
		t.Errorf("the tenant who sent three had %d: %s", n, got)
	}
	s.waits(party{"a", ""}, 1, &order)
	if n := s.shares.waiting.Load(); n != 203-16+1 {
		t.Errorf("%d wait", n)
	}
}

// TestShares_WhoKeepsItsPlacesGetsNoMoreOfThem: the next free place goes to who has the
// fewest, though the others have waited longer.
func TestShares_WhoKeepsItsPlacesGetsNoMoreOfThem(t *testing.T) {
	t.Parallel()
	s := newSlots(4, 100, slog.New(slog.DiscardHandler))
	var order []string
	slow, fast := party{"slow", ""}, party{"fast", ""}
	s.waits(slow, 10, &order)
	s.waits(fast, 10, &order)
	for range 8 { // the slow ones keep theirs from now on, but for one
		s.Free(map[bool]party{true: fast, false: slow}[s.shares.kinds["fast"] != nil && s.shares.kinds["fast"].held > 0])
	}
	if n := strings.Count(strings.Join(order, " "), "slow"); n > 5 {
		t.Errorf("the slow ones had %d places of 12: %v", n, order)
	}
	for p, k := range s.shares.kinds {
		if k.held < 0 || k.waiting < 0 || len(k.tenants) > 1 {
			t.Errorf("%s: %+v", p, k)
		}
	}
}

// TestLines_ShareWhatWaitsInMemory: each line has its part, whichever came first; what is
// taken out and what leaves is counted, and nothing is left of lines that are empty.
func TestLines_ShareWhatWaitsInMemory(t *testing.T) {
	t.Parallel()
	s := newLines(8)
	a := party{"a", ""}
	var in []*line
	for i := range 20 {
		if l := s.enter(a, uint64(i), broker.Place{Seq: uint64(i)}); l != nil {
			in = append(in, l)
		}
	}
	if len(in) != 8 || s.putOff != 12 {
		t.Fatalf("%d are in memory, %d put off; want 8 and 12", len(in), s.putOff)
	}
	for i := range 40 {
		p := party{schemas.Kind(fmt.Sprint("k", i)), ""}
		if l := s.enter(p, uint64(100+i), broker.Place{Seq: uint64(100 + i)}); l != nil {
			in = append(in, l)
		}
	}
	if len(in) != 16 || s.busy != 41 {
		t.Errorf("%d of %d lines are in memory, want 16 of 41", len(in), s.busy)
	}
	if l := s.enter(party{"other", ""}, 11, broker.Place{Seq: 200}); l != nil || s.byParty[a].putOff[12].at.Seq != 200 {
		t.Error("the second message of an identity that is put off does not wait behind the first")
	}
	if _, tasks := s.takeOf(11); len(tasks) != 2 || tasks[0].at.Seq != 11 || tasks[1].at.Seq != 200 {
		t.Errorf("of one identity %v were taken", tasks)
	} else {
		in = append(in, s.byParty[a], s.byParty[a])
		s.arrived(11)
		s.arrived(11)
	}
	brought := 0
	for len(in) > 0 {
		bring := s.leave(in[0])
		in = in[1:]
		for bring {
			l, tasks := s.takeNext(false)
			for _, task := range tasks {
				in = append(in, l)
				s.arrived(task.id)
			}
			brought += len(tasks)
			bring = len(tasks) > 0
		}
	}
	if brought != 11+32 || s.inMemory != 0 || s.putOff != 0 || s.busy != 0 || len(s.backlogs) != 0 || len(s.turns) != 0 || len(s.byParty) > linesKept+1 {
		t.Errorf("%d were brought in; left is %+v", brought, s)
	}
}

// TestParties_FairByThatPanicsIsSaidOnceForItsKind: and what its identities count for.
func TestParties_FairByThatPanicsIsSaidOnceForItsKind(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	panics := func(key string) string { panic("no tenant of " + key) }
	s := &parties{log: slog.New(slog.NewTextHandler(&log, nil)), kinds: map[schemas.Kind]*runtime.Kind{"a": {FairBy: panics}, "b": {FairBy: panics}}}
	for _, kind := range []schemas.Kind{"a", "a", "b", "a"} {
		if p := s.of(schemas.Identity{Kind: kind, Key: "k"}, "domain"); p != (party{kind, ""}) {
			t.Errorf("it counts for %+v, want the tenant of its kind that has no name", p)
		}
	}
	said := strings.Split(strings.TrimSpace(log.String()), "\n")
	if len(said) != 2 {
		t.Fatalf("the log has %d lines, want one for each of two kinds:\n%s", len(said), &log)
	}
	for i, kind := range []string{"a", "b"} {
		for _, want := range []string{"level=ERROR", "kind=" + kind, "identity=" + kind + "/k", `tenant=""`, `panic="no tenant of k"`} {
			if !strings.Contains(said[i], want) {
				t.Errorf("the log says %s, want %s", said[i], want)
			}
		}
	}
}

// TestPlaces_APlaceIsOfOneParty: what FairBy says later changes nothing.
func TestPlaces_APlaceIsOfOneParty(t *testing.T) {
	t.Parallel()
	asked := 0
	fickle := func(string) string { asked++; return fmt.Sprint(asked) }
	s := newSlots(1, 1, slog.New(slog.DiscardHandler))
	p := places{&parties{kinds: map[schemas.Kind]*runtime.Kind{"a": {FairBy: fickle}}}, s}.For(schemas.Identity{Kind: "a", Key: "k"}, "")
	if !p.Try() {
		t.Fatal("there is no place")
	}
	p.Free()
	if k := s.shares.kinds["a"]; asked != 1 || k.held != 0 || len(k.tenants) != 0 || s.free != 1 {
		t.Errorf("the kind was asked %d times, and has %d places, %d tenants; want one, and none of both", asked, k.held, len(k.tenants))
	}
}
