//go:build unix

package perdure_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/perdure/perdure"
	"github.com/perdure/perdure/broker/brokertest"
)

// TestChaosBuilds has two builds of a workflow on three nodes, which are killed one
// after another while runs of both go on: each run ends with the build that began
// it, new ones are of the newest, and no recorded step runs again, whoever owns a
// partition and whoever borrows of it.
func TestChaosBuilds(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	external, far := brokertest.Server(t), newFarSide(t)
	start := func(name, build string) *nodeProc {
		return startNode(t, nodeConfig{Name: name, Build: build, URL: external.URL(), Far: far.URL, Lease: time.Second, SuspendAfter: time.Millisecond})
	}
	nodes := []*nodeProc{start("alder", "one").run()}
	s := openStore(t, external.URL())
	const runs, chapters = 30, 12
	write := func(key string, chapters int) *perdure.Run[string] {
		run, err := perdure.Start(soon(t, patience), s.client, tale.At(key), chapters)
		if err != nil {
			t.Fatal(err)
		}
		return run
	}
	want := map[*perdure.Run[string]]string{}
	begin := func(build string) {
		for range runs {
			want[write(fmt.Sprint("t", len(want)), chapters)] = build
		}
	}
	begin("one")
	far.wait(t, runs)
	nodes = append(nodes, start("birch", "two").run(), start("cedar", "one").run())
	probes := 0
	eventually(t, "all nodes know the newest build", func() bool {
		old := 0
		for range 16 { // of as many partitions, nearly
			probes++
			if build, err := write(fmt.Sprint("probe", probes), 1).Result(soon(t, patience)); err != nil || build != "two" {
				old++
			}
		}
		return old == 0
	})
	begin("two")
	eventually(t, "every run has begun", func() bool { // while no node has "two", a new one is of "one"
		begun := map[string]bool{}
		for _, e := range s.journal() {
			begun[e.Ref.String()] = true
		}
		for run := range want {
			if !begun[run.Ref()] {
				return false
			}
		}
		return true
	})
	type snapshot struct {
		recorded map[string]bool
		calls    map[string]int
	}
	var before []snapshot
	kills := 4
	if testing.Short() {
		kills = 3
	}
	for range kills {
		far.wait(t, min(far.sum()+1+random.IntN(runs), (2*chapters-1)*runs))
		i := random.IntN(len(nodes))
		nodes[i].kill()
		shot := snapshot{recorded: s.recorded()}
		shot.calls = far.total()
		before = append(before, shot)
		nodes[i] = start(nodes[i].config.Name, nodes[i].config.Build).run()
	}
	for run, build := range want {
		if got, err := run.Result(soon(t, patience)); err != nil || got != build {
			t.Errorf("%s ended with %q, %v, want build %q", run.Ref(), got, err, build)
		}
	}
	s.settled()
	after := far.total()
	if n := 2*runs*chapters + probes; len(after) != n {
		t.Errorf("%d steps were executed, want %d", len(after), n)
	}
	for i, shot := range before {
		for key := range shot.recorded {
			if after[key] > shot.calls[key] {
				t.Errorf("%s was recorded before kill %d, when it had run %d times, and has run %d times", far.step(key), i+1, shot.calls[key], after[key])
			}
		}
	}
}
