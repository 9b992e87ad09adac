package runtime_test

import (
	"sync/atomic"
	"testing"

	"github.com/perdure/perdure/runtime"
	"github.com/perdure/perdure/schemas"
)

// TestMailThatIsLeftWhenTheRunFinishesIsAnswered sends the run's task again, by
// another caller, at each write of its end: while its last result is appended,
// while it is committed, while its effects go out, and while its task is
// acknowledged.
func TestMailThatIsLeftWhenTheRunFinishesIsAnswered(t *testing.T) {
	for _, c := range []struct {
		what string
		nth  int
	}{{"append shared/a/x", 2}, {"commit shared/a/x", 1}, {"send caller/one", 1}, {"ack shared/a/x", 1}} {
		t.Run(c.what, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				again := &schemas.Envelope{
					Type: schemas.Envelope_TASK, Id: "x", Payload: text("it"), Reply: &schemas.Reply{Run: "caller/two/1", Path: "1"},
				}
				var answered atomic.Pointer[schemas.Envelope]
				w := world(t, caller(), kind("shared", func(c *runtime.Context, in string) (string, error) {
					return step(c, "work", give("did "+in))
				}))
				var n atomic.Int32
				w.OnPoint = func(what string) {
					if what == c.what && int(n.Add(1)) == c.nth {
						w.Send(ref("shared", "a", "x").Identity, again)
					}
				}
				w.OnMessage = func(to schemas.Identity, env *schemas.Envelope) {
					if to.Key == "two" {
						answered.Store(env)
					}
				}
				w.Task(ref("caller", "one", "1"), "", text("it"))
				expect(t, w, ref("caller", "one", "1"), "did it")
				settle(t, w)
				if got := answered.Load(); string(got.GetPayload().GetData()) != "did it" || got.GetPath() != "1" {
					t.Errorf("the second caller was answered %v", got)
				}
			})
		})
	}
}

// TestP15_MessagesOfUnknownAndFinishedRunsAreAcknowledged, and start nothing.
func TestP15_MessagesOfUnknownAndFinishedRunsAreAcknowledged(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := world(t, kind("w", func(*runtime.Context, string) (string, error) { return "done", nil }))
		strays := func(run string) {
			for _, typ := range []schemas.Envelope_Type{schemas.Envelope_RESULT, schemas.Envelope_WAKE, schemas.Envelope_CANCEL} {
				w.Send(ref("w", "a", run).Identity, &schemas.Envelope{Type: typ, Id: "m-" + typ.String(), Run: run, Path: "1"})
			}
		}
		strays("unknown")
		settle(t, w)
		w.Task(ref("w", "a", "1"), "", nil)
		expect(t, w, ref("w", "a", "1"), "done")
		strays("1")
		strays("unknown")
		settle(t, w)
		if all := w.Journal.All(); len(all) != 1 {
			t.Errorf("%d entries are stored, want the one record", len(all))
		}
	})
}
