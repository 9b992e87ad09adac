package warehouse

import (
	"github.com/perdure/perdure/actors"
	"github.com/perdure/perdure/durable"
)

// Stock is the state of an article.
type Stock struct {
	Left  int      `json:"left"`
	Slips []string `json:"slips,omitempty"`
}

// Take asks for a number of articles.
type Take struct {
	Count int `json:"count"`
}

// Taken is a reservation.
type Taken struct {
	Slip string `json:"slip"`
	Left int    `json:"left"`
}

var (
	// Receive adds articles and returns how many are there.
	Receive = durable.Declare[Take, int]("stock.receive")
	// Reserve takes articles, or fails with the code sold_out.
	Reserve = durable.Declare[Take, Taken]("stock.reserve")
	// Level returns how many are left; it starts no run.
	Level = durable.DeclareQuery[durable.None, int]("stock.level")
)

// Kind binds the actor's code to its names.
func Kind() *durable.Kind {
	return actors.New(actors.Handlers[Stock]{
		actors.On(Receive, receive),
		actors.On(Reserve, reserve),
		actors.OnQuery(Level, level),
	})
}

func receive(ctx durable.Context, s *Stock, t Take) (int, error) {
	if t.Count <= 0 {
		return 0, durable.Fail("invalid", "%s: received %d articles; a delivery has at least one", ctx.Info().Key, t.Count)
	}
	s.Left += t.Count
	return s.Left, nil
}

func reserve(ctx durable.Context, s *Stock, t Take) (Taken, error) {
	if t.Count <= 0 {
		return Taken{}, durable.Fail("invalid", "%s: asked for %d articles; ask for at least one", ctx.Info().Key, t.Count)
	}
	if s.Left < t.Count {
		return Taken{}, durable.Fail("sold_out", "%s: asked for %d, %d left", ctx.Info().Key, t.Count, s.Left)
	}
	slip := durable.NewID(ctx)
	s.Left -= t.Count
	s.Slips = append(s.Slips, slip)
	return Taken{Slip: slip, Left: s.Left}, nil
}

func level(s Stock, _ durable.None) (int, error) { return s.Left, nil }
