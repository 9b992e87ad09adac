package runtimetest

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/perdure/perdure/runtime"
	"github.com/perdure/perdure/schemas"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
)

// TestJournal is the contract of [runtime.Journal]: open returns an empty one,
// which is ended with the test that it is given.
func TestJournal(t *testing.T, open func(t *testing.T) runtime.Journal) {
	for name, test := range map[string]func(*testing.T, runtime.Journal){
		"an unknown run has no entry":                                unknownHasNone,
		"entries come back as they were, in order":                   entriesComeBack,
		"an append behind another entry is fenced":                   appendIsFenced,
		"the fence covers every run of the identity":                 fenceCoversIdentity,
		"behind its claim a run is fenced by the next claim":         claimFences,
		"identities do not fence one another":                        identitiesAreApart,
		"keys and IDs of any form name runs of their own":            namesAreApart,
		"the same write sent again is stored once":                   sameWriteOnce,
		"another write with the same counter is fenced":              otherNonceIsFenced,
		"a record replaces the entries of its run and no others":     recordReplaces,
		"a record that keeps the history replaces nothing":           recordKeeps,
		"the head is the record until something follows":             headIsRecord,
		"of writers that race for a place one wins":                  oneWins,
		"what is changed after an append or a load is not stored":    storedIsApart,
		"an entry of half a megabyte is kept":                        largeEntry,
		"a context that has ended stores nothing and is the error":   endedContext,
		"a fenced append leaves the journal as it was":               fencedLeavesAlone,
		"a run goes on behind the record of another of its identity": goesOnBehindRecord,
	} {
		t.Run(name, func(t *testing.T) { test(t, open(t)) })
	}
}

// entry makes an entry of epoch 1 whose one event says what.
func entry(counter uint64, what string) *schemas.Entry {
	return &schemas.Entry{
		Epoch: 1, Nonce: []byte("me"), Counter: counter, At: int64(counter),
		Events: []*schemas.Event{{Kind: &schemas.Event_StepCompleted{StepCompleted: &schemas.StepCompleted{
			Path: "1", Name: what, Result: &schemas.Payload{Data: []byte(what)},
		}}}},
	}
}

func record(counter uint64, result string) *schemas.Entry {
	return &schemas.Entry{Epoch: 1, Nonce: []byte("me"), Counter: counter, Record: &schemas.Record{
		Status: schemas.Status_COMPLETED, Result: &schemas.Payload{Data: []byte(result)},
	}}
}

func ref(kind, key, id string) schemas.Ref {
	return schemas.Identity{Kind: schemas.Kind(kind), Key: key}.Run(schemas.RunID(id))
}

// mustStore appends an entry that must be stored, and returns its sequence.
func mustStore(t *testing.T, j runtime.Journal, r schemas.Ref, after uint64, e *schemas.Entry, before ...uint64) uint64 {
	t.Helper()
	out, err := j.Append(t.Context(), r, after, e, before...)
	if err != nil {
		t.Fatalf("append %d to %s after %d: %v", e.GetCounter(), r, after, err)
	}
	if out.Fenced || out.Seq <= after {
		t.Fatalf("append %d to %s after %d: got %+v, want it stored behind %d", e.GetCounter(), r, after, out, after)
	}
	return out.Seq
}

// mustFence appends an entry that must be refused because of head.
func mustFence(t *testing.T, j runtime.Journal, r schemas.Ref, after uint64, e *schemas.Entry, head uint64, before ...uint64) {
	t.Helper()
	out, err := j.Append(t.Context(), r, after, e, before...)
	if err != nil {
		t.Fatalf("append %d to %s after %d: %v", e.GetCounter(), r, after, err)
	}
	if !out.Fenced || out.Seq != 0 || out.Head.Seq != head {
		t.Fatalf("append %d to %s after %d: got %+v, want it fenced by %d", e.GetCounter(), r, after, out, head)
	}
}

// expectRun checks what is stored of a run.
func expectRun(t *testing.T, j runtime.Journal, r schemas.Ref, want ...*schemas.Entry) {
	t.Helper()
	got, err := j.Load(t.Context(), r)
	if err != nil {
		t.Fatalf("load %s: %v", r, err)
	}
	var entries []*schemas.Entry
	for i, s := range got {
		if s.Ref != r || s.Time.IsZero() || i > 0 && s.Seq <= got[i-1].Seq {
			t.Errorf("entry %d of %s: reference %s, time %v, sequence %d", i, r, s.Ref, s.Time, s.Seq)
		}
		entries = append(entries, s.Entry)
	}
	if diff := cmp.Diff(want, entries, protocmp.Transform()); diff != "" {
		t.Errorf("entries of %s (-want +got):\n%s", r, diff)
	}
	last, ok, err := j.Last(t.Context(), r)
	if err != nil {
		t.Fatalf("last of %s: %v", r, err)
	}
	if ok != (len(want) > 0) || ok && last.Seq != got[len(got)-1].Seq {
		t.Errorf("last of %s: got %d %v, want the last of %d entries", r, last.Seq, ok, len(want))
	}
}

func expectHead(t *testing.T, j runtime.Journal, id schemas.Identity, seq uint64, r schemas.Ref) {
	t.Helper()
	head, ok, err := j.Head(t.Context(), id)
	if err != nil || !ok || head.Seq != seq || head.Ref != r {
		t.Errorf("head of %s: got %d of %s, %v, %v; want %d of %s", id, head.Seq, head.Ref, ok, err, seq, r)
	}
}

func unknownHasNone(t *testing.T, j runtime.Journal) {
	r := ref("shop", "a", "1")
	if _, ok, err := j.Head(t.Context(), r.Identity); ok || err != nil {
		t.Errorf("head: %v, %v; want none", ok, err)
	}
	expectRun(t, j, r)
}

func entriesComeBack(t *testing.T, j runtime.Journal) {
	r := ref("shop", "a", "1")
	a, b, c := entry(1, "a"), entry(2, "b"), entry(3, "c")
	c.Events = append(c.Events, b.Events...)
	seq := mustStore(t, j, r, 0, a)
	seq = mustStore(t, j, r, seq, b)
	seq = mustStore(t, j, r, seq, c)
	expectRun(t, j, r, a, b, c)
	expectHead(t, j, r.Identity, seq, r)
}

func appendIsFenced(t *testing.T, j runtime.Journal) {
	r := ref("shop", "a", "1")
	mustFence(t, j, r, 7, entry(1, "behind nothing"), 0)
	first := mustStore(t, j, r, 0, entry(2, "a"))
	mustFence(t, j, r, 0, entry(3, "again the first"), first)
	second := mustStore(t, j, r, first, entry(4, "b"))
	mustFence(t, j, r, first, entry(5, "behind the first"), second)
	mustFence(t, j, r, second+1, entry(6, "behind what is not there"), second)
	out, err := j.Append(t.Context(), r, first, entry(7, "who was it?"))
	if err != nil || out.Head.Ref != r || out.Head.Entry.GetCounter() != 4 || out.Head.Entry.GetEpoch() != 1 {
		t.Errorf("a fenced append names the head: got %+v, %v", out, err)
	}
}

func fenceCoversIdentity(t *testing.T, j runtime.Journal) {
	one, two := ref("shop", "a", "1"), ref("shop", "a", "2")
	first := mustStore(t, j, one, 0, entry(1, "a"))
	mustFence(t, j, two, 0, entry(2, "a run of its own?"), first)
	second := mustStore(t, j, two, first, entry(3, "b"))
	mustFence(t, j, one, first, entry(4, "the first run's last"), second)
	expectHead(t, j, one.Identity, second, two)
}

// claimFences: who has claimed a run says so by naming its entries.
func claimFences(t *testing.T, j runtime.Journal) {
	one, two := ref("shop", "a", "1"), ref("shop", "a", "2")
	first := mustStore(t, j, one, 0, entry(1, "claim"))
	second := mustStore(t, j, one, first, entry(2, "a"), first)
	if again := mustStore(t, j, one, first, entry(2, "a"), first); again != second {
		t.Errorf("the same write sent again has sequence %d, want %d", again, second)
	}
	claim := mustStore(t, j, one, second, entry(3, "the next claim"))
	mustFence(t, j, one, second, entry(4, "b"), claim, first, second)
	mustFence(t, j, one, second, record(5, "done"), claim, first, second)
	mustFence(t, j, two, second, entry(6, "a run of its own?"), claim)
	expectRun(t, j, one, entry(1, "claim"), entry(2, "a"), entry(3, "the next claim"))
	done := mustStore(t, j, one, claim, record(7, "done"), first, second, claim)
	expectRun(t, j, one, record(7, "done"))
	mustFence(t, j, one, claim, record(8, "done"), done, first, second, claim)
}

func identitiesAreApart(t *testing.T, j runtime.Journal) {
	a, b, c := ref("shop", "a", "1"), ref("shop", "b", "1"), ref("bank", "a", "1")
	sa := mustStore(t, j, a, 0, entry(1, "a"))
	sb := mustStore(t, j, b, 0, entry(2, "b"))
	sc := mustStore(t, j, c, 0, entry(3, "c"))
	mustStore(t, j, a, sa, entry(4, "a"))
	mustStore(t, j, b, sb, entry(5, "b"))
	mustStore(t, j, c, sc, record(6, "c"))
	expectRun(t, j, a, entry(1, "a"), entry(4, "a"))
	expectRun(t, j, b, entry(2, "b"), entry(5, "b"))
	expectRun(t, j, c, record(6, "c"))
}

func namesAreApart(t *testing.T, j runtime.Journal) {
	keys := []string{"a", "a.b", "a.*", "*", ">", "a/b", "a b", "%2E", "ä", "日本", "A", "a\n"}
	var refs []schemas.Ref
	for _, key := range keys {
		for _, id := range keys {
			refs = append(refs, ref("shop", key, id))
		}
	}
	last := map[schemas.Identity]uint64{}
	for i, r := range refs {
		last[r.Identity] = mustStore(t, j, r, last[r.Identity], entry(uint64(i+1), r.String()))
	}
	for i, r := range refs {
		expectRun(t, j, r, entry(uint64(i+1), r.String()))
	}
}

func sameWriteOnce(t *testing.T, j runtime.Journal) {
	r := ref("shop", "a", "1")
	first := mustStore(t, j, r, 0, entry(1, "a"))
	e := entry(2, "b")
	second := mustStore(t, j, r, first, e)
	if again := mustStore(t, j, r, first, e); again != second {
		t.Errorf("the same write again: sequence %d, want %d", again, second)
	}
	expectRun(t, j, r, entry(1, "a"), e)
	rec := record(3, "done")
	third := mustStore(t, j, r, second, rec)
	if again := mustStore(t, j, r, second, rec); again != third {
		t.Errorf("the same record again: sequence %d, want %d", again, third)
	}
	expectRun(t, j, r, rec)
}

func otherNonceIsFenced(t *testing.T, j runtime.Journal) {
	r := ref("shop", "a", "1")
	first := mustStore(t, j, r, 0, entry(1, "a"))
	other := entry(1, "a")
	other.Nonce = []byte("somebody else")
	mustFence(t, j, r, 0, other, first)
}

func recordReplaces(t *testing.T, j runtime.Journal) {
	one, two := ref("shop", "a", "1"), ref("shop", "a", "2")
	seq := mustStore(t, j, one, 0, entry(1, "a"))
	seq = mustStore(t, j, one, seq, entry(2, "b"))
	seq = mustStore(t, j, one, seq, record(3, "one"))
	expectRun(t, j, one, record(3, "one"))
	seq = mustStore(t, j, two, seq, entry(4, "a"))
	mustStore(t, j, two, seq, record(5, "two"))
	expectRun(t, j, one, record(3, "one"))
	expectRun(t, j, two, record(5, "two"))
}

func recordKeeps(t *testing.T, j runtime.Journal) {
	one, two := ref("shop", "a", "1"), ref("shop", "a", "2")
	kept := record(3, "one")
	kept.Record.History = true
	seq := mustStore(t, j, one, 0, entry(1, "a"))
	seq = mustStore(t, j, one, seq, entry(2, "b"))
	seq = mustStore(t, j, one, seq, kept)
	expectRun(t, j, one, kept)
	mustStore(t, j, two, seq, entry(4, "a"))
	all, err := j.Entries(t.Context(), one)
	if err != nil || len(all) != 3 || all[2].Entry.GetRecord() == nil {
		t.Errorf("it keeps %v, %v; want two entries and the record", all, err)
	}
}

func headIsRecord(t *testing.T, j runtime.Journal) {
	one, two := ref("shop", "a", "1"), ref("shop", "a", "2")
	seq := mustStore(t, j, one, 0, entry(1, "a"))
	seq = mustStore(t, j, one, seq, record(2, "one"))
	expectHead(t, j, one.Identity, seq, one)
	seq = mustStore(t, j, two, seq, entry(3, "a"))
	expectHead(t, j, one.Identity, seq, two)
}

func oneWins(t *testing.T, j runtime.Journal) {
	const writers, rounds = 8, 20
	r := ref("shop", "a", "1")
	var after uint64
	for round := range rounds {
		outs := make([]schemas.Outcome, writers)
		errs := make([]error, writers)
		var wg sync.WaitGroup
		for i := range writers {
			wg.Go(func() {
				e := entry(uint64(round+1), "race")
				e.Nonce = fmt.Append(nil, "writer ", i)
				outs[i], errs[i] = j.Append(t.Context(), r, after, e)
			})
		}
		wg.Wait()
		won := slices.IndexFunc(outs, func(o schemas.Outcome) bool { return !o.Fenced })
		for i, out := range outs {
			switch {
			case errs[i] != nil:
				t.Fatalf("round %d: writer %d: %v", round, i, errs[i])
			case i == won:
				after = out.Seq
			case !out.Fenced || out.Seq != 0 || out.Head.Seq != outs[won].Seq:
				t.Fatalf("round %d: writer %d got %+v, and writer %d %+v: one wins and fences the others", round, i, out, won, outs[won])
			}
		}
		if won < 0 {
			t.Fatalf("round %d: nobody won", round)
		}
	}
}

func storedIsApart(t *testing.T, j runtime.Journal) {
	r := ref("shop", "a", "1")
	e := entry(1, "a")
	mustStore(t, j, r, 0, e)
	e.Events[0].GetStepCompleted().Result.Data[0] = 'X'
	e.Counter = 99
	expectRun(t, j, r, entry(1, "a"))
	got, err := j.Load(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	got[0].Entry.Events[0].GetStepCompleted().Result.Data[0] = 'Y'
	expectRun(t, j, r, entry(1, "a"))
}

func largeEntry(t *testing.T, j runtime.Journal) {
	r := ref("shop", "a", "1")
	e := entry(1, "a")
	e.Events[0].GetStepCompleted().Result.Data = make([]byte, 500_000)
	mustStore(t, j, r, 0, e)
	got, err := j.Load(t.Context(), r)
	if err != nil || len(got) != 1 || !proto.Equal(got[0].Entry, e) {
		t.Errorf("load: %d entries, %v; want the one that was stored", len(got), err)
	}
}

func endedContext(t *testing.T, j runtime.Journal) {
	r := ref("shop", "a", "1")
	first := mustStore(t, j, r, 0, entry(1, "a"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if out, err := j.Append(ctx, r, first, entry(2, "b")); err == nil {
		t.Errorf("append with an ended context: got %+v, want an error", out)
	}
	if _, _, err := j.Head(ctx, r.Identity); err == nil {
		t.Error("head with an ended context: want an error")
	}
	if _, err := j.Load(ctx, r); err == nil {
		t.Error("load with an ended context: want an error")
	}
}

func fencedLeavesAlone(t *testing.T, j runtime.Journal) {
	r := ref("shop", "a", "1")
	first := mustStore(t, j, r, 0, entry(1, "a"))
	second := mustStore(t, j, r, first, entry(2, "b"))
	mustFence(t, j, r, first, record(3, "of a zombie"), second)
	expectRun(t, j, r, entry(1, "a"), entry(2, "b"))
	mustStore(t, j, r, second, entry(4, "c"))
}

func goesOnBehindRecord(t *testing.T, j runtime.Journal) {
	one, two := ref("shop", "a", "1"), ref("shop", "a", "2")
	seq := mustStore(t, j, one, 0, record(1, "one"))
	seq = mustStore(t, j, two, seq, entry(2, "a"))
	mustFence(t, j, two, 0, entry(3, "as if new"), seq)
	seq = mustStore(t, j, two, seq, entry(4, "b"))
	expectHead(t, j, one.Identity, seq, two)
	expectRun(t, j, one, record(1, "one"))
}
