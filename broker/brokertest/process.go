package brokertest

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// startWait bounds how long a server may take to start.
const startWait = 60 * time.Second

// A Process is a NATS server in a process of its own, on a port and in a
// directory that it keeps. Its methods are for the test's goroutine.
type Process struct {
	t      testing.TB
	config ServerConfig
	cmd    *exec.Cmd     // nil while it does not run
	stdin  io.Closer     // its end asks the process to shut down
	lines  chan string   // of its standard output, closed at its end
	exited chan struct{} // closed when it has been waited for
}

// Server starts a NATS server with JetStream, and ends it with the test.
func Server(t testing.TB, opts ...func(*ServerConfig)) *Process {
	t.Helper()
	c := ServerConfig{Name: "server", Dir: t.TempDir(), Port: freePorts(t, 1)[0]}
	for _, o := range opts {
		o(&c)
	}
	p := &Process{t: t, config: c}
	t.Cleanup(p.Stop)
	p.start()
	p.await(lineReady)
	return p
}

// URL is where the server takes connections.
func (p *Process) URL() string { return fmt.Sprintf("nats://127.0.0.1:%d", p.config.Port) }

// Name is the server's name, which streams give as their leader.
func (p *Process) Name() string { return p.config.Name }

// Dir is the server's data directory.
func (p *Process) Dir() string { return p.config.Dir }

// Kill ends the process by SIGKILL, and returns when it is gone.
func (p *Process) Kill() {
	p.t.Helper()
	if p.cmd == nil {
		p.t.Fatalf("kill server %s: it does not run", p.config.Name)
	}
	if err := p.cmd.Process.Kill(); err != nil {
		p.t.Fatalf("kill server %s: %v", p.config.Name, err)
	}
	p.gone()
}

// Stop shuts the server down, and returns when it is gone. It may be called
// when the server does not run.
func (p *Process) Stop() {
	p.t.Helper()
	if p.cmd == nil {
		return
	}
	_ = p.stdin.Close()
	select {
	case <-p.exited:
	case <-time.After(startWait):
		p.t.Errorf("server %s did not shut down", p.config.Name)
		_ = p.cmd.Process.Kill()
	}
	p.gone()
}

// Restart starts the server again on the same port and directory, and returns
// when it takes connections.
func (p *Process) Restart() {
	p.t.Helper()
	if p.cmd != nil {
		p.t.Fatalf("restart server %s: it runs", p.config.Name)
	}
	p.start()
	p.await(lineReady)
}

func (p *Process) gone() {
	<-p.exited
	_ = p.stdin.Close()
	p.cmd = nil
}

func (p *Process) start() {
	p.t.Helper()
	config, err := json.Marshal(p.config)
	if err != nil {
		p.t.Fatalf("start server %s: %v", p.config.Name, err)
	}
	self, err := os.Executable()
	if err != nil {
		p.t.Fatalf("start server %s: %v", p.config.Name, err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), childEnv+"="+string(config))
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		p.t.Fatalf("start server %s: %v", p.config.Name, err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		p.t.Fatalf("start server %s: %v", p.config.Name, err)
	}
	if err := cmd.Start(); err != nil {
		p.t.Fatalf("start server %s: %v", p.config.Name, err)
	}
	lines, exited := make(chan string, 16), make(chan struct{})
	go func() { // ends with the process
		defer close(exited)
		defer close(lines)
		for s := bufio.NewScanner(stdout); s.Scan(); {
			lines <- s.Text()
		}
		_ = cmd.Wait() // how it ended is not of interest: it may be killed
	}()
	p.cmd, p.stdin, p.lines, p.exited = cmd, stdin, lines, exited
}

// await waits until the process says line.
func (p *Process) await(line string) {
	p.t.Helper()
	deadline := time.After(startWait)
	for {
		select {
		case l, ok := <-p.lines:
			if !ok {
				p.t.Fatalf("server %s ended before it said %q", p.config.Name, line)
			}
			if strings.TrimSpace(l) == line {
				return
			}
		case <-deadline:
			p.t.Fatalf("server %s did not say %q within %v", p.config.Name, line, startWait)
		}
	}
}

// freePorts returns ports on which nobody listened a moment ago.
func freePorts(t testing.TB, n int) []int {
	t.Helper()
	var ports []int
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatalf("find a free port: %v", err)
		}
		defer l.Close() // all at the end, so that they differ
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports
}
