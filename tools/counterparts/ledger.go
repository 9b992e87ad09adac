package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httputil"
	"net/url"
	"sync"
)

// A ledger has each call that was on its way to a server, and holds one of them while the
// node that has made it is killed.
type ledger struct {
	struck   chan struct{} // has a token when the call arrives that is held
	released chan struct{} // closed when it may go on

	mu    sync.Mutex
	hold  string // the tool whose first call is held; empty when it was
	held  string // the idempotency key of that call
	times map[string]int
	tools map[string]string // by key
}

func newLedger(hold string) *ledger {
	return &ledger{struck: make(chan struct{}, 1), released: make(chan struct{}), hold: hold, times: map[string]int{}, tools: map[string]string{}}
}

// arrive notes a call, and waits if it is the one to be held.
func (l *ledger) arrive(ctx context.Context, tool, key string) {
	l.mu.Lock()
	l.times[key]++
	l.tools[key] = tool
	held := l.hold == tool
	if held {
		l.hold, l.held = "", key
	}
	l.mu.Unlock()
	if held {
		l.struck <- struct{}{}
		select {
		case <-l.released:
		case <-ctx.Done():
		}
	}
}

// ServeHTTP is told of a call by a [tap].
func (l *ledger) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	l.arrive(context.WithoutCancel(r.Context()), r.FormValue("tool"), r.FormValue("key"))
	w.WriteHeader(http.StatusNoContent)
}

// before returns what stands in front of a server that is reached over HTTP. A call that
// is held goes on although the node is dead, as one would whose answer nobody hears.
func (l *ledger) before(server *url.URL) http.Handler {
	proxy := httputil.ReverseProxy{
		Rewrite:       func(r *httputil.ProxyRequest) { r.SetURL(server) },
		FlushInterval: -1, // events are not to wait for others
		ErrorHandler:  func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) },
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		if tool, key, ok := calls(body); ok {
			r = r.WithContext(context.WithoutCancel(r.Context()))
			l.arrive(r.Context(), tool, key)
		}
		proxy.ServeHTTP(w, r)
	})
}

// judge returns what is wrong with the calls that were made, of a run that was to make
// these: each once, but that which was in flight when the node died twice.
func (l *ledger) judge(tools []string) (wrong []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.held == "" {
		wrong = append(wrong, "no call was in flight when the node was killed")
	}
	if len(l.times) != len(tools) {
		wrong = append(wrong, fmt.Sprintf("there were calls of %d idempotency keys, want %d", len(l.times), len(tools)))
	}
	for key, n := range l.times {
		want := 1
		if key == l.held {
			want = 2
		}
		if key == "" || n != want {
			wrong = append(wrong, fmt.Sprintf("%s was called %d times under the key %q, want %d", l.tools[key], n, key, want))
		}
	}
	return wrong
}
