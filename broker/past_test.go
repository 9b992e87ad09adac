package broker_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/perdure/perdure/broker"
	"github.com/perdure/perdure/broker/brokertest"
	"github.com/perdure/perdure/schemas"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
)

func always() bool { return true }

func pastSubject(r *raw, ref schemas.Ref) string {
	return strings.Replace(r.n.RunSubject(ref), ".run.", ".past.", 1)
}

// ended stores runs of an identity that have ended, one of them with its history, and
// an open one behind them. It returns the first two and the head.
func (r *raw) ended(id schemas.Identity) (plain, long schemas.Ref, head uint64) {
	r.t.Helper()
	plain, long = id.Run("plain"), id.Run("long")
	at := r.appended(plain, 0, start("w", 1))
	at = r.appended(plain, at, record("w", 2))
	at = r.appended(long, at, start("w", 3))
	at = r.appended(long, at, entry("w", 4))
	kept := record("w", 5)
	kept.Record.History = true
	at = r.appended(long, at, kept)
	return plain, long, r.appended(id.Run("open"), at, start("w", 6))
}

// known returns all that is read of runs.
func (r *raw) known(refs ...schemas.Ref) (all [][]schemas.Stored) {
	r.t.Helper()
	j := r.b.Journal()
	for _, ref := range refs {
		last, ok, err := j.Last(r.ctx, ref)
		must(r.t, err)
		if !ok {
			r.t.Fatalf("%v is not found", ref)
		}
		loaded, err := j.Load(r.ctx, ref)
		must(r.t, err)
		entries, err := j.Entries(r.ctx, ref)
		must(r.t, err)
		all = append(all, []schemas.Stored{last}, loaded, entries)
	}
	return all
}

func (r *raw) same(when string, want, got [][]schemas.Stored) {
	r.t.Helper()
	if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
		r.t.Errorf("%s (-before +after):\n%s", when, diff)
	}
}

// fence returns how many subjects the condition of an append of an identity matches.
func (r *raw) below(id schemas.Identity) int {
	r.t.Helper()
	s, err := r.js.Stream(r.ctx, r.n.RunsStream())
	must(r.t, err)
	info, err := s.Info(r.ctx, jetstream.WithSubjectFilter(r.n.FenceFilter(id)))
	must(r.t, err)
	return len(info.State.Subjects)
}

func (r *raw) moves(id schemas.Identity, head uint64, wantLeft int) {
	r.t.Helper()
	_, left, err := r.b.Journal().Move(r.ctx, id, head, always)
	must(r.t, err)
	if left != wantLeft || r.below(id) != wantLeft {
		r.t.Errorf("%d runs are left, and the fence has %d subjects; want %d", left, r.below(id), wantLeft)
	}
}

func TestP01_WhatWasMovedIsFound(t *testing.T) {
	t.Parallel()
	testMoves(t, embedded(t))
}

// At three replicas reads are of the leader.
func testClusterMoves(t *testing.T, g *brokertest.Group) {
	testMoves(t, connected(t, g.URL(), replicated, func(c *broker.Config) { c.Namespace = "moves" }))
}

func testMoves(t *testing.T, r *raw) {
	t.Helper()
	id := identity("wf", "k")
	plain, long, head := r.ended(id)
	before := r.known(plain, long, id.Run("open"))
	runs, err := r.b.Journal().Runs(r.ctx)
	must(t, err)
	r.moves(id, head, 1)
	r.same("after they were moved", before, r.known(plain, long, id.Run("open")))
	for _, ref := range []schemas.Ref{plain, long} {
		if _, ok, err := r.b.Journal().Unmoved(r.ctx, ref); err != nil || ok {
			t.Errorf("%v is in the journals still: %v, %v", ref, ok, err)
		}
	}
	if after, err := r.b.Journal().Runs(r.ctx); err != nil || after != runs {
		t.Errorf("%d runs, %v; before there were %d", after, err, runs)
	}
	r.appended(id.Run("open"), head, record("w", 7)) // the fence is as it was
	var followed []schemas.Ref
	for f, err := range r.b.Journal().Follow(r.ctx) {
		must(t, err)
		if f.CaughtUp {
			break
		}
		followed = append(followed, f.Ref)
	}
	if len(followed) != 3 {
		t.Errorf("followed %v, want each run once", followed)
	}
	// What is behind the head that was given stays, also where it has ended.
	r.moves(id, head, 1)
}

// TestP01_AMoveThatIsInterruptedIsGoneOnWith ends the move at each of its points: all
// is found at any time, and who comes next moves what is left.
func TestP01_AMoveThatIsInterruptedIsGoneOnWith(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var at func()
	r := embedded(t, func(c *broker.Config) {
		c.Fault = func(p broker.FaultPoint) {
			if p.Op != "copy" && p.Op != "move" {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			at()
		}
	})
	for n := 1; ; n++ {
		id := identity("wf", fmt.Sprint("k", n))
		at = func() {}
		plain, long, head := r.ended(id)
		before := r.known(plain, long)
		ctx, die := context.WithCancel(r.ctx)
		points := 0
		at = func() {
			if points++; points == n {
				die()
			}
		}
		_, _, err := r.b.Journal().Move(ctx, id, head, always)
		when := fmt.Sprintf("after it ended at point %d with %v", n, err)
		r.same(when, before, r.known(plain, long))
		at = func() {}
		r.moves(id, head, 1)
		r.same("after it was gone on with, "+when, before, r.known(plain, long))
		die()
		if points < n {
			if n < 12 {
				t.Errorf("a move has %d points, want those of four copies and of two runs", points)
			}
			return
		}
	}
}

func TestP01_TwoMayMoveAtOnce(t *testing.T) {
	t.Parallel()
	r := embedded(t)
	for i := range 20 {
		id := identity("wf", fmt.Sprint("k", i))
		plain, long, head := r.ended(id)
		before := r.known(plain, long)
		var both sync.WaitGroup
		for range 2 {
			both.Go(func() {
				if _, _, err := r.b.Journal().Move(r.ctx, id, head, always); err != nil {
					t.Error(err)
				}
			})
		}
		both.Wait()
		r.same("after two moved them at once", before, r.known(plain, long))
		r.moves(id, head, 1)
	}
}

// TestP01_ALateCopyDoesNoHarm: an owner that is none any more copies a run after its
// record was removed, and its ID may be of another run by then.
func TestP01_ALateCopyDoesNoHarm(t *testing.T) {
	t.Parallel()
	r := embedded(t)
	late := func(ref schemas.Ref, e *schemas.Entry, was uint64) uint64 {
		data, err := proto.Marshal(e)
		must(t, err)
		return r.stored(pastSubject(r, ref), string(data), broker.HeaderSequence, fmt.Sprint(was), "Perdure-Stored", time.Now().UTC().Format(time.RFC3339Nano))
	}
	id := identity("wf", "earlier")
	late(id.Run("plain"), record("zombie", 1), 1)
	late(id.Run("long"), start("zombie", 2), 2)
	if _, ok, err := r.b.Journal().Last(r.ctx, id.Run("long")); err != nil || ok {
		t.Errorf("the beginning of a copy is found: %v, %v", ok, err)
	}
	plain, long, head := r.ended(id)
	before := r.known(plain, long)
	r.moves(id, head, 1)
	r.same("after they took the place of earlier ones", before, r.known(plain, long))

	id = identity("wf", "later")
	plain, long, head = r.ended(id)
	copied := late(plain, record("owner", 9), head+1000)
	if _, left, err := r.b.Journal().Move(r.ctx, id, head, always); err == nil || left != 2 {
		t.Errorf("%d left, %v; want the one whose ID a later run has", left, err)
	}
	if p, ok, err := r.b.Journal().Past(r.ctx, plain); err != nil || !ok || p.Copy != copied {
		t.Errorf("a later run was replaced by an earlier one of its ID: %+v, %v, %v", p, ok, err)
	}
	if got := r.known(long); len(got[2]) != 3 {
		t.Errorf("%d entries of the other run, want 3", len(got[2]))
	}
}

func TestP01_WhatWasMovedGoes(t *testing.T) {
	t.Parallel()
	r := embedded(t)
	id := identity("wf", "k")
	plain, long, head := r.ended(id)
	r.moves(id, head, 1)
	for _, ref := range []schemas.Ref{plain, long} {
		p, ok, err := r.b.Journal().Past(r.ctx, ref)
		must(t, err)
		if !ok {
			t.Fatalf("%v was not moved", ref)
		}
		must(t, r.b.Journal().DeletePast(r.ctx, ref, p.Copy))
		if _, ok, err := r.b.Journal().Last(r.ctx, ref); err != nil || ok {
			t.Errorf("%v is there still: %v, %v", ref, ok, err)
		}
	}
	for p := range r.b.Partitions() {
		for s, err := range r.b.Journal().WalkPast(r.ctx, schemas.Partition(p)) {
			t.Errorf("left: %+v, %v", s, err)
		}
	}
}

// TestOpen_ANamespaceOfTheLayoutBefore: it is opened as it is, and is made ready when
// the first run is moved; from then on its record says so to a program of before.
func TestOpen_ANamespaceOfTheLayoutBefore(t *testing.T) {
	t.Parallel()
	srv := brokertest.Server(t)
	r := connected(t, srv.URL())
	key := "$KV." + r.n.ClusterBucket() + ".namespace"
	record := func() (version uint32, subjects int) {
		kv, err := r.js.Stream(r.ctx, "KV_"+r.n.ClusterBucket())
		must(t, err)
		m, err := kv.GetLastMsgForSubject(r.ctx, key)
		must(t, err)
		ns := &schemas.Namespace{}
		must(t, proto.Unmarshal(m.Data, ns))
		s, err := r.js.Stream(r.ctx, r.n.RunsStream())
		must(t, err)
		return ns.Version, len(s.CachedInfo().Config.Subjects)
	}
	s, err := r.js.Stream(r.ctx, r.n.RunsStream())
	must(t, err)
	sc := s.CachedInfo().Config
	sc.Subjects, sc.Description = []string{r.n.Namespace() + ".run.>"}, "of an operator"
	_, err = r.js.UpdateStream(r.ctx, sc)
	must(t, err)
	old, err := proto.Marshal(&schemas.Namespace{Version: 2, Partitions: r.n.Partitions(), Created: 1})
	must(t, err)
	r.stored(key, string(old))

	brokertest.Connect(t, srv.URL(), func(c *broker.Config) { c.ClientOnly = true })
	again := connected(t, srv.URL())
	if v, n := record(); v != 2 || n != 1 {
		t.Errorf("opened it is of version %d with %d subjects, want it left as it is", v, n)
	}
	id := identity("wf", "k")
	plain, long, head := again.ended(id)
	before := again.known(plain, long)
	for range 2 {
		must(t, again.b.Journal().OpenPast(t.Context()))
	}
	again.moves(id, head, 1)
	again.same("after they were moved", before, again.known(plain, long))
	if v, n := record(); v != broker.Layout || n != 2 {
		t.Errorf("it is of version %d with %d subjects, want %d and 2", v, n, broker.Layout)
	}
	if s, err := r.js.Stream(r.ctx, r.n.RunsStream()); err != nil || s.CachedInfo().Config.Description != "of an operator" {
		t.Errorf("what an operator has set was lost: %v", err)
	}
	connected(t, srv.URL())

	// Who died in between has left the record alone.
	_, err = r.js.UpdateStream(r.ctx, sc)
	must(t, err)
	brokertest.Connect(t, srv.URL(), func(c *broker.Config) { c.ClientOnly = true })
	connected(t, srv.URL())
	if _, n := record(); n != 2 {
		t.Errorf("%d subjects, want 2", n)
	}
}
