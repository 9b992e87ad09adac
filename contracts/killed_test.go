//go:build unix

package contracts_test

import (
	"fmt"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/perdure/perdure"
	"github.com/perdure/perdure/broker/brokertest"
	"github.com/perdure/perdure/durable"
)

// TestRestateRuntimeIsKilled holds what Restate asks of a runtime that is killed
// or stopped: it keeps state, waits go on, and each message that was accepted is
// handled once.
func TestRestateRuntimeIsKilled(t *testing.T) {
	for name, end := range map[string]func(*nodeProc){"killed": (*nodeProc).kill, "stopped": (*nodeProc).leave} {
		t.Run(name+", with its NATS server", func(t *testing.T) {
			t.Parallel()
			c := nodeConfig{Dir: t.TempDir(), Far: newFarSide(t).URL, SuspendAfter: time.Nanosecond}
			n := startNode(t, c)
			if got := call(t, dial(t, n.url), counterAdd.At("k"), 1); got != (change{0, 1}) {
				t.Errorf("got %+v, want 0 to 1", got)
			}
			end(n)
			n = startNode(t, c)
			if got := call(t, dial(t, n.url), counterAdd.At("k"), 2); got != (change{1, 3}) {
				t.Errorf("after it was %s: got %+v, want 1 to 3", name, got)
			}
		})
		t.Run(name+" while runs wait", func(t *testing.T) {
			t.Parallel()
			c := nodeConfig{URL: brokertest.Server(t).URL(), Far: newFarSide(t).URL, SuspendAfter: time.Nanosecond}
			n := startNode(t, c)
			client := dial(t, c.URL)
			began := time.Now()
			const sleep = time.Second
			sleeper := start(t, client, utilsSleep.At("k"), []int{int(sleep.Milliseconds())})
			blocked := start(t, client, block.At("b"), "x")
			eventually(t, "it waits", func() bool { is, _ := status(t, client, blocked.Ref()); return is == "suspended" })
			eventually(t, "it sleeps", func() bool { is, _ := status(t, client, sleeper.Ref()); return is == "suspended" })
			end(n)
			if err := perdure.Signal(soon(t), client, blocked.Ref(), unblock, "meanwhile"); err != nil {
				t.Fatal(err)
			}
			startNode(t, c)
			if got := result(t, blocked); got != "meanwhile" {
				t.Errorf("got %q, want the signal that came while no node was there", got)
			}
			result(t, sleeper)
			if took := time.Since(began); took < sleep {
				t.Errorf("a sleep of %s took %s", sleep, took)
			}
		})
	}
}

// TestAcceptedWorkIsDoneOnce queues work on a few keys, and kills the node that
// does it again and again: each piece is done, in its order, and what was recorded
// is not done again.
func TestAcceptedWorkIsDoneOnce(t *testing.T) {
	t.Parallel()
	const keys, pieces, kills = 3, 12, 3
	far := newFarSide(t)
	c := nodeConfig{URL: brokertest.Server(t).URL(), Far: far.URL}
	n := startNode(t, c)
	client := dial(t, c.URL)
	hold := far.hold("work of 0")
	var want []string
	var runs []*perdure.Run[change]
	for i := range pieces {
		want = append(want, fmt.Sprint(i))
		for k := range keys {
			runs = append(runs, start(t, client, queueWork.At(fmt.Sprint(k)), fmt.Sprint(i), perdure.MessageID(fmt.Sprint("piece-", i))))
		}
	}
	far.wait(t, "work of 0", 1) // the rest of that key waits behind it
	for range kills {
		n.kill()
		hold()
		n = startNode(t, c)
		far.wait(t, "work of 1", min(far.total("work of 1")+2, pieces))
	}
	for _, run := range runs {
		result(t, run)
	}
	for k := range keys {
		id := fmt.Sprint(k)
		eventually(t, "all is kept", func() bool { return len(ask(t, client, queueDone.At(id), durable.None{})) >= pieces })
		if diff := cmp.Diff(want, ask(t, client, queueDone.At(id), durable.None{})); diff != "" {
			t.Errorf("the work of key %s (-want +got):\n%s", id, diff)
		}
		times := far.times("work of " + id)
		if repeated := far.total("work of "+id) - pieces; len(times) != pieces || repeated > kills+1 || slices.Min(times) < 1 {
			t.Errorf("the steps of key %s were executed %v times, want %d, once each but for those in flight at %d kills", id, times, pieces, kills)
		}
	}
}

// TestZombieIsFenced stops a node in the middle of steps, lets another take over
// and finish, and continues it with the answers of those steps: nothing that it
// records then is stored, and the keys go on as they were.
func TestZombieIsFenced(t *testing.T) {
	t.Parallel()
	const keys = 12
	far := newFarSide(t)
	c := nodeConfig{URL: brokertest.Server(t).URL(), Far: far.URL}
	zombie := startNode(t, c)
	client := dial(t, c.URL)
	var release []func()
	var runs []*perdure.Run[change]
	for k := range keys {
		id := fmt.Sprint(k)
		release = append(release, far.hold("work of "+id))
		runs = append(runs, start(t, client, queueWork.At(id), "first"))
	}
	for k := range keys {
		far.wait(t, fmt.Sprint("work of ", k), 1)
	}
	zombie.signal(syscall.SIGSTOP)
	next := launch(t, c) // is ready once the other's lease is over
	for k := range keys {
		far.wait(t, fmt.Sprint("work of ", k), 2)
	}
	next.ready()
	for _, r := range release {
		r() // the answers to the zombie are in its sockets
	}
	for _, run := range runs {
		if got := result(t, run); got != (change{0, 1}) {
			t.Errorf("%s: got %+v, want 0 to 1", run.Ref(), got)
		}
	}
	zombie.signal(syscall.SIGCONT)
	for round := range 2 {
		for k := range keys {
			if got := call(t, client, queueWork.At(fmt.Sprint(k)), fmt.Sprint("later ", round)); got != (change{1 + round, 2 + round}) {
				t.Errorf("key %d: got %+v, want %d to %d", k, got, 1+round, 2+round)
			}
		}
	}
	for k := range keys {
		if n := far.total(fmt.Sprint("work of ", k)); n != 4 { // two executions of the first, one of each later one
			t.Errorf("the steps of key %d were executed %d times, want 4", k, n)
		}
	}
	zombie.leave()
}
