package actors

import (
	"log/slog"
	"testing"

	"github.com/perdure/perdure/schemas"
)

// BenchmarkLive_Say is what a part of a message costs the step that says it: one token,
// of a message of a thousand.
func BenchmarkLive_Say(b *testing.B) {
	l := newLive(func(schemas.Ref, []byte) error { return nil }, slog.New(slog.DiscardHandler))
	defer l.close()
	ref := schemas.Identity{Kind: "teller", Key: "me"}.Run("q")
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		step := l.Begins(ref, i+1, "1", "model")
		sp := step.Speech(b)
		for range 1000 {
			sp.Say("token ")
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1000, "ns/part")
}
