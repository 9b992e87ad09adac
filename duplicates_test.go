//go:build unix

package perdure_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"github.com/perdure/perdure"
	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/schemas"
	"golang.org/x/sync/errgroup"
)

// TestSameIDIsOneRun publishes one message ID 1,000 times at once from two
// connections, half of them so that JetStream deduplicates none, and again
// after the duplicate window: it is one run, with one result.
func TestSameIDIsOneRun(t *testing.T) {
	t.Parallel()
	const window = 200 * time.Millisecond
	far := newFarSide(t)
	n := startNode(t, nodeConfig{Name: "first", Dir: t.TempDir(), Far: far.URL, Durability: perdure.Process, Duplicates: window}).run()
	n.await(lineReady)
	stores := []*store{openStore(t, n.url), openStore(t, n.url)}
	s := stores[0]
	ref := schemas.Identity{Kind: "store", Key: "pen"}.Run("order-17")

	results := make([]string, 1000)
	send := func(ctx context.Context, i int) (err error) {
		c := stores[i%2].client
		if i%4 >= 2 {
			err = foreign(ctx, c, storeReserve.At("pen"), "reserve", "order-17", "3")
		}
		if err != nil {
			return err
		}
		results[i], err = perdure.Call(ctx, c, storeReserve.At("pen"), 3, perdure.MessageID("order-17"))
		return err
	}
	g, ctx := errgroup.WithContext(soon(t, 2*patience))
	for i := range results {
		g.Go(func() error { return send(ctx, i) })
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	s.settled()
	for i, r := range results {
		if want := "fetch(3), 7 left"; r != want {
			t.Fatalf("result %d is %q, want %q", i, r, want)
		}
	}
	record := s.raw(ref)
	if inbox := s.inbox().State.LastSeq - 1; inbox < 500 { // without the one that it keeps
		t.Errorf("%d messages came to the inbox, want the 500 that JetStream knows no ID of, at least: nothing was shown", inbox)
	}

	timer := time.NewTimer(2 * window)
	defer timer.Stop()
	<-timer.C // the server has no event for the end of its duplicate window
	before := s.inbox().State.LastSeq
	for i := range 8 {
		if err := send(soon(t, patience), i); err != nil {
			t.Fatal(err)
		}
	}
	s.settled()
	if after := s.inbox().State.LastSeq; after < before+5 {
		t.Errorf("%d messages came after the window, want 5 at least: nothing was shown", after-before)
	}
	if diff := cmp.Diff(record, s.raw(ref)); diff != "" {
		t.Errorf("the run's record changed (-before +after):\n%s", diff)
	}
	if journal := s.journal(); len(journal) != 1 {
		t.Errorf("the journal holds %d entries, want the one record", len(journal))
	}
	if got := far.sum(); got != 1 {
		t.Errorf("the step was executed %d times, want once", got)
	}
	if left := query(s, storeLeft.At("pen")); left != 7 {
		t.Errorf("%d are left, want 7: reserved once", left)
	}
	if _, err := perdure.Call(soon(t, patience), s.client, storeReserve.At("pen"), 4, perdure.MessageID("order-17")); !durable.IsCode(err, durable.ErrConflict.Code) {
		t.Errorf("the same ID with another input: %v, want a conflict", err)
	}
}

// TestSameIDOfDifferentIdentities holds two runs with one ID apart, and what
// they send.
func TestSameIDOfDifferentIdentities(t *testing.T) {
	t.Parallel()
	far := newFarSide(t)
	n := startNode(t, nodeConfig{Name: "first", Dir: t.TempDir(), Far: far.URL, Durability: perdure.Process}).run()
	n.await(lineReady)
	s := openStore(t, n.url)
	for _, key := range []string{"a", "b"} {
		if err := foreign(soon(t, patience), s.client, chore.At(key), "", "order-17", `"sweep"`); err != nil {
			t.Fatal(err)
		}
		if _, err := perdure.Start(soon(t, patience), s.client, storeReserve.At(key), 1, perdure.MessageID("order-17")); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "both have noted their work", func() bool { return len(query(s, auditNotes.At("log"))) == 2 })
	s.settled()
	var runs []string
	notes := 0
	for ref, r := range s.records() {
		if r.GetStatus() != schemas.Status_COMPLETED {
			t.Errorf("%s is %s", ref, r.GetStatus())
		}
		if strings.HasPrefix(ref, "audit/log/") {
			notes++
			continue
		}
		runs = append(runs, ref)
	}
	want := []string{"chore/a/order-17", "chore/b/order-17", "store/a/order-17", "store/b/order-17"}
	if diff := cmp.Diff(want, sorted(runs)); diff != "" {
		t.Errorf("runs (-want +got):\n%s", diff)
	}
	if notes != 2 {
		t.Errorf("the two runs caused %d notes, want one each", notes)
	}
	if calls, keys := far.sum(), len(far.keys()); calls != 6 || keys != 6 {
		t.Errorf("%d steps with %d keys were executed, want 6 with a key each", calls, keys)
	}
}

// foreign publishes a task as a client without this library: JSON, with
// Perdure-Id alone.
func foreign[In, Out any](ctx context.Context, c *perdure.Client, to durable.Target[In, Out], method, id, body string) error {
	b := c.Broker()
	m := nats.NewMsg(b.Names().TaskSubject("local", to.Identity()))
	m.Header.Set("Perdure-Id", id)
	if method != "" {
		m.Header.Set("Perdure-Method", method)
	}
	m.Data = []byte(body)
	_, err := b.Conn().RequestMsgWithContext(ctx, m)
	return err
}
