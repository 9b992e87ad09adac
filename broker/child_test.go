package broker_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/perdure/perdure/broker"
	"github.com/perdure/perdure/schemas"
)

// Where these are set, this program is a child process of a test: it opens a
// broker in the directory, does what the role says, and ends with its standard
// input.
const (
	childDir  = "PERDURE_BROKER_TEST_DIR"
	childRole = "PERDURE_BROKER_TEST_ROLE"
)

// Roles of a child process.
const (
	roleHold   = "hold"   // says "open" and keeps the directory
	roleAppend = "append" // appends for ever, and says the sequence of each entry that is acknowledged
)

func init() {
	dir := os.Getenv(childDir)
	if dir == "" {
		return
	}
	if err := child(dir, os.Getenv(childRole)); err != nil {
		fmt.Fprintln(os.Stderr, "child:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

func child(dir, role string) error {
	ctx := context.Background()
	durability := broker.Process
	if role == roleAppend {
		durability = broker.Disk
	}
	b, err := broker.Open(ctx, broker.Config{Dir: dir, Durability: durability, Kinds: []schemas.Kind{"wf"}})
	if err != nil {
		return err
	}
	fmt.Println("open")
	if role == roleAppend {
		ref, last := identity("wf", "k").Run("1"), uint64(0)
		for n := uint64(1); ; n++ {
			out, err := b.Journal().Append(ctx, ref, last, entry("child", n))
			if err != nil {
				return err
			}
			last = out.Seq
			fmt.Println(last)
		}
	}
	_, _ = io.Copy(io.Discard, os.Stdin)
	return b.Close()
}

// A proc is a child process.
type proc struct {
	t     *testing.T
	cmd   *exec.Cmd
	stdin io.Closer
	out   *bufio.Scanner
}

// startChild returns when the child has opened its broker.
func startChild(t *testing.T, dir, role string) *proc {
	t.Helper()
	self, err := os.Executable()
	must(t, err)
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), childDir+"="+dir, childRole+"="+role)
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	must(t, err)
	stdout, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	p := &proc{t, cmd, stdin, bufio.NewScanner(stdout)}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	if got := p.line(); got != "open" {
		t.Fatalf("the child says %q, want open", got)
	}
	return p
}

// line is what the child says next; empty when it has ended.
func (p *proc) line() string {
	if !p.out.Scan() {
		return ""
	}
	return strings.TrimSpace(p.out.Text())
}

// kill ends the child by SIGKILL and returns what it had said until then.
func (p *proc) kill() []string {
	p.t.Helper()
	must(p.t, p.cmd.Process.Kill())
	var rest []string
	for l := p.line(); l != ""; l = p.line() {
		rest = append(rest, l)
	}
	_ = p.cmd.Wait()
	return rest
}
