//go:build unix

package perdure_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/perdure/perdure"
	"github.com/perdure/perdure/broker/brokertest"
	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/schemas"
)

// A takenBackup is what is to be true of what is restored from it.
type takenBackup struct {
	file     []byte
	accepted []string // runs that were accepted before it began
}

// A backupLoad starts runs of every sort, so many at once, until it is told to end.
type backupLoad struct {
	t *testing.T
	c *perdure.Client

	mu       sync.Mutex
	accepted []string
	trips    []string
}

// loadWait is how long orders of the load sleep.
const loadWait = 100 * time.Millisecond

// loadRuns is how many runs of the load are open at once.
const loadRuns = 24

// run starts the i-th task, and waits until it is done.
func (l *backupLoad) run(i int) error {
	shop := fmt.Sprint("shop", i%4)
	switch id := fmt.Sprint(i); i % 5 {
	case 0:
		return await(l, shopOrder.At(shop), order{"pen", []string{"a", "b"}, loadWait}, "order"+id)
	case 1, 2:
		return await(l, shopCount.At(shop), "hand", "count"+id)
	case 3:
		return await(l, press.At(id), id, "press"+id)
	default:
		return await(l, trip.At(id), 0, "trip"+id)
	}
}

func await[In, Out any](l *backupLoad, to durable.Target[In, Out], in In, id string) error {
	ctx := soon(l.t, patience)
	run, err := perdure.Start(ctx, l.c, to, in, perdure.MessageID(id))
	if err != nil {
		return err
	}
	travels := strings.HasPrefix(id, "trip")
	if travels {
		if err := goOnward(l.t, l.c, run.Ref()); err != nil {
			return err
		}
	}
	l.mu.Lock()
	if l.accepted = append(l.accepted, run.Ref()); travels {
		l.trips = append(l.trips, run.Ref())
	}
	l.mu.Unlock()
	_, err = run.Result(ctx)
	return err
}

// goOnward sends a trip the signals that it awaits; it may be called again.
func goOnward(t *testing.T, c *perdure.Client, run string) error {
	for _, to := range []string{"b", "c"} {
		if err := perdure.Signal(soon(t, patience), c, run, onward, to, perdure.MessageID(to)); err != nil {
			return err
		}
	}
	return nil
}

// TestBackup_OfAClusterUnderLoad takes backups of three nodes on three servers that
// work, and pauses at drawn moments of each, and holds what is restored from each.
func TestBackup_OfAClusterUnderLoad(t *testing.T) {
	t.Parallel()
	const seed = 36
	g := brokertest.Cluster(t)
	far := newFarSide(t)
	var nodes []*nodeProc
	for i := range 3 {
		n := startNode(t, nodeConfig{Name: fmt.Sprint("first", i), URL: g.URL(), Far: far.URL, Durability: perdure.Quorum, SuspendAfter: time.Millisecond})
		nodes = append(nodes, n.run())
	}
	for _, n := range nodes {
		n.await(lineReady)
	}
	s := openStore(t, nodes[0].url)
	load := &backupLoad{t: t, c: s.client}
	ends, starters := make(chan struct{}), sync.WaitGroup{}
	for w := range loadRuns {
		starters.Go(func() {
			for i := w; ; i += loadRuns {
				select {
				case <-ends:
					return
				default:
				}
				if err := load.run(i); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	draw := rand.New(rand.NewPCG(seed, seed))
	var taken []takenBackup
	for range 2 {
		far.wait(t, far.sum()+50+draw.IntN(100))
		taken = append(taken, load.backup(draw))
	}
	close(ends)
	starters.Wait()
	for _, n := range nodes {
		n.kill()
	}
	for i, b := range taken {
		t.Run(fmt.Sprint(i), func(t *testing.T) { b.holds(t, fmt.Sprint("restored", i), far, load.trips) })
	}
}

// backup takes a backup, with pauses between streams.
func (l *backupLoad) backup(draw *rand.Rand) takenBackup {
	l.t.Helper()
	l.mu.Lock()
	b := takenBackup{accepted: slices.Clone(l.accepted)}
	l.mu.Unlock()
	var file bytes.Buffer
	made, err := l.c.Backup(soon(l.t, patience), &file, perdure.BackupAt(func(string) {
		if draw.IntN(3) == 0 {
			<-time.After(time.Duration(draw.IntN(200)) * time.Millisecond)
		}
	}))
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Logf("%+v, %d bytes, %d runs accepted before", made, file.Len(), len(b.accepted))
	b.file = file.Bytes()
	return b
}

// holds restores the backup, starts a node there, and holds what it comes to.
func (b takenBackup) holds(t *testing.T, name string, far *farSide, trips []string) {
	c := nodeConfig{Name: name, Dir: t.TempDir(), Far: far.URL, Durability: perdure.Process, SuspendAfter: time.Millisecond}
	restoreInto(t, c, b.file)
	n := startNode(t, c)
	s := openStore(t, n.url)
	recorded := s.recorded()
	left := len(s.open())
	n.run()
	n.await(lineReady)
	for _, run := range trips { // what signals came after the backup are sent again
		known := slices.Contains(b.accepted, run)
		if _, err := s.client.Get(soon(t, patience), run); err == nil || known {
			if err := goOnward(t, s.client, run); err != nil {
				t.Error(err)
			}
		}
	}
	s.settled()
	records := s.records()
	t.Logf("%d runs, %d steps recorded, %d things left to do", len(records), len(recorded), left)
	for _, run := range b.accepted {
		if records[run] == nil {
			t.Errorf("%s was accepted before the backup, and has no record", run)
		}
	}
	counts, notes := map[string][]int{}, 0
	for run, r := range records {
		ref, err := schemas.ParseRef(run)
		if err != nil {
			t.Fatal(err)
		}
		if ref.Kind != "perdure-limit" && r.GetStatus() != schemas.Status_COMPLETED {
			t.Errorf("%s is %s: %v", run, r.GetStatus(), r.GetError())
		}
		n := 0
		switch {
		case ref.Kind == "trip":
			notes += 2
		case ref.Kind == "shop" && strings.HasPrefix(string(ref.ID), "order"):
			var got receipt
			if err := json.Unmarshal(r.GetResult().GetData(), &got); err != nil || got.Charge != "charge(pen)" || got.Closed == "" {
				t.Errorf("%s came to %s, %v", run, r.GetResult().GetData(), err)
			}
			notes, n = notes+2, got.Orders
		case ref.Kind == "shop":
			if err := json.Unmarshal(r.GetResult().GetData(), &n); err != nil {
				t.Errorf("%s came to %s, %v", run, r.GetResult().GetData(), err)
			}
		}
		if n != 0 {
			counts[ref.Key] = append(counts[ref.Key], n)
		}
	}
	states := s.states()
	for shop, all := range counts {
		slices.Sort(all)
		for i, n := range all {
			if n != i+1 {
				t.Errorf("the runs of %s counted %v, want each number once", shop, all)
				break
			}
		}
		var state shopState
		if err := json.Unmarshal([]byte(states["shop/"+shop]), &state); err != nil || len(state.Orders) != len(all) {
			t.Errorf("the state of %s has %d orders, %v; %d runs added one", shop, len(state.Orders), err, len(all))
		}
	}
	if got := len(query(s, auditNotes.At("log"))); got != notes {
		t.Errorf("the log has %d notes, want %d", got, notes)
	}
	for key, times := range far.by(name) {
		if recorded[key] || times > 1 {
			t.Errorf("%s ran %d times behind the restore; recorded before: %v", far.step(key), times, recorded[key])
		}
	}
	for _, e := range s.journal() {
		if r := e.Entry.GetRecord(); r != nil && strings.HasPrefix(string(e.Ref.ID), "order") && e.Time.Sub(time.Unix(0, r.GetStarted())) < loadWait {
			t.Errorf("%s took %v, and sleeps for %v", e.Ref, e.Time.Sub(time.Unix(0, r.GetStarted())), loadWait)
		}
	}
	for _, o := range s.orphans() {
		t.Error("orphan:", o)
	}
}
