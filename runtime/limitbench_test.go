package runtime_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/perdure/perdure/runtime"
	"github.com/perdure/perdure/schemas"
	"google.golang.org/protobuf/proto"
)

// BenchmarkLimit_LongQueue takes one run in and lets one go, behind so many that
// wait: alone, and 256 at a time.
func BenchmarkLimit_LongQueue(b *testing.B) {
	ledger := runtime.NewLimitKind("").Ledger
	id := schemas.Identity{Kind: "perdure-limit", Key: "pack"}
	task := func(method string, i int) runtime.Task {
		data, err := proto.Marshal(&schemas.Ask{Run: fmt.Sprintf("pack/order-%d/order-%d", i, i), Path: "0.1", Hold: &schemas.Hold{Rule: schemas.Hold_CONCURRENCY, Max: 1}})
		if err != nil {
			b.Fatal(err)
		}
		return runtime.Task{From: "local", Envelope: &schemas.Envelope{Method: method, Payload: &schemas.Payload{Data: data, Codec: "proto"}}}
	}
	for _, waiting := range []int{10, 1000, 10_000} {
		for _, batch := range []int{1, 256} {
			b.Run(fmt.Sprintf("%d waiting, %d at once", waiting, batch), func(b *testing.B) {
				var tasks []runtime.Task
				for i := range waiting {
					tasks = append(tasks, task("acquire", i))
				}
				state, _, err := ledger.Apply("bench", id, nil, tasks, time.Now())
				if err != nil {
					b.Fatal(err)
				}
				tasks = nil
				for i := range batch {
					tasks = append(tasks, task("release", i), task("acquire", waiting+i))
				}
				b.ReportMetric(float64(len(state.GetData())), "bytes")
				for b.Loop() {
					if _, _, err := ledger.Apply("bench", id, state, tasks, time.Now()); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*batch), "us/run")
			})
		}
	}
}
