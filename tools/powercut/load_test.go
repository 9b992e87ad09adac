package powercut

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"hash/fnv"
	"strings"
	"time"

	"github.com/perdure/perdure"
	"github.com/perdure/perdure/actors"
	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/runtime"
)

// tallies is how many actors count.
const tallies = 4

// recheck is how many results that were returned are looked at again in a boot.
const recheck = 20

// A goods is what an order gives: the nonce of its first step, and much text.
type goods struct {
	Nonce string
	Text  string
}

// A sum is what a tally has counted: how many, and of what.
type sum struct {
	Count, Of int
}

var (
	order    = durable.DeclareWorkflow[int, goods]("order")
	approve  = durable.DeclareSignal[string]("approve")
	tallyAdd = durable.Declare[int, sum]("tally.add")
	tallySum = durable.DeclareQuery[durable.None, sum]("tally.sum")
	note     = durable.Declare[int, durable.None]("note.write")
	noteSum  = durable.DeclareQuery[durable.None, sum]("note.sum")
)

func tallyOf(n int) string { return fmt.Sprint(n % tallies) }

func orderRef(n int) string { return fmt.Sprintf("order/%d/%[1]d", n) }

// An order adds its number to its tally, and a client adds this to the same.
func extra(n int) int { return 1_000_000 + n }

// text is 50 to 200 KB that differ by their seed.
func text(seed string) string {
	h := fnv.New32()
	_, _ = h.Write([]byte(seed))
	return strings.Repeat(seed+".", (50_000+int(h.Sum32()%150_000))/(len(seed)+1))
}

func kinds(f far) []*runtime.Kind {
	add := func(_ durable.Context, s *sum, n int) (sum, error) {
		s.Count++
		s.Of += n
		return *s, nil
	}
	read := func(s sum, _ durable.None) (sum, error) { return s, nil }
	return []*runtime.Kind{
		durable.Workflow(order, func(ctx durable.Context, n int) (goods, error) { return fulfil(ctx, f, n) }),
		actors.New(actors.Handlers[sum]{actors.On(tallyAdd, add), actors.OnQuery(tallySum, read)}),
		actors.New(actors.Handlers[sum]{
			actors.On(note, func(ctx durable.Context, s *sum, n int) (durable.None, error) {
				_, err := add(ctx, s, n)
				return durable.None{}, err
			}), actors.OnQuery(noteSum, read),
		}),
	}
}

// fulfil has steps with large results, a timer, a signal, a call and a message.
func fulfil(ctx durable.Context, f far, n int) (goods, error) {
	i := 0
	step := func() (string, error) {
		i++
		return durable.Step(ctx, fmt.Sprint("step", i), func(ctx context.Context) (string, error) {
			if err := f.post(ctx, fmt.Sprintf("/step/%d/%d", n, i), "", nil); err != nil {
				return "", err
			}
			nonce := rand.Text()
			return nonce + " " + text(nonce), nil
		})
	}
	var texts []string
	take := func() error {
		s, err := step()
		texts = append(texts, s)
		return err
	}
	if err := errors.Join(take(), take()); err != nil {
		return goods{}, err
	}
	if err := durable.Sleep(ctx, 30*time.Millisecond); err != nil {
		return goods{}, err
	}
	if err := take(); err != nil {
		return goods{}, err
	}
	if _, err := durable.Await(ctx, approve); err != nil {
		return goods{}, err
	}
	if err := take(); err != nil {
		return goods{}, err
	}
	if _, err := durable.Call(ctx, tallyAdd.At(tallyOf(n)), n); err != nil {
		return goods{}, err
	}
	if _, err := durable.Send(ctx, note.At("all"), n); err != nil {
		return goods{}, err
	}
	if err := take(); err != nil {
		return goods{}, err
	}
	nonce, _, _ := strings.Cut(texts[0], " ")
	return goods{Nonce: nonce, Text: texts[4]}, nil
}

// drive does jobs as a client, until there are none or the client's node is gone.
func drive(ctx context.Context, c *perdure.Client, f far) error {
	for {
		var j job
		j.N = -1
		if err := f.post(ctx, "/work", "", &j); err != nil {
			return err
		}
		if j.N < 0 {
			return nil
		}
		if err := do(ctx, c, f, j); err != nil {
			if ctx.Err() == nil && !errors.Is(err, durable.ErrUnavailable) {
				_ = f.post(ctx, "/wrong", fmt.Sprintf("job %d: %v", j.N, err), nil)
			}
			return err
		}
	}
}

// do does what of a job is not acknowledged.
func do(ctx context.Context, c *perdure.Client, f far, j job) error {
	key := fmt.Sprint(j.N)
	ref := orderRef(j.N)
	if !j.Accepted {
		if _, err := perdure.Start(ctx, c, order.At(key), j.N); err != nil {
			return err
		}
		if err := f.tell(ctx, j.N, accepted, ""); err != nil {
			return err
		}
	}
	if !j.Signalled {
		if err := perdure.Signal(ctx, c, ref, approve, "yes", perdure.MessageID("yes")); err != nil {
			return err
		}
		if err := f.tell(ctx, j.N, signalled, ""); err != nil {
			return err
		}
	}
	if !j.Added {
		if _, err := perdure.Call(ctx, c, tallyAdd.At(tallyOf(j.N)), extra(j.N), perdure.MessageID("extra-"+key)); err != nil {
			return err
		}
		if err := f.tell(ctx, j.N, added, ""); err != nil {
			return err
		}
	}
	run, err := perdure.Attach(c, order, ref)
	if err != nil {
		return err
	}
	got, err := run.Result(ctx)
	if err != nil {
		return err
	}
	if nonce, rest, _ := strings.Cut(got.Text, " "); rest != text(nonce) {
		return fmt.Errorf("the result has %d bytes that are not what its last step gave", len(rest))
	}
	return f.tell(ctx, j.N, returned, got.Nonce)
}
