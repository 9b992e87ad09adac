// Package examples_test builds the examples and runs them as a user would: as
// programs, in directories of their own, killed now and then.
package examples_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// programs is the directory of the built examples.
var programs string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "examples")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	if out, err := exec.Command("go", "build", "-o", dir, "./hello", "./stock", "./weather", "./inventory", "./service", "./compare/boston", "./compare/triage", "./outage", "./refunds").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build the examples: %v\n%s", err, out)
		return 1
	}
	programs = dir
	return m.Run()
}

// programWait bounds how long a program may run.
const programWait = 3 * time.Minute

// A program is a running example.
type program struct {
	t      *testing.T
	cmd    *exec.Cmd
	stdout lines
	stderr bytes.Buffer
	exited chan struct{} // closed when it has been waited for
	err    error         // how it ended
}

// start starts an example in dir. It is killed with the test at the latest.
func start(t *testing.T, dir, name string, args ...string) *program {
	t.Helper()
	return startWith(t, nil, dir, name, args...)
}

// startWith starts an example with more variables in its environment.
func startWith(t *testing.T, env []string, dir, name string, args ...string) *program {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), programWait)
	p := &program{t: t, cmd: exec.CommandContext(ctx, filepath.Join(programs, name), args...), exited: make(chan struct{})}
	p.stdout.more = make(chan struct{})
	p.cmd.Dir, p.cmd.Stdout, p.cmd.Stderr = dir, &p.stdout, &p.stderr
	p.cmd.Env = append(environment(), env...)
	if err := p.cmd.Start(); err != nil {
		cancel()
		t.Fatal(err)
	}
	go func() { // ends with the process
		defer close(p.exited)
		p.err = p.cmd.Wait()
		cancel()
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill() // it may have ended
		<-p.exited
		if t.Failed() {
			t.Logf("%s %v: %v\n%s\n%s", name, args, p.err, p.stdout.text(), p.stderr.String())
		}
	})
	return p
}

// environment is that of the test without what changes what examples do.
func environment() (env []string) {
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "OPENAI_") && !strings.HasPrefix(v, "WEATHER_") && !strings.HasPrefix(v, "OTEL_") {
			env = append(env, v)
		}
	}
	return env
}

// end waits for the program, which must end by itself and well, and returns
// what it printed.
func (p *program) end() string {
	p.t.Helper()
	<-p.exited
	if p.err != nil {
		p.t.Fatalf("the program ended with %v", p.err)
	}
	return p.stdout.text()
}

// kill ends the program by SIGKILL. ended says that it was over before.
func (p *program) kill() (ended bool) {
	p.t.Helper()
	_ = p.cmd.Process.Kill() // it may have ended
	<-p.exited
	status := p.cmd.ProcessState.Sys().(syscall.WaitStatus)
	if status.Exited() && status.ExitStatus() == 0 {
		return true
	}
	if !status.Signaled() || status.Signal() != syscall.SIGKILL {
		p.t.Fatalf("the program ended with %v before it was killed", p.err)
	}
	return false
}

// says waits until the program prints a line.
func (p *program) says(line string) {
	p.t.Helper()
	for {
		more := p.stdout.changed()
		if strings.Contains("\n"+p.stdout.text(), "\n"+line+"\n") {
			return
		}
		select {
		case <-more:
		case <-p.exited:
			p.t.Fatalf("the program ended with %v before it said %q", p.err, line)
		}
	}
}

// saysThat waits until the program prints a line that begins so, and returns the rest of it.
func (p *program) saysThat(begin string) string {
	p.t.Helper()
	for {
		more := p.stdout.changed()
		for line := range strings.Lines(p.stdout.text()) {
			if rest, ok := strings.CutPrefix(line, begin); ok && strings.HasSuffix(rest, "\n") {
				return strings.TrimSuffix(rest, "\n")
			}
		}
		select {
		case <-more:
		case <-p.exited:
			p.t.Fatalf("the program ended with %v before it said %q", p.err, begin)
		}
	}
}

func want(t *testing.T, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("the program printed\n%swant\n%s", got, want)
	}
}
