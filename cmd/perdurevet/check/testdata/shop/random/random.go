// Package random is about values that differ.
package random

import (
	"context"
	crand "crypto/rand"
	"io"
	oldrand "math/rand"
	"math/rand/v2"

	"github.com/nats-io/nuid"
	"github.com/perdure/perdure/durable"
)

func workflow(ctx durable.Context, n int) (string, error) {
	_ = rand.IntN(n)                      // want `^workflow calls rand.IntN: a replay gets another value; use durable.Rand or durable.NewID`
	_ = oldrand.Intn(n)                   // want `calls rand.Intn`
	oldrand.Shuffle(n, func(i, j int) {}) // want `calls rand.Shuffle`
	b := make([]byte, n)
	_, _ = crand.Read(b)                // want `calls rand.Read`
	_, _ = io.ReadFull(crand.Reader, b) // want `reads rand.Reader`
	return nuid.Next(), nil             // want `calls nuid.Next`
}

func good(ctx durable.Context, n int) (string, error) {
	r := durable.Rand(ctx)
	r.Shuffle(n, func(i, j int) {})
	_ = r.IntN(n)
	seeded := rand.New(rand.NewPCG(1, 2))
	_ = seeded.IntN(n)
	if _, err := durable.Map(ctx, "roll", []int{1}, 0, func(_ context.Context, sides int) (int, error) {
		return rand.IntN(sides), nil
	}); err != nil {
		return "", err
	}
	return durable.NewID(ctx), nil
}
