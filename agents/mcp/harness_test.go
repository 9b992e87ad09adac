package mcp_test

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"
	"github.com/perdure/perdure/agents"
	"github.com/perdure/perdure/agents/agentstest"
	"github.com/perdure/perdure/agents/mcp"
	"github.com/perdure/perdure/agents/models/scripted"
	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/runtime"
	"github.com/perdure/perdure/runtime/runtimetest"
	"github.com/perdure/perdure/schemas"
)

var clerk = durable.Declare[string, string]("clerk")

// A site is a server that is reached over HTTP. intercept, if set, may answer in its place.
type site struct {
	*httptest.Server
	far *sdk.Server

	mu        sync.Mutex
	handler   http.Handler
	intercept func(w http.ResponseWriter, r *http.Request, body string) bool
	keys      map[string][]string // of calls by tool, as they came
	headers   []http.Header
}

func newSite(t *testing.T, opts *sdk.StreamableHTTPOptions) *site {
	t.Helper()
	s := &site{keys: map[string][]string{}}
	s.far = farSide(func(tool, key string) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.keys[tool] = append(s.keys[tool], key)
	})
	s.restart(opts)
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var body bytes.Buffer
		_, _ = body.ReadFrom(r.Body)
		r.Body = readCloser{bytes.NewReader(body.Bytes())}
		s.mu.Lock()
		s.headers = append(s.headers, r.Header.Clone())
		h, intercept := s.handler, s.intercept
		s.mu.Unlock()
		if intercept == nil || !intercept(w, r, body.String()) {
			h.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(func() {
		s.CloseClientConnections()
		s.Close()
	})
	return s
}

type readCloser struct{ *bytes.Reader }

func (readCloser) Close() error { return nil }

// restart forgets every session.
func (s *site) restart(opts *sdk.StreamableHTTPOptions) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.handler = sdk.NewStreamableHTTPHandler(func(*http.Request) *sdk.Server { return s.far }, opts)
}

func (s *site) answerBy(intercept func(w http.ResponseWriter, r *http.Request, body string) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.intercept = intercept
}

func (s *site) called(tool string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.keys[tool])
}

func script(fn func(*scripted.Request) scripted.Reply) scripted.Script {
	return scripted.Script{Rules: []scripted.Rule{{Func: fn}}}
}

func calls(pairs ...string) (r scripted.Reply) {
	for p := range slices.Chunk(pairs, 2) {
		r.Calls = append(r.Calls, scripted.Call{Name: p[0], Arguments: scripted.Arguments(p[1])})
	}
	return r
}

// A world hosts an agent, opened as a node opens it.
type world struct {
	*runtimetest.World
	t    *testing.T
	ctx  context.Context
	kind *runtime.Kind
	log  logged
}

type logged struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func agent(m agents.Model, opts ...agents.Option) *runtime.Kind {
	return agents.New(clerk, append([]agents.Option{agents.UseModel(m)}, opts...)...)
}

func host(t *testing.T, kind *runtime.Kind) *world {
	t.Helper()
	if err := kind.Validate(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	w := &world{World: runtimetest.NewWorld(kind), t: t, ctx: ctx, kind: kind}
	w.AutoRestart = true
	w.Configure = func(c *runtime.Config) { c.Log = slog.New(slog.NewTextHandler(&w.log, nil)) }
	t.Cleanup(func() {
		cancel()
		for _, wrong := range w.World.Close() {
			t.Error(wrong)
		}
	})
	opened(t, kind)
	return w
}

// opened opens a kind until the test ends.
func opened(t *testing.T, kind *runtime.Kind) {
	t.Helper()
	if kind.Open == nil { // it has no servers
		return
	}
	closes, err := kind.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := closes(); err != nil {
			t.Error(err)
		}
	})
}

// ask makes a run and returns its answer.
func (w *world) ask(id, question string) string {
	w.t.Helper()
	rec, err := w.Do(w.ctx, run(id), "", input(w.t, question))
	if err != nil {
		w.t.Fatal(err)
	}
	return answer(w.t, rec)
}

func run(id string) schemas.Ref {
	return schemas.Identity{Kind: "clerk", Key: "k"}.Run(schemas.RunID(id))
}

func input(t *testing.T, v string) *schemas.Payload {
	t.Helper()
	p, err := durable.Encode(v)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func answer(t *testing.T, rec *schemas.Record) (out string) {
	t.Helper()
	if err := runtime.DecodeError(rec.GetError()); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(rec.GetResult().GetData(), &out); err != nil {
		t.Fatal(err)
	}
	return out
}

// told makes a run of one call and returns what the model is told of it.
func told(t *testing.T, tools agents.Tool, name, arguments string) string {
	t.Helper()
	m := agentstest.Model(t, script(func(r *scripted.Request) scripted.Reply {
		if r.Rounds() == 0 {
			return calls(name, arguments)
		}
		return scripted.Reply{Text: "told: " + r.Last().Content}
	}))
	w := host(t, agent(m, agents.Tools(tools)))
	w.Start()
	return strings.TrimPrefix(w.ask("1", "go"), "told: ")
}

// offers is what the journal says of served tools, one line for each model call: - where
// it is what it was.
func (w *world) offers() (all []string) {
	w.t.Helper()
	for _, s := range w.Journal.History() {
		for _, e := range s.Entry.GetEvents() {
			c := e.GetStepCompleted()
			if c.GetName() != "model" {
				continue
			}
			var rec struct{ Tools *[]agents.ToolSpec }
			if err := json.Unmarshal(c.GetResult().GetData(), &rec); err != nil {
				w.t.Fatal(err)
			}
			if rec.Tools == nil {
				all = append(all, "-")
				continue
			}
			names := map[string]bool{}
			for _, spec := range *rec.Tools {
				names[spec.Name] = true
			}
			all = append(all, strings.Join(slices.Sorted(maps.Keys(names)), " "))
		}
	}
	return all
}

func contains(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, p := range parts {
		if !strings.Contains(text, p) {
			t.Errorf("%.2000q does not contain %q", text, p)
		}
	}
}

var fast = mcp.EveryTool(agents.Retry(4, time.Millisecond))

// idOf returns the ID of a request as it is written.
func idOf(body string) string {
	var r struct{ ID json.RawMessage }
	_ = json.Unmarshal([]byte(body), &r)
	return string(r.ID)
}
