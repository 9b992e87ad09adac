package cluster

import (
	"bufio"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/perdure/perdure/broker"
	"github.com/perdure/perdure/broker/brokertest"
	"github.com/perdure/perdure/schemas"
)

// The tests of this file run on real servers. Where a node is killed or
// stopped, it is a process.

// childEnv makes this program a node: its value is a server's URL and a name.
const childEnv = "PERDURE_CLUSTER_TEST_CHILD"

func TestMain(m *testing.M) {
	if args := strings.Fields(os.Getenv(childEnv)); len(args) == 2 {
		if err := runChild(context.Background(), args[0], args[1]); err != nil {
			fmt.Fprintln(os.Stderr, "child:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// runChild is a node. It answers each line on standard input with how many
// valid leases it holds, and leaves when its input ends.
func runChild(ctx context.Context, url, name string) error {
	b, err := broker.Open(ctx, broker.Config{URL: url})
	if err != nil {
		return err
	}
	defer b.Close()
	h, err := tryJoin(ctx, &ledger{}, NewStore(b), name)
	if err != nil {
		return err
	}
	fmt.Println("ready")
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		fmt.Println(h.valid())
	}
	return h.Leave(ctx)
}

// A child is a node in a process of its own.
type child struct {
	t   *testing.T
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Scanner
}

func startChild(t *testing.T, url, name string) *child {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := &child{t: t, cmd: exec.Command(self)}
	c.cmd.Env = append(os.Environ(), childEnv+"="+url+" "+name)
	c.cmd.Stderr = os.Stderr
	if c.in, err = c.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.cmd.Process.Kill() // it may be gone
		_ = c.cmd.Wait()
	})
	if c.out = bufio.NewScanner(out); c.line() != "ready" {
		t.Fatalf("node %s did not start", name)
	}
	return c
}

func (c *child) line() string {
	if !c.out.Scan() {
		c.t.Fatalf("the node ended: %v", c.out.Err())
	}
	return c.out.Text()
}

// ask sends the question how many valid leases the node holds.
func (c *child) ask() {
	if _, err := io.WriteString(c.in, "?\n"); err != nil {
		c.t.Fatal(err)
	}
}

// answer reads the answer to a question.
func (c *child) answer() int {
	n, err := strconv.Atoi(c.line())
	if err != nil {
		c.t.Fatal(err)
	}
	return n
}

func (c *child) valid() int {
	c.ask()
	return c.answer()
}

func (c *child) signal(s os.Signal) {
	if err := c.cmd.Process.Signal(s); err != nil {
		c.t.Fatal(err)
	}
}

// joinServer opens a connection of its own to a server, and joins.
func joinServer(t *testing.T, led *ledger, url, node string, opts ...func(*Config)) (*testHost, *broker.Broker) {
	t.Helper()
	b := brokertest.Connect(t, url)
	return join(t, led, NewStore(b), node, append(opts, withLog(t))...), b
}

// establishedOnServer waits for members to be connected for longer than a
// lease, so that they may judge others.
func establishedOnServer(t *testing.T, h *testHost) {
	t.Helper()
	await(t, 30*time.Second, "the member may judge others", h.mayJudge)
}

func TestServerMembersShareEvenly(t *testing.T) {
	t.Parallel()
	srv, led := brokertest.Server(t), &ledger{}
	a, _ := joinServer(t, led, srv.URL(), "n1")
	t.Logf("1 member: %v", awaitSettled(t, 10*time.Second, a))
	b, _ := joinServer(t, led, srv.URL(), "n2")
	d := awaitSettled(t, 10*time.Second, a, b)
	t.Logf("2 members: %d, %d partitions after %v", a.share(), b.share(), d)
	if a.share() != 32 || b.share() != 32 {
		t.Errorf("two members have %d and %d partitions", a.share(), b.share())
	}
	c, _ := joinServer(t, led, srv.URL(), "n3")
	d = awaitSettled(t, 10*time.Second, a, b, c)
	t.Logf("3 members: %d, %d, %d partitions after %v", a.share(), b.share(), c.share(), d)
	for _, h := range []*testHost{a, b, c} {
		if n := h.share(); n > 22 || n < 20 {
			t.Errorf("%s of three members has %d partitions", h.node, n)
		}
		await(t, 10*time.Second, h.node+" sees every partition with its owner", func() bool {
			v := h.View()
			for p, w := range h.winners() {
				if v.Node(schemas.Partition(p)) != w {
					return false
				}
			}
			return true
		})
	}
}

func TestMembersOfEveryPool(t *testing.T) {
	t.Parallel()
	srv, led := brokertest.Server(t), &ledger{}
	joinServer(t, led, srv.URL(), "n2")
	_, b := joinServer(t, led, srv.URL(), "a node with a . in its name", func(c *Config) { c.Version = "v7" })
	joinServer(t, &ledger{}, srv.URL(), "n3", func(c *Config) { c.Pool = "gpu" })
	all, err := Members(t.Context(), b)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, m := range all {
		got = append(got, fmt.Sprintf("%s: %s %s", m.Pool, m.Member.GetId(), m.Member.GetVersion()))
	}
	want := []string{"default: a node with a . in its name v7", "default: n2 ", "gpu: n3 "}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("members (-want +got):\n%s", d)
	}
}

func TestServerKilledNodeIsReplacedInHalfASecond(t *testing.T) {
	t.Parallel()
	srv, led := brokertest.Server(t), &ledger{}
	h, _ := joinServer(t, led, srv.URL(), "n1")
	c := startChild(t, srv.URL(), "n2")
	await(t, 10*time.Second, "the partitions are shared", func() bool { return c.valid() == 32 && h.valid() == 32 })
	establishedOnServer(t, h)
	c.signal(syscall.SIGKILL)
	d := awaitSettled(t, 10*time.Second, h)
	t.Logf("SIGKILL: the other owns all %d partitions after %v", testPartitions, d)
	if d > 500*time.Millisecond {
		t.Errorf("it took %v, want at most 500ms", d)
	}
}

func TestServerHungNodeIsReplacedByItsLease(t *testing.T) {
	t.Parallel()
	srv, led := brokertest.Server(t), &ledger{}
	h, _ := joinServer(t, led, srv.URL(), "n1")
	c := startChild(t, srv.URL(), "n2")
	await(t, 10*time.Second, "the partitions are shared", func() bool { return c.valid() == 32 && h.valid() == 32 })
	establishedOnServer(t, h)
	c.signal(syscall.SIGSTOP)
	d := awaitSettled(t, 20*time.Second, h)
	t.Logf("SIGSTOP: the other owns all %d partitions after %v", testPartitions, d)
	if d > 5*time.Second || d < time.Second {
		t.Errorf("it took %v, want the lease's time", d)
	}
	c.ask()
	c.signal(syscall.SIGCONT)
	if n := c.answer(); n != 0 {
		t.Errorf("the node holds %d valid leases when it wakes up", n)
	}
	d = await(t, 20*time.Second, "it has its share again", func() bool { return c.valid() == 32 && h.valid() == 32 })
	t.Logf("SIGCONT: the partitions are shared again after %v", d)
}

func TestServerLeavingNodeHandsOver(t *testing.T) {
	t.Parallel()
	srv, led := brokertest.Server(t), &ledger{}
	a, _ := joinServer(t, led, srv.URL(), "n1")
	b, _ := joinServer(t, led, srv.URL(), "n2")
	awaitSettled(t, 10*time.Second, a, b)
	began := time.Now()
	if err := b.Leave(t.Context()); err != nil {
		t.Fatal(err)
	}
	left := time.Since(began)
	awaitSettled(t, 10*time.Second, a)
	d := time.Since(began)
	t.Logf("left after %v, the other owns all %d partitions after %v", left, testPartitions, d)
	if d > 300*time.Millisecond {
		t.Errorf("handing over took %v, want at most 300ms", d)
	}
	again, _ := joinServer(t, led, srv.URL(), "n2")
	t.Logf("back: its share after %v", awaitSettled(t, 10*time.Second, a, again))
}

func TestServerThatWasCutOffReadsItsOwnershipFirst(t *testing.T) {
	t.Parallel()
	srv, led := brokertest.Server(t), &ledger{}
	link := brokertest.Proxy(t, srv.URL())
	a, _ := joinServer(t, led, srv.URL(), "n1")
	b, _ := joinServer(t, led, link.URL(), "n2")
	awaitSettled(t, 10*time.Second, a, b)
	establishedOnServer(t, a)
	old := b.held()
	link.Cut()
	await(t, 10*time.Second, "nothing is valid without a connection", func() bool { return b.valid() == 0 })
	t.Logf("cut off: the other owns all %d partitions after %v", testPartitions, awaitSettled(t, 10*time.Second, a))
	link.Heal()
	d := await(t, 20*time.Second, "both have their share", func() bool {
		for _, l := range old {
			if l.Valid() {
				t.Fatalf("the lease of partition %v in epoch %d, which was taken over, is valid again", l.p, l.Epoch())
			}
		}
		return settled(a, b)
	})
	t.Logf("healed: the partitions are shared again after %v", d)
}

func TestServerThatRestartsCostsNoLease(t *testing.T) {
	t.Parallel()
	srv, led := brokertest.Server(t), &ledger{}
	a, _ := joinServer(t, led, srv.URL(), "n1")
	b, _ := joinServer(t, led, srv.URL(), "n2")
	awaitSettled(t, 10*time.Second, a, b)
	srv.Kill()
	await(t, 10*time.Second, "nothing is valid without a server", func() bool { return a.valid()+b.valid() == 0 })
	srv.Restart()
	t.Logf("the server is back: the partitions are shared again after %v", awaitSettled(t, 20*time.Second, a, b))
}

func TestEmbeddedNodeRestartsAtOnce(t *testing.T) {
	dir, led := t.TempDir(), &ledger{}
	for start := range 3 {
		b, err := broker.Open(t.Context(), broker.Config{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		h := join(t, led, NewStore(b), "n"+strconv.Itoa(start%2), func(c *Config) { c.Embedded = b.Embedded() })
		awaitSettled(t, 10*time.Second, h)
		d := time.Since(began)
		t.Logf("start %d: owns all %d partitions after %v", start+1, testPartitions, d)
		if d > time.Second {
			t.Errorf("start %d took %v: it waited for a lease", start+1, d)
		}
		if e := h.lease(0).Epoch(); e != uint64(start+1) {
			t.Errorf("start %d: epoch %d", start+1, e)
		}
		if err := b.Close(); err != nil { // as a crash: the member does not leave
			t.Error(err)
		}
	}
}

func TestServerClusterThatLosesItsLeader(t *testing.T) {
	t.Parallel()
	servers, led := brokertest.Cluster(t), &ledger{}
	quorum := func(c *broker.Config) { c.Durability = broker.Quorum }
	var hosts []*testHost
	for _, node := range []string{"n1", "n2", "n3"} {
		b := brokertest.Connect(t, servers.URL(), quorum)
		hosts = append(hosts, join(t, led, NewStore(b), node, withLog(t)))
		if node == "n1" {
			t.Logf("1 member, 3 replicas: owns all %d partitions after %v", testPartitions, awaitSettled(t, 30*time.Second, hosts...))
		}
	}
	t.Logf("3 members: %v", awaitSettled(t, 30*time.Second, hosts...))
	servers.Leader("KV_perdure_cluster").Kill()
	began := time.Now()
	await(t, 60*time.Second, "a write goes through again", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		_, err := hosts[0].cfg.Store.Put(ctx, "test.x", []byte(rand.Text()), 0, time.Second)
		return err == nil
	})
	gap := time.Since(began)
	d := awaitSettled(t, 60*time.Second, hosts...)
	t.Logf("the leader of the keys was killed: the bare server took no write for %v; the partitions are shared again %v after that", gap, d)
}
