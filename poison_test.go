//go:build unix

package perdure_test

import (
	"strings"
	"testing"

	"github.com/perdure/perdure"
	"github.com/perdure/perdure/durable"
)

// TestP24_ARunThatKillsItsNodeStandsStill after five nodes, with the evidence; what
// is beside it goes on, and the sixth node lives.
func TestP24_ARunThatKillsItsNodeStandsStill(t *testing.T) {
	t.Parallel()
	far := newFarSide(t)
	c := nodeConfig{Name: "first", Dir: t.TempDir(), Far: far.URL, Durability: perdure.Process}
	node := startNode(t, c)
	s := openStore(t, node.url)
	run, err := perdure.Start(soon(t, patience), s.client, deadly.At("d"), durable.None{})
	if err != nil {
		t.Fatal(err)
	}
	for _, next := range []string{"second", "third", "fourth", "fifth", "sixth"} {
		node.run()
		<-node.exited
		if !node.killed() {
			t.Fatalf("node %s was not killed", c.Name)
		}
		c.Name = next
		node = startNode(t, c)
	}
	s = openStore(t, node.url)
	beside, err := perdure.Start(soon(t, patience), s.client, chore.At("beside"), "beside")
	if err != nil {
		t.Fatal(err)
	}
	node.run()
	if _, err := beside.Result(soon(t, patience)); err != nil {
		t.Errorf("a run beside it: %v", err)
	}
	eventually(t, "the run is poisoned", func() bool {
		info, err := s.client.Get(soon(t, patience), run.Ref())
		return err == nil && info.Status == "poisoned" && strings.Contains(info.Reason, "ended 5 times") && strings.Contains(info.Reason, "on fifth") && strings.Contains(info.Reason, "alone")
	})
	for _, name := range []string{"first", "second", "third", "fourth", "fifth"} {
		if calls := far.by(name); len(calls) != 1 {
			t.Errorf("node %s made the calls %v, want that of the deadly step", name, calls)
		}
	}
	// A mended build, and an operator who says so.
	node.leave()
	c.Name, c.Build = "mended", "2"
	node = startNode(t, c).run()
	s = openStore(t, node.url)
	eventually(t, "it is still poisoned", func() bool {
		info, err := s.client.Get(soon(t, patience), run.Ref())
		return err == nil && info.Status == "poisoned"
	})
	if err := s.client.Resume(soon(t, patience), run.Ref(), perdure.Why{Reason: "mended"}); err != nil {
		t.Fatal(err)
	}
	again, err := perdure.Attach(s.client, deadly, run.Ref())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := again.Result(soon(t, patience)); err != nil {
		t.Errorf("it was resumed with a mended build: %v", err)
	}
	node.leave()
}
