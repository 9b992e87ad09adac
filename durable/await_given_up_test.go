package durable_test

import (
	"testing"
	"time"

	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/durable/durabletest"
)

// TestAwaitAsync_OneThatWasGivenUpTakesTheNextValue, as its comment says, and a value
// of another type is used up.
func TestAwaitAsync_OneThatWasGivenUpTakesTheNextValue(t *testing.T) {
	name := durable.DeclareWorkflow[durable.None, string]("given-up")
	word := durable.DeclareSignal[string]("word")
	durabletest.Play(t, func(t *testing.T, w *durabletest.World) {
		run, err := durabletest.Start(w, name.At("a"), durable.None{})
		if err != nil {
			t.Fatal(err)
		}
		durabletest.SignalAfter(w, 2*time.Hour, run.Ref(), word, "first")
		durabletest.SignalAfter(w, 3*time.Hour, run.Ref(), word, "second")
		durabletest.SignalAfter(w, 4*time.Hour, run.Ref(), durable.DeclareSignal[int]("word"), 5)
		durabletest.SignalAfter(w, 5*time.Hour, run.Ref(), word, "third")
		if got, err := run.Result(); err != nil || got != "second, then the value was used up, third" {
			t.Errorf("got %q, %v", got, err)
		}
	}, durable.Workflow(name, func(ctx durable.Context, _ durable.None) (string, error) {
		first, err := durable.AwaitAsync(ctx, word)
		if err != nil {
			return "", err
		}
		if n, err := durable.Select(ctx, first, durable.After(ctx, time.Hour)); n != 1 || err != nil {
			return "", durable.Fail("wrong", "%d, %v", n, err)
		}
		got, err := durable.Await(ctx, word)
		if err != nil {
			return "", err
		}
		if _, err := durable.Await(ctx, word); !durable.IsCode(err, "invalid") {
			return "", durable.Fail("wrong", "a number for a text is %v", err)
		}
		third, err := durable.Await(ctx, word)
		return got + ", then the value was used up, " + third, err
	}))
}
