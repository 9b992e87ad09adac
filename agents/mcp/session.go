package mcp

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"
)

const (
	// graceOfProgram is how long a program has to end after its input has ended, and again
	// after it was told to.
	graceOfProgram = 2 * time.Second
	// pingTimeout is how long a server that let a call time out has to answer at all.
	pingTimeout = 2 * time.Second
)

// A session is a connection to a server.
type session struct {
	s       *server
	ctx     context.Context // ends with the session
	cancel  context.CancelFunc
	cs      *sdk.ClientSession
	cmd     *exec.Cmd // nil for HTTP
	stderr  *tail
	changed chan struct{} // has a token if the tools have changed since they were read
	suspect atomic.Bool   // a call has timed out, and nothing was heard since
	ended   sync.Once
}

// begin begins a session and lists the tools.
func (s *server) begin(ctx context.Context) (*session, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, s.startTimeout, fmt.Errorf("no answer within %s; raise StartTimeout if it needs longer", s.startTimeout))
	defer cancel()
	se := &session{s: s, changed: make(chan struct{}, 1)}
	se.ctx, se.cancel = context.WithCancel(context.Background())
	opts := s.clientOptions()
	opts.ToolListChangedHandler = func(context.Context, *sdk.ToolListChangedRequest) {
		select {
		case se.changed <- struct{}{}:
		default:
		}
	}
	client := sdk.NewClient(implementation, opts)
	transport, err := se.transport()
	if err != nil {
		return nil, err
	}
	r := &reply{}
	ctx = context.WithValue(ctx, replyKey{}, r)
	if se.cs, err = client.Connect(ctx, transport, nil); err == nil {
		err = se.list(ctx)
	}
	if err != nil {
		if cause := ended(ctx); cause != nil {
			err = cause
		}
		se.end()
		return nil, se.failed(err, int(r.status.Load()))
	}
	return se, nil
}

// watch drops the session when it ends, whatever ended it, and follows the server's notices
// until then.
func (se *session) watch() {
	se.s.ending.Go(func() {
		_ = se.cs.Wait()
		se.s.drop(se)
	})
	se.s.ending.Go(se.follow)
}

func (se *session) transport() (sdk.Transport, error) {
	s := se.s
	if s.command == "" {
		client := *s.client
		base := client.Transport
		if base == nil {
			base = http.DefaultTransport
		}
		client.Transport = replyTransport{base, s.host, s.header}
		return &sdk.StreamableClientTransport{Endpoint: s.endpoint, HTTPClient: &client, OAuthHandler: s.oauth}, nil
	}
	path, err := exec.LookPath(s.command)
	if err != nil {
		return nil, unavailable(s, fmt.Errorf("the program %q was not found: %w; install it, or give the path to it", s.command, err))
	}
	se.stderr = &tail{}
	se.cmd = exec.Command(path, s.args...)
	se.cmd.Dir, se.cmd.Env = s.dir, append(os.Environ(), s.env...)
	se.cmd.Stderr, se.cmd.WaitDelay = se.stderr, graceOfProgram
	return &sdk.CommandTransport{Command: se.cmd, TerminateDuration: graceOfProgram}, nil
}

// failed is the error of a session that did not begin.
func (se *session) failed(err error, status int) error {
	s := se.s
	if s.command == "" {
		hint := "is the address right, and does a server answer there?"
		switch status {
		case http.StatusUnauthorized, http.StatusForbidden:
			hint = "give the credentials that it asks for by Header, Token or OAuth"
		case http.StatusNotFound, http.StatusMethodNotAllowed:
			hint = "is this the address of its MCP endpoint?"
		}
		return unavailable(s, fmt.Errorf("no session: %w; %s", err, hint))
	}
	told := "it wrote nothing to its standard error"
	if text := se.stderr.String(); text != "" {
		told = "it wrote: " + text
	}
	if state := se.cmd.ProcessState; state != nil {
		told = state.String() + ", " + told
	}
	return unavailable(s, fmt.Errorf("the program did not begin a session: %w; %s; try the command by hand", err, told))
}

// end closes the connection and ends the program. It may be called again.
func (se *session) end() {
	se.cancel() // calls in flight: the connection is not closed before they end
	se.ended.Do(func() {
		switch {
		case se.cs != nil:
			_ = se.cs.Close() // it is of no use any more, whatever it says
		case se.cmd != nil && se.cmd.Process != nil && se.cmd.ProcessState == nil:
			_ = se.cmd.Process.Kill()
			_ = se.cmd.Wait()
		}
	})
}

// answers reports whether the server still answers, if there is doubt.
func (se *session) answers(ctx context.Context) bool {
	if !se.suspect.Load() {
		return true
	}
	ctx, cancel := context.WithTimeout(ctx, pingTimeout)
	defer cancel()
	// Any answer is a sign of life, also that there is no such method.
	_ = se.cs.Ping(ctx, nil)
	alive := ctx.Err() == nil && se.ctx.Err() == nil
	if alive {
		se.suspect.Store(false)
	}
	return alive
}

// follow reads the list of tools again whenever it has changed.
func (se *session) follow() {
	for {
		select {
		case <-se.ctx.Done():
			return
		case <-se.changed:
		}
		ctx, cancel := context.WithTimeout(se.ctx, se.s.startTimeout)
		if err := se.list(ctx); err != nil && se.ctx.Err() == nil {
			slog.Warn("the changed tools of an MCP server could not be listed; what they were stays", "server", se.s.name, "error", err)
		}
		cancel()
	}
}

// maxTools bounds the list of a server that does not come to an end of it.
const maxTools = 10_000

// list reads the list of tools.
func (se *session) list(ctx context.Context) error {
	var tools []listed
	for t, err := range se.cs.Tools(ctx, nil) {
		if err != nil {
			return fmt.Errorf("list its tools: %w", err)
		}
		if len(tools) == maxTools {
			return errors.New("it lists more than 10,000 tools")
		}
		if !se.s.allowed(t.Name) {
			continue
		}
		l, err := se.s.listed(t)
		if err != nil {
			return fmt.Errorf("list its tools: %q: %w", t.Name, err)
		}
		tools = append(tools, l)
	}
	for _, extra := range se.extras() {
		if !slices.ContainsFunc(tools, func(t listed) bool { return t.spec.Name == extra.spec.Name }) {
			tools = append(tools, extra)
		}
	}
	se.s.mu.Lock()
	defer se.s.mu.Unlock()
	se.s.heard, se.s.tools = true, tools
	for _, t := range tools {
		se.s.known[t.spec.Name] = t
	}
	return nil
}

// A tail keeps the end of what is written to it.
type tail struct {
	mu   sync.Mutex
	text []byte
}

const tailBytes = 2000

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, p...)
	t.text = t.text[max(0, len(t.text)-tailBytes):]
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.ToValidUTF8(strings.TrimSpace(string(t.text)), "�")
}
