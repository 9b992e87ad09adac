package powercut

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/perdure/perdure"
)

// nodeEnv holds the configuration of a node; where it is set, this program is one.
const nodeEnv = "PERDURE_TEST_POWERCUT_NODE"

// A nodeConfig says how a node runs, which is a client of itself, too.
type nodeConfig struct {
	Dir        string
	Far        string
	Durability perdure.Durability
	Clients    int
}

// lineOpen begins the line that says where a node's NATS server is.
const lineOpen = "open "

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
	ctx, f := context.Background(), far{c.Far}
	node, err := perdure.Open(ctx, perdure.Dir(c.Dir), perdure.Listen("127.0.0.1:0"), perdure.Host(kinds(f)...),
		perdure.WithDurability(c.Durability), perdure.SuspendAfter(10*time.Millisecond), perdure.AuditEvery(0),
		perdure.Logger(slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelInfo}))))
	if err != nil {
		return err
	}
	fmt.Println(lineOpen + node.URL())
	for range c.Clients {
		go func() { _ = drive(ctx, node.Client(), f) }()
	}
	return node.Run(ctx)
}

// A nodeProc is a node as its test sees it.
type nodeProc struct {
	cmd    *exec.Cmd
	exited chan struct{} // closed when it has been waited for

	mu  sync.Mutex
	log bytes.Buffer
}

// startNode starts a node. Where it is comes on the channel, which is closed when the
// process ends.
func startNode(t *testing.T, c nodeConfig) (*nodeProc, <-chan string) {
	t.Helper()
	config, err := json.Marshal(c)
	must(t, err)
	self, err := os.Executable()
	must(t, err)
	n := &nodeProc{cmd: exec.Command(self), exited: make(chan struct{})}
	n.cmd.Env = append(os.Environ(), nodeEnv+"="+string(config))
	n.cmd.Stderr = n
	stdout, err := n.cmd.StdoutPipe()
	must(t, err)
	must(t, n.cmd.Start())
	opened := make(chan string, 1)
	go func() {
		defer close(n.exited)
		defer close(opened)
		for s := bufio.NewScanner(stdout); s.Scan(); {
			if url, ok := strings.CutPrefix(s.Text(), lineOpen); ok {
				opened <- url
			}
		}
		_ = n.cmd.Wait()
	}()
	return n, opened
}

// Write takes the node's log.
func (n *nodeProc) Write(b []byte) (int, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.log.Write(b)
}

func (n *nodeProc) said() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.log.String()
}
