package openapi_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/perdure/perdure/agents"
	"github.com/perdure/perdure/agents/agentstest"
	"github.com/perdure/perdure/agents/models/scripted"
	"github.com/perdure/perdure/agents/openapi"
	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/runtime"
	"github.com/perdure/perdure/runtime/runtimetest"
	"github.com/perdure/perdure/schemas"
)

var clerk = durable.Declare[string, string]("clerk")

// A site is an API that keeps what it was asked.
type site struct {
	*httptest.Server

	mu     sync.Mutex
	asked  []*http.Request
	bodies []string
	keys   map[string]int // of requests
}

// newSite returns an API that answers by a function, given how many requests came before.
func newSite(t *testing.T, answer func(w http.ResponseWriter, r *http.Request, before int)) *site {
	t.Helper()
	s := &site{keys: map[string]int{}}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		data, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		s.mu.Lock()
		before := len(s.asked)
		s.asked, s.bodies = append(s.asked, r), append(s.bodies, string(data))
		s.keys[r.Header.Get(agents.IdempotencyHeader)]++
		s.mu.Unlock()
		answer(w, r, before)
	}))
	t.Cleanup(func() {
		s.CloseClientConnections()
		s.Close()
	})
	return s
}

// requests returns what came, as method, address and body.
func (s *site) requests() (all []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, r := range s.asked {
		all = append(all, strings.TrimSpace(r.Method+" "+r.URL.RequestURI()+" "+s.bodies[i]))
	}
	return all
}

// last returns the last request.
func (s *site) last() *http.Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked[len(s.asked)-1]
}

func ok(text string) func(http.ResponseWriter, *http.Request, int) {
	return func(w http.ResponseWriter, _ *http.Request, _ int) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, text)
	}
}

func document(t *testing.T) []byte {
	t.Helper()
	data, err := os.ReadFile("testdata/orders.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// orders are the tools of the document, at a site.
func orders(t *testing.T, s *site, opts ...openapi.Option) agents.Tool {
	return openapi.Tools(openapi.Data(document(t)), append([]openapi.Option{openapi.Server(s.URL + "/v1"), openapi.EveryTool(agents.Retry(4, time.Millisecond))}, opts...)...)
}

// play makes a run of one call whose process ends at the n-th write, if n is not 0, and
// returns what the model is told.
func play(t *testing.T, tools agents.Tool, name, arguments string, when runtimetest.When, n int) (*runtimetest.World, string) {
	t.Helper()
	m := agentstest.Model(t, scripted.Script{Rules: []scripted.Rule{{Func: func(r *scripted.Request) scripted.Reply {
		if r.Rounds() == 0 {
			return scripted.Reply{Calls: []scripted.Call{{Name: name, Arguments: scripted.Arguments(arguments)}}}
		}
		return scripted.Reply{Text: r.Last().Content}
	}}}})
	kind := agents.New(clerk, agents.UseModel(m), agents.Tools(tools))
	if err := kind.Validate(); err != nil {
		t.Fatal(err)
	}
	closes, err := kind.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	w := runtimetest.NewWorld(kind)
	w.AutoRestart = true
	t.Cleanup(func() {
		cancel()
		for _, wrong := range w.Close() {
			t.Error(wrong)
		}
		if err := closes(); err != nil {
			t.Error(err)
		}
	})
	if n > 0 {
		w.CrashAt(when, n)
	}
	w.Start()
	in, err := durable.Encode("go")
	if err != nil {
		t.Fatal(err)
	}
	rec, err := w.Do(ctx, schemas.Identity{Kind: "clerk", Key: "k"}.Run("1"), "", in)
	if err == nil {
		err = errors.Join(runtime.DecodeError(rec.GetError()), w.Settle(ctx))
	}
	if err != nil {
		t.Fatal(err)
	}
	var out string
	if err := json.Unmarshal(rec.GetResult().GetData(), &out); err != nil {
		t.Fatal(err)
	}
	return w, out
}

// told returns what the model is told of a call.
func told(t *testing.T, tools agents.Tool, name, arguments string) string {
	t.Helper()
	_, out := play(t, tools, name, arguments, 0, 0)
	return out
}

func contains(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, p := range parts {
		if !strings.Contains(text, p) {
			t.Errorf("%.2000q does not contain %q", text, p)
		}
	}
}

// specs returns what a model is offered.
func specs(t *testing.T, tools agents.Tool) map[string]agents.ToolSpec {
	t.Helper()
	var offered []agents.ToolSpec
	kind := agents.New(clerk, agents.UseModel(offers{&offered}), agents.Tools(tools))
	closes, err := kind.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = closes() }()
	w := runtimetest.NewWorld(kind)
	defer w.Close()
	w.Start()
	in, err := durable.Encode("go")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Do(t.Context(), schemas.Identity{Kind: "clerk", Key: "k"}.Run("1"), "", in); err != nil {
		t.Fatal(err)
	}
	all := map[string]agents.ToolSpec{}
	for _, s := range offered {
		all[s.Name] = s
	}
	return all
}

// offers is a model that keeps what it is offered.
type offers struct{ to *[]agents.ToolSpec }

func (offers) Name() string { return "offers" }

func (o offers) Generate(_ context.Context, r *agents.Request) (*agents.Response, error) {
	*o.to = r.Tools
	return &agents.Response{Message: agents.Message{Content: "done"}}, nil
}
