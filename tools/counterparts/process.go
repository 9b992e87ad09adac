package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
)

// A process is one that says when it is ready.
type process struct {
	cmd   *exec.Cmd
	stdin io.WriteCloser
	ended chan error // has how it ended
	said  string     // the line by which it said so
}

// start starts a program, whose output goes to the end of the file at log, and returns
// when it has written a line with ready in it.
func start(ctx context.Context, log, ready string, env []string, args ...string) (*process, error) {
	out, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	p := &process{cmd: exec.Command(args[0], args[1:]...), ended: make(chan error, 1)}
	p.cmd.Env, p.cmd.Stdout, p.cmd.Stderr = append(os.Environ(), env...), w, w
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	err = p.cmd.Start()
	_ = w.Close()
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", args[0], err)
	}
	found := make(chan string, 1)
	go func() { // ends with the process, and with those that it has started
		defer out.Close()
		defer r.Close()
		in := bufio.NewReader(r)
		for {
			line, err := in.ReadString('\n')
			_, _ = out.WriteString(line)
			if strings.Contains(line, ready) {
				select {
				case found <- strings.TrimSpace(line):
				default:
				}
			}
			if err != nil {
				return
			}
		}
	}()
	go func() { p.ended <- p.cmd.Wait() }()
	select {
	case p.said = <-found:
		return p, nil
	case err := <-p.ended:
		p.ended <- err
		return nil, fmt.Errorf("%s has ended before it was ready (%w); see %s", args[0], err, log)
	case <-ctx.Done():
		p.kill()
		return nil, fmt.Errorf("%s is not ready: %w; see %s", args[0], context.Cause(ctx), log)
	}
}

// kill ends the process by SIGKILL, and returns when it is gone.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	p.ended <- <-p.ended
}
