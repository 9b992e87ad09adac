//go:build unix

package perdure_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/perdure/perdure"
	"github.com/perdure/perdure/durable/schedules"
	"github.com/perdure/perdure/schemas"
)

// TestScheduleSurvivesSIGKILL: the only node of a schedule of every second is
// killed again and again, while it fires and while it does not run for a while. No
// second is lost, and none has two runs.
func TestScheduleSurvivesSIGKILL(t *testing.T) {
	t.Parallel()
	dead := &deadNode{t, newFarSide(t), nodeConfig{Dir: t.TempDir(), Durability: perdure.Process, SuspendAfter: 50 * time.Millisecond}}
	dead.config.Far = dead.far.URL
	n, s := dead.next("0", "")
	n.run()
	n.await(lineReady)
	spec := schedules.Spec{
		Every: time.Second, Overlap: schedules.AllowAll, CatchUp: time.Hour,
		Target: schedules.Target{Kind: "audit", Method: "note", Key: "log", Input: json.RawMessage(`"{time}"`)},
	}
	if _, err := s.client.Schedules().Create(soon(t, patience), "tick", spec); err != nil {
		t.Fatal(err)
	}
	for i := range 4 {
		dead.far.wait(t, dead.far.sum()+3)
		n.kill()
		if i%2 == 1 { // two seconds or more are missed
			away := time.NewTimer(2500 * time.Millisecond)
			<-away.C // nothing runs that could give an event
		}
		n, s = dead.next(fmt.Sprint(i+1), "")
		n.run()
		n.await(lineReady)
	}
	dead.far.wait(t, dead.far.sum()+3)
	if err := s.client.Schedules().Delete(soon(t, patience), "tick"); err != nil {
		t.Fatal(err)
	}
	s.settled()

	var fired []time.Time
	for run, rec := range s.records() {
		ref, err := schemas.ParseRef(run)
		if err != nil {
			t.Fatal(err)
		}
		if ref.Kind == "audit" {
			at, err := time.Parse("20060102T150405Z", strings.TrimPrefix(string(ref.ID), "tick-"))
			if err != nil || rec.GetStatus() != schemas.Status_COMPLETED {
				t.Errorf("%s is %s, %v", run, rec.GetStatus(), err)
			}
			fired = append(fired, at)
		}
	}
	slices.SortFunc(fired, time.Time.Compare)
	for i := range fired[1:] {
		if d := fired[i+1].Sub(fired[i]); d != time.Second {
			t.Errorf("%s follows %s", fired[i+1], fired[i])
		}
	}
	notes := query(s, auditNotes.At("log"))
	if len(notes) != len(fired) || len(fired) < 10 {
		t.Errorf("%d times have fired, and were noted %d times", len(fired), len(notes))
	}
	t.Logf("%d times over four kills", len(fired))
}
