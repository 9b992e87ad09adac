package powercut

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/perdure/perdure"
	"github.com/perdure/perdure/durable"
)

// cutsEnv is how many cuts the proof makes, and seedEnv by what draw.
const (
	cutsEnv = "PERDURE_POWERCUT"
	seedEnv = "PERDURE_POWERCUT_SEED"
	keepEnv = "PERDURE_POWERCUT_KEEP" // a folder for what each cut has left
)

// patience bounds every wait.
const patience = time.Minute

// What was acknowledged at durability disk is there after a loss of power at any
// moment: each node is killed as the power of its disk goes, and the next begins with
// what that has left.
func TestPowerCut_NothingAcknowledgedIsLost(t *testing.T) {
	needs(t)
	cuts := 5
	if s := os.Getenv(cutsEnv); s != "" {
		var err error
		cuts, err = strconv.Atoi(s)
		must(t, err)
	}
	p := newProof(t, perdure.Disk)
	for range cuts {
		p.cut()
		if p.failed() {
			return
		}
	}
	p.finish()
	p.failed()
}

// The proof can fail: at durability process what was acknowledged within the last
// second may go, and it notices.
func TestPowerCut_IsNoticedAtDurabilityProcess(t *testing.T) {
	needs(t)
	p := newProof(t, perdure.Process)
	for range 20 {
		p.cut()
		if wrong := p.far.found(); len(wrong) > 0 {
			t.Logf("noticed after %d cuts: %s", p.cuts, wrong[0])
			return
		}
	}
	t.Errorf("%d cuts took nothing that was acknowledged at durability process", p.cuts)
}

// A proof is a disk whose power goes again and again, and what is kept beside it.
type proof struct {
	t          *testing.T
	durability perdure.Durability
	seed       uint64
	rand       *rand.Rand
	far        *farSide
	home, dir  string // of all, and of what the last cut has left
	before     string // and the one before it
	cuts       int
	node       *nodeProc
	plan       string
}

func newProof(t *testing.T, d perdure.Durability) *proof {
	seed := rand.Uint64()
	if s := os.Getenv(seedEnv); s != "" {
		var err error
		seed, err = strconv.ParseUint(s, 10, 64)
		must(t, err)
	}
	t.Logf("the draw is %s=%d", seedEnv, seed)
	home := t.TempDir()
	if keep := os.Getenv(keepEnv); keep != "" {
		var err error
		home, err = os.MkdirTemp(keep, "")
		must(t, err)
	}
	p := &proof{t: t, durability: d, seed: seed, rand: rand.New(rand.NewPCG(seed, 0)), far: newFarSide(t), home: home, dir: filepath.Join(home, "0")}
	must(t, os.Mkdir(p.dir, 0o755))
	return p
}

// failed reports what is wrong, if anything.
func (p *proof) failed() bool {
	wrong := p.far.found()
	for _, w := range wrong[:min(len(wrong), 10)] {
		p.t.Error(w)
	}
	if len(wrong) > 0 && p.node != nil {
		p.t.Logf("the last of %d cuts was %s; the node said:\n%s", p.cuts, p.plan, tail(p.node.said()))
	}
	return len(wrong) > 0
}

func tail(s string) string { return s[max(0, len(s)-8000):] }

// moments are those at which a cut is worst: an operation on a file of this ending.
var moments = []struct {
	op, ending string
	after      bool
	within     int // it is one of so many
}{
	{"unlink", ".blk", true, 4},
	{"unlink", ".blk", true, 1},
	{"create", ".blk", true, 6},
	{"link", "", true, 6},
	{"rename", "", true, 40},
	{"sync", "", false, 1500},
	{"sync", "", true, 1500},
	{"synced", "", true, 1500},
	{"write", ".blk", true, 1500},
	{"unlink", "", true, 20},
	{"mkdir", "", true, 40},
}

// trip draws when the power goes: at a moment of the disk, or after some time.
func (p *proof) trip(ready *bool) (trip func(op, name string, after bool) bool, limit time.Duration) {
	if p.rand.IntN(4) == 0 {
		limit = time.Duration(p.rand.IntN(3000)) * time.Millisecond
		p.plan = fmt.Sprintf("after %s", limit)
		return nil, limit
	}
	m := moments[p.rand.IntN(len(moments))]
	nth, soon := 1+p.rand.IntN(m.within), p.rand.IntN(4) == 0
	p.plan = fmt.Sprintf("at %s of *%s, after=%t, time %d, while it starts=%t", m.op, m.ending, m.after, nth, soon)
	return func(op, name string, after bool) bool {
		if op != m.op || after != m.after || !strings.HasSuffix(name, m.ending) || !soon && !*ready {
			return false
		}
		nth--
		return nth == 0
	}, 6 * time.Second
}

// cut runs a node until the power goes.
func (p *proof) cut() {
	t := p.t
	t.Helper()
	p.cuts++
	d, err := Load(p.dir)
	must(t, err)
	var ready bool // guarded by the disk
	d.Late = p.rand.IntN(2) == 0
	trip, limit := p.trip(&ready)
	if keep := os.Getenv(keepEnv); keep != "" {
		f, err := os.Create(filepath.Join(p.home, fmt.Sprintf("%d.ops", p.cuts)))
		must(t, err)
		defer f.Close()
		w := bufio.NewWriter(f)
		defer w.Flush()
		inner := trip
		trip = func(op, path string, after bool) bool {
			cut := inner != nil && inner(op, path, after)
			switch op {
			case "lookup", "getattr", "read", "opendir", "readdir", "open":
			default:
				fmt.Fprintln(w, time.Now().Format("05.000000"), op, path, after, cut)
			}
			return cut
		}
	}
	d.Trip = trip
	began := time.Now()
	at, err := os.MkdirTemp("", "powercut") // on which nothing may be left mounted
	must(t, err)
	unmount, err := d.Mount(at)
	must(t, err)

	past := p.far.next(true)
	base := fmt.Sprintf("%s/%d", p.far.URL, p.far.boot)
	node, opened := startNode(t, nodeConfig{Dir: filepath.Join(at, "data"), Far: base, Durability: p.durability, Clients: 8})
	p.node = node
	ctx, stop := context.WithCancel(t.Context())
	timer := time.NewTimer(limit)
	died := false
	for done := false; !done; {
		select {
		case url, ok := <-opened:
			if !ok {
				opened = nil
				continue
			}
			d.mu.Lock()
			ready = true
			d.mu.Unlock()
			go p.client(ctx, url, far{base}, past)
		case <-node.exited:
			done, died = true, !closed(d.Dark())
			d.Cut()
		case <-timer.C:
			d.Cut()
		case <-d.Dark():
			done = true
		}
	}
	_ = node.cmd.Process.Kill()
	d.Bury()
	<-node.exited
	stop()
	must(t, unmount())
	must(t, os.Remove(at))
	if died {
		p.far.mu.Lock()
		p.far.say("the node ended by itself: %s", tail(node.said()))
		p.far.mu.Unlock()
	}
	left := filepath.Join(p.home, fmt.Sprint(p.cuts))
	must(t, d.Left(p.rand, left))
	must(t, reboot(filepath.Join(left, "data")))
	if p.before != "" && os.Getenv(keepEnv) == "" {
		must(t, os.RemoveAll(p.before))
	}
	p.before, p.dir = p.dir, left
	t.Logf("cut %d after %s, metadata late=%t, %s: %s", p.cuts, time.Since(began).Round(time.Millisecond), d.Late, p.plan, p.far.told())
}

// reboot makes what is left of another boot of the machine: it is by that that
// Perdure knows that power was lost.
func reboot(dir string) error {
	now, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return err
	}
	boot := filepath.Join(dir, "held", "boot")
	then, err := os.ReadFile(boot)
	if err != nil || strings.TrimSpace(string(then)) != strings.TrimSpace(string(now)) {
		return nil
	}
	return os.WriteFile(boot, []byte("another"), 0o600)
}

// client is another process's: it joins the rounds of the node from outside.
func (p *proof) client(ctx context.Context, url string, f far, past past) {
	c, err := perdure.Dial(ctx, url, perdure.WithDurability(p.durability))
	if err != nil {
		return // the power went
	}
	defer c.Close()
	for range 3 {
		go func() { _ = drive(ctx, c, f) }()
	}
	for n, want := range past.tallied {
		got, err := perdure.Ask(ctx, c, tallySum.At(fmt.Sprint(n)), durable.None{})
		if err != nil {
			break
		}
		if got.Count < want {
			_ = f.post(ctx, "/wrong", fmt.Sprintf("tally %d has %d changes, and %d were acknowledged before the cut", n, got.Count, want), nil)
		}
	}
	for _, n := range past.begun {
		_, err := c.Get(ctx, orderRef(n))
		if durable.IsCode(err, durable.ErrNotFound.Code) {
			_ = f.post(ctx, "/wrong", fmt.Sprintf("order %d is not there, and a step of it had been recorded: %v", n, err), nil)
		}
	}
	<-ctx.Done()
}

// finish lets a node on an ordinary disk end all that was accepted.
func (p *proof) finish() {
	t := p.t
	t.Helper()
	p.far.next(false)
	base := fmt.Sprintf("%s/%d", p.far.URL, p.far.boot)
	node, opened := startNode(t, nodeConfig{Dir: filepath.Join(p.dir, "data"), Far: base, Durability: p.durability, Clients: 8})
	p.node, p.plan = node, "the one before this node"
	defer func() {
		_ = node.cmd.Process.Kill()
		<-node.exited
	}()
	url, ok := <-opened
	if !ok {
		t.Fatalf("the node does not open what the cuts have left:\n%s", tail(node.said()))
	}
	limit := time.After(patience)
	for {
		open, changed := p.far.open()
		if len(open) == 0 || len(p.far.found()) > 0 {
			break
		}
		select {
		case <-changed:
		case <-limit:
			t.Errorf("after %s %d jobs are not over, the first is %+v", patience, len(open), open[0])
			p.far.say("it is not over")
			return
		}
	}
	if len(p.far.found()) > 0 {
		return
	}
	c, err := perdure.Dial(t.Context(), url)
	must(t, err)
	defer c.Close()
	var want [tallies]sum
	all := sum{Count: len(p.far.jobs)}
	for n := range p.far.jobs {
		w := &want[n%tallies]
		w.Count += 2
		w.Of += n + extra(n)
		all.Of += n
	}
	for n, want := range want {
		got, err := perdure.Ask(t.Context(), c, tallySum.At(fmt.Sprint(n)), durable.None{})
		must(t, err)
		if got != want {
			t.Errorf("tally %d has %+v, want %+v: each change once", n, got, want)
		}
	}
	var got sum
	for range 100 { // messages that nobody waits for
		if got, err = perdure.Ask(t.Context(), c, noteSum.At("all"), durable.None{}); err != nil || got == all {
			break
		}
		<-time.After(50 * time.Millisecond)
	}
	must(t, err)
	if got != all {
		t.Errorf("%+v was noted, want %+v: each message once", got, all)
	}
	t.Logf("after %d cuts: %s", p.cuts, p.far.told())
}
