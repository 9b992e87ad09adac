package broker_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/perdure/perdure/broker"
	"github.com/perdure/perdure/broker/brokertest"
	"github.com/perdure/perdure/schemas"
)

// BenchmarkBackup writes 100,000 records of 1 KiB, and restores them: for as long as
// the former nodes stand still.
func BenchmarkBackup(b *testing.B) {
	const records, writers = 100_000, 64
	br := brokertest.Open(b, kinds)
	noise := make([]byte, 1<<10)
	rand.NewChaCha8([32]byte{}).Read(noise)
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := w; i < records; i += writers {
				e := record("w", uint64(i+1))
				e.Record.Result = &schemas.Payload{Data: noise[i%512:]}
				if _, err := br.Journal().Append(b.Context(), identity("wf", fmt.Sprint(i)).Run("1"), 0, e); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	var file bytes.Buffer
	for b.Loop() {
		file.Reset()
		made, err := br.Backup(b.Context(), &file, everything)
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(made.Paused.Seconds(), "s-paused")
		b.ReportMetric(float64(made.Messages)/made.Paused.Seconds(), "messages/s")
		b.ReportMetric(float64(file.Len())/(1<<20), "MB-file")
	}
	began := time.Now()
	cfg := broker.Config{Dir: b.TempDir(), Durability: broker.Process, Logger: quiet}
	if _, err := broker.Restore(b.Context(), cfg, bytes.NewReader(file.Bytes())); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(time.Since(began).Seconds(), "s-restore")
}
