package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// A process is a node or a NATS server, which is started again and again.
type process struct {
	name string
	args []string // the program and what it is told
	log  string   // the file that has what it says

	mu      sync.Mutex
	cmd     *exec.Cmd // nil while it does not run
	stdin   io.WriteCloser
	stopped bool          // by SIGSTOP
	ready   chan struct{} // closed when it has said so
	exited  chan struct{} // closed when it has ended
	ended   func(*process, error)
	meant   bool          // it was killed, or told to end
	ahead   time.Duration // its wall clock
	jumps   atomic.Int64  // how often it has said that its clock was set
}

// newProcess describes a process, which start starts. ended is called when it ends
// without having been told to.
func newProcess(dir, name string, ended func(*process, error), args ...string) *process {
	return &process{name: name, args: args, log: filepath.Join(dir, name+".log"), ended: ended}
}

// clockEnv says by how much the wall clock of a node is ahead as it begins.
const clockEnv = "PERDURE_CHAOS_CLOCK"

// start starts the process, and does not wait until it is ready.
func (p *process) start() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd != nil {
		return nil
	}
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	cmd := exec.Command(p.args[0], p.args[1:]...)
	cmd.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=0 halt_on_error=1", clockEnv+"="+p.ahead.String())
	cmd.Stderr = log
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", p.name, err)
	}
	ready, exited := make(chan struct{}), make(chan struct{})
	p.cmd, p.stdin, p.ready, p.exited, p.meant, p.stopped = cmd, stdin, ready, exited, false, false
	go func() { // ends with the process
		for s := bufio.NewScanner(stdout); s.Scan(); {
			switch said := strings.TrimSpace(s.Text()); {
			case said == "ready":
				close(ready)
			case strings.HasPrefix(said, "clock "):
				p.jumps.Add(1)
			}
		}
		err := cmd.Wait()
		_ = log.Close()
		p.mu.Lock()
		meant := p.meant
		p.cmd = nil
		p.mu.Unlock()
		close(exited)
		if !meant {
			p.ended(p, err)
		}
	}()
	return nil
}

// kill ends the process by SIGKILL, and returns when it is gone. It reports whether
// there was one.
func (p *process) kill() bool {
	gone := p.condemn()
	if gone != nil {
		<-gone
	}
	return gone != nil
}

// condemn sends the process SIGKILL, and returns what is closed when it is gone; nil if
// there is none.
func (p *process) condemn() (gone <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.meant = true
	if p.cmd == nil {
		return nil
	}
	_ = p.cmd.Process.Kill()
	return p.exited
}

// setClock sets by how much the wall clock of the process is ahead, also when it is
// started again.
func (p *process) setClock(ahead time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ahead = ahead
	if p.cmd != nil {
		fmt.Fprintln(p.stdin, "clock", ahead)
	}
}

// stop sends SIGSTOP, and reports whether there was a process.
func (p *process) stop() bool { return p.signal(syscall.SIGSTOP) }

// proceed sends SIGCONT.
func (p *process) proceed() bool { return p.signal(syscall.SIGCONT) }

func (p *process) signal(s syscall.Signal) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.cmd != nil && p.cmd.Process.Signal(s) == nil
}

// said returns the end of what the process has said.
func (p *process) said(bytes int) string {
	data, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	return string(data[max(0, len(data)-bytes):])
}
