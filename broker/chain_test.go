package broker_test

import (
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"github.com/perdure/perdure/broker"
	"github.com/perdure/perdure/broker/brokertest"
	"github.com/perdure/perdure/schemas"
	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/proto"
)

// others stores n entries of other runs.
func (r *raw) others(n int) {
	r.t.Helper()
	data, err := proto.Marshal(entry("other", 1))
	must(r.t, err)
	for i := range n {
		_, err := r.js.PublishMsgAsync(&nats.Msg{Subject: r.n.RunSubject(identity("wf", fmt.Sprint("other", i)).Run("1")), Data: data})
		must(r.t, err)
	}
	select {
	case <-r.js.PublishAsyncComplete():
	case <-r.ctx.Done():
		r.t.Fatal("the entries of others are not stored")
	}
}

// start is the entry that a run begins with.
func start(writer string, n uint64) *schemas.Entry {
	e := entry(writer, n)
	e.Events = []*schemas.Event{{Kind: &schemas.Event_Claimed{Claimed: &schemas.Claimed{}}}, {Kind: &schemas.Event_Started{Started: &schemas.Started{}}}}
	return e
}

// TestJournal_LoadWalksOverNobodyElse: entries between which many others lie are read
// by their sequences, back from the last; where they lie together, many at once.
// What is loaded is the same.
func TestJournal_LoadWalksOverNobodyElse(t *testing.T) {
	t.Parallel()
	r := embedded(t)
	tap, err := r.nc.SubscribeSync("$JS.API.DIRECT.GET." + r.n.RunsStream())
	must(t, err)
	must(t, tap.SetPendingLimits(-1, -1))
	scans := func() (n int) {
		must(t, r.nc.Flush())
		for pending, _, _ := tap.Pending(); pending > 0; pending-- {
			msg, err := tap.NextMsgWithContext(r.ctx)
			must(t, err)
			if strings.Contains(string(msg.Data), "next_by_subj") {
				n++
			}
		}
		return n
	}
	loads := func(ref schemas.Ref, want []uint64, scan bool) {
		t.Helper()
		scans()
		var got []uint64
		for _, s := range r.load(ref) {
			if s.Ref != ref {
				t.Errorf("an entry of %v is loaded for %v", s.Ref, ref)
			}
			got = append(got, s.Seq)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%v (-want +got):\n%s", ref, diff)
		}
		if n := scans(); n > 0 != scan {
			t.Errorf("%v was loaded with %d scans, want some: %v", ref, n, scan)
		}
	}
	id := identity("wf", "k")
	last := r.appended(id.Run("1"), 0, record("w", 1))
	ref, refused := id.Run("2"), record("w", 9)
	refused.Record.Open = ref.String()
	var far []uint64
	for i := range 6 {
		e := entry("w", uint64(10+i))
		if i == 0 {
			e = start("w", 10)
		}
		r.others(100)
		last = r.appended(ref, last, e)
		far = append(far, last)
		if i == 3 {
			last = r.appended(id.Run("3"), last, refused)
		}
	}
	loads(ref, far, false)
	loads(id.Run("none"), nil, false)

	// What its code does at once lies together.
	near := identity("wf", "near").Run("1")
	seqs := []uint64{r.appended(near, 0, start("n", 1))}
	for i := range 100 {
		seqs = append(seqs, r.appended(near, seqs[i], entry("n", uint64(i+2))))
	}
	loads(near, seqs, true)

	// An entry that is gone, and a condition that says nothing.
	must(t, r.b.Journal().Delete(r.ctx, far[2]))
	loads(ref, slices.Delete(slices.Clone(far), 2, 3), true)
	data, err := proto.Marshal(entry("foreign", 1))
	must(t, err)
	bare := identity("wf", "bare").Run("1")
	loads(bare, []uint64{r.stored(r.n.RunSubject(bare), string(data)), r.stored(r.n.RunSubject(bare), string(data))}, true)
}

// TestP19_WhatLiesFarApartIsRemovedBehindWhatReplacesIt: one by one, and not by a
// roll-up, which would walk over everything in between while nothing is stored.
func TestP19_WhatLiesFarApartIsRemovedBehindWhatReplacesIt(t *testing.T) {
	t.Parallel()
	r := embedded(t)
	rollsUp := func(seq uint64) bool {
		s, err := r.js.Stream(r.ctx, r.n.RunsStream())
		must(t, err)
		msg, err := s.GetMsg(r.ctx, seq)
		must(t, err)
		return msg.Header.Get("Nats-Rollup") != ""
	}
	for name, between := range map[string]int{"near": 3, "far": 1200} {
		ref := identity("wf", name).Run("1")
		a := r.appended(ref, 0, start(name, 1))
		r.others(between)
		b := r.appended(ref, a, entry(name, 2))
		out, err := r.b.Journal().Append(r.ctx, ref, b, record(name, 3), a, b)
		must(t, err)
		if got := rollsUp(out.Seq); got != (name == "near") {
			t.Errorf("%s: the record is a roll-up: %v", name, got)
		}
		if entries := r.load(ref); len(entries) != 1 || entries[0].Seq != out.Seq {
			t.Errorf("%s: loaded %v, want the record alone", name, entries)
		}
		subject := r.n.RunSubject(ref)
		r.until("the record is alone", func() bool { return r.subjects(r.n.RunsStream(), subject)[subject] == 1 })
	}
}

// TestP19_WhatWasReplacedIsRemovedThoughAServerIsAway kills the server once it has
// confirmed a record, and ends the node while the entries of many runs are to be removed.
func TestP19_WhatWasReplacedIsRemovedThoughAServerIsAway(t *testing.T) {
	t.Parallel()
	srv := brokertest.Server(t)
	var kills atomic.Bool
	r := connected(t, srv.URL(), func(c *broker.Config) {
		c.Fault = func(p broker.FaultPoint) {
			if p.Op == "commit" && p.After && kills.CompareAndSwap(true, false) {
				srv.Kill() // before a request to remove anything is sent
			}
		}
	})
	more := func(r *raw, kind string) (n uint64) {
		for _, entries := range r.subjects(r.n.RunsStream(), r.n.Namespace()+".run.*."+kind+".>") {
			n += entries - 1
		}
		return n
	}
	replace := func(kind string, runs int) {
		t.Helper()
		seqs := map[schemas.Ref][]uint64{}
		for i := range runs {
			ref := identity(kind, fmt.Sprint(i)).Run("1")
			a := r.appended(ref, 0, start(kind, 1))
			seqs[ref] = []uint64{a, r.appended(ref, a, entry(kind, 2))}
		}
		r.others(1200)
		r.appended(identity("last", kind).Run("1"), 0, start(kind, 1)) // the node sees how long the stream is
		var g errgroup.Group
		for ref, before := range seqs {
			g.Go(func() error {
				_, err := r.b.Journal().Append(r.ctx, ref, before[1], record(kind, 3), before...)
				return err
			})
		}
		must(t, g.Wait())
	}
	kills.Store(true)
	replace("outage", 1)
	if kills.Load() {
		t.Fatal("the server was not killed")
	}
	srv.Restart()
	r.until("the server is back", func() bool { return r.nc.IsConnected() })
	r.until("the record is alone", func() bool { return more(r, "outage") == 0 })

	replace("end", 300)
	must(t, r.b.Close())
	if n := more(connected(t, srv.URL()), "end"); n != 0 {
		t.Errorf("%d entries are left by a node that ended", n)
	}
}
