package actors_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/perdure/perdure/actors"
	"github.com/perdure/perdure/broker/brokertest"
	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/runtime"
	"github.com/perdure/perdure/schemas"
)

// consumers returns the names of the inbox's consumers.
func (s *bench) consumers() []string {
	s.t.Helper()
	data, err := brokertest.Request(s.ctx, s.b, "$JS.API.CONSUMER.NAMES."+s.b.Names().InboxStream(), "")
	var page struct {
		Consumers []string `json:"consumers"`
	}
	if err == nil {
		err = json.Unmarshal(data, &page)
	}
	if err != nil {
		s.t.Fatal(err)
	}
	return page.Consumers
}

// TestP08_HostThatLosesItsConsumerTakesANewEpoch: the owner of a partition
// whose consumer is gone handles nothing more under its old epoch, and gets
// everything that is not acknowledged again under a new one.
func TestP08_HostThatLosesItsConsumerTakesANewEpoch(t *testing.T) {
	t.Parallel()
	g := newGates()
	s := setup(t, g.all()...)
	s.start()
	account := ref("account", "a", "").Identity
	s.send(account.Run("1"), "hold", "gate")
	s.send(account.Run("2"), "write", "second")
	s.until("the first holds", func() bool { return g.times("gate") == 1 })
	partition := "p" + s.b.Names().Partition(account).String()
	var was string
	for _, name := range s.consumers() {
		if strings.HasPrefix(name, partition+"-") {
			was = name
		}
	}
	if was == "" {
		t.Fatalf("partition %s has no consumer among %v", partition, s.consumers())
	}
	if _, err := brokertest.Request(s.ctx, s.b, "$JS.API.CONSUMER.DELETE."+s.b.Names().InboxStream()+"."+was, ""); err != nil {
		t.Fatal(err)
	}
	var now string
	s.until("the partition has a consumer of a later epoch", func() bool {
		for _, name := range s.consumers() {
			if strings.HasPrefix(name, partition+"-") && name != was {
				now = name
			}
		}
		return now != ""
	})
	g.open("gate")
	s.end(account.Run("1"))
	if got := result[int](s, account.Run("2")); got != 3 {
		t.Errorf("%d lines, want 3", got)
	}
	if diff := cmp.Diff([]string{"gate begun", "gate", "second"}, state[ledger](s, account).Lines); diff != "" {
		t.Errorf("lines (-want +got):\n%s", diff)
	}
	s.idle(account)
	var before, after uint64
	if _, err := fmt.Sscanf(was+" "+now, partition+"-e%d "+partition+"-e%d", &before, &after); err != nil || after <= before {
		t.Errorf("the consumer %s was followed by %s, want a higher epoch (%v)", was, now, err)
	}
	claims := 0
	info := s.record(account.Run("1"))
	for range info.GetClaims() {
		claims++
	}
	if claims != 2 {
		t.Errorf("the run was claimed %d times, want once in each epoch", claims)
	}
}

func (s *bench) record(r schemas.Ref) *schemas.Record {
	s.t.Helper()
	last, ok, err := s.b.Journal().Last(s.ctx, r)
	if err != nil || !ok || last.Entry.GetRecord() == nil {
		s.t.Fatalf("%s has no record: %v", r, err)
	}
	return last.Entry.GetRecord()
}

// TestP09_HostAtItsBoundDropsNothing: a host that holds its most takes no more
// until one is done with, and finishes all of them.
func TestP09_HostAtItsBoundDropsNothing(t *testing.T) {
	t.Parallel()
	g := newGates()
	s := setup(t, g.all()...)
	s.cfg.MaxHeld, s.cfg.MaxRuns = 4, 2
	const runs = 60
	for i := range runs {
		s.send(ref("account", fmt.Sprint(i), "1"), "write", "x")
	}
	s.start()
	for i := range runs {
		r := ref("account", fmt.Sprint(i), "1")
		if got := result[int](s, r); got != 1 {
			t.Errorf("%s has %d lines, want 1", r, got)
		}
		s.idle(r.Identity)
	}
	if n := g.times("x"); n != runs {
		t.Errorf("%d steps ran, want %d", n, runs)
	}
}

// TestRunsOfClientsWaitForAPlace: as many as may execute at once, the others are
// begun when a place is free, and the log says, once, that they wait. A run that
// another run waits for takes no place.
func TestRunsOfClientsWaitForAPlace(t *testing.T) {
	t.Parallel()
	g := newGates()
	s := setup(t, g.all()...)
	s.cfg.MaxRuns = 2
	s.start()
	for _, key := range []string{"a", "b"} {
		s.send(ref("delegate", key, key), "", "gate "+key)
		s.until("the run that "+key+" calls executes", func() bool { return g.times("gate "+key) == 1 })
	}
	for i := range 10 {
		s.send(ref("account", fmt.Sprint(i), "1"), "write", "x")
	}
	s.until("it is said that runs wait", func() bool { return strings.Contains(s.log.String(), "runs of clients wait for a place") })
	if n := g.times("x"); n != 0 {
		t.Errorf("%d runs executed beyond the bound", n)
	}
	g.open("gate a")
	g.open("gate b")
	for i := range 10 {
		s.end(ref("account", fmt.Sprint(i), "1"))
	}
	if n := strings.Count(s.log.String(), "runs of clients wait for a place"); n != 1 {
		t.Errorf("the log says %d times that runs wait, want once", n)
	}
}

// TestP17_StateThatSomebodyElseWroteStopsTheIdentity: visibly, and nothing of
// it is lost.
func TestP17_StateThatSomebodyElseWroteStopsTheIdentity(t *testing.T) {
	t.Parallel()
	g := newGates()
	s := setup(t, g.all()...)
	stop := s.start()
	account := ref("account", "a", "").Identity
	s.send(account.Run("1"), "write", "one")
	s.end(account.Run("1"))
	s.idle(account)
	s.send(account.Run("2"), "hold", "two")
	s.until("the second holds", func() bool { return g.times("two") == 1 })
	good, rev, err := s.b.State().Get(s.ctx, account)
	if err != nil {
		t.Fatal(err)
	}
	out, err := s.b.State().Put(s.ctx, account, rev, &schemas.State{Value: &schemas.Payload{Data: []byte(`{"lines":["by hand"]}`)}, Run: "by hand"})
	if err != nil || out.Fenced {
		t.Fatalf("write by hand: %+v, %v", out, err)
	}
	g.open("two")
	s.until("the identity is said to have stopped", func() bool { return strings.Contains(s.log.String(), "something else wrote it") })
	s.send(account.Run("3"), "write", "three")
	s.send(ref("account", "b", "1"), "write", "of another key")
	s.end(ref("account", "b", "1"))
	if n := len(s.waiting(account)); n != 2 {
		t.Errorf("%d messages are kept, want that of the run which stopped and the next", n)
	}
	if s.has(account.Run("3")) {
		t.Error("a run began on a state that is not the one that the run before it left")
	}
	stop()

	// The operator puts the value back.
	data, err := durable.Encode(json.RawMessage(good.GetValue().GetData()))
	if err != nil {
		t.Fatal(err)
	}
	restored, err := s.b.State().Put(s.ctx, account, out.Seq, &schemas.State{Value: data, Run: good.GetRun(), Sequence: good.GetSequence()})
	if err != nil || restored.Fenced {
		t.Fatalf("restore: %+v, %v", restored, err)
	}
	s.start()
	s.until("the error says what to do about the revision", func() bool { return strings.Count(s.log.String(), "something else wrote it") >= 2 })
}

// TestParkedRunGoesOnWithFixedCode: a build that does not agree with a run's
// journal stops the run, visibly, and loses nothing; one that does goes on.
func TestParkedRunGoesOnWithFixedCode(t *testing.T) {
	t.Parallel()
	g := newGates()
	name := durable.DeclareWorkflow[string, string]("release")
	build := func(second string) []*runtime.Kind {
		return []*runtime.Kind{durable.Workflow(name, func(ctx durable.Context, in string) (string, error) {
			step := func(name string) error {
				_, err := durable.Step(ctx, name, func(ctx context.Context) (int, error) { return 0, g.pass(ctx, name) })
				return err
			}
			if err := step("first"); err != nil {
				return "", err
			}
			if err := step(second); err != nil {
				return "", err
			}
			return in + " released", step("third")
		})}
	}
	s := setup(t, build("second")...)
	s.cfg.Grace = 100 * time.Millisecond // the step that holds is begun again
	r := ref("release", "x", "x")
	g.open("first")
	g.open("second")
	stop := s.start()
	s.send(r, "", "x")
	s.until("the third step runs", func() bool { return g.times("third") == 1 })
	stop()

	s.kinds = build("changed")
	stop = s.start()
	s.untilStatus(r, "nondeterministic")
	if n := len(s.waiting(r.Identity)); n != 1 {
		t.Errorf("%d messages of the run that cannot go on are kept, want its task", n)
	}
	if n := g.times("changed"); n != 0 {
		t.Errorf("the build that does not agree ran its step %d times", n)
	}
	if _, _, reason, err := actors.Look(s.ctx, s.b, r); err != nil || !strings.Contains(reason, "the journal has") {
		t.Errorf("it stands still because of %q, %v", reason, err)
	}
	stop()

	s.kinds = build("second")
	s.start()
	s.until("the third step runs again", func() bool { return g.times("third") == 2 })
	if _, status, reason, err := actors.Look(s.ctx, s.b, r); err != nil || status != schemas.Status_RUNNING || reason != "" {
		t.Errorf("it goes on, and is shown as %s because of %q, %v", status, reason, err)
	}
	g.open("third")
	if got := result[string](s, r); got != "x released" {
		t.Errorf("the result is %q", got)
	}
	s.idle(r.Identity)
	for step, want := range map[string]int{"first": 1, "second": 1, "third": 2} {
		if n := g.times(step); n != want {
			t.Errorf("step %s ran %d times, want %d", step, n, want)
		}
	}
}
