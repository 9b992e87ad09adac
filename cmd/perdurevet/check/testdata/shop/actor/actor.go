// Package actor has virtual actors.
package actor

import (
	"time"

	"github.com/perdure/perdure/actors"
	"github.com/perdure/perdure/durable"
)

type stock struct {
	Left int
	At   time.Time
}

var (
	reserve = durable.Declare[int, int]("stock.reserve")
	level   = durable.DeclareQuery[int, int]("stock.level")
	refill  = durable.Declare[int, int]("stock.refill")
)

func take(ctx durable.Context, s *stock, n int) (int, error) {
	s.At = time.Now() // want `^take calls time.Now`
	s.Left -= n
	return s.Left, nil
}

// left is a query: it is answered from the stored state, and never replayed.
func left(s stock, _ int) (int, error) { // want left:"calls time.Since"
	return s.Left - int(time.Since(s.At)), nil
}

var Kind = actors.New(actors.Handlers[stock]{
	actors.On(reserve, take),
	actors.On(refill, func(ctx durable.Context, s *stock, n int) (int, error) {
		s.At = durable.Now(ctx)
		return int(time.Since(s.At)), nil // want `^workflow code calls time.Since`
	}),
	actors.OnQuery(level, left),
	actors.OnQuery(level, func(s stock, _ int) (int, error) { return int(time.Since(s.At)), nil }),
})
