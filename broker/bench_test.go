package broker_test

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/perdure/perdure/broker"
	"github.com/perdure/perdure/broker/brokertest"
	"github.com/perdure/perdure/schemas"
)

func atDisk(c *broker.Config) { c.Durability = broker.Disk }

// eachLevel runs a benchmark at durability process and disk, where each message has
// an fsync of its own or shares one.
func eachLevel(b *testing.B, f func(b *testing.B, br *broker.Broker)) {
	one := func(c *broker.Config) { c.Partitions = 1 }
	b.Run("process", func(b *testing.B) { f(b, brokertest.Open(b, kinds, one)) })
	always := func(c *broker.Config) { c.SyncAlways = true }
	b.Run("disk", func(b *testing.B) { f(b, brokertest.Open(b, kinds, one, atDisk)) })
	b.Run("disk/each", func(b *testing.B) { f(b, brokertest.Open(b, kinds, one, atDisk, always)) })
}

// step is an entry with a result of 256 bytes.
func step(n uint64) *schemas.Entry {
	e := entry("w", n)
	e.Events = []*schemas.Event{{Kind: &schemas.Event_StepCompleted{StepCompleted: &schemas.StepCompleted{
		Path: "1", Name: "charge", Result: &schemas.Payload{Data: []byte(strings.Repeat("x", 256))},
	}}}}
	return e
}

func benchAppend(ctx context.Context, b *testing.B, br *broker.Broker, key string, next func() bool) {
	ref, last := identity("wf", key).Run("1"), uint64(0)
	for n := uint64(1); next(); n++ {
		out, err := br.Journal().Append(ctx, ref, last, step(n))
		if err != nil || out.Fenced {
			b.Errorf("append: %+v, %v", out, err)
			return
		}
		last = out.Seq
	}
}

func BenchmarkAppend(b *testing.B) {
	eachLevel(b, func(b *testing.B, br *broker.Broker) {
		b.ReportAllocs()
		benchAppend(b.Context(), b, br, "k", b.Loop)
	})
}

func BenchmarkAppend64Writers(b *testing.B) {
	eachLevel(b, func(b *testing.B, br *broker.Broker) {
		b.ReportAllocs()
		b.SetParallelism(32) // of 2 processors
		var writer atomic.Int64
		b.RunParallel(func(pb *testing.PB) {
			benchAppend(b.Context(), b, br, fmt.Sprint("k", writer.Add(1)), pb.Next)
		})
	})
}

// BenchmarkTask is a task's whole way: accepted, delivered, claimed,
// committed, its state stored, acknowledged.
func BenchmarkTask(b *testing.B) {
	eachLevel(b, func(b *testing.B, br *broker.Broker) {
		ctx := b.Context()
		feed, err := br.Inbox().Take(ctx, 0, 1)
		if err != nil {
			b.Fatal(err)
		}
		defer feed.Stop()
		b.ReportAllocs()
		for n := 0; b.Loop(); n++ {
			id, last := identity("wf", fmt.Sprint(n)), uint64(0)
			if _, err := br.Inbox().Publish(ctx, "local", id, task(fmt.Sprint(n))); err != nil {
				b.Fatal(err)
			}
			d, err := feed.Next(ctx)
			if err != nil {
				b.Fatal(err)
			}
			ref := id.Run(schemas.RunID(d.Envelope.Id))
			for _, e := range []*schemas.Entry{entry("w", uint64(2*n)), record("w", uint64(2*n+1))} {
				out, err := br.Journal().Append(ctx, ref, last, e)
				if err != nil || out.Fenced {
					b.Fatal(out, err)
				}
				last = out.Seq
			}
			out, err := br.State().Put(ctx, id, 0, state(d.Envelope.Id, last, "x"))
			if err != nil || out.Fenced {
				b.Fatal(out, err)
			}
			if err := feed.Ack(ctx, d); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkOpen(b *testing.B) {
	eachOpen := func(b *testing.B, dir func() string) {
		for b.Loop() {
			br, err := broker.Open(b.Context(), broker.Config{Dir: dir(), Kinds: []schemas.Kind{"wf"}})
			if err != nil {
				b.Fatal(err)
			}
			if err := br.Close(); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.Run("empty", func(b *testing.B) { eachOpen(b, b.TempDir) })
	b.Run("with10000Runs", func(b *testing.B) {
		dir := b.TempDir()
		br, err := broker.Open(b.Context(), broker.Config{Dir: dir, Durability: broker.Process, Kinds: []schemas.Kind{"wf"}})
		if err != nil {
			b.Fatal(err)
		}
		for i := range 10000 {
			if _, err := br.Journal().Append(b.Context(), identity("wf", fmt.Sprint(i)).Run("1"), 0, record("w", uint64(i))); err != nil {
				b.Fatal(err)
			}
		}
		if err := br.Close(); err != nil {
			b.Fatal(err)
		}
		eachOpen(b, func() string { return dir })
	})
}
