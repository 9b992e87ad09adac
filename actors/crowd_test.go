package actors_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/perdure/perdure/actors"
	"github.com/perdure/perdure/broker"
	"github.com/perdure/perdure/broker/brokertest"
	"github.com/perdure/perdure/schemas"
	"google.golang.org/protobuf/proto"
)

// crowd lets an identity have more runs, until those that ended are moved.
func (s *bench) crowd(id schemas.Identity, from, to int) {
	s.t.Helper()
	var last schemas.Ref
	for i := from; i < to; i++ {
		last = id.Run(schemas.RunID(fmt.Sprint(i)))
		s.send(last, "write", fmt.Sprint("line ", i))
	}
	s.end(last)
	s.idle(id)
	s.until("runs that ended are moved", func() bool { return s.journals(id) <= s.cfg.Crowd })
}

// journals returns how many entries of an identity are in the journals.
func (s *bench) journals(id schemas.Identity) (n int) {
	s.t.Helper()
	for _, e := range s.entries() {
		if e.Ref.Identity == id {
			n++
		}
	}
	return n
}

// moved reports whether a run was moved.
func (s *bench) moved(r schemas.Ref) bool {
	s.t.Helper()
	_, in, err := s.b.Journal().Unmoved(s.ctx, r)
	if err != nil {
		s.t.Fatal(err)
	}
	_, ok, err := s.b.Journal().Past(s.ctx, r)
	if err != nil {
		s.t.Fatal(err)
	}
	return ok && !in
}

func TestP01_RunsThatEndedDoNotCrowdTheirIdentity(t *testing.T) {
	t.Parallel()
	g := newGates()
	s := setup(t, g.all()...)
	s.cfg.Crowd = 16
	stop := s.start()
	id := ref("account", "a", "").Identity
	const runs = 120
	s.crowd(id, 0, runs)
	s.until("each run is in one place", func() bool {
		moved, err := s.b.Journal().PastOf(s.ctx, id)
		return err == nil && s.journals(id)+moved == runs
	})
	again := func(i int) {
		t.Helper()
		r := id.Run(schemas.RunID(fmt.Sprint(i)))
		if !s.moved(r) {
			t.Fatalf("%s was not moved", r)
		}
		s.send(r, "write", fmt.Sprint("line ", i))
		s.idle(id)
		if n := g.times(fmt.Sprint("line ", i)); n != 1 {
			t.Errorf("%s was moved, came again and was executed %d times", r, n)
		}
	}
	s.window()
	again(0)
	stop()
	stop = s.start() // whoever takes the identity over knows it from its head
	again(1)
	s.window()
	s.send(id.Run("0"), "write", "another input")
	s.until("the sender of another input under the ID of a moved run is told", func() bool {
		dead, err := s.b.Inbox().DeadLetters(s.ctx, id.Kind, id.Key, 0, 0)
		return err == nil && len(dead) == 1 && dead[0].Code == "conflict"
	})
	stop()
	if n := len(state[ledger](s, id).Lines); n != runs {
		t.Errorf("%d lines, want %d", n, runs)
	}
}

var (
	largeText   = strings.Repeat("l", 2<<20)
	largeBase64 = base64.StdEncoding.EncodeToString([]byte(`"` + largeText + `"`))
)

// short shortens what is large of a text.
func short(s string) string {
	return strings.ReplaceAll(strings.ReplaceAll(s, largeText, "<large>"), largeBase64, "<large>")
}

// A client sees no difference between a run that was moved and one that was not.
func TestMovedRunsAreRead(t *testing.T) {
	t.Parallel()
	s := setup(t, reportKind())
	s.cfg.Crowd = 8
	s.start()
	id := ref("report", "a", "").Identity
	plain, failed, large := id.Run("plain"), id.Run("failed"), id.Run("large")
	s.send(plain, "write", "x")
	s.send(failed, "write", "fail")
	s.send(large, "write", "large")
	s.end(large)
	s.idle(id)
	open := actors.NewIndex(s.ctx, s.b, slog.New(slog.DiscardHandler), nil)
	read := func(x *actors.Index) (all []any) {
		for _, r := range []schemas.Ref{plain, failed, large} {
			found, err := actors.Find(s.ctx, s.b, r)
			if err != nil {
				t.Fatal(err)
			}
			done, ok, err := actors.Ended(s.ctx, s.b, r)
			if err != nil || !ok {
				t.Fatalf("%s has not ended: %v", r, err)
			}
			events, err := actors.Events(s.ctx, s.b, r, 0)
			if err != nil {
				t.Fatal(err)
			}
			for i := range events { // its spaces are at random
				events[i].Event = []byte(strings.ReplaceAll(string(events[i].Event), " ", ""))
			}
			entries, err := actors.Entries(s.ctx, s.b, r)
			if err != nil {
				t.Fatal(err)
			}
			hash, known, err := actors.Known(s.ctx, s.b, r)
			page, lerr := x.List(s.ctx, actors.Filter{KeyPrefix: "a"}, "", 100)
			if err != nil || lerr != nil {
				t.Fatal(err, lerr)
			}
			for _, row := range page.Runs {
				if row.Run == r.String() {
					all = append(all, row)
				}
			}
			for _, v := range []any{found, done, events, entries, hash, known} {
				data, err := json.Marshal(v)
				if err != nil {
					t.Fatal(err)
				}
				all = append(all, short(string(data)))
			}
		}
		return all
	}
	before := read(open)
	s.crowd(id, 0, 20)
	for _, r := range []schemas.Ref{plain, failed, large} {
		if !s.moved(r) {
			t.Fatalf("%s was not moved", r)
		}
	}
	for what, x := range map[string]*actors.Index{"an index of before": open, "a new index": actors.NewIndex(s.ctx, s.b, slog.New(slog.DiscardHandler), nil)} {
		if diff := cmp.Diff(before, read(x)); diff != "" {
			t.Errorf("with %s (-in the journals +moved):\n%s", what, diff)
		}
		counts, err := x.Count(s.ctx, actors.Filter{})
		n := 0
		for _, c := range counts {
			n += c.Runs
		}
		if err != nil || n != 23 {
			t.Errorf("%s counts %+v, %v; want 23 runs", what, counts, err)
		}
	}
}

// What was moved goes when it would have gone in the journals: not while a message of
// its run may come, and with it what of it is large.
func TestP16_WhatWasMovedGoesAndTheHeadGoesLast(t *testing.T) {
	t.Parallel()
	g := newGates()
	s := setup(t, append(g.all(), reportKind())...)
	s.cfg.Crowd, s.cfg.Grace = 8, 50*time.Millisecond
	stop := s.start()
	parent := ref("account", "parent", "1")
	s.send(parent, "hold", "gate")
	s.until("the parent holds", func() bool { return g.times("gate") == 1 })
	id, free := ref("report", "a", "").Identity, ref("report", "free", "").Identity
	held := id.Run("held")
	ask := func() {
		s.publish(id, &schemas.Envelope{Type: schemas.Envelope_TASK, Id: "held", Method: "write", Payload: &schemas.Payload{Data: []byte(`"large"`)}, Parent: parent.String()})
	}
	ask()
	s.end(held)
	s.send(free.Run("failed"), "write", "fail")
	s.crowd(id, 0, 20)
	s.crowd(free, 0, 20)
	if !s.moved(held) || !s.moved(free.Run("failed")) {
		t.Fatal("the first runs were not moved")
	}
	stop()

	s.sweeping(1500 * time.Millisecond)
	s.start()
	past := func(id schemas.Identity) int {
		n, err := s.b.Journal().PastOf(s.ctx, id)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	s.until("all of an identity goes", func() bool { return past(free) == 0 && s.journals(free) == 0 })
	later := ref("account", "later", "1")
	s.send(later, "write", "later")
	s.end(later)
	s.until("a record that is younger goes", func() bool { return !s.has(later) })
	if !s.moved(held) || s.journals(id) == 0 {
		t.Errorf("a run that was moved went while its sender is open: %v; its identity has %d entries", s.moved(held), s.journals(id))
	}
	if f, err := actors.Find(s.ctx, s.b, held); err != nil || len(f.Record.GetResult().GetData()) != 2<<20+2 {
		t.Errorf("what is large of a run that was moved: %d bytes, %v", len(f.Record.GetResult().GetData()), err)
	}
	before := s.journals(id)
	s.window()
	ask()
	s.idle(id)
	if n := s.journals(id); n != before {
		t.Errorf("the run was executed again: its identity has %d entries, and had %d", n, before)
	}
	g.open("gate")
	s.end(parent)
	s.until("everything goes", func() bool { return past(id) == 0 && len(s.entries()) == 0 })
}

// The head of an identity says that runs of it were moved: it stays while there are
// some, also where the sweep does not see them, or not yet.
func TestP16_TheHeadGoesAfterWhatWasMoved(t *testing.T) {
	t.Parallel()
	g := newGates()
	s := setup(t, g.all()...)
	s.cfg.Crowd = 8
	stop := s.start()
	id := ref("account", "a", "").Identity
	s.crowd(id, 0, 20)
	first := id.Run("0")
	if !s.moved(first) {
		t.Fatal("the first run was not moved")
	}
	stop()
	// As one that the sweep does not come to: it is not old.
	unseen := id.Run("unseen")
	p, _, err := s.b.Journal().Past(s.ctx, first)
	if err != nil {
		t.Fatal(err)
	}
	data, err := proto.Marshal(p.Entry)
	if err != nil {
		t.Fatal(err)
	}
	subject := strings.Replace(s.b.Names().RunSubject(unseen), ".run.", ".past.", 1)
	if err := brokertest.Put(s.ctx, s.b, subject, map[string]string{
		broker.HeaderSequence: fmt.Sprint(p.Seq), "Perdure-Stored": time.Now().Add(time.Hour).UTC().Format(time.RFC3339Nano),
	}, string(data)); err != nil {
		t.Fatal(err)
	}

	s.sweeping(1500 * time.Millisecond)
	s.start()
	s.until("all but the head goes", func() bool { return !s.has(first) && s.journals(id) == 1 })
	later := ref("account", "later", "1")
	s.send(later, "write", "later")
	s.end(later)
	s.until("a record that is younger goes", func() bool { return !s.has(later) })
	if n := s.journals(id); n != 1 {
		t.Errorf("%d entries are left while a run that was moved is there, want the head", n)
	}
	s.send(unseen, "write", "unseen")
	s.idle(id)
	if n := g.times("unseen"); n != 0 {
		t.Errorf("a run that was moved was executed %d times", n)
	}
	if p, _, err = s.b.Journal().Past(s.ctx, unseen); err == nil {
		err = s.b.Journal().DeletePast(s.ctx, unseen, p.Copy)
	}
	if err != nil {
		t.Fatal(err)
	}
	s.until("the head goes", func() bool { return s.journals(id) == 0 })
}
