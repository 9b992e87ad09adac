package actors

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/perdure/perdure/broker"
	"github.com/perdure/perdure/broker/brokertest"
	"github.com/perdure/perdure/runtime"
	"github.com/perdure/perdure/schemas"
)

// A listing is an index, and the runs that it lists.
type listing struct {
	t *testing.T
	b *broker.Broker
	x *Index
}

func newListing(t *testing.T) listing {
	t.Helper()
	b := brokertest.Open(t, brokertest.Kinds("wf"))
	return listing{t, b, NewIndex(t.Context(), b, slog.New(slog.DiscardHandler), nil)}
}

func runOf(key string) schemas.Ref { return schemas.Identity{Kind: "wf", Key: key}.Run("1") }

// ended stores a run that began at a second of its own, and returns its record's
// sequence.
func (l listing) ended(key string, second int64) uint64 {
	l.t.Helper()
	out, err := l.b.Journal().Append(l.t.Context(), runOf(key), 0, &schemas.Entry{
		Epoch: 1, Nonce: []byte("n"), Counter: uint64(second),
		Record: &schemas.Record{Status: schemas.Status_COMPLETED, Started: time.Unix(second, 0).UnixNano()},
	})
	if err != nil || out.Fenced {
		l.t.Fatalf("append: %+v, %v", out, err)
	}
	return out.Seq
}

func (l listing) list(limit int, after string) (keys []string, next string) {
	l.t.Helper()
	page, err := l.x.List(l.t.Context(), Filter{}, after, limit)
	if err != nil {
		l.t.Fatal(err)
	}
	for _, r := range page.Runs {
		ref, err := schemas.ParseRef(r.Run)
		if err != nil {
			l.t.Fatal(err)
		}
		keys = append(keys, ref.Key)
	}
	return keys, page.Next
}

// until waits until the list, which follows the journals, is as it should be.
func (l listing) until(want ...string) {
	l.t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for {
		got, _ := l.list(100, "")
		if cmp.Equal(want, got) {
			return
		}
		if time.Now().After(deadline) {
			l.t.Fatalf("listed are %v, want %v", got, want)
		}
	}
}

// An index that is forgotten while it is asked is built again: nobody is told
// that there are no runs.
func TestIndex_IsNeverEmptyBecauseItIsForgotten(t *testing.T) {
	t.Parallel()
	l := newListing(t)
	l.x.old = time.Millisecond
	l.ended("a", 1)
	l.ended("b", 2)
	builds := map[*projection]bool{}
	for begun := time.Now(); len(builds) < 20; {
		if got, _ := l.list(100, ""); !cmp.Equal([]string{"b", "a"}, got) {
			t.Fatalf("listed are %v, want both", got)
		}
		l.x.mu.Lock()
		if l.x.now != nil {
			builds[l.x.now] = true
		}
		l.x.mu.Unlock()
		if time.Since(begun) > 10*time.Second {
			t.Fatalf("the index was built %d times only", len(builds))
		}
	}
}

// One entry that nobody can read does not end the list, before or after it was
// built.
func TestIndex_AnUnreadableEntryIsPassedOver(t *testing.T) {
	t.Parallel()
	l := newListing(t)
	damage := func(key string) {
		if _, err := brokertest.Request(t.Context(), l.b, l.b.Names().RunSubject(runOf(key)), "\xff\xff"); err != nil {
			t.Fatal(err)
		}
	}
	damage("x")
	l.ended("a", 1)
	l.until("a")
	built := l.x.now
	damage("y")
	l.ended("b", 2)
	l.until("b", "a")
	if l.x.now != built {
		t.Error("the entry ended the list, which was built again")
	}
}

// A run whose record was removed is not listed, and keeps its place for who pages.
func TestIndex_ARunWhoseRecordWasRemovedIsNotListed(t *testing.T) {
	t.Parallel()
	l := newListing(t)
	seqs := map[string]uint64{}
	for i, key := range []string{"a", "b", "c", "d", "e"} {
		seqs[key] = l.ended(key, int64(i+1))
	}
	l.until("e", "d", "c", "b", "a")
	first, next := l.list(2, "")
	if !cmp.Equal([]string{"e", "d"}, first) || next == "" {
		t.Errorf("the first page is %v, next %q", first, next)
	}
	for _, key := range []string{"d", "c"} {
		if err := l.b.Journal().Delete(t.Context(), seqs[key]); err != nil {
			t.Fatal(err)
		}
	}
	for _, after := range []string{next, runOf("d").String()} {
		if second, next := l.list(2, after); !cmp.Equal([]string{"b", "a"}, second) || next != "" {
			t.Errorf("the page after %s is %v, next %q; want the rest that is there", after, second, next)
		}
	}
	l.until("e", "b", "a")
	if first, next := l.list(3, ""); len(first) != 3 || next != "" {
		t.Errorf("a page of all is %v, next %q", first, next)
	}
	// One of the same ID that is started again is listed.
	l.ended("c", 7)
	l.until("c", "e", "b", "a")
	if _, err := l.x.List(t.Context(), Filter{}, runOf("never").String(), 1); runtime.AsError(err).Code != runtime.ErrInvalid.Code {
		t.Errorf("a page behind an unknown run: %v, want ErrInvalid", err)
	}
}

// Close waits for what is built, and nothing is built afterwards.
func TestIndex_CloseWaits(t *testing.T) {
	t.Parallel()
	l := newListing(t)
	l.ended("a", 1)
	l.until("a")
	l.x.mu.Lock()
	built := l.x.now
	l.x.mu.Unlock()
	l.x.Close()
	if !built.over { // without the lock: nothing of the index runs any more
		t.Error("the index has closed, and is still followed")
	}
	if _, err := l.x.List(t.Context(), Filter{}, "", 1); !errors.Is(err, context.Canceled) {
		t.Errorf("a list of a closed index: %v, want the context's error", err)
	}
	if l.x.now != nil {
		t.Error("a closed index was built again")
	}
	l.x.Close()
}
