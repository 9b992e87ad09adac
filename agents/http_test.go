package agents_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/perdure/perdure/agents"
	"github.com/perdure/perdure/agents/agentstest"
	"github.com/perdure/perdure/agents/models/scripted"
	"github.com/perdure/perdure/durable"
)

// TestIdempotentTransportSendsTheStepsKey has a tool whose far side fails once,
// and one that brings a key of its own.
func TestIdempotentTransportSendsTheStepsKey(t *testing.T) {
	var mu sync.Mutex
	got := map[string][]string{}
	far := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		if got[r.URL.Path] = append(got[r.URL.Path], r.Header.Get(agents.IdempotencyHeader)); r.URL.Path == "/weather" && len(got["/weather"]) == 1 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		_, _ = io.WriteString(w, "sun")
	}))
	defer far.Close()
	client := &http.Client{Transport: agents.IdempotentTransport(nil)}
	get := func(ctx context.Context, path, own string) (string, error) {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, far.URL+path, nil)
		if err != nil {
			return "", err
		}
		if own != "" {
			req.Header.Set(agents.IdempotencyHeader, own)
		}
		res, err := client.Do(req)
		if err != nil {
			return "", err
		}
		defer res.Body.Close()
		if res.StatusCode != http.StatusOK {
			return "", fmt.Errorf("get %s: %s", path, res.Status)
		}
		data, err := io.ReadAll(res.Body)
		return string(data), err
	}
	var key string
	m := agentstest.Model(t, script(func(r *scripted.Request) scripted.Reply {
		if r.Rounds() == 0 {
			return calls(call("get_weather", "{}"))
		}
		return scripted.Reply{Text: r.Last().Content}
	}))
	b := setup(t, agents.New(weather, agents.UseModel(m), agents.Tools(agents.Func("get_weather", "", func(ctx context.Context, _ struct{}) (string, error) {
		key = durable.IdempotencyKey(ctx)
		if _, err := get(ctx, "/log", key+"-log"); err != nil {
			return "", err
		}
		return get(ctx, "/weather", "")
	}, agents.Retry(3, time.Millisecond)))))
	b.Start()
	if text, err := do[string](b, ref("weather", "w", "1"), "hello"); err != nil || text != "sun" {
		t.Fatalf("answer %q, %v", text, err)
	}
	if _, err := get(t.Context(), "/outside", ""); err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	defer mu.Unlock()
	if k := got["/weather"]; len(k) != 2 || k[0] != key || k[1] != key || key == "" {
		t.Errorf("keys of two attempts: %q; the step's is %q", k, key)
	}
	if k := got["/log"]; len(k) != 2 || k[0] != key+"-log" {
		t.Errorf("a key of the tool's own became %q", k)
	}
	if k := got["/outside"]; len(k) != 1 || k[0] != "" {
		t.Errorf("outside a step: %q", k)
	}
}
