//go:build unix

package perdure_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/perdure/perdure"
	"github.com/perdure/perdure/broker/brokertest"
	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/schemas"
)

// The six guarantees of the architecture, in its order, each by the shortest
// sequence that would break it. The crash sweeps, the zombie, the duplicates and
// the outage beside this file hold them at every point.

// A deadNode is what a node left that was killed.
type deadNode struct {
	t      *testing.T
	far    *farSide
	config nodeConfig
}

// killAt runs a scenario's node until it is at a fault point that begins so for
// the n-th time, and dies.
func killAt(t *testing.T, sc scenario, begin string, nth int) *deadNode {
	t.Helper()
	d := find(t, undisturbed(t, sc).points, begin)
	dead := &deadNode{t, newFarSide(t), sc.node}
	dead.config.Name, dead.config.Far, dead.config.Dir = "first", dead.far.URL, t.TempDir()
	dead.config.Kill, dead.config.Nth = d.at.String(), nth
	n := startNode(t, dead.config)
	if err := sc.start(soon(t, patience), openStore(t, n.url).client); err != nil {
		t.Fatal(err)
	}
	<-n.run().exited
	if !n.killed() {
		t.Fatalf("the node was not killed at %s", d)
	}
	return dead
}

// next opens the dead node's store by another, which does not work before it is
// told to.
func (d *deadNode) next(name, build string) (*nodeProc, *store) {
	d.t.Helper()
	d.config.Name, d.config.Kill, d.config.Build = name, "", build
	n := startNode(d.t, d.config)
	return n, openStore(d.t, n.url)
}

func choreScenario(keys ...string) scenario {
	return scenario{node: nodeConfig{Durability: perdure.Process}, tasks: uint64(len(keys)), start: func(ctx context.Context, c *perdure.Client) error {
		for _, key := range keys {
			if _, err := perdure.Start(ctx, c, chore.At(key), "sweep"); err != nil {
				return err
			}
		}
		return nil
	}}
}

// 1. An accepted task is never lost.
func TestG1_AcceptedTaskIsNeverLost(t *testing.T) {
	t.Parallel()
	const tasks = 24
	var keys []string
	for i := range tasks {
		keys = append(keys, fmt.Sprint(i))
	}
	dead := &deadNode{t, newFarSide(t), nodeConfig{Dir: t.TempDir(), Durability: perdure.Process}}
	dead.config.Far = dead.far.URL
	// Accepted by a node that dies before it has taken any, then by ones that die
	// when they have worked for a while.
	n, s := dead.next("0", "")
	if err := choreScenario(keys...).start(soon(t, patience), s.client); err != nil {
		t.Fatal(err)
	}
	n.kill()
	for i := range 3 {
		n, _ := dead.next(fmt.Sprint(i+1), "")
		n.run()
		dead.far.wait(t, dead.far.sum()+tasks/4)
		n.kill()
	}
	n, s = dead.next("last", "")
	n.run()
	s.settled()
	for _, key := range keys {
		if r := s.records()["chore/"+key+"/"+key]; r.GetStatus() != schemas.Status_COMPLETED {
			t.Errorf("chore %s is %s, want completed", key, r.GetStatus())
		}
	}
	if notes := query(s, auditNotes.At("log")); len(notes) != tasks {
		t.Errorf("the chores noted %d times, want %d", len(notes), tasks)
	}
	for _, o := range s.orphans() {
		t.Error("orphan:", o)
	}
}

// 2. One identity, one history.
func TestG2_OneIdentityOneHistory(t *testing.T) {
	t.Parallel()
	dead := killAt(t, choreScenario("a"), "append after perdure.run.", 1)
	n, s := dead.next("second", "")
	ref := schemas.Identity{Kind: "chore", Key: "a"}.Run("a")
	old, err := s.b.Journal().Load(soon(t, patience), ref)
	if err != nil || len(old) == 0 {
		t.Fatalf("the first node left the entries %v, %v", old, err)
	}
	head := old[len(old)-1]
	n.run()
	s.settled()
	var nodes []string
	for _, c := range s.records()[ref.String()].GetClaims() {
		nodes = append(nodes, c.GetNode())
	}
	if diff := cmp.Diff([]string{"first", "second"}, nodes); diff != "" {
		t.Errorf("who claimed the run (-want +got):\n%s", diff)
	}
	// What the first node would append next, on what it knew.
	out, err := s.b.Journal().Append(soon(t, patience), ref, head.Seq, &schemas.Entry{Epoch: head.Entry.GetEpoch(), Nonce: head.Entry.GetNonce(), Counter: head.Entry.GetCounter() + 1})
	if err != nil || !out.Fenced || out.Head.Entry.GetEpoch() <= head.Entry.GetEpoch() {
		t.Errorf("an append of an owner that was replaced: %+v, %v; want it fenced by a higher epoch", out, err)
	}
}

// 3. A recorded step never runs again; an unrecorded one may, with the same
// key; one that must not be repeated is not.
func TestG3_RecordedStepNeverRunsAgain(t *testing.T) {
	t.Parallel()
	sc := shopScenario(nodeConfig{Durability: perdure.Process}, 0)
	key := func(f *farSide, step string) string {
		return f.keys()[slices.IndexFunc(f.keys(), func(k string) bool { return strings.HasSuffix(f.step(k), " "+step) })]
	}
	for name, c := range map[string]struct {
		at    string
		nth   int
		step  string
		again int
	}{
		"recorded":                    {"append after perdure.run.0.shop.", 3, "charge", 0},
		"not recorded, to be once":    {"append before perdure.run.0.shop.", 3, "charge", 0},
		"not recorded, to be at all":  {"append before perdure.run.1.store.", 2, "fetch", 1},
		"recorded, and not announced": {"append after perdure.run.1.store.", 2, "fetch", 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dead := killAt(t, sc, c.at, c.nth)
			if n := dead.far.by("first")[key(dead.far, c.step)]; n != 1 {
				t.Fatalf("step %s ran %d times before the kill, want once", c.step, n)
			}
			n, s := dead.next("second", "")
			n.run()
			s.settled()
			if n := dead.far.by("second")[key(dead.far, c.step)]; n != c.again {
				t.Errorf("step %s ran %d times after the kill, want %d", c.step, n, c.again)
			}
		})
	}
}

// 4. Delivery between agents is at least once, processing is once.
func TestG4_DeliveryAtLeastOnceProcessingOnce(t *testing.T) {
	t.Parallel()
	// Killed after its message was accepted, the sender does not know it and
	// sends again: the receiver's run is the same.
	dead := killAt(t, choreScenario("a"), "send after perdure.task.local.audit.", 1)
	n, s := dead.next("second", "")
	timer := time.NewTimer(2500 * time.Millisecond)
	<-timer.C // JetStream's duplicate window is over: the journal alone is left
	before := s.inbox().State.LastSeq
	n.run()
	s.settled()
	if s.inbox().State.LastSeq == before {
		t.Error("the message was not sent again: nothing was shown")
	}
	if notes := query(s, auditNotes.At("log")); len(notes) != 1 {
		t.Errorf("the message was processed %d times, want once", len(notes))
	}
	if len(s.records()) != 2 {
		t.Errorf("the runs are %d, want the chore and its note", len(s.records()))
	}
}

// 5. State changes with the run that made them, or not at all.
func TestG5_StateChangesWithItsRunOrNotAtAll(t *testing.T) {
	t.Parallel()
	sc := scenario{node: nodeConfig{Durability: perdure.Process}, tasks: 1, start: func(ctx context.Context, c *perdure.Client) error {
		_, err := perdure.Start(ctx, c, storeReserve.At("pen"), 3, perdure.MessageID("1"))
		return err
	}}
	for at, committed := range map[string]bool{"commit before": false, "commit after": true} {
		t.Run(at, func(t *testing.T) {
			t.Parallel()
			dead := killAt(t, sc, at, 1)
			n, s := dead.next("second", "")
			if states := s.states(); len(states) != 0 {
				t.Errorf("the states %v are stored before the effects", states)
			}
			if got := s.records()["store/pen/1"] != nil; got != committed {
				t.Errorf("there is a record: %v, want %v", got, committed)
			}
			n.run()
			s.settled()
			if left := query(s, storeLeft.At("pen")); left != 7 {
				t.Errorf("%d are left, want 7: reserved once", left)
			}
		})
	}
}

// 6. Same input, same decisions: a mismatch stops the run and loses nothing.
func TestG6_MismatchStopsTheRunAndLosesNothing(t *testing.T) {
	t.Parallel()
	dead := killAt(t, choreScenario("a"), "commit before perdure.run.1.chore.", 1)
	for _, build := range []string{"-renamed", ""} {
		n, s := dead.next("build"+build, build)
		n.run()
		status := func() string {
			info, err := s.client.Get(soon(t, patience), "chore/a/a")
			if err != nil {
				return err.Error()
			}
			return info.Status + " " + info.Reason
		}
		if build == "" {
			s.settled()
			got, err := perdure.Attach(s.client, chore, "chore/a/a")
			if err != nil {
				t.Fatal(err)
			}
			if out, err := got.Result(soon(t, patience)); err != nil || out != "do(sweep)" {
				t.Errorf("the fixed build comes to %q, %v", out, err)
			}
			continue
		}
		eventually(t, "the run is stopped", func() bool { return strings.HasPrefix(status(), "nondeterministic ") })
		for _, part := range []string{`step "do"`, `step "do-renamed"`, "deploy code that agrees"} {
			if !strings.Contains(status(), part) {
				t.Errorf("the reason %q does not say %q", status(), part)
			}
		}
		n.kill()
	}
	for _, key := range dead.far.keys() {
		// the log's own step may have been in flight at a kill
		if n := dead.far.total()[key]; n != 1 && !strings.HasPrefix(dead.far.step(key), "audit/") {
			t.Errorf("%s ran %d times, want once", dead.far.step(key), n)
		}
	}
}

// TestP23_ClientThatMissedTheNoticeAsks: a client that was away when its run
// ended has the result all the same.
func TestP23_ClientThatMissedTheNoticeAsks(t *testing.T) {
	t.Parallel()
	far := newFarSide(t)
	n := startNode(t, nodeConfig{Name: "first", Dir: t.TempDir(), Far: far.URL, Durability: perdure.Process}).run()
	s := openStore(t, n.url)
	way := brokertest.Proxy(t, n.url)
	away := openStore(t, way.URL())
	run, err := perdure.Start(soon(t, patience), away.client, shopOrder.At("corner"), order{Item: "pen", Wait: 200 * time.Millisecond}, perdure.MessageID("1"))
	if err != nil {
		t.Fatal(err)
	}
	type answer struct {
		r   receipt
		err error
	}
	answers := make(chan answer, 1)
	go func() {
		r, err := run.Result(soon(t, patience))
		answers <- answer{r, err}
	}()
	far.wait(t, 1)
	way.Cut()
	s.settled()
	select {
	case a := <-answers:
		t.Fatalf("the client that is cut off has %+v, %v", a.r, a.err)
	default:
	}
	way.Heal()
	if a := <-answers; a.err != nil || a.r.Orders != 1 {
		t.Errorf("the client that was away has %+v, %v", a.r, a.err)
	}
	if _, err := perdure.Call(soon(t, patience), away.client, shopOrder.At("corner"), order{Item: "ink"}, perdure.MessageID("1")); !durable.IsCode(err, durable.ErrConflict.Code) {
		t.Errorf("the same ID with another input: %v, want a conflict", err)
	}
}
