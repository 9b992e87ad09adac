//go:build unix

package perdure_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/perdure/perdure"
	"github.com/perdure/perdure/actors"
	"github.com/perdure/perdure/broker/brokertest"
	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/schemas"
)

// audited returns what an audit finds, a line each: its kind and its subject.
func audited(t *testing.T, c *perdure.Client, a perdure.Audit) (report *perdure.AuditReport, found []string) {
	t.Helper()
	report, err := c.Audit(soon(t, patience), a)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range report.Findings {
		found = append(found, f.Kind+" "+f.Subject)
	}
	slices.Sort(found)
	return report, found
}

// TestAudit_OfANodeThatWasKilled kills the only node in the middle of a run: what it
// owns is nobody's, and nothing is lost. The partitions are released, another node
// finishes the run, each step once, and then nothing is found any more.
func TestAudit_OfANodeThatWasKilled(t *testing.T) {
	t.Parallel()
	sc := shopScenario(nodeConfig{Lease: time.Second, SuspendAfter: time.Millisecond}, 100*time.Millisecond)
	calm := undisturbed(t, sc)
	external := brokertest.Server(t)
	far := newFarSide(t)
	sc.node.Far, sc.node.URL, sc.node.Name, sc.node.Nth = far.URL, external.URL(), "first", 4
	for _, p := range calm.points {
		if p.op == "append" && strings.HasSuffix(p.subject, ".shop.corner.pen") {
			sc.node.Kill = point{"append", "after", p.subject}.String()
		}
	}
	first := startNode(t, sc.node)
	s := openStore(t, external.URL())
	if err := sc.start(soon(t, patience), s.client); err != nil {
		t.Fatal(err)
	}
	first.run()
	eventually(t, "the node is killed", first.killed)
	recorded := s.recorded()
	eventually(t, "its lease is over", func() bool {
		nodes, err := actors.Nodes(soon(t, patience), s.b)
		return err == nil && len(nodes) == 0
	})

	want := []string{actors.FoundDeadOwner + " pool default, node first", actors.FoundUnhosted + " shop"}
	settle := 2500 * time.Millisecond // longer than the lease takes
	if _, found := audited(t, s.client, perdure.Audit{Settle: settle}); !slices.Equal(found, want) {
		t.Errorf("found %q, want %q", found, want)
	}
	report, found := audited(t, s.client, perdure.Audit{Settle: settle, Repair: true})
	if !slices.Equal(found, want) || report.Left() != 1 {
		t.Errorf("found %+v, want %q, the first repaired", report.Findings, want)
	}
	if _, found := audited(t, s.client, perdure.Audit{Settle: settle}); !slices.Equal(found, want[1:]) {
		t.Errorf("found %q, want %q", found, want[1:])
	}

	sc.node.Name, sc.node.Kill = "second", ""
	startNode(t, sc.node).run()
	s.settled()
	compare(t, where("a kill and an audit"), s, far, recorded, calm)
	if _, found := audited(t, s.client, perdure.Audit{Settle: settle}); len(found) > 0 {
		t.Errorf("found %q in a namespace that is whole", found)
	}
}

// TestAudit_OfStreamsThatDiffer has a namespace that nothing else opens.
func TestAudit_OfStreamsThatDiffer(t *testing.T) {
	t.Parallel()
	node := running(t, "", perdure.Host(greetKind()))
	s := openStore(t, node.URL())
	names := s.b.Names()
	config := s.stream(names.ArchiveStream()).Config
	config.MaxMsgs = 7
	if _, err := s.js.UpdateStream(soon(t, patience), config); err != nil {
		t.Fatal(err)
	}
	if _, err := perdure.Dial(soon(t, patience), node.URL(), perdure.Logger(quiet)); err == nil || !strings.Contains(err.Error(), "has a limit of age, messages or bytes") {
		t.Errorf("dial: %v, want that the stream differs", err)
	}
	look := func(want ...string) {
		t.Helper()
		c, err := perdure.Dial(soon(t, patience), node.URL(), perdure.Logger(quiet), perdure.Unchecked())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		report, found := audited(t, c, perdure.Audit{Settle: time.Millisecond})
		if !slices.Equal(found, want) {
			t.Errorf("found %+v, want %q", report.Findings, want)
		}
	}
	look(actors.FoundStream + " " + names.ArchiveStream())
	if err := s.js.DeleteStream(soon(t, patience), names.BlobsStream()); err != nil {
		t.Fatal(err)
	}
	look(actors.FoundStream+" "+names.ArchiveStream(), actors.FoundStream+" "+names.BlobsStream())
	if _, err := perdure.Open(soon(t, patience), perdure.Dir(t.TempDir()), perdure.Host(greetKind()), perdure.Unchecked(), perdure.Logger(quiet)); err == nil || !strings.Contains(err.Error(), "not for a node") {
		t.Errorf("a node opened what is not checked: %v", err)
	}
}

// TestAudit_OfAnotherPool has a run whose task came without an ID, in a pool that is not
// the client's: the task is what brings it back.
func TestAudit_OfAnotherPool(t *testing.T) {
	t.Parallel()
	first := running(t, "", perdure.Host(greetKind()), perdure.Pool("one"))
	begun, end := make(chan struct{}), make(chan struct{})
	hold := durable.Declare[string, string]("holder.hold")
	running(t, first.URL(), perdure.Pool("two"), perdure.Host(actors.New(actors.Handlers[account]{
		actors.On(hold, func(ctx durable.Context, _ *account, in string) (string, error) {
			return durable.Step(ctx, "hold", func(ctx context.Context) (string, error) {
				close(begun)
				select {
				case <-end:
				case <-ctx.Done():
				}
				return in, ctx.Err()
			})
		}),
	})))
	s := openStore(t, first.URL())
	if err := brokertest.Foreign(soon(t, patience), s.b, schemas.Identity{Kind: "holder", Key: "h"}, map[string]string{"Perdure-Method": "hold"}, `"x"`); err != nil {
		t.Fatal(err)
	}
	select {
	case <-begun:
	case <-soon(t, patience).Done():
		t.Fatal("the run has not begun")
	}
	report, found := audited(t, s.client, perdure.Audit{Settle: time.Millisecond})
	if len(found) > 0 || report.Open != 1 {
		t.Errorf("found %+v, want nothing, of one open run", report)
	}
	close(end)
	eventually(t, "the run has ended", func() bool {
		report, found := audited(t, s.client, perdure.Audit{Settle: time.Second})
		return len(found) == 0 && report.Open == 0 && report.Runs == 1
	})
}
