//go:build unix

package perdure_test

import (
	"bytes"
	"hash/fnv"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/perdure/perdure"
)

// A backup is taken at each fault point of a node that goes on: what is restored from
// it comes to what the undisturbed run comes to, and no step that it has as recorded
// runs again.

// TestBackupSweep_Actors does so with actors that use every durable verb.
func TestBackupSweep_Actors(t *testing.T) {
	sweepBy(t, shopScenario(nodeConfig{Durability: perdure.Process}, 20*time.Millisecond), every(9, 13), restoredAt)
}

// TestBackupSweep_SuspendedRuns does so with runs that leave memory whenever they wait.
func TestBackupSweep_SuspendedRuns(t *testing.T) {
	sweepBy(t, shopScenario(nodeConfig{Durability: perdure.Process, SuspendAfter: time.Millisecond}, 100*time.Millisecond), every(11, 15), restoredAt)
}

// TestBackupSweep_OnDisk does so at durability disk, at some of the points.
func TestBackupSweep_OnDisk(t *testing.T) {
	sweepBy(t, shopScenario(nodeConfig{Durability: perdure.Disk}, 20*time.Millisecond), every(25, 41), restoredAt)
}

// restoredAt runs a scenario whose node waits at a fault point while a backup begins,
// and goes on at a drawn moment of it, and later dies. What is restored is compared
// with the undisturbed run.
func restoredAt(t *testing.T, sc scenario, d death, calm calm) bool {
	far := newFarSide(t)
	sc.node.Name, sc.node.Far, sc.node.Dir = "first", far.URL, t.TempDir()
	sc.node.Block, sc.node.Nth = d.at.String(), d.nth
	first := startNode(t, sc.node)
	s := openStore(t, first.url)
	if err := sc.start(soon(t, patience), s.client); err != nil {
		t.Fatal(err)
	}
	first.run()
	first.await(lineReady)
	for blocked := false; !blocked; {
		select {
		case l := <-first.lines:
			blocked = l == lineBlocked
		case <-time.After(20 * time.Millisecond):
			over := s.over(len(calm.outcome.Results))
			points := first.visited()
			if over && pointed(points, "before").Acks == pointed(points, "after").Acks && !slices.Contains(deaths(points), d) {
				return false
			}
		}
	}
	// From then on it tries to write; at the last point it still waits.
	streams, draw := 0, fnv.New32a()
	_, _ = draw.Write([]byte(d.String())) // never fails
	goes := int(draw.Sum32() % 9)
	var file bytes.Buffer
	made, err := s.client.Backup(soon(t, patience), &file, perdure.BackupAt(func(string) {
		if streams == goes {
			first.proceed()
		}
		streams++
	}))
	if err != nil {
		t.Fatal(err)
	}
	if made.Nodes != 1 || made.Streams != 7 {
		t.Errorf("the backup is of %d nodes and %d streams, want 1 and 7", made.Nodes, made.Streams)
	}
	first.kill()
	sc.node.Name, sc.node.Block, sc.node.Dir = "second", "", t.TempDir()
	restoreInto(t, sc.node, file.Bytes())
	second := startNode(t, sc.node)
	s = openStore(t, second.url)
	recorded, begun := s.recorded(), s.begun()
	calm.twice = func(key string) bool { return !begun[key] && !recorded[key] }
	second.run()
	s.settled()
	compare(t, d, s, far, recorded, calm)
	return true
}

// restoreInto restores a backup where a node is to be.
func restoreInto(t *testing.T, c nodeConfig, backup []byte) {
	t.Helper()
	opts := []perdure.Option{perdure.WithDurability(c.Durability), perdure.Logger(quiet)}
	if c.URL == "" {
		opts = append(opts, perdure.Dir(c.Dir))
	}
	if err := perdure.Restore(soon(t, patience), c.URL, strings.NewReader(string(backup)), opts...); err != nil {
		t.Fatal(err)
	}
}
