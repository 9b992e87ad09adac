package actors

import (
	"context"
	"log/slog"
	"testing"

	"github.com/perdure/perdure/broker"
	"github.com/perdure/perdure/broker/brokertest"
	"github.com/perdure/perdure/schemas"
)

// A continued is a run that continues as new again and again, in a host's journal.
type continued struct {
	t     *testing.T
	b     *broker.Broker
	j     *hostJournal
	ref   schemas.Ref
	epoch uint64
	head  uint64
	n     uint64
	after func() // called between an append and its acknowledgement
}

func newContinued(t *testing.T) *continued {
	c := &continued{t: t, ref: runOf("a"), epoch: 1, after: func() {}}
	c.b = brokertest.Open(t, brokertest.Kinds("wf"), func(cfg *broker.Config) {
		cfg.Fault = func(p broker.FaultPoint) {
			if p.Op == "append" && p.After {
				c.after()
			}
		}
	})
	c.j = newHostJournal(c.b, newSlots(1, 1, slog.New(slog.DiscardHandler)), slog.New(slog.DiscardHandler))
	return c
}

// next appends a generation that carries so much.
func (c *continued) next(ctx context.Context, size int) error {
	c.n++
	out, err := c.j.Append(ctx, c.ref, c.head, &schemas.Entry{Epoch: c.epoch, Nonce: []byte("n"), Counter: c.n, Events: []*schemas.Event{
		{Kind: &schemas.Event_Claimed{Claimed: &schemas.Claimed{Node: "n", Attempt: 1}}},
		{Kind: &schemas.Event_Continued{Continued: &schemas.Continued{Carried: &schemas.Payload{Data: make([]byte, size)}}}},
		{Kind: &schemas.Event_Started{Started: &schemas.Started{}}},
	}})
	if err == nil && out.Fenced {
		c.t.Fatalf("generation %d is fenced", c.n)
	}
	c.head = out.Seq
	return err
}

func (c *continued) must(err error) {
	c.t.Helper()
	if err != nil {
		c.t.Fatal(err)
	}
}

// objects is how many there are.
func (c *continued) objects() int {
	c.t.Helper()
	names, err := c.b.Blobs().Of(c.t.Context(), c.ref.Identity)
	c.must(err)
	return len(names)
}

func (c *continued) expect(n int, when string) {
	c.t.Helper()
	if got := c.objects(); got != n {
		c.t.Errorf("%s: there are %d objects, want %d", when, got, n)
	}
}

const large = 2 << 20

// TestP18_AnEntryThatIsStoredIsStored, also where what it replaced cannot be removed:
// that is removed with the next one.
func TestP18_AnEntryThatIsStoredIsStored(t *testing.T) {
	t.Parallel()
	c := newContinued(t)
	c.must(c.next(t.Context(), large))
	ctx, cancel := context.WithCancel(t.Context())
	c.after = cancel
	if err := c.next(ctx, 1); err != nil {
		t.Fatalf("the entry is stored, and appending it: %v", err)
	}
	c.after = func() {}
	c.must(c.next(t.Context(), 1))
	c.expect(0, "the next one")
}

// TestP18_ObjectsAreAskedForWhereTheyMayBe: once, and again when the run has made some,
// or another owner may have.
func TestP18_ObjectsAreAskedForWhereTheyMayBe(t *testing.T) {
	t.Parallel()
	c := newContinued(t)
	stray := func() {
		_, err := c.b.Blobs().Put(t.Context(), c.ref, "ff-1-0", []byte("x"))
		c.must(err)
	}
	stray()
	c.must(c.next(t.Context(), 1))
	c.expect(0, "nothing is known")
	stray()
	c.must(c.next(t.Context(), 1))
	c.expect(1, "it is known that there is none, and not asked")
	c.epoch++
	c.must(c.next(t.Context(), 1))
	c.expect(0, "another owner may have made one")
	c.must(c.next(t.Context(), large))
	c.expect(1, "it has made one")
	c.must(c.next(t.Context(), 1))
	c.expect(0, "it had made one")
}
