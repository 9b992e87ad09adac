//go:build unix

package perdure_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/perdure/perdure"
)

// A node of the proofs is a process: this test's program, started again with a
// nodeConfig in its environment. What it does is told over its standard
// streams, so that the test kills, stops and continues a real process.

// nodeEnv holds the configuration of a node; where it is set, this program is
// one.
const nodeEnv = "PERDURE_TEST_NODE"

// A nodeConfig says how a node runs.
type nodeConfig struct {
	Name string
	Dir  string // embedded NATS here, or
	// its server is one of a cluster: the first of these routes, with the others
	Routes []string
	URL    string // NATS there
	Far    string // where the far side is

	Kill  string // SIGKILL itself at this fault point, or
	Block string // say that it is there and wait to be told to go on,
	Nth   int    // the n-th time that it is there

	Durability     perdure.Durability
	SuspendAfter   time.Duration
	Retention      time.Duration
	Sweep          time.Duration
	PassivateAfter time.Duration
	Lease          time.Duration
	Duplicates     time.Duration
	Build          string // of the kinds: "" is the first
}

// What a node says on its standard output, one line each.
const (
	lineOpen    = "open"    // and where its NATS server is: the store can be read
	lineReady   = "ready"   // it takes work
	linePoint   = "point"   // it is at a fault point: op, before or after, subject
	lineBlocked = "blocked" // it waits at the fault point that it was told to
	lineClosed  = "closed"  // it has left in good order
)

// What a node is told on its standard input. The end of it means: leave.
const (
	lineRun = "run" // take work
)

// goFile is the number of the file that is read at the point where a node
// waits. The system call blocks: what comes of it is the first that the process
// does after it was stopped and continued.
const goFile = 3

func init() {
	config := os.Getenv(nodeEnv)
	if config == "" {
		return
	}
	if err := nodeMain(config); err != nil {
		fmt.Fprintln(os.Stderr, "node:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

func nodeMain(config string) error {
	var c nodeConfig
	if err := json.Unmarshal([]byte(config), &c); err != nil {
		return fmt.Errorf("read configuration: %w", err)
	}
	ctx, leave := context.WithCancel(context.Background())
	defer leave()
	run := make(chan struct{})
	go func() {
		for s := bufio.NewScanner(os.Stdin); s.Scan(); {
			if s.Text() == lineRun {
				close(run)
			}
		}
		leave()
	}()
	f := &faulty{config: c}
	node, err := openNode(ctx, c, f)
	if err != nil {
		return err
	}
	f.say(lineOpen, node.URL())
	select {
	case <-run:
	case <-ctx.Done():
		return node.Close()
	}
	go func() {
		<-node.Ready()
		f.say(lineReady)
	}()
	if err := node.Run(ctx); err != nil {
		return err
	}
	f.say(lineClosed)
	return nil
}

func openNode(ctx context.Context, c nodeConfig, f *faulty) (*perdure.Node, error) {
	opts := []perdure.Option{
		perdure.Name(c.Name), perdure.Host(proofKinds(c)...), perdure.Partitions(4), perdure.Faults(f.at),
		perdure.Logger(slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelInfo}))),
		perdure.SuspendAfter(c.SuspendAfter), perdure.ShortRetention(c.Retention, c.Sweep), perdure.PassivateAfter(c.PassivateAfter),
		perdure.LeaseTTL(c.Lease), perdure.DuplicateWindow(c.Duplicates), perdure.WithDurability(c.Durability), perdure.Grace(3 * time.Second),
		perdure.AuditEvery(0), // nothing that is promised rests on the auditor
	}
	if c.URL != "" {
		return perdure.Connect(ctx, c.URL, opts...)
	}
	if len(c.Routes) > 0 {
		opts = append(opts, perdure.Cluster(perdure.ClusterConfig{Listen: c.Routes[0], Routes: c.Routes}))
	}
	return perdure.Open(ctx, append(opts, perdure.Dir(c.Dir), perdure.Listen("127.0.0.1:0"))...)
}

// faulty is what happens at fault points, one at a time.
type faulty struct {
	config nodeConfig

	mu    sync.Mutex
	times map[string]int
}

func (f *faulty) say(words ...any) { fmt.Println(words...) }

func (f *faulty) at(op, subject string, after bool) {
	when := "before"
	if after {
		when = "after"
	}
	p := newPoint(op, when, subject)
	f.mu.Lock()
	if f.times == nil {
		f.times = map[string]int{}
	}
	f.times[p.String()]++
	here := f.times[p.String()] == f.config.Nth
	f.say(linePoint, p)
	if here && p.String() == f.config.Kill {
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {} // it has no time for anything else
	}
	block := here && p.String() == f.config.Block
	if block {
		f.say(lineBlocked)
	}
	f.mu.Unlock()
	if block {
		if err := waitForGo(); err != nil {
			f.say("cannot wait:", err)
		}
	}
}

func waitForGo() error {
	if err := syscall.SetNonblock(goFile, false); err != nil {
		return err
	}
	for {
		n, err := syscall.Read(goFile, make([]byte, 1))
		if n == 1 || err != syscall.EINTR {
			return err
		}
	}
}

// A point is a fault point that a node was at.
type point struct {
	op, when, subject string
}

// newPoint leaves out of the name what differs from run to run: the name of a
// timer.
func newPoint(op, when, subject string) point {
	if op == "schedule" {
		subject = subject[:strings.LastIndex(subject, ".")+1] + "*"
	}
	return point{op, when, subject}
}

func (p point) String() string { return p.op + " " + p.when + " " + p.subject }

// A nodeProc is a node as its test sees it.
type nodeProc struct {
	t      testing.TB
	config nodeConfig
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	goOn   *os.File
	lines  chan string   // closed at its end; points are not among them
	exited chan struct{} // closed when it has been waited for
	url    string

	mu     sync.Mutex
	points []point
	log    bytes.Buffer
}

// startNode starts a node and returns when its store can be read.
func startNode(t testing.TB, c nodeConfig) *nodeProc {
	t.Helper()
	return spawnNode(t, c).opened()
}

// opened returns when the node's store can be read.
func (n *nodeProc) opened() *nodeProc {
	n.t.Helper()
	n.url = strings.TrimPrefix(n.await(lineOpen), lineOpen+" ")
	return n
}

// spawnNode starts a node.
func spawnNode(t testing.TB, c nodeConfig) *nodeProc {
	t.Helper()
	config, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	n := &nodeProc{t: t, config: c, cmd: exec.Command(self), lines: make(chan string, 64), exited: make(chan struct{})}
	n.cmd.Env = append(os.Environ(), nodeEnv+"="+string(config))
	n.cmd.Stderr = writerFunc(func(b []byte) (int, error) {
		n.mu.Lock()
		defer n.mu.Unlock()
		return n.log.Write(b)
	})
	stdout, err := n.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if n.stdin, err = n.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	waits, goOn, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	n.goOn, n.cmd.ExtraFiles = goOn, []*os.File{waits}
	if err := n.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_ = waits.Close()
	go n.listen(stdout)
	t.Cleanup(func() {
		_ = n.cmd.Process.Kill()
		_ = n.goOn.Close()
		<-n.exited
		if t.Failed() {
			n.mu.Lock()
			defer n.mu.Unlock()
			t.Logf("node %s said:\n%s", c.Name, n.log.Bytes())
		}
	})
	return n
}

// listen ends with the process.
func (n *nodeProc) listen(stdout io.Reader) {
	defer close(n.exited)
	defer close(n.lines)
	for s := bufio.NewScanner(stdout); s.Scan(); {
		words := strings.SplitN(s.Text(), " ", 4)
		if words[0] != linePoint || len(words) != 4 {
			n.lines <- s.Text()
			continue
		}
		n.mu.Lock()
		n.points = append(n.points, point{words[1], words[2], words[3]})
		n.mu.Unlock()
	}
	_ = n.cmd.Wait()
}

// await waits until the node says a line that begins so, and returns it.
func (n *nodeProc) await(begin string) string {
	n.t.Helper()
	limit := time.After(patience)
	for {
		select {
		case l, ok := <-n.lines:
			if !ok {
				n.t.Fatalf("node %s ended before it said %q", n.config.Name, begin)
			}
			if l == begin || strings.HasPrefix(l, begin+" ") {
				return l
			}
		case <-limit:
			n.t.Fatalf("node %s did not say %q within %s", n.config.Name, begin, patience)
		}
	}
}

func (n *nodeProc) tell(line string) {
	n.t.Helper()
	if _, err := fmt.Fprintln(n.stdin, line); err != nil {
		n.t.Fatalf("tell node %s %q: %v", n.config.Name, line, err)
	}
}

// proceed lets the node go on from where it waits.
func (n *nodeProc) proceed() {
	n.t.Helper()
	if _, err := n.goOn.Write([]byte{1}); err != nil {
		n.t.Fatalf("let node %s go on: %v", n.config.Name, err)
	}
}

// run makes the node take work, and returns without waiting for it.
func (n *nodeProc) run() *nodeProc {
	n.t.Helper()
	n.tell(lineRun)
	return n
}

// visited returns the fault points so far.
func (n *nodeProc) visited() []point {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.points)
}

func (n *nodeProc) signal(s syscall.Signal) {
	n.t.Helper()
	if err := n.cmd.Process.Signal(s); err != nil {
		n.t.Fatalf("send %v to node %s: %v", s, n.config.Name, err)
	}
}

// kill ends the node by SIGKILL and returns when it is gone.
func (n *nodeProc) kill() {
	n.t.Helper()
	n.signal(syscall.SIGKILL)
	<-n.exited
}

// killed reports whether the node is gone by SIGKILL. It fails the test if it
// has ended in another way.
func (n *nodeProc) killed() bool {
	n.t.Helper()
	select {
	case <-n.exited:
	default:
		return false
	}
	if s, ok := n.cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || !s.Signaled() || s.Signal() != syscall.SIGKILL {
		n.t.Fatalf("node %s ended with %v, and not by SIGKILL", n.config.Name, n.cmd.ProcessState)
	}
	return true
}

// leave asks the node to leave in good order, and returns when it has.
func (n *nodeProc) leave() {
	n.t.Helper()
	if err := n.stdin.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
		n.t.Fatal(err)
	}
	n.await(lineClosed)
	<-n.exited
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }

// patience bounds every wait of the proofs.
const patience = 30 * time.Second

// soon returns a context that ends with the test or its patience.
func soon(t testing.TB, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// eventually waits until ok, of a condition for which nothing gives an event.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	eventuallyElse(t, func() string { return what }, ok)
}

func eventuallyElse(t testing.TB, what func() string, ok func() bool) {
	t.Helper()
	limit := time.After(patience)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-limit:
			t.Fatalf("not within %s: %s", patience, what())
		}
	}
}

// quiet is where what nobody asks for is logged.
var quiet = slog.New(slog.DiscardHandler)
