package actors_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/perdure/perdure/actors"
	"github.com/perdure/perdure/durable"
)

// TestP18_RunMaySendThousandsWhenItEnds: messages that do not fit into the record
// leave with it all the same, each once.
func TestP18_RunMaySendThousandsWhenItEnds(t *testing.T) {
	t.Parallel()
	const messages, keys = 500, 8
	spread := durable.Declare[int, durable.None]("spread")
	drop := durable.Declare[string, int]("sink.drop")
	s := setup(t,
		actors.New(actors.Handlers[durable.None]{actors.On(spread, func(ctx durable.Context, _ *durable.None, n int) (durable.None, error) {
			for i := range n {
				if _, err := durable.Send(ctx, drop.At(fmt.Sprint(i%keys)), fmt.Sprintf("%01000d", i)); err != nil {
					return durable.None{}, err
				}
			}
			return durable.None{}, nil
		})}),
		actors.New(actors.Handlers[int]{actors.On(drop, func(_ durable.Context, n *int, _ string) (int, error) {
			*n++
			return *n, nil
		})}),
	)
	s.start()
	r := ref("spread", "a", "1")
	s.send(r, "", messages)
	if d := s.end(r); d.Status != "completed" {
		t.Fatalf("the run ended as %+v", d)
	}
	rec := s.record(r)
	if rec.GetRest().GetBlob() == nil || len(rec.GetOutbox()) > 0 {
		t.Errorf("the record keeps %d messages and %d bytes of them, want all by reference", len(rec.GetOutbox()), len(rec.GetRest().GetData()))
	}
	for i := range keys {
		id := ref("sink", fmt.Sprint(i), "1").Identity
		want := fmt.Sprint((messages - i + keys - 1) / keys)
		s.until(id.String()+" got its messages", func() bool {
			v, _, err := s.b.State().Get(s.ctx, id)
			return err == nil && string(v.GetValue().GetData()) == want
		})
		s.idle(id)
	}
}

// TestP18_RunMaySendMoreThanAnObjectWhenItEnds: all its messages together are over
// the cap, each of them is not, and the process ends before they are put out.
func TestP18_RunMaySendMoreThanAnObjectWhenItEnds(t *testing.T) {
	t.Parallel()
	const messages, size, keys = 272, 5 << 10, 8
	spread := durable.Declare[int, durable.None]("spread")
	drop := durable.Declare[string, int]("sink.drop")
	s := setupWith(t, capped,
		actors.New(actors.Handlers[durable.None]{actors.On(spread, func(ctx durable.Context, _ *durable.None, n int) (durable.None, error) {
			for i := range n {
				if _, err := durable.Send(ctx, drop.At(fmt.Sprint(i%keys)), strings.Repeat("m", size)); err != nil {
					return durable.None{}, err
				}
			}
			return durable.None{}, nil
		})}),
		actors.New(actors.Handlers[int]{actors.On(drop, func(_ durable.Context, n *int, got string) (int, error) {
			if len(got) == size {
				*n++
			}
			return *n, nil
		})}),
	)
	s.start()
	r := ref("spread", "a", "1")
	s.send(r, "", messages)
	if d := s.end(r); d.Status != "completed" {
		t.Fatalf("the run ended as %+v", d)
	}
	// who takes over finds the same messages in the record
	entries, err := actors.Entries(s.ctx, s.b, r)
	if err != nil {
		t.Fatal(err)
	}
	out := entries[len(entries)-1].Entry.GetRecord().GetOutbox()
	if len(out) != messages || len(out[messages-1].GetPayload().GetData()) < size {
		t.Errorf("the record has %d messages, want %d, each with its payload", len(out), messages)
	}
	for i := range keys {
		id := ref("sink", fmt.Sprint(i), "1").Identity
		s.until(id.String()+" got its messages", func() bool {
			v, _, err := s.b.State().Get(s.ctx, id)
			return err == nil && string(v.GetValue().GetData()) == fmt.Sprint(messages/keys)
		})
		s.idle(id)
	}
}
