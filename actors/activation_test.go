package actors_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/perdure/perdure/actors"
	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/runtime"
	"github.com/perdure/perdure/schemas"
)

func TestRunsOfAKeyComeOneAfterAnotherInOrder(t *testing.T) {
	t.Parallel()
	g := newGates()
	s := setup(t, g.all()...)
	var want []string
	account := ref("account", "a", "").Identity
	s.send(account.Run("first"), "hold", "gate")
	for i := range 50 {
		line := fmt.Sprintf("line %d", i)
		want = append(want, line)
		s.send(account.Run(schemas.RunID(fmt.Sprint(i))), "write", line)
	}
	s.start()
	s.until("the first run holds", func() bool { return g.times("gate") == 1 })
	if got := s.status(account.Run("0")); got != "queued" {
		t.Errorf("the run behind one that is not done is %s, want queued", got)
	}
	g.open("gate")
	for i := range 50 {
		if got := result[int](s, account.Run(schemas.RunID(fmt.Sprint(i)))); got != i+3 {
			t.Errorf("run %d found %d lines, want %d", i, got-1, i+2)
		}
	}
	if diff := cmp.Diff(append([]string{"gate begun", "gate"}, want...), state[ledger](s, account).Lines); diff != "" {
		t.Errorf("lines (-want +got):\n%s", diff)
	}
	s.idle(account)
}

func TestRunsOfDifferentKeysDoNotWaitForEachOther(t *testing.T) {
	t.Parallel()
	g := newGates()
	s := setup(t, g.all()...)
	s.start()
	s.send(ref("account", "a", "1"), "hold", "gate")
	s.until("a holds", func() bool { return g.times("gate") == 1 })
	s.send(ref("account", "b", "1"), "write", "b")
	if got := result[int](s, ref("account", "b", "1")); got != 1 {
		t.Errorf("b has %d lines, want 1", got)
	}
	g.open("gate")
	s.end(ref("account", "a", "1"))
}

func TestErrorAndPanicDiscardState(t *testing.T) {
	t.Parallel()
	g := newGates()
	s := setup(t, g.all()...)
	s.start()
	account := ref("account", "a", "").Identity
	s.send(account.Run("1"), "write", "kept")
	s.send(account.Run("2"), "spoil", "spoiled")
	s.send(account.Run("3"), "burst", "burst")
	s.send(account.Run("4"), "write", "kept too")
	s.fails(account.Run("2"), "spoiled")
	e := s.fails(account.Run("3"), durable.ErrPanic.Code)
	if !strings.Contains(e.Message, "burst burst") || !strings.Contains(e.Details, "kinds_test.go") {
		t.Errorf("the panic is told as %q with details %q, want its value and its place", e.Message, e.Details)
	}
	if got := result[int](s, account.Run("4")); got != 2 {
		t.Errorf("%d lines, want 2", got)
	}
	if diff := cmp.Diff([]string{"kept", "kept too"}, state[ledger](s, account).Lines); diff != "" {
		t.Errorf("lines (-want +got):\n%s", diff)
	}
}

func TestQuerySeesCommittedStateOnly(t *testing.T) {
	t.Parallel()
	g := newGates()
	s := setup(t, g.all()...)
	s.start()
	account := ref("account", "a", "").Identity
	seen := func() []string {
		t.Helper()
		kinds := map[schemas.Kind]*runtime.Kind{}
		for _, k := range s.kinds {
			kinds[k.Name] = k
		}
		p, err := actors.Ask(s.ctx, s.b, kinds, account, "lines", nil)
		if err != nil {
			t.Fatal(err)
		}
		got, err := durable.Decode[[]string](p)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	if got := seen(); got != nil {
		t.Errorf("an account that was never used has the lines %q", got)
	}
	s.send(account.Run("1"), "write", "one")
	s.end(account.Run("1"))
	s.idle(account)
	s.send(account.Run("2"), "hold", "two")
	s.until("the second run has changed its state in memory", func() bool { return g.times("two") == 1 })
	if diff := cmp.Diff([]string{"one"}, seen()); diff != "" {
		t.Errorf("a query sees what a run has not committed (-want +got):\n%s", diff)
	}
	g.open("two")
	s.end(account.Run("2"))
	s.idle(account)
	if diff := cmp.Diff([]string{"one", "two begun", "two"}, seen()); diff != "" {
		t.Errorf("lines (-want +got):\n%s", diff)
	}
}

func TestCallCycleIsAnErrorAndNoDeadlock(t *testing.T) {
	t.Parallel()
	g := newGates()
	s := setup(t, g.all()...)
	s.start()
	s.send(ref("account", "a", "1"), "loop", "b,c,a")
	e := s.fails(ref("account", "a", "1"), durable.ErrCallCycle.Code)
	if want := "account/a -> account/b -> account/c -> account/a"; !strings.Contains(e.Message, want) {
		t.Errorf("the cycle is told as %q, want it to say %q", e.Message, want)
	}
	s.send(ref("account", "a", "2"), "loop", "a")
	s.fails(ref("account", "a", "2"), durable.ErrCallCycle.Code)
	for _, key := range []string{"a", "b", "c"} {
		s.idle(ref("account", key, "").Identity)
	}
}

func TestUnknownMethodFailsTheRun(t *testing.T) {
	t.Parallel()
	g := newGates()
	s := setup(t, g.all()...)
	s.start()
	s.send(ref("account", "a", "1"), "erase", "x")
	e := s.fails(ref("account", "a", "1"), durable.ErrNotFound.Code)
	if !strings.Contains(e.Message, "erase") || !strings.Contains(e.Message, "write") {
		t.Errorf("the error %q names neither the method nor those that there are", e.Message)
	}
	s.send(ref("account", "a", "2"), "write", 7)
	s.fails(ref("account", "a", "2"), durable.ErrInvalid.Code)
}

func TestUnknownKindIsRefusedOrWaits(t *testing.T) {
	t.Parallel()
	g := newGates()
	s := setup(t, g.all()...)
	env := &schemas.Envelope{Type: schemas.Envelope_TASK, Id: "1", Payload: &schemas.Payload{Data: []byte("null")}}
	if err := actors.Publish(s.ctx, s.b, "local", ref("nobody", "a", "").Identity, env); !durable.IsCode(err, durable.ErrNotFound.Code) {
		t.Errorf("a task for a kind that nobody hosts: %v, want not_found", err)
	}
	// A build without the kind leaves its tasks to one that has it.
	kinds := s.kinds
	s.kinds = g.workflows()
	stop := s.start()
	s.send(ref("account", "a", "1"), "write", "x")
	s.until("it is said that the task waits", func() bool { return strings.Contains(s.log.String(), "waits for a node that has its kind") })
	if got := s.status(ref("account", "a", "1")); got != "queued" {
		t.Errorf("the task is %s, want queued", got)
	}
	stop()
	s.kinds = kinds
	s.start()
	if got := result[int](s, ref("account", "a", "1")); got != 1 {
		t.Errorf("%d lines, want 1", got)
	}
}

func TestPassivationAndDeliveryDoNotLoseMessages(t *testing.T) {
	t.Parallel()
	g := newGates()
	s := setup(t, g.all()...)
	s.cfg.PassivateAfter = time.Millisecond
	s.start()
	// Each message comes when the activation may just be leaving.
	var wg sync.WaitGroup
	const keys, each = 8, 40
	for k := range keys {
		wg.Go(func() {
			account := ref("account", fmt.Sprint(k), "").Identity
			for i := range each {
				r := account.Run(schemas.RunID(fmt.Sprint(i)))
				s.send(r, "write", fmt.Sprint(i))
				if i%2 == 0 {
					s.end(r)
					pause := time.NewTimer(time.Duration(i) * 50 * time.Microsecond)
					<-pause.C // up to twice the idle time
				}
			}
		})
	}
	wg.Wait()
	for k := range keys {
		account := ref("account", fmt.Sprint(k), "").Identity
		s.idle(account)
		got := state[ledger](s, account).Lines
		want := make([]string, each)
		for i := range want {
			want[i] = fmt.Sprint(i)
		}
		if !slices.Equal(got, want) {
			t.Errorf("account %d has the lines %q, want 0 to %d", k, got, each-1)
		}
	}
}

func TestTwoCallersOfOneRunAreBothAnswered(t *testing.T) {
	t.Parallel()
	g := newGates()
	s := setup(t, g.all()...)
	s.start()
	s.send(ref("delegate", "a", "a"), "", "shared")
	s.until("the shared run has begun", func() bool { return g.times("shared") == 1 })
	s.send(ref("delegate", "b", "b"), "", "shared")
	s.until("b has sent its call", func() bool { return len(s.waiting(ref("chore", "shared", "").Identity)) == 2 })
	g.open("shared")
	for _, key := range []string{"a", "b"} {
		if got := result[int](s, ref("delegate", key, key)); got != 1 {
			t.Errorf("%s was answered %d, want 1: the step ran once", key, got)
		}
	}
	// A third, after the end, is answered from the record.
	s.send(ref("delegate", "c", "c"), "", "shared")
	if got := result[int](s, ref("delegate", "c", "c")); got != 1 {
		t.Errorf("c was answered %d, want 1", got)
	}
	if n := g.times("shared"); n != 1 {
		t.Errorf("the shared step ran %d times, want once", n)
	}
}
