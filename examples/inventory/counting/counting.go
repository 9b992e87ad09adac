package counting

import (
	"context"
	"fmt"
	"time"

	"github.com/perdure/perdure/actors"
	"github.com/perdure/perdure/durable"
)

// Job is an inventory of a number of shelves.
type Job struct {
	Shelves int `json:"shelves"`
	PauseMS int `json:"pause_ms,omitempty"` // how long counting a shelf takes
}

// Order asks the counter to count a shelf; Attempt is 2 for a recount.
type Order struct {
	Inventory string `json:"inventory"`
	Shelf     int    `json:"shelf"`
	Attempt   int    `json:"attempt"`
	PauseMS   int    `json:"pause_ms,omitempty"`
}

// Count is what the counter found.
type Count struct {
	Shelf   int `json:"shelf"`
	Attempt int `json:"attempt"`
	Items   int `json:"items"`
	PauseMS int `json:"pause_ms,omitempty"`
}

// Books is the clerk's state for one inventory.
type Books struct {
	Shelves  int         `json:"shelves"`
	Right    map[int]int `json:"right"` // items by shelf, once they agree
	Recounts int         `json:"recounts"`
}

// Progress is how far an inventory is.
type Progress struct {
	Done     bool `json:"done"`
	Right    int  `json:"right"` // shelves that agree
	Items    int  `json:"items"`
	Recounts int  `json:"recounts"`
}

// Tally is the counter's state: what it did.
type Tally struct {
	Counts int `json:"counts"`
}

var (
	// Open begins an inventory: the clerk orders the first count.
	Open = durable.Declare[Job, durable.None]("clerk.open")
	// Check tells the clerk a count.
	Check = durable.Declare[Count, durable.None]("clerk.check")
	// Status returns how far an inventory is.
	Status = durable.DeclareQuery[durable.None, Progress]("clerk.status")
	// Shelves returns how many items are on which shelf, as far as it is known.
	Shelves = durable.DeclareQuery[durable.None, map[int]int]("clerk.shelves")
	// CountShelf orders the counter to count a shelf.
	CountShelf = durable.Declare[Order, int]("counter.count")
	// Counted returns how many counts the counter made.
	Counted = durable.DeclareQuery[durable.None, int]("counter.counted")
)

// Clerk binds the clerk's code.
func Clerk() *durable.Kind {
	return actors.New(actors.Handlers[Books]{actors.On(Open, open), actors.On(Check, check), actors.OnQuery(Status, status), actors.OnQuery(Shelves, shelves)})
}

// Counter binds the counter's code. look is how a shelf is looked at; nil is
// [Look].
func Counter(look func(ctx context.Context, o Order) (int, error)) *durable.Kind {
	if look == nil {
		look = Look
	}
	c := counter{look}
	return actors.New(actors.Handlers[Tally]{actors.On(CountShelf, c.count), actors.OnQuery(Counted, counted)})
}

// Kinds returns both, for one process that does everything.
func Kinds() []*durable.Kind { return []*durable.Kind{Clerk(), Counter(nil)} }

// InBooks is how many items the books have on a shelf.
func InBooks(shelf int) int { return 10 + shelf*7%13 }

func open(ctx durable.Context, b *Books, j Job) (durable.None, error) {
	if j.Shelves <= 0 {
		return durable.None{}, durable.Fail("invalid", "an inventory of %d shelves; it has at least one", j.Shelves)
	}
	*b = Books{Shelves: j.Shelves, Right: map[int]int{}}
	return durable.None{}, order(ctx, Order{Shelf: 1, Attempt: 1, PauseMS: j.PauseMS})
}

// order sends the counter to a shelf. The message leaves with the commit that
// changes the books: both or neither.
func order(ctx durable.Context, o Order) error {
	o.Inventory = ctx.Info().Key
	_, err := durable.Send(ctx, CountShelf.At(o.Inventory), o)
	return err
}

// check compares a count with the books: a wrong one is counted again, a right
// one is entered, and the next shelf is ordered.
func check(ctx durable.Context, b *Books, c Count) (durable.None, error) {
	if c.Items != InBooks(c.Shelf) {
		b.Recounts++
		return durable.None{}, order(ctx, Order{Shelf: c.Shelf, Attempt: c.Attempt + 1, PauseMS: c.PauseMS})
	}
	b.Right[c.Shelf] = c.Items
	if len(b.Right) == b.Shelves {
		return durable.None{}, nil
	}
	return durable.None{}, order(ctx, Order{Shelf: c.Shelf + 1, Attempt: 1, PauseMS: c.PauseMS})
}

func status(b Books, _ durable.None) (Progress, error) {
	p := Progress{Done: b.Shelves > 0 && len(b.Right) == b.Shelves, Right: len(b.Right), Recounts: b.Recounts}
	for _, n := range b.Right {
		p.Items += n
	}
	return p, nil
}

func shelves(b Books, _ durable.None) (map[int]int, error) { return b.Right, nil }

type counter struct {
	look func(context.Context, Order) (int, error)
}

func (k counter) count(ctx durable.Context, t *Tally, o Order) (int, error) {
	items, err := durable.Step(ctx, fmt.Sprintf("count shelf %d", o.Shelf), func(ctx context.Context) (int, error) {
		return k.look(ctx, o)
	})
	if err != nil {
		return 0, err
	}
	t.Counts++
	_, err = durable.Send(ctx, Check.At(o.Inventory), Count{Shelf: o.Shelf, Attempt: o.Attempt, Items: items, PauseMS: o.PauseMS})
	return items, err
}

func counted(t Tally, _ durable.None) (int, error) { return t.Counts, nil }

// Look looks at a shelf. On every third shelf the first count is one short.
func Look(ctx context.Context, o Order) (int, error) {
	select {
	case <-time.After(time.Duration(o.PauseMS) * time.Millisecond):
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	n := InBooks(o.Shelf)
	if o.Shelf%3 == 0 && o.Attempt == 1 {
		n--
	}
	return n, nil
}
