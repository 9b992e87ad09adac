package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/perdure/perdure/broker/brokertest"
	"github.com/rogpeppe/go-internal/testscript"
)

// TestMain makes the test's program the command, for the scripts.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"perdure": main})
}

// TestScripts drives the command as a process, by testdata/script/*.txtar. The
// scripts have, besides the usual commands:
//
//	dev NAME ARGS...    starts `perdure dev`, waits for its ready line, sets
//	                    NATS_URL, and PID to its process
//	node NAME ARGS...   the same of `perdure node`
//	ports NAME...       sets each name to a free address of this machine
//	nodes NAME...       starts 'perdure node --config NAME.yaml' for each, at once
//	envsubst FILE...    replaces $NAME in files by what the script has set
//	nats [FILE]         starts a NATS server, configured by a file, and sets EXTERNAL
//	                    to its URL, and SECURED to that of one that has TLS
//	end NAME KILL|TERM  ends it by a signal; by TERM it must leave in good order
//	insist NAME         sends it SIGTERM again and again, until it ends by that
//	exit CODE ARGS...   runs perdure, which must exit with CODE
//	until RE ARGS...    runs perdure until its output matches
//	context NAME URL    writes a context of the nats CLI
//	other DIR           begins the run hello/old/old in DIR by another build of
//	                    hello, whose first step has another name
//	interrupt RE ARGS...  runs perdure, interrupts it once its standard error
//	                    matches, and prints what it said; it must exit with 1
//	example COMMAND...  runs each line of the command's examples, in order, which must
//	                    exit with 0
//	module DIR          makes DIR a user's module, example.com/m, that requires
//	                    this repository in place
//	tool start|inflight|count  a weather service at WEATHER_URL whose first
//	                    request is never answered; until one is in flight; prints
//	                    how many requests it got, and under how many keys
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: filepath.Join("testdata", "script"),
		Setup: func(env *testscript.Env) error {
			env.Setenv("XDG_CONFIG_HOME", filepath.Join(env.WorkDir, "config"))
			env.Setenv("GORACE", "atexit_sleep_ms=0") // else each command takes a second to exit
			for _, unset := range []string{"NATS_URL", "NATS_CONTEXT", "OPENAI_BASE_URL", "OPENAI_API_KEY", "OTEL_EXPORTER_OTLP_ENDPOINT"} {
				env.Setenv(unset, "")
			}
			nodes := map[string]*node{}
			env.Values["nodes"] = nodes
			env.Values["tool"] = &tool{arrived: make(chan struct{}), keys: map[string]int{}}
			env.Defer(func() {
				for _, n := range nodes {
					n.end(syscall.SIGKILL)
				}
			})
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"dev": scriptStart("dev"), "node": scriptStart("node"), "nodes": scriptNodes, "ports": scriptPorts, "envsubst": scriptEnvsubst, "insist": scriptInsist, "nats": scriptNATS(t), "end": scriptEnd, "exit": scriptExit, "until": scriptUntil, "context": scriptContext, "tool": scriptTool,
			"other": scriptOther, "interrupt": scriptInterrupt, "module": scriptModule, "example": scriptExample,
		},
	})
}

// deadline bounds how long a script waits for one thing.
const deadline = time.Minute

// A node is a running `perdure dev` or `perdure node`.
type node struct {
	verb   string
	lines  chan string // of its standard output
	cmd    *exec.Cmd
	stderr strings.Builder
	exited chan struct{} // closed when it has been waited for
	err    error         // how it ended
}

func (n *node) end(sig syscall.Signal) {
	_ = n.cmd.Process.Signal(sig) // it may have ended
	<-n.exited
}

// command is perdure as a process of a script's.
func command(ts *testscript.TestScript, args ...string) *exec.Cmd {
	path := ""
	for dir := range strings.SplitSeq(ts.Getenv("PATH"), string(os.PathListSeparator)) {
		if p := filepath.Join(dir, "perdure"); path == "" && exists(p) {
			path = p
		}
	}
	if path == "" {
		ts.Fatalf("perdure is not on the script's PATH")
	}
	cmd := exec.Command(path, args...)
	cmd.Dir = ts.MkAbs(".")
	for _, name := range []string{"PATH", "HOME", "TMPDIR", "XDG_CONFIG_HOME", "NATS_URL", "NATS_CONTEXT", "WEATHER_URL", "GOCACHE", "GOMODCACHE", "GORACE", "PERDURE_URL", "PERDURE_CONFIG", "PERDURE_NAMESPACE", "PERDURE_CREDENTIALS_PASSWORD"} {
		cmd.Env = append(cmd.Env, name+"="+ts.Getenv(name))
	}
	return cmd
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// scriptStart starts a node by a command of perdure's.
func scriptStart(verb string) func(*testscript.TestScript, bool, []string) {
	return func(ts *testscript.TestScript, neg bool, args []string) {
		if neg || len(args) == 0 {
			ts.Fatalf("usage: %s NAME ARGS...", verb)
		}
		startNode(ts, verb, args[0], args[1:])
	}
}

func startNode(ts *testscript.TestScript, verb, name string, args []string) {
	n := launch(ts, verb, name, args)
	n.ready(ts)
}

// scriptNodes starts nodes of a cluster, none of which is ready before others are.
func scriptNodes(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: nodes NAME...")
	}
	var all []*node
	for _, name := range args {
		all = append(all, launch(ts, "node", name, []string{"--config", name + ".yaml"}))
	}
	for _, n := range all {
		n.ready(ts)
	}
}

// launch starts a node, which need not be ready when it returns.
func launch(ts *testscript.TestScript, verb, name string, args []string) *node {
	n := &node{verb: verb, cmd: command(ts, append([]string{verb}, args...)...), lines: make(chan string, 16), exited: make(chan struct{})}
	n.cmd.Stderr = &n.stderr
	out, err := n.cmd.StdoutPipe()
	ts.Check(err)
	ts.Check(n.cmd.Start())
	go func() { // ends with the process
		defer close(n.exited)
		for s := bufio.NewScanner(out); s.Scan(); {
			select {
			case n.lines <- s.Text():
			default: // nobody reads what it says later
			}
		}
		_, _ = io.Copy(io.Discard, out) // a line was too long
		n.err = n.cmd.Wait()
	}()
	ts.Value("nodes").(map[string]*node)[name] = n
	return n
}

// ready waits for the line that a node says once it takes work.
func (n *node) ready(ts *testscript.TestScript) {
	select {
	case line := <-n.lines:
		fmt.Fprintln(ts.Stdout(), line)
		url, rest, _ := strings.Cut(strings.TrimPrefix(line, "ready "), " ")
		if !strings.HasPrefix(line, "ready ") || rest == "" {
			ts.Fatalf("the first line is %q, want one that begins with ready", line)
		}
		ts.Setenv("NATS_URL", url)
		ts.Setenv("ADDRESS", strings.TrimPrefix(url, "nats://"))
		ts.Setenv("PID", fmt.Sprint(n.cmd.Process.Pid))
	case <-n.exited:
		ts.Fatalf("perdure %s ended: %v\n%s", n.verb, n.err, &n.stderr)
	case <-time.After(deadline):
		ts.Fatalf("perdure %s was not ready in %s", n.verb, deadline)
	}
}

// scriptPorts sets variables to addresses that nobody listens on.
func scriptPorts(ts *testscript.TestScript, neg bool, args []string) {
	for _, name := range args {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		ts.Check(err)
		defer l.Close() // once all are taken, so that they differ
		ts.Setenv(name, l.Addr().String())
	}
}

func scriptEnvsubst(ts *testscript.TestScript, neg bool, args []string) {
	for _, name := range args {
		text := os.Expand(ts.ReadFile(name), ts.Getenv)
		ts.Check(os.WriteFile(ts.MkAbs(name), []byte(text), 0o600))
	}
}

// scriptNATS starts a NATS server, which ends with the test.
func scriptNATS(t *testing.T) func(*testscript.TestScript, bool, []string) {
	return func(ts *testscript.TestScript, neg bool, args []string) {
		if neg || len(args) > 1 {
			ts.Fatalf("usage: nats [FILE]")
		}
		srv := brokertest.Server(t, func(c *brokertest.ServerConfig) {
			if len(args) == 1 {
				c.Conf = ts.ReadFile(args[0])
			}
		})
		ts.Setenv("EXTERNAL", srv.URL())
		ts.Setenv("SECURED", "tls"+strings.TrimPrefix(srv.URL(), "nats"))
	}
}

func scriptEnd(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: end NAME KILL|TERM")
	}
	nodes := ts.Value("nodes").(map[string]*node)
	n := nodes[args[0]]
	if n == nil {
		ts.Fatalf("there is no node %q", args[0])
	}
	delete(nodes, args[0])
	sig := map[string]syscall.Signal{"KILL": syscall.SIGKILL, "TERM": syscall.SIGTERM}[args[1]]
	n.end(sig)
	status := n.cmd.ProcessState.Sys().(syscall.WaitStatus)
	if sig == syscall.SIGKILL {
		if !status.Signaled() || status.Signal() != sig {
			ts.Fatalf("the node ended with %v before it was killed\n%s", n.err, &n.stderr)
		}
		return
	}
	if n.err != nil {
		ts.Fatalf("the node ended with %v\n%s", n.err, &n.stderr)
	}
	fmt.Fprint(ts.Stderr(), n.stderr.String())
}

func scriptInsist(ts *testscript.TestScript, neg bool, args []string) {
	n := ts.Value("nodes").(map[string]*node)[args[0]]
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for end := time.After(deadline); ; {
		_ = n.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
		select {
		case <-again.C:
		case <-end:
			ts.Fatalf("the node did not end within %s", deadline)
		case <-n.exited:
			if status := n.cmd.ProcessState.Sys().(syscall.WaitStatus); !status.Signaled() || status.Signal() != syscall.SIGTERM {
				ts.Fatalf("the node ended with %v, want by the second signal\n%s", n.err, &n.stderr)
			}
			return
		}
	}
}

func scriptExit(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exit CODE ARGS...")
	}
	cmd := command(ts, args[1:]...)
	cmd.Stdout, cmd.Stderr = ts.Stdout(), ts.Stderr()
	if err := cmd.Run(); cmd.ProcessState == nil {
		ts.Fatalf("%v", err)
	}
	if got := fmt.Sprint(cmd.ProcessState.ExitCode()); got != args[0] {
		ts.Fatalf("perdure %s exits with %s, want %s", strings.Join(args[1:], " "), got, args[0])
	}
}

func scriptExample(ts *testscript.TestScript, neg bool, args []string) {
	cmd, _, err := rootCommand().Find(args)
	if neg || len(args) == 0 || err != nil || cmd.Example == "" {
		ts.Fatalf("usage: example COMMAND..., which has examples")
	}
	for line := range strings.Lines(cmd.Example) {
		if args := exampleWords(line); args[0] == "perdure" {
			fmt.Fprintln(ts.Stdout(), strings.TrimSpace(line))
			scriptExit(ts, false, append([]string{"0"}, args[1:]...))
		}
	}
}

// exampleWords splits a command as a shell does that knows single quotes, as far as
// its output is not sent elsewhere.
func exampleWords(line string) (words []string) {
	line, _, _ = strings.Cut(line, " > ")
	for _, w := range regexp.MustCompile(`'[^']*'|[^\s']+`).FindAllString(line, -1) {
		words = append(words, strings.Trim(w, "'"))
	}
	return words
}

func scriptUntil(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: until RE ARGS...")
	}
	re, err := regexp.Compile(args[0])
	ts.Check(err)
	last := ""
	for end := time.Now().Add(deadline); time.Now().Before(end); {
		out, err := command(ts, args[1:]...).Output()
		if last = string(out); err == nil && re.MatchString(last) {
			fmt.Fprint(ts.Stdout(), last)
			return
		}
	}
	ts.Fatalf("perdure %s did not say %s in %s, but\n%s", strings.Join(args[1:], " "), args[0], deadline, last)
}

func scriptContext(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: context NAME URL")
	}
	dir := filepath.Join(ts.Getenv("XDG_CONFIG_HOME"), "nats", "context")
	ts.Check(os.MkdirAll(dir, 0o755))
	body, err := json.Marshal(map[string]string{"description": "of a test", "url": args[1]})
	ts.Check(err)
	ts.Check(os.WriteFile(filepath.Join(dir, args[0]+".json"), body, 0o600))
}

// A tool is a weather service that is slow at first.
type tool struct {
	arrived chan struct{} // closed by the first request

	mu   sync.Mutex
	keys map[string]int // requests by idempotency key
}

func (w *tool) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	w.mu.Lock()
	first := len(w.keys) == 0
	w.keys[r.Header.Get("Idempotency-Key")]++
	w.mu.Unlock()
	if first {
		close(w.arrived)
		<-r.Context().Done() // until whoever asked is gone
		return
	}
	fmt.Fprintf(rw, `{"city":%q,"celsius":3,"sky":"snow"}`, r.URL.Query().Get("city"))
}

func scriptTool(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: tool start|inflight|count")
	}
	w := ts.Value("tool").(*tool)
	switch args[0] {
	case "start":
		srv := httptest.NewServer(w)
		ts.Defer(func() {
			srv.CloseClientConnections()
			srv.Close()
		})
		ts.Setenv("WEATHER_URL", srv.URL)
	case "inflight":
		select {
		case <-w.arrived:
		case <-time.After(deadline):
			ts.Fatalf("the tool was not called in %s", deadline)
		}
	case "count":
		w.mu.Lock()
		defer w.mu.Unlock()
		requests := 0
		for _, n := range w.keys {
			requests += n
		}
		fmt.Fprintf(ts.Stdout(), "%d requests, %d keys\n", requests, len(w.keys))
	}
}
