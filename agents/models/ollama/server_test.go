package ollama_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/perdure/perdure/agents"
	"github.com/perdure/perdure/agents/models/ollama"
)

// What the API accepts: a field that is not here fails the test.
type wireChat struct {
	Model    string `json:"model"`
	Messages []struct {
		Role      string   `json:"role"`
		Content   string   `json:"content"`
		Thinking  string   `json:"thinking"`
		Images    [][]byte `json:"images"`
		ToolCalls []struct {
			ID       string `json:"id"`
			Function struct {
				Index     int            `json:"index"`
				Name      string         `json:"name"`
				Arguments map[string]any `json:"arguments"`
			} `json:"function"`
		} `json:"tool_calls"`
		ToolName   string `json:"tool_name"`
		ToolCallID string `json:"tool_call_id"`
	} `json:"messages"`
	Tools []struct {
		Type     string `json:"type"`
		Function struct {
			Name        string          `json:"name"`
			Description string          `json:"description"`
			Parameters  json.RawMessage `json:"parameters"`
		} `json:"function"`
	} `json:"tools"`
	Format  json.RawMessage `json:"format"`
	Options *struct {
		NumCtx      int      `json:"num_ctx"`
		NumPredict  int      `json:"num_predict"`
		Temperature *float64 `json:"temperature"`
	} `json:"options"`
	Stream    *bool  `json:"stream"`
	Think     any    `json:"think"`
	KeepAlive string `json:"keep_alive"`
	Truncate  *bool  `json:"truncate"`
	Shift     *bool  `json:"shift"`
}

// A server has Ollama's API. It answers by a script.
type server struct {
	t   *testing.T
	url string

	mu     sync.Mutex
	bodies []string
	header http.Header
	path   string
	script []http.HandlerFunc // the last one answers whatever comes after it
}

func serve(t *testing.T, script ...http.HandlerFunc) *server {
	t.Helper()
	s := &server{t: t, script: script}
	srv := httptest.NewServer(s)
	t.Cleanup(func() {
		srv.CloseClientConnections()
		srv.Close()
	})
	s.url = srv.URL
	return s
}

func (s *server) model(opts ...ollama.Option) *ollama.Model {
	return ollama.New("qwen3", append([]ollama.Option{ollama.BaseURL(s.url)}, opts...)...)
}

// requests returns the bodies of all requests so far.
func (s *server) requests() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.bodies...)
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	data, err := io.ReadAll(r.Body)
	if err != nil {
		s.t.Error(err)
	}
	s.mu.Lock()
	s.bodies = append(s.bodies, string(data))
	s.header, s.path = r.Header, r.URL.Path
	next := s.script[min(len(s.bodies), len(s.script))-1]
	s.mu.Unlock()
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	var req wireChat
	if err := d.Decode(&req); err != nil {
		s.t.Errorf("the API has no such request: %v: %s", err, data)
	}
	if req.Stream == nil || req.Truncate == nil || *req.Truncate || req.Shift == nil || *req.Shift {
		s.t.Errorf("whether it streams is not said, or it may forget: %s", data)
	}
	open := map[string]string{}
	for _, m := range req.Messages {
		for _, c := range m.ToolCalls {
			open[c.ID] = c.Function.Name
		}
		if m.Role == "tool" && (m.ToolName == "" || m.ToolName != open[m.ToolCallID]) {
			s.t.Errorf("a result of tool %q, call %q; the calls are %v", m.ToolName, m.ToolCallID, open)
		}
	}
	next(w, r)
}

// answer is a whole response.
func answer(status int, body string, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		for i := 0; i+1 < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

// lines is a stream of these pieces.
func lines(pieces ...string) http.HandlerFunc { return cut(len(pieces), false, pieces...) }

// cut is a stream that ends after n pieces: by a broken connection, or as if it were
// whole.
func cut(n int, broken bool, pieces ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/x-ndjson")
		for _, p := range pieces[:n] {
			_, _ = io.WriteString(w, p+"\n")
			w.(http.Flusher).Flush()
		}
		if broken {
			panic(http.ErrAbortHandler)
		}
	}
}

// piece is a piece of a stream with this message, a last one with this reason.
func piece(message, done string) string {
	rest := `"done":false}`
	if done != "" {
		rest = `"done":true,"done_reason":"` + done + `","total_duration":5,"prompt_eval_count":7,"eval_count":3}`
	}
	return `{"model":"qwen3:8b","created_at":"2026-01-01T00:00:00Z","message":{"role":"assistant",` + message + `},` + rest
}

var (
	fine  = piece(`"content":"hi"`, "stop")
	hello = &agents.Request{Messages: []agents.Message{{Role: agents.RoleUser, Content: "hi"}}}
)
