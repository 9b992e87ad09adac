package actors_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/perdure/perdure/actors"
	"github.com/perdure/perdure/schemas"
)

// TestAudit_ANamespaceAtWorkHasNoFindings audits, again and again, while a host has runs
// that sleep, call, send, fail, are moved and are swept.
func TestAudit_ANamespaceAtWorkHasNoFindings(t *testing.T) {
	t.Parallel()
	g := newGates()
	s := setup(t, append(g.all(), g.journeys())...)
	s.cfg.SuspendAfter, s.cfg.Crowd, s.cfg.PassivateAfter = time.Millisecond, 8, 50*time.Millisecond
	s.sweeping(4 * time.Second)
	s.start()
	ctx, end := context.WithCancel(s.ctx)
	defer end()
	var load sync.WaitGroup
	var sent atomic.Int64
	for w := range 4 {
		load.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				key, id := fmt.Sprint("k", (w*31+i)%23), fmt.Sprint(w, "-", i)
				task := []struct{ kind, method, input string }{
					{"account", "write", `"w"`},
					{"account", "slumber", `"100ms"`},
					{"account", "notify", `"k1"`},
					{"account", "ask", `"of ` + id + `"`},
					{"account", "spoil", `"x"`},
					{"journey", "", `"20ms"`},
				}[i%6]
				if task.kind == "journey" {
					key = id
				}
				env := &schemas.Envelope{Type: schemas.Envelope_TASK, Id: id, Method: task.method, Payload: &schemas.Payload{Data: []byte(task.input)}}
				if err := actors.Publish(ctx, s.b, "local", schemas.Identity{Kind: schemas.Kind(task.kind), Key: key}, env); err != nil && ctx.Err() == nil {
					t.Error(err)
					return
				}
				if sent.Add(1)%8 == 0 { // as much as the host has room for
					s.until("the host has room", func() bool { held, _ := s.host.Held(); return held < 64 || ctx.Err() != nil })
				}
			}
		})
	}
	var open, runs uint64
	for n := range 10 {
		a := quick
		a.Age, a.Overdue = 0, 0
		report, err := actors.RunAudit(s.ctx, s.b, a)
		if err != nil {
			t.Fatal(err)
		}
		if len(report.Findings) > 0 {
			t.Fatalf("audit %d found %+v", n, report.Findings)
		}
		open, runs = open+report.Open, runs+report.Runs
	}
	end()
	load.Wait()
	t.Logf("%d messages were sent; the audits saw %d runs, %d of them open", sent.Load(), runs, open)
	if sent.Load() < 200 || open < 10 {
		t.Error("there was no load: nothing was shown")
	}
}
