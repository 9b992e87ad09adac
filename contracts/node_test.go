//go:build unix

package contracts_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/perdure/perdure"
)

// A node that is killed is a process: the test's program, started again with a
// nodeConfig in its environment.
const nodeEnv = "PERDURE_CONTRACTS_NODE"

// A nodeConfig says how a node runs.
type nodeConfig struct {
	URL          string // of a NATS server
	Dir          string // or where the node's own keeps its data
	Far          string
	SuspendAfter time.Duration
}

// What a node says on its standard output.
const (
	lineReady  = "ready"
	lineClosed = "closed"
)

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

// nodeMain runs a node until its standard input ends.
func nodeMain(config string) error {
	var c nodeConfig
	if err := json.Unmarshal([]byte(config), &c); err != nil {
		return err
	}
	ctx, leave := context.WithCancel(context.Background())
	defer leave()
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		leave()
	}()
	s := &services{far: c.Far}
	opts := []perdure.Option{
		perdure.Host(s.kinds()...), perdure.SuspendAfter(c.SuspendAfter), perdure.Grace(3 * time.Second), perdure.AuditEvery(0),
		perdure.Logger(slog.New(slog.NewTextHandler(os.Stderr, nil))),
	}
	var node *perdure.Node
	var err error
	if c.URL != "" {
		node, err = perdure.Connect(ctx, c.URL, opts...)
	} else {
		node, err = perdure.Open(ctx, append(opts, perdure.Dir(c.Dir), perdure.Listen("127.0.0.1:0"), perdure.WithDurability(perdure.Process))...)
	}
	if err != nil {
		return err
	}
	s.client.Store(node.Client())
	go func() {
		<-node.Ready()
		fmt.Println(lineReady, node.URL())
	}()
	if err := node.Run(ctx); err != nil {
		return err
	}
	fmt.Println(lineClosed)
	return nil
}

// A nodeProc is a node as its test sees it.
type nodeProc struct {
	t      testing.TB
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	lines  chan string
	exited chan struct{}
	url    string

	mu  sync.Mutex
	log bytes.Buffer
}

// startNode starts a node and returns when it takes work.
func startNode(t testing.TB, c nodeConfig) *nodeProc {
	t.Helper()
	n := launch(t, c)
	n.ready()
	return n
}

// launch starts a node and does not wait for it.
func launch(t testing.TB, c nodeConfig) *nodeProc {
	t.Helper()
	config, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	n := &nodeProc{t: t, cmd: exec.Command(self), lines: make(chan string, 16), exited: make(chan struct{})}
	n.cmd.Env = append(os.Environ(), nodeEnv+"="+string(config))
	n.cmd.Stderr = n
	stdout, err := n.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if n.stdin, err = n.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := n.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { // ends with the process
		defer close(n.exited)
		defer close(n.lines)
		for s := bufio.NewScanner(stdout); s.Scan(); {
			n.lines <- s.Text()
		}
		_ = n.cmd.Wait() // how it ended is not of interest: it may be killed
	}()
	t.Cleanup(func() {
		_ = n.cmd.Process.Kill()
		<-n.exited
		if t.Failed() {
			n.mu.Lock()
			defer n.mu.Unlock()
			t.Logf("a node said:\n%s", n.log.Bytes())
		}
	})
	return n
}

// Write keeps what the node says on its standard error.
func (n *nodeProc) Write(b []byte) (int, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.log.Write(b)
}

// ready waits until the node takes work.
func (n *nodeProc) ready() { n.url = strings.TrimPrefix(n.await(lineReady), lineReady+" ") }

func (n *nodeProc) await(begin string) string {
	n.t.Helper()
	limit := time.After(patience)
	for {
		select {
		case l, ok := <-n.lines:
			if !ok {
				n.t.Fatalf("a node ended before it said %q", begin)
			}
			if strings.HasPrefix(l, begin) {
				return l
			}
		case <-limit:
			n.t.Fatalf("a node did not say %q within %s", begin, patience)
		}
	}
}

// signal sends the process a signal.
func (n *nodeProc) signal(s syscall.Signal) {
	n.t.Helper()
	if err := n.cmd.Process.Signal(s); err != nil {
		n.t.Fatalf("send %v to a node: %v", s, err)
	}
}

// kill ends the node by SIGKILL and returns when it is gone.
func (n *nodeProc) kill() {
	n.t.Helper()
	n.signal(syscall.SIGKILL)
	<-n.exited
}

// leave asks the node to leave in good order, and returns when it has.
func (n *nodeProc) leave() {
	n.t.Helper()
	_ = n.stdin.Close()
	n.await(lineClosed)
	<-n.exited
}
