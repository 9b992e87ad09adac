package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"

	"github.com/perdure/perdure"
)

// node is `perdure dev` on one data directory, however often it is killed.
type node struct {
	bin, dir string
	env      []string
	url      string
	cmd      *exec.Cmd
}

// start runs the node and returns once it takes work.
func (n *node) start(ctx context.Context) error {
	n.cmd = exec.Command(n.bin, "dev", "--dir", n.dir, "--nats", "127.0.0.1:0")
	n.cmd.Env = append(os.Environ(), n.env...)
	n.cmd.Stderr = os.Stderr
	line, err := started(ctx, n.cmd, "ready nats://")
	if err != nil {
		return fmt.Errorf("start the node: %w", err)
	}
	n.url = strings.Fields(line)[1]
	return nil
}

func (n *node) pid() int { return n.cmd.Process.Pid }

// sigkill kills the node, and fails if it ended in any other way.
func (n *node) sigkill() error {
	if err := n.cmd.Process.Kill(); err != nil {
		return fmt.Errorf("kill the node: %w", err)
	}
	err := n.cmd.Wait()
	status, ok := n.cmd.ProcessState.Sys().(syscall.WaitStatus)
	if !ok || !status.Signaled() || status.Signal() != syscall.SIGKILL {
		return fmt.Errorf("the node did not die of SIGKILL: %v (%w)", n.cmd.ProcessState, err)
	}
	return nil
}

// kill ends the node at the end of the demo.
func (n *node) kill() {
	if n.cmd.ProcessState == nil {
		_ = n.cmd.Process.Kill()
		_ = n.cmd.Wait()
	}
}

// started starts a program and returns its first line that begins with prefix.
func started(ctx context.Context, cmd *exec.Cmd, prefix string) (string, error) {
	out, err := cmd.StdoutPipe()
	if err != nil {
		return "", err
	}
	if err := cmd.Start(); err != nil {
		return "", err
	}
	lines := make(chan string, 1)
	go func() {
		defer close(lines)
		for s := bufio.NewScanner(out); s.Scan(); {
			if strings.HasPrefix(s.Text(), prefix) {
				lines <- s.Text()
				break
			}
		}
		_, _ = io.Copy(io.Discard, out) // until it ends
	}()
	select {
	case line, ok := <-lines:
		if !ok {
			return "", errors.New("it ended before it was ready")
		}
		return line, nil
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

// timeline returns what the run has done so far.
func timeline(ctx context.Context, url, ref string) (string, error) {
	c, err := perdure.Dial(ctx, url)
	if err != nil {
		return "", err
	}
	defer c.Close()
	info, err := c.Get(ctx, ref)
	if err != nil {
		return "", err
	}
	var b bytes.Buffer
	err = info.WriteTimeline(&b)
	return b.String(), err
}

func indent(s string) string {
	return "  " + strings.ReplaceAll(strings.TrimSpace(s), "\n", "\n  ")
}
