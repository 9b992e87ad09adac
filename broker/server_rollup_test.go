package broker_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/perdure/perdure/broker/brokertest"
	"github.com/perdure/perdure/schemas"
	"google.golang.org/protobuf/proto"
)

// P19: a roll-up stores, then purges, and a server that is killed in between does not
// purge when it comes back. Whatever a kill leaves, the journal begins at the entry
// that was stored, and what is below it can be removed.
func TestServer_P19_AKillMayLeaveWhatARollUpReplaces(t *testing.T) {
	t.Parallel()
	const entries, kills = 4000, 6
	srv := brokertest.Server(t)
	left := 0
	for n := range kills {
		r := connected(t, srv.URL())
		ref := identity("wf", fmt.Sprint(n)).Run("1")
		subject := r.n.RunSubject(ref)
		data, err := proto.Marshal(&schemas.Entry{Events: []*schemas.Event{{Kind: &schemas.Event_TimerFired{TimerFired: &schemas.TimerFired{Path: "1"}}}}})
		must(t, err)
		for range entries {
			_, err := r.js.PublishMsgAsync(&nats.Msg{Subject: subject, Data: data})
			must(t, err)
		}
		select {
		case <-r.js.PublishAsyncComplete():
		case <-r.ctx.Done():
			t.Fatal("the entries are not stored")
		}
		data, err = proto.Marshal(&schemas.Entry{Events: []*schemas.Event{{Kind: &schemas.Event_Continued{Continued: &schemas.Continued{Generation: 1}}}}})
		must(t, err)
		must(t, r.nc.PublishMsg(&nats.Msg{Subject: subject, Data: data, Header: nats.Header{"Nats-Rollup": {"sub"}}}))
		must(t, r.nc.Flush()) // the server has it, and begins
		<-time.After(time.Duration(n) * 400 * time.Microsecond)
		srv.Kill()
		srv.Restart()
		r = connected(t, srv.URL())
		found, err := r.b.Journal().Entries(r.ctx, ref)
		must(t, err)
		var all int
		for s, err := range r.b.Journal().Walk(r.ctx, r.n.Partition(ref.Identity), 0) {
			must(t, err)
			if s.Ref == ref {
				all++
			}
		}
		t.Logf("killed after %d: %d entries are stored, %d of them count", n, all, len(found))
		if !found[len(found)-1].Entry.Replaces() {
			continue // it was not stored: nothing happened
		}
		if len(found) != 1 {
			t.Errorf("the journal has %d entries, want that which replaces all", len(found))
		}
		if all > 1 {
			left++
		}
		must(t, r.b.Journal().DeleteBefore(r.ctx, ref, found[0].Seq))
		for s, err := range r.b.Journal().Walk(r.ctx, r.n.Partition(ref.Identity), 0) {
			must(t, err)
			if s.Ref == ref && s.Seq != found[0].Seq {
				t.Fatalf("entry %d is left below the roll-up", s.Seq)
			}
		}
	}
	t.Logf("%d of %d kills came between the storing and the purging", left, kills)
}
