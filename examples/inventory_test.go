package examples_test

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/perdure/perdure"
	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/examples/inventory/counting"
)

// shelves is the size of the inventories, and pause how long a shelf takes, in
// milliseconds.
const (
	shelves = 12
	pause   = 100
)

// An inventory is the three programs, on one address and in one directory.
type inventory struct {
	t       *testing.T
	dir     string
	addr    string
	running map[string]*program // clerk and counter
}

func newInventory(t *testing.T) *inventory {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return &inventory{t, t.TempDir(), l.Addr().String(), map[string]*program{}}
}

func (i *inventory) start(name string) {
	i.t.Helper()
	args := map[string][]string{
		"clerk":   {"clerk", "-listen", i.addr},
		"counter": {"counter", "-server", "nats://" + i.addr},
	}[name]
	i.running[name] = start(i.t, i.dir, "inventory", args...)
}

func (i *inventory) open() *program {
	i.t.Helper()
	return start(i.t, i.dir, "inventory", "open", "-server", "nats://"+i.addr, "-shelves", strconv.Itoa(shelves), "-pause", strconv.Itoa(pause))
}

// kill ends a program by SIGKILL; it may not have ended before.
func (i *inventory) kill(name string) {
	i.t.Helper()
	if i.running[name].kill() {
		i.t.Fatalf("the %s ended by itself", name)
	}
}

// right checks how the inventory ended: as an undisturbed one.
func (i *inventory) right(printed string) {
	i.t.Helper()
	items, recounts := 0, shelves/3
	books := map[int]int{}
	for shelf := range shelves {
		books[shelf+1] = counting.InBooks(shelf + 1)
		items += books[shelf+1]
	}
	last := fmt.Sprintf("%d of %d shelves right, %d items, %d recounts\n", shelves, shelves, items, recounts)
	if !strings.HasSuffix(printed, last) {
		i.t.Errorf("open printed\n%swant at the end\n%s", printed, last)
	}
	for name, p := range i.running { // one may have been started again just now
		p.says("ready " + name)
	}
	ctx, cancel := context.WithTimeout(i.t.Context(), programWait)
	defer cancel()
	c, err := perdure.Dial(ctx, "nats://"+i.addr)
	if err != nil {
		i.t.Fatal(err)
	}
	defer c.Close()
	counted, err := perdure.Ask(ctx, c, counting.Counted.At("store-1"), durable.None{})
	if err != nil || counted != shelves+recounts {
		i.t.Errorf("the counter counted %d times (%v), want %d", counted, err, shelves+recounts)
	}
	got, err := perdure.Ask(ctx, c, counting.Shelves.At("store-1"), durable.None{})
	if err != nil || !maps.Equal(got, books) {
		i.t.Errorf("the books are %v (%v), want %v", got, err, books)
	}
}

func TestInventory_TwoProcessesWorkItTogether(t *testing.T) {
	i := newInventory(t)
	opened := i.open() // the order in which they start does not matter
	i.start("counter")
	i.start("clerk")
	i.running["clerk"].says("ready clerk")
	i.running["counter"].says("ready counter")
	i.right(opened.end())
	want(t, i.running["counter"].stdout.text(), "ready counter\n")
	if again := i.open().end(); !strings.HasPrefix(again, "12 of 12 shelves right") {
		t.Errorf("opened again it is another inventory:\n%s", again)
	}
}

// Either may be killed at any time, the clerk with NATS inside, too.
func TestInventory_SurvivesKills(t *testing.T) {
	for name, victims := range map[string][]string{
		"clerk": {"clerk"}, "counter": {"counter"}, "either": {"clerk", "counter"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			i := newInventory(t)
			seed := rand.Uint64()
			random := rand.New(rand.NewPCG(seed, 0))
			i.start("clerk")
			i.start("counter")
			opened := i.open()
			kills := map[string]int{}
			after := func(least, most int) bool {
				select {
				case <-opened.exited:
					return false
				case <-time.After(time.Duration(least+random.IntN(most-least)) * time.Millisecond):
					return true
				}
			}
			// Not without end: a run whose process ended twice in the middle of it is not
			// begun again for a second, and then for longer each time.
			for range 20 {
				if !after(100, 1500) {
					break
				}
				victim := victims[random.IntN(len(victims))]
				i.kill(victim)
				kills[victim]++
				after(1, 500) // the last message may be on its way already: then it ends
				i.start(victim)
				if random.IntN(3) > 0 { // the others are killed while they start
					i.running[victim].says("ready " + victim)
				}
			}
			printed := opened.end()
			t.Logf("killed: %v; seed %d", kills, seed)
			if len(kills) == 0 || !slices.Contains(victims, "clerk") && kills["counter"] == 0 {
				t.Error("nobody was killed")
			}
			i.right(printed)
		})
	}
}
