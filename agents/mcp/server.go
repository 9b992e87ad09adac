package mcp

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/modelcontextprotocol/go-sdk/auth"
	sdk "github.com/modelcontextprotocol/go-sdk/mcp"
	"github.com/perdure/perdure/agents"
	"github.com/perdure/perdure/durable"
)

// A server is an [agents.ToolServer] of which there is at most one session.
type server struct {
	name string // for messages: the program, or the address without what is secret
	// What it is reached by: a program, or an address.
	command, dir string
	args, env    []string
	endpoint     string
	host         string // of endpoint
	header       http.Header
	client       *http.Client
	oauth        auth.OAuthHandler // nil: none

	prefix       string
	allow, deny  []string
	steps        []agents.ToolOption
	stepsOf      map[string][]agents.ToolOption
	maxResult    int
	startTimeout time.Duration
	// What the server is offered besides, and what of it.
	resources, prompts bool
	answer             func(context.Context, Question) (Answer, error)
	askPeople          bool
	sampler            agents.Model // nil: none
	err                error        // what is wrong with these

	beginning chan struct{} // has a token while a session begins
	ending    sync.WaitGroup

	mu      sync.Mutex
	opened  int  // by nodes
	closed  bool // by the last of them
	session *session
	heard   bool              // the tools were listed once
	tools   []listed          // that it has, or had when it was heard of last
	known   map[string]listed // all that it ever had, by the name that the model has for it
}

// Stdio returns the tools of a server that is a program: it is started with a node, spoken
// to over its standard input and output, and ends when its input does. What it writes to
// its standard error is part of the error if it does not start.
//
//	mcp.Stdio("npx", mcp.Args("-y", "@modelcontextprotocol/server-filesystem", dir))
func Stdio(command string, opts ...StdioOption) agents.Tool {
	s := newServer(command)
	s.command = command
	for _, o := range opts {
		o.applyStdio(s)
	}
	if s.err = s.check(); command == "" {
		s.err = durable.Fail(durable.ErrInvalid.Code, "mcp.Stdio: the command is empty; name a program")
	}
	return agents.Served(s)
}

// HTTP returns the tools of a server at a URL, which speaks streamable HTTP.
//
//	mcp.HTTP("https://example.com/mcp", mcp.Header("Authorization", "Bearer "+token))
func HTTP(endpoint string, opts ...HTTPOption) agents.Tool {
	u, err := url.Parse(endpoint)
	if err != nil {
		u = &url.URL{}
	}
	s := newServer((&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String())
	s.endpoint, s.host, s.header, s.client = endpoint, u.Host, http.Header{}, http.DefaultClient
	for _, o := range opts {
		o.applyHTTP(s)
	}
	if s.err = s.check(); u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		s.err = durable.Fail(durable.ErrInvalid.Code, "mcp.HTTP(%q): use an address such as https://example.com/mcp", endpoint)
	}
	return agents.Served(s)
}

func newServer(name string) *server {
	return &server{
		name: name, stepsOf: map[string][]agents.ToolOption{}, maxResult: defaultMaxResult, startTimeout: defaultStartTimeout,
		beginning: make(chan struct{}, 1), known: map[string]listed{},
	}
}

func (s *server) String() string { return "MCP server " + s.name }

// Err returns what is wrong with the options.
func (s *server) Err() error { return s.err }

// Open begins a session, unless another node of this process has.
func (s *server) Open(ctx context.Context) error {
	s.mu.Lock()
	s.opened++
	s.closed = false
	s.mu.Unlock()
	if _, err := s.ready(ctx); err != nil {
		return errors.Join(err, s.Close())
	}
	return nil
}

// Close ends the session once the last node has closed it, and waits until it has ended.
func (s *server) Close() error {
	s.mu.Lock()
	s.opened--
	last := s.opened <= 0
	var se *session
	if last {
		s.closed, se = true, s.session
		s.session = nil
	}
	s.mu.Unlock()
	if !last {
		return nil
	}
	s.beginning <- struct{}{} // what begins now finds that the server is closed
	<-s.beginning
	if se != nil {
		se.end()
	}
	s.ending.Wait()
	return nil
}

// refreshTimeout bounds how long a request to a model waits for a session that was lost.
const refreshTimeout = 5 * time.Second

// Tools returns what the server has. While it cannot be reached that is what it had.
func (s *server) Tools(ctx context.Context) ([]agents.Tool, error) {
	s.mu.Lock()
	heard, live := s.heard, s.session != nil
	s.mu.Unlock()
	switch {
	case live:
	case heard:
		short, cancel := context.WithTimeout(ctx, min(refreshTimeout, s.startTimeout))
		defer cancel()
		_, _ = s.ready(short)
	default:
		if _, err := s.ready(ctx); err != nil {
			return nil, err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	tools := make([]agents.Tool, len(s.tools))
	for i, t := range s.tools {
		tools[i] = s.agentTool(t)
	}
	return tools, nil
}

// Tool returns the tool that the model calls by this name, also if the server has it no
// more or was not heard of yet.
func (s *server) Tool(name string) (agents.Tool, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t, ok := s.known[name]; ok {
		return s.agentTool(t), true
	}
	remote, ok := strings.CutPrefix(name, s.prefix)
	if _, configured := s.stepsOf[remote]; !ok || !s.allowed(remote) || s.heard && !configured {
		return agents.Tool{}, false
	}
	return s.agentTool(unlisted(name, remote)), true
}

// ready returns the session, which it begins if there is none. Its error says what to do.
func (s *server) ready(ctx context.Context) (*session, error) {
	if se := s.current(); se != nil && !se.suspect.Load() {
		return se, nil
	}
	select {
	case s.beginning <- struct{}{}:
		defer func() { <-s.beginning }()
	case <-ctx.Done():
		return nil, ended(ctx)
	}
	if s.isClosed() {
		return nil, unavailable(s, errors.New("the node is closed"))
	}
	if se := s.current(); se != nil {
		if se.answers(ctx) {
			return se, nil
		}
		s.drop(se)
	}
	se, err := s.begin(ctx)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	closed := s.closed
	if !closed {
		s.session = se
	}
	s.mu.Unlock()
	if closed {
		se.end()
		return nil, unavailable(s, errors.New("the node is closed"))
	}
	se.watch()
	return se, nil
}

func (s *server) isClosed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}

func (s *server) current() *session {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.session
}

// drop ends a session, so that the next who needs one begins another.
func (s *server) drop(se *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.session == se { // otherwise another has dropped it, or the server is closed
		s.session = nil
		s.ending.Go(se.end)
	}
}

// implementation is what servers are told of this client.
var implementation = &sdk.Implementation{Name: "perdure", Version: "1"}
