package actors

import (
	"context"
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/perdure/perdure/broker"
	"github.com/perdure/perdure/broker/brokertest"
	kinds "github.com/perdure/perdure/runtime"
	"github.com/perdure/perdure/schemas"
	"golang.org/x/sync/errgroup"
)

// BenchmarkAudit looks through 100,000 runs, of which half are suspended, and a quarter
// have left a state: what it takes, and how much memory of the process that looks; the server
// is another one.
func BenchmarkAudit(b *testing.B) {
	const runs = 100_000
	br := brokertest.Connect(b, brokertest.Server(b).URL(), brokertest.Kinds("order"))
	ctx := b.Context()
	var g errgroup.Group
	g.SetLimit(32)
	for i := range runs {
		g.Go(func() error { return benchRun(ctx, br, i) })
	}
	if err := g.Wait(); err != nil {
		b.Fatal(err)
	}
	look := func(b *testing.B, audit func() (*AuditReport, error)) {
		for b.Loop() {
			runtime.GC()
			var before, most runtime.MemStats
			runtime.ReadMemStats(&before)
			sampled := make(chan struct{})
			sampling, end := context.WithCancel(ctx)
			go func() {
				defer close(sampled)
				for t := time.NewTicker(5 * time.Millisecond); sampling.Err() == nil; <-t.C {
					var now runtime.MemStats
					if runtime.ReadMemStats(&now); now.HeapAlloc > most.HeapAlloc {
						most = now
					}
				}
			}()
			report, err := audit()
			end()
			<-sampled
			if err != nil || len(report.Findings) > 0 {
				b.Fatalf("%+v, %v", report, err)
			}
			b.ReportMetric(float64(most.HeapAlloc-before.HeapAlloc)/(1<<20), "MB-more-heap")
			b.ReportMetric(float64(report.Open), "open")
			b.ReportMetric(float64(report.Schedules), "schedules")
		}
	}
	b.Run("fsck", func(b *testing.B) {
		look(b, func() (*AuditReport, error) { return RunAudit(ctx, br, Audit{}) })
	})
	b.Run("node", func(b *testing.B) {
		look(b, func() (*AuditReport, error) {
			a := &auditor{b: br, all: br.OwnAudit(), own: map[schemas.Kind]*kinds.Kind{"order": {}}}
			a.cfg.defaults()
			err := a.begin(ctx)
			for p := range br.Partitions() {
				if err == nil {
					err = a.partition(ctx, schemas.Partition(p))
				}
			}
			if err == nil {
				err = a.judge(ctx)
			}
			return &a.report, err
		})
	})
}

// benchRun stores what there is of a run.
func benchRun(ctx context.Context, br *broker.Broker, i int) error {
	ref := schemas.Identity{Kind: "order", Key: fmt.Sprint("order-", i)}.Run("1")
	e := &schemas.Entry{Epoch: 1, Nonce: []byte("n"), Counter: 1, Events: []*schemas.Event{
		{Kind: &schemas.Event_Claimed{Claimed: &schemas.Claimed{Node: "n"}}}, {Kind: &schemas.Event_Started{Started: &schemas.Started{Method: "ship"}}},
	}}
	out, err := br.Journal().Append(ctx, ref, 0, e)
	if err != nil {
		return err
	}
	if i%2 == 0 {
		env := &schemas.Envelope{Type: schemas.Envelope_WAKE, Id: "t", Run: "1", Path: "t"}
		if err := br.Schedules().Set(ctx, ref.Identity, broker.TimerID("1", "t"), time.Now().Add(24*time.Hour), env); err != nil {
			return err
		}
		e := &schemas.Entry{Epoch: 1, Nonce: []byte("n"), Counter: 2, Events: []*schemas.Event{{Kind: &schemas.Event_Suspended{Suspended: &schemas.Suspended{Timer: "t"}}}}}
		_, err := br.Journal().Append(ctx, ref, out.Seq, e)
		return err
	}
	rec := &schemas.Record{Status: schemas.Status_COMPLETED, Method: "ship", Result: &schemas.Payload{Data: make([]byte, 200)}, StateChanged: i%4 == 1}
	if out, err = br.Journal().Append(ctx, ref, out.Seq, &schemas.Entry{Epoch: 1, Nonce: []byte("n"), Counter: 2, Record: rec}); err != nil || !rec.StateChanged {
		return err
	}
	_, err = br.State().Put(ctx, ref.Identity, 0, &schemas.State{Value: &schemas.Payload{Data: make([]byte, 200)}, Run: "1", Sequence: out.Seq})
	return err
}
