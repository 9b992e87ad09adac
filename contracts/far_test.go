package contracts_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"sync"
	"testing"

	"github.com/perdure/perdure/durable"
)

// A farSide is what steps act upon: it lives in the test's process, outlives every
// node, and counts what it was asked by idempotency key.
type farSide struct {
	URL string

	mu      sync.Mutex
	calls   map[string]int    // by idempotency key
	names   map[string]string // what each key was for
	changed chan struct{}     // closed, and made anew, at each call
	gates   map[string]chan struct{}
}

func newFarSide(t testing.TB) *farSide {
	t.Helper()
	f := &farSide{calls: map[string]int{}, names: map[string]string{}, gates: map[string]chan struct{}{}, changed: make(chan struct{})}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name := r.FormValue("name")
		n, gate := f.count(r.FormValue("key"), name)
		if gate != nil {
			select {
			case <-gate:
			case <-r.Context().Done():
				return
			}
		}
		fmt.Fprint(w, n)
	}))
	t.Cleanup(func() {
		f.mu.Lock()
		for _, gate := range f.gates {
			select {
			case <-gate:
			default:
				close(gate)
			}
		}
		f.mu.Unlock()
		srv.Close()
	})
	f.URL = srv.URL
	return f
}

func (f *farSide) count(key, name string) (int, chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls[key]++
	f.names[key] = name
	close(f.changed)
	f.changed = make(chan struct{})
	return f.calls[key], f.gates[name]
}

// hold lets calls of a name wait until the result is called.
func (f *farSide) hold(name string) (release func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	gate := make(chan struct{})
	f.gates[name] = gate
	return sync.OnceFunc(func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		close(gate)
		if f.gates[name] == gate {
			delete(f.gates, name)
		}
	})
}

// times returns how often each step of a name was executed, a number for each
// idempotency key.
func (f *farSide) times(name string) (times []int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for key, n := range f.calls {
		if f.names[key] == name {
			times = append(times, n)
		}
	}
	return times
}

// total is the sum of times.
func (f *farSide) total(name string) (n int) {
	for _, times := range f.times(name) {
		n += times
	}
	return n
}

// wait returns once steps of a name were executed n times.
func (f *farSide) wait(t testing.TB, name string, n int) {
	t.Helper()
	for ctx := soon(t); ; {
		f.mu.Lock()
		changed := f.changed
		f.mu.Unlock()
		if f.total(name) >= n {
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			t.Fatalf("%q was executed %d times within %s, want %d", name, f.total(name), patience, n)
		}
	}
}

// visit is a step's call of the far side: it returns how often that was called
// with the step's idempotency key.
func visit(ctx context.Context, far, name string) (int, error) {
	form := url.Values{"key": {durable.IdempotencyKey(ctx)}, "name": {name}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, far+"?"+form.Encode(), nil)
	if err != nil {
		return 0, err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(string(body))
}
