// Package price is called by workflows of other packages.
package price

import (
	"context"
	"maps"
	"math/rand/v2"
	"slices"
	"time"
)

// Bank is out of sight: what it does is not known.
type Bank interface {
	Charge(ctx context.Context, cents int) error
	Name() string
}

// Today is a price that depends on the day.
func Today(sku string) int { // want Today:`calls rate, which calls time.Now \(price.go:24\)`
	return len(sku) * rate()
}

func rate() int { // want rate:"calls time.Now"
	if time.Now().Weekday() == time.Friday {
		return 2
	}
	return 1
}

// Lucky is a discount.
func Lucky() int { return rand.IntN(10) } // want Lucky:"calls rand.IntN"

// Clock is a hook for tests.
var Clock = time.Now // want Clock:"calls time.Now"

// Fixed is a hook that is pure.
var Fixed = func() time.Time { return time.Unix(0, 0) }

// Book has methods.
type Book struct{ bank Bank }

// Pay pays.
func (b *Book) Pay(cents int) error { // want Pay:"calls Bank.Charge with a context.Context"
	return b.bank.Charge(context.Background(), cents)
}

// Bank is who.
func (b *Book) Bank() string { return b.bank.Name() }

// SKUs are in the order of the map.
func SKUs(m map[string]int) (out []string) { // want SKUs:"map order"
	for sku := range m {
		out = append(out, sku)
	}
	return out
}

// Sorted are not.
func Sorted(m map[string]int) []string {
	var out []string
	for sku := range m {
		out = append(out, sku)
	}
	slices.Sort(out)
	return out
}

// Keys are, by the iterator.
func Keys(m map[string]int) []string { return slices.Collect(maps.Keys(m)) } // want Keys:"map order"

// Even calls Odd, and Odd calls Even.
func Even(n int) bool { // want Even:`calls Odd, which calls time.Since \(price.go:\d+\)`
	return n == 0 || Odd(n-1)
}

// Odd calls Even.
func Odd(n int) bool { // want Odd:"calls time.Since"
	return n != 0 && (time.Since(time.Time{}) > 0 || Even(n-1))
}

// Total is pure.
func Total(cents ...int) (sum int) {
	for _, c := range cents {
		sum += c
	}
	return sum
}

// Excepted reads the clock, and may.
func Excepted() time.Time {
	return time.Now() //perdurevet:ignore only a log line shows it
}
