//go:build unix

package perdure_test

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/perdure/perdure/agents"
	"github.com/perdure/perdure/agents/models/scripted"
	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/runtime"
)

// A far side is what steps act upon: it lives in the test's process, outlives
// every node, and counts what it was asked by idempotency key and by the node
// that asked.
type farSide struct {
	URL string

	mu      sync.Mutex
	calls   map[string]map[string]int // node, then key
	steps   map[string]string         // key: the run and the name of its step
	inside  map[string]bool           // what has entered and not left
	most    int                       // of those at once
	changed chan struct{}             // closed, and made anew, at each call
}

// newFarSide has a path for each node:
//
//	/<node>/tool/<name>?arg=...  answers <name>(<arg>)
//	/<node>/done?key=...         whether a tool was called with this key
//	/<node>/v1/                  the scripted model of the weather
func newFarSide(t testing.TB) *farSide {
	t.Helper()
	f := &farSide{calls: map[string]map[string]int{}, steps: map[string]string{}, inside: map[string]bool{}, changed: make(chan struct{})}
	model, err := scripted.New(weatherScript())
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /{node}/tool/{name}", func(w http.ResponseWriter, r *http.Request) {
		f.door(r.PathValue("name"), r.FormValue("arg"))
		f.count(r)
		fmt.Fprintf(w, "%s(%s)", r.PathValue("name"), r.FormValue("arg"))
	})
	mux.HandleFunc("GET /{node}/done", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, f.total()[r.FormValue("key")] > 0)
	})
	mux.HandleFunc("/{node}/v1/", func(w http.ResponseWriter, r *http.Request) {
		f.count(r)
		http.StripPrefix("/"+r.PathValue("node"), model).ServeHTTP(w, r)
	})
	srv := httptest.NewServer(mux)
	t.Cleanup(srv.Close)
	f.URL = srv.URL
	return f
}

// door notes what enters and leaves.
func (f *farSide) door(tool, who string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch tool {
	case "enter":
		f.inside[who] = true
		f.most = max(f.most, len(f.inside))
	case "leave":
		delete(f.inside, who)
	}
}

// mostInside returns how many were inside at once, at most.
func (f *farSide) mostInside() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.most
}

func (f *farSide) count(r *http.Request) {
	node, key := r.PathValue("node"), r.Header.Get(agents.IdempotencyHeader)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.calls[node] == nil {
		f.calls[node] = map[string]int{}
	}
	f.calls[node][key]++
	f.steps[key] = cmp.Or(r.Header.Get(stepHeader), f.steps[key], r.URL.Path)
	close(f.changed)
	f.changed = make(chan struct{})
}

// by returns how often a node called, by key.
func (f *farSide) by(node string) map[string]int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return maps.Clone(f.calls[node])
}

// total returns how often all nodes called, by key.
func (f *farSide) total() map[string]int {
	f.mu.Lock()
	defer f.mu.Unlock()
	sum := map[string]int{}
	for _, calls := range f.calls {
		for key, n := range calls {
			sum[key] += n
		}
	}
	return sum
}

// sum returns the number of calls.
func (f *farSide) sum() (n int) {
	for _, c := range f.total() {
		n += c
	}
	return n
}

// step names the step of a key.
func (f *farSide) step(key string) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.steps[key]
}

// keys returns the keys that were ever used, sorted.
func (f *farSide) keys() []string { return slices.Sorted(maps.Keys(f.total())) }

// wait returns once the far side was called n times.
func (f *farSide) wait(t testing.TB, n int) {
	t.Helper()
	ctx := soon(t, patience)
	for {
		f.mu.Lock()
		changed := f.changed
		f.mu.Unlock()
		if f.sum() >= n {
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			t.Fatalf("the far side was called %d times within %s, want %d", f.sum(), patience, n)
		}
	}
}

// stepHeader tells the far side which step asks, for its messages.
const stepHeader = "X-Step"

// A far is the far side as a node asks it.
type far struct {
	base   string // the far side's, with the node's name
	client *http.Client
}

func farOf(c nodeConfig) far {
	return far{c.Far + "/" + c.Name, &http.Client{Transport: agents.IdempotentTransport(nil)}}
}

// tool calls a tool, from within a step.
func (f far) tool(ctx context.Context, name, arg string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, f.base+"/tool/"+name+"?arg="+url.QueryEscape(arg), nil)
	if err != nil {
		return "", err
	}
	if s, ok := runtime.StepFrom(ctx); ok {
		req.Header.Set(stepHeader, s.Info.Ref().String()+" "+s.Path+" "+s.Name)
	}
	return f.do(req)
}

// once calls a tool unless it was called with this step's key before.
func (f far) once(ctx context.Context, name, arg string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, f.base+"/done?key="+durable.IdempotencyKey(ctx), nil)
	if err != nil {
		return "", err
	}
	switch done, err := f.do(req); {
	case err != nil:
		return "", err
	case done == "true":
		return fmt.Sprintf("%s(%s)", name, arg), nil
	}
	return f.tool(ctx, name, arg)
}

func (f far) do(req *http.Request) (string, error) {
	resp, err := f.client.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return "", err
	}
	if resp.StatusCode != http.StatusOK {
		return "", fmt.Errorf("%s: %s", resp.Status, body)
	}
	return string(body), nil
}

// weatherScript is the weather's, with call IDs that do not depend on how often
// the model was asked.
func weatherScript() scripted.Script {
	plain := scripted.Weather().Rules[0].Func
	return scripted.Script{Rules: []scripted.Rule{{Func: func(r *scripted.Request) scripted.Reply {
		reply := plain(r)
		for i := range reply.Calls {
			reply.Calls[i].ID = fmt.Sprintf("call_%d_%d", len(r.Messages), i)
		}
		return reply
	}}}}
}

// short cuts a list for a message.
func short(list []string) string { return strings.Join(list[:min(len(list), 20)], "\n") }
