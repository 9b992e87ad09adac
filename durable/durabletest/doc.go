// Package durabletest tests workflows and virtual actors in memory, with a clock
// that skips time and processes that die at every write:
//
//	func TestFulfil(t *testing.T) {
//		durabletest.CrashSweep(t, func(t *testing.T, w *durabletest.World) {
//			durabletest.Fake(w, Reserve, func(_ context.Context, k Take) (Taken, error) { return Taken{Slip: "s"}, nil })
//			durabletest.SignalAfter(w, 47*time.Hour, "fulfil/o/o", Approved, Approval{By: "ops"})
//			got, err := durabletest.Call(w, Fulfil.At("o"), Order{SKU: "sku-1"})
//			if err != nil || got.Slip != "s" {
//				t.Errorf("got %+v, %v", got, err)
//			}
//		}, durable.Workflow(Fulfil, (&shop{bank: &Bank{}}).fulfil))
//	}
//
// [Play] plays a test once, [CrashSweep] once undisturbed and then with a process
// that dies before, and after, each of the writes of that. Both run it in a bubble
// of testing/synctest: a workflow of thirty days takes milliseconds. The journal
// is one in memory that passes the same conformance suite as the one on NATS.
package durabletest
