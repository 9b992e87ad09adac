package runtime_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/perdure/perdure/runtime"
	"github.com/perdure/perdure/runtime/runtimetest"
	"github.com/perdure/perdure/schemas"
)

// TestContinueAsNew_KeepsSignalsThatWereNotAwaited: they were received and recorded
// long before, and each later generation takes one of them, in their order.
func TestContinueAsNew_KeepsSignalsThatWereNotAwaited(t *testing.T) {
	loop := &runtime.Kind{Name: "loop", Type: "workflow", Methods: map[string]runtime.Method{"": {
		Handler: func(c *runtime.Context, in *schemas.Payload) (*schemas.Payload, error) {
			got := string(in.GetData())
			if got == "" {
				if _, err := result(c, c.After("meanwhile", time.Minute)); err != nil {
					return nil, err
				}
				return nil, c.ContinueAsNew(text("got"))
			}
			v, err := result(c, c.Await("go"))
			if got += " " + v; err != nil || len(got) == len("got 1 2 3") {
				return text(got), err
			}
			return nil, c.ContinueAsNew(text(got))
		},
	}}}
	r := ref("loop", "a", "1")
	play := func(t *testing.T, crash int, when runtimetest.When) (points int) {
		bubble(t, func(t *testing.T) {
			w := world(t, loop)
			w.CrashAt(when, crash)
			w.Task(r, "", nil)
			for _, v := range []string{"1", "2", "3"} {
				<-time.After(time.Second)
				w.Signal(r, "s"+v, "go", text(v))
			}
			expect(t, w, r, "got 1 2 3")
			settle(t, w)
			points = len(w.Points())
		})
		return points
	}
	for n := range play(t, 0, runtimetest.Before) {
		for _, when := range []runtimetest.When{runtimetest.Before, runtimetest.After} {
			t.Run(fmt.Sprint(n+1, when), func(t *testing.T) { play(t, n+1, when) })
		}
	}
}
