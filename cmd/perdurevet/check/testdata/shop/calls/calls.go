// Package calls is about what is done by what is called.
package calls

import (
	"context"
	"os"
	"slices"
	"time"

	"example.com/shop/price"
	"example.com/shop/wrap"
	"github.com/perdure/perdure/durable"
)

var now = time.Now // want now:"calls time.Now"

func fulfil(ctx durable.Context, sku string) (int, error) {
	cents := quote(sku)    // want `^fulfil calls quote, which calls price.Today, which calls rate, which calls time.Now \(price.go:24\): a replay sees`
	cents += price.Lucky() // want `^fulfil calls price.Lucky, which calls rand.IntN \(price.go:\d+\)`
	_ = price.Clock()      // want `^fulfil calls price.Clock, which calls time.Now`
	_ = price.Fixed()
	_ = now() // want `^fulfil calls now, which calls time.Now \(calls.go:15\)`
	var b price.Book
	_ = b.Pay(cents) // want `^fulfil calls price.Book.Pay, which calls Bank.Charge with a context.Context \(price.go:\d+\): what takes`
	_ = b.Bank()
	_ = price.Even(3) // want `^fulfil calls price.Even, which calls Odd, which calls time.Since`
	_ = price.Excepted()
	slices.SortFunc([]int{1}, compare) // want `^fulfil calls compare, which calls os.Getenv`
	return other(ctx, price.Total(cents))
}

// other is workflow code, and has its own reported.
func other(ctx durable.Context, n int) (int, error) {
	return n + time.Now().Day(), nil // want `^other calls time.Now`
}

func quote(sku string) int { return price.Today(sku) } // want quote:`calls price.Today, which calls rate, which calls time.Now`

func compare(a, b int) int { // want compare:"calls os.Getenv"
	if os.Getenv("REVERSE") != "" {
		return b - a
	}
	return a - b
}

// A loop has the context in a field.
type loop struct {
	ctx durable.Context
	at  time.Time
}

func (l *loop) turn() (time.Time, error) { // want turn:"calls time.Now"
	l.at = time.Now()
	return durable.Step(l.ctx, "turn", func(context.Context) (time.Time, error) { return time.Now(), nil })
}

func inLoop(ctx durable.Context, _ int) (int, error) {
	l := loop{ctx: ctx}
	_, err := l.turn() // want `^inLoop calls loop.turn, which calls time.Now \(calls.go:\d+\)`
	return 0, err
}

// wrapped calls verbs of the user's own.
func wrapped(ctx durable.Context, _ int) (int, error) {
	look := func() (int, error) { return time.Now().Day(), nil }
	if _, err := wrap.Step(ctx, "look", look); err != nil {
		return 0, err
	}
	if _, err := wrap.Step(ctx, "read", func() ([]byte, error) { return os.ReadFile("x") }); err != nil {
		return 0, err
	}
	if _, err := wrap.Once(ctx, "once", func(context.Context) (int, error) { return time.Now().Day(), nil }); err != nil {
		return 0, err
	}
	if err := wrap.Twice(ctx, today); err != nil {
		return 0, err
	}
	both := func() (int, error) { return time.Now().Day(), nil } // want `^wrapped calls time.Now`
	if _, err := wrap.Both(ctx, both); err != nil {
		return 0, err
	}
	again := func() (int, error) { return time.Now().Day(), nil } // want `^wrapped calls time.Now`
	if _, err := again(); err != nil {
		return 0, err
	}
	if _, err := wrap.Step(ctx, "again", again); err != nil {
		return 0, err
	}
	return wrap.Here(ctx, func() int { return time.Now().Day() }), nil // want `^wrapped calls time.Now`
}

func today() (int, error) { return time.Now().Day(), nil } // want today:"calls time.Now"

// direct calls a step's function as if it was none.
func direct(ctx durable.Context, _ int) (int, error) {
	body := func(context.Context) (int, error) { return time.Now().Day(), nil } // want `^direct calls time.Now`
	if n, err := body(context.Background()); err != nil {
		return n, err
	}
	return step(context.Background()) // want `^direct calls step, which calls time.Now`
}

func step(context.Context) (int, error) { return time.Now().Day(), nil } // want step:"calls time.Now"
