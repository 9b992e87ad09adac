package actors_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/perdure/perdure/actors"
	"github.com/perdure/perdure/broker/brokertest"
	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/runtime"
	"github.com/perdure/perdure/schemas"
	"google.golang.org/protobuf/proto"
)

var (
	story = durable.DeclareWorkflow[string, string]("story")
	turn  = durable.DeclareSignal[string]("turn")
)

// story returns a workflow of a build, whose steps another build would not replay:
// it notes each, and waits for a signal between them.
func (g *gates) story(build string, older ...*durable.Kind) *runtime.Kind {
	return durable.Workflow(story, func(ctx durable.Context, in string) (string, error) {
		step := func(name string) error {
			_, err := durable.Step(ctx, build+" "+name, func(ctx context.Context) (int, error) {
				if strings.HasPrefix(in, "hold") {
					return 0, g.pass(ctx, build+" "+name+" "+in)
				}
				g.done(build + " " + name + " " + in)
				return 0, nil
			})
			return err
		}
		if err := step("first"); err != nil {
			return "", err
		}
		word, err := durable.Await(ctx, turn)
		if err != nil {
			return "", err
		}
		if err := step("second"); err != nil {
			return "", err
		}
		return build + " " + word, nil
	}, durable.Build(build, older...))
}

// turnsTo signals a run.
func (s *bench) turnsTo(r schemas.Ref, word string) {
	s.t.Helper()
	p, err := durable.Encode(word)
	if err != nil {
		s.t.Fatal(err)
	}
	s.publish(r.Identity, &schemas.Envelope{Type: schemas.Envelope_SIGNAL, Id: word, Run: string(r.ID), Method: "turn", Payload: p})
}

// cluster is a namespace on a server of its own.
func cluster(t *testing.T, kinds ...*runtime.Kind) (s *bench, url string) {
	t.Helper()
	s = setup(t, kinds...)
	url = brokertest.Server(t).URL()
	s.b = brokertest.Connect(t, url, s.config)
	return s, url
}

// node starts a host with a connection of its own.
func (s *bench) node(name, url string, kinds ...*runtime.Kind) (stop func()) {
	s.t.Helper()
	s.cfg.Node, s.kinds = name, kinds
	s.cfg.Broker = brokertest.Connect(s.t, url, s.config)
	return s.start()
}

// owns waits until a node owns so many partitions.
func (s *bench) owns(node string, least int) {
	s.t.Helper()
	s.until(fmt.Sprintf("%s owns %d partitions", node, least), func() bool {
		n := 0
		v := s.host.View()
		for p := range schemas.Partition(s.b.Partitions()) {
			if v.Node(p) == node {
				n++
			}
		}
		return n >= least
	})
}

func stories(from, n int) (refs []schemas.Ref) {
	for i := range n {
		key := fmt.Sprint("s", from+i)
		refs = append(refs, ref("story", key, key))
	}
	return refs
}

// TestLend_RunsStayWithTheirBuildAndNewRunsAreOfTheNewest: two nodes have one build
// each, and either owns partitions with runs of the other.
func TestLend_RunsStayWithTheirBuildAndNewRunsAreOfTheNewest(t *testing.T) {
	t.Parallel()
	g := newGates()
	s, url := cluster(t, g.story("one"))
	s.cfg.SuspendAfter = time.Millisecond
	s.node("alder", url, g.story("one"))
	first := stories(0, 24)
	for _, r := range first {
		s.send(r, "", string(r.ID))
	}
	for _, r := range first {
		s.untilStatus(r, "suspended")
	}
	s.node("birch", url, g.story("two"))
	s.owns("birch", 1)
	s.owns("alder", 1)
	if nodes, err := actors.Nodes(s.ctx, s.b); err != nil || len(nodes) != 2 || !slices.Equal(nodes[1].Builds["story"], []string{"two"}) {
		t.Errorf("the nodes are listed as %+v, %v", nodes, err)
	}
	second := stories(24, 24)
	for _, r := range second {
		s.send(r, "", string(r.ID))
	}
	for _, r := range slices.Concat(first, second) {
		s.turnsTo(r, "go")
	}
	for i, r := range slices.Concat(first, second) {
		build := "one"
		if i >= len(first) {
			build = "two"
		}
		if got, want := result[string](s, r), build+" go"; got != want {
			t.Errorf("%s ended with %q, want %q", r, got, want)
		}
		for _, step := range []string{"first", "second"} {
			if n := g.times(build + " " + step + " " + string(r.ID)); n != 1 {
				t.Errorf("%s: the %s step was executed %d times by build %s", r, step, n, build)
			}
		}
		s.idle(r.Identity)
	}
}

// TestLend_ARunWithoutItsBuildIsStalledAndGoesOnOnceANodeHasIt, whoever owns its
// partition.
func TestLend_ARunWithoutItsBuildIsStalledAndGoesOnOnceANodeHasIt(t *testing.T) {
	t.Parallel()
	g := newGates()
	s, url := cluster(t, g.story("one"))
	s.cfg.SuspendAfter = time.Millisecond
	stop := s.node("alder", url, g.story("one"))
	all := stories(0, 12)
	for _, r := range all {
		s.send(r, "", string(r.ID))
	}
	for _, r := range all {
		s.untilStatus(r, "suspended")
	}
	stop()
	s.node("birch", url, g.story("two"))
	for _, r := range all {
		s.turnsTo(r, "go")
	}
	for _, r := range all {
		s.untilStatus(r, "stalled")
	}
	s.node("alder", url, g.story("one"))
	for _, r := range all {
		if got := result[string](s, r); got != "one go" {
			t.Errorf("%s ended with %q", r, got)
		}
		s.idle(r.Identity)
	}
}

// TestLend_ALeavingOwnerAndALeavingBorrowerLoseNothing: what is lent goes back, and
// on to the next node that has the build.
func TestLend_ALeavingOwnerAndALeavingBorrowerLoseNothing(t *testing.T) {
	t.Parallel()
	g := newGates()
	s, url := cluster(t, g.story("one"))
	s.cfg.SuspendAfter = time.Millisecond
	alder := s.node("alder", url, g.story("one"))
	all := stories(0, 16)
	for _, r := range all {
		s.send(r, "", "hold "+string(r.ID))
	}
	for _, r := range all {
		s.until(r.String()+" executes", func() bool { return g.times("one first hold "+string(r.ID)) == 1 })
	}
	s.cfg.Grace = 20 * time.Millisecond
	birch := s.node("birch", url, g.story("two"))
	s.node("cedar", url, g.story("one"))
	s.owns("birch", 1)
	for _, r := range all { // steps that did not end in time are executed again
		s.turnsTo(r, "go")
	}
	alder() // it may own, and have borrowed
	birch() // it may have lent
	for _, r := range all {
		g.open("one first hold " + string(r.ID))
		g.open("one second hold " + string(r.ID))
	}
	for _, r := range all {
		if got := result[string](s, r); got != "one go" {
			t.Errorf("%s ended with %q", r, got)
		}
		s.idle(r.Identity)
	}
}

// TestLend_WhatComesMeanwhileIsTheBorrowers: a signal, a cancellation and another
// task of an identity that is lent.
func TestLend_WhatComesMeanwhileIsTheBorrowers(t *testing.T) {
	t.Parallel()
	g := newGates()
	talk := func(build string) *runtime.Kind { return g.talks(durable.Build(build), durable.KeepHistory()) }
	s, url := cluster(t, talk("one"))
	s.node("alder", url, talk("one"))
	s.say("a", 0)
	s.until("a is in", func() bool { return g.times("a") == 1 })
	home := ref("talk", "ann", "a").Identity
	s.cfg.Grace = 20 * time.Millisecond
	s.node("birch", url, talk("two"))
	// ann's partition is alder's or birch's: in either case her next run is birch's
	b := s.say("b", 0)
	s.fails(s.say("c", durable.Reject), "busy")
	g.open("a")
	g.open("b")
	result[string](s, ref("talk", "ann", "a"))
	result[string](s, b)
	s.idle(home)
	if got, want := state[ledger](s, home).Lines, []string{"a", "b"}; !slices.Equal(got, want) {
		t.Errorf("the state has %q, want %q", got, want)
	}
	if one, two := s.buildOf(ref("talk", "ann", "a")), s.buildOf(b); one != "one" || two != "two" {
		t.Errorf("a is of the build %q and b of %q", one, two)
	}
}

// buildOf returns which build a run was begun by.
func (s *bench) buildOf(r schemas.Ref) string {
	s.t.Helper()
	entries, err := actors.Entries(s.ctx, s.b, r)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, e := range entries {
		for _, ev := range e.Entry.GetEvents() {
			if st := ev.GetStarted(); st != nil {
				return st.GetBuild()
			}
		}
	}
	s.t.Fatalf("%s has no start", r)
	return ""
}

// TestLend_WhatIsAskedOfABorrowerTooLateBeginsNothing: for another incarnation, of
// another epoch, after a recall or a return that came before it, and behind a gap.
func TestLend_WhatIsAskedOfABorrowerTooLateBeginsNothing(t *testing.T) {
	t.Parallel()
	g := newGates()
	s, url := cluster(t, g.story("one"))
	s.node("alder", url, g.story("one"))
	s.node("birch", url, g.story("two"))
	s.owns("birch", 1)
	v := s.host.View()
	var p schemas.Partition
	for v.Node(p) != "birch" {
		p++
	}
	loan := func(number uint64) *schemas.Loan {
		return &schemas.Loan{
			Node: "birch", Nonce: v.Member("birch").GetNonce(), Partition: uint32(p), Epoch: v.Owner(p).GetEpoch(), Number: number,
			Kind: "story", Key: fmt.Sprint("k", number), Borrower: v.Member("alder").GetNonce(),
		}
	}
	ask := func(r *schemas.LoanRequest) string {
		t.Helper()
		data, err := proto.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		data, alive, err := s.b.Ask(s.ctx, "alder", data)
		answer := &schemas.LoanAnswer{}
		if err == nil {
			err = proto.Unmarshal(data, answer)
		}
		switch {
		case err != nil || !alive:
			t.Fatalf("alder was asked: alive %v, %v", alive, err)
		case answer.GetUnknown():
			return "unknown"
		case answer.GetRefused() != "":
			return "refused"
		}
		return "taken"
	}
	offer := func(l *schemas.Loan, from uint64, items ...*schemas.LoanItem) string {
		t.Helper()
		return ask(&schemas.LoanRequest{Loan: l, Ask: &schemas.LoanRequest_Items{Items: &schemas.LoanItems{From: from, Items: items}}})
	}
	recall := func(l *schemas.Loan) string {
		t.Helper()
		return ask(&schemas.LoanRequest{Loan: l, Ask: &schemas.LoanRequest_Recall{}})
	}
	is := func(what, got, want string) {
		t.Helper()
		if got != want {
			t.Errorf("%s: %s, want %s", what, got, want)
		}
	}
	const far = 1 << 40 // numbers that birch does not come to
	old, other, foreign := loan(far), loan(far+1), loan(far+2)
	old.Borrower = []byte("of the process before")
	is("for another incarnation", offer(old, 0), "unknown")
	other.Epoch++
	is("of an epoch that is not", offer(other, 0), "refused")
	foreign.Kind = "elsewhere"
	is("of a kind that is not here", offer(foreign, 0), "refused")
	is("more of what never began", offer(loan(far+3), 2), "unknown")
	is("a recall of what never began", recall(loan(far+4)), "unknown")
	is("its beginning, late", offer(loan(far+4), 0), "unknown")
	is("a beginning", offer(loan(far+5), 0), "taken")
	is("it again", offer(loan(far+5), 0), "taken")
	is("behind a gap", offer(loan(far+5), 2, &schemas.LoanItem{Seq: 1}), "unknown")
	is("its recall", recall(loan(far+5)), "taken")
	s.until("it is given back", func() bool { return offer(loan(far+5), 0) == "unknown" })
	is("what nobody knows", ask(&schemas.LoanRequest{Loan: loan(far + 6)}), "unknown")
}
