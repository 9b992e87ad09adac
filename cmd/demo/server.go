package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"

	"github.com/perdure/perdure/agents/models/scripted"
)

// The model and the tool are processes of their own, which outlive the kill:
// what they count, the node cannot have made up.

// server is this program as one of them.
func server(ctx context.Context, role string) error {
	switch role {
	case "model":
		return scripted.Run(ctx, nil, os.Stdout)
	case "tool":
		return serveTool(ctx)
	}
	return fmt.Errorf("%q is not a part of the demo; run it without arguments", role)
}

// counts is what the servers say at /calls.
type counts struct {
	Calls    int `json:"calls"`    // distinct idempotency keys
	Repeated int `json:"repeated"` // calls under a key that was there before
	InFlight int `json:"in_flight"`
}

// weatherTool answers what the weather is. Its first call waits until it is
// released, so that there is one in flight to kill the node at.
type weatherTool struct {
	mu       sync.Mutex
	keys     map[string]int
	inFlight int
	released chan struct{}
	once     sync.Once
}

func serveTool(ctx context.Context) error {
	t := &weatherTool{keys: map[string]int{}, released: make(chan struct{})}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /weather", t.weather)
	mux.HandleFunc("GET /calls", func(w http.ResponseWriter, _ *http.Request) { _ = json.NewEncoder(w).Encode(t.counts()) })
	mux.HandleFunc("POST /release", func(http.ResponseWriter, *http.Request) { t.once.Do(func() { close(t.released) }) })
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	srv := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second, BaseContext: func(net.Listener) context.Context { return ctx }}
	stop := context.AfterFunc(ctx, func() { _ = srv.Close() })
	defer stop()
	fmt.Println("ready http://" + l.Addr().String())
	return srv.Serve(l)
}

func (t *weatherTool) weather(w http.ResponseWriter, r *http.Request) {
	key := r.Header.Get("Idempotency-Key")
	if key == "" {
		http.Error(w, "the call has no Idempotency-Key", http.StatusBadRequest)
		return
	}
	t.mu.Lock()
	t.keys[key]++
	t.inFlight++
	t.mu.Unlock()
	defer func() {
		t.mu.Lock()
		t.inFlight--
		t.mu.Unlock()
	}()
	select {
	case <-t.released:
	case <-r.Context().Done():
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{"city": r.URL.Query().Get("city"), "celsius": 9, "sky": "rain"})
}

func (t *weatherTool) counts() counts {
	t.mu.Lock()
	defer t.mu.Unlock()
	c := counts{Calls: len(t.keys), InFlight: t.inFlight}
	for _, n := range t.keys {
		c.Repeated += n - 1
	}
	return c
}

// child is one of the servers, seen from the demo.
type child struct {
	url  string
	cmd  *exec.Cmd
	last counts
}

func startServer(ctx context.Context, role string) (*child, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	c := &child{cmd: exec.Command(self, role)}
	c.cmd.Stderr = os.Stderr
	line, err := started(ctx, c.cmd, "ready ")
	if err != nil {
		return nil, fmt.Errorf("start the %s: %w", role, err)
	}
	c.url = strings.Fields(line)[1]
	return c, nil
}

func (c *child) kill() {
	_ = c.cmd.Process.Kill()
	_ = c.cmd.Wait()
}

func (c *child) do(ctx context.Context, method, path string, out any) error {
	req, err := http.NewRequestWithContext(ctx, method, c.url+path, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s %s: %s", method, path, resp.Status)
	}
	if out == nil {
		return nil
	}
	return json.NewDecoder(resp.Body).Decode(out)
}

func (c *child) counts(ctx context.Context) (counts, error) {
	err := c.do(ctx, http.MethodGet, "/calls", &c.last)
	return c.last, err
}

func (c *child) release(ctx context.Context) error {
	return c.do(ctx, http.MethodPost, "/release", nil)
}

// until asks the server for its counts until ok says that they are as wanted.
func (c *child) until(ctx context.Context, ok func(counts) bool) error {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	t := time.NewTicker(10 * time.Millisecond)
	defer t.Stop()
	for {
		if n, err := c.counts(ctx); err != nil {
			return err
		} else if ok(n) {
			return nil
		}
		select {
		case <-t.C:
		case <-ctx.Done():
			return fmt.Errorf("%w; the server's counts are %+v", ctx.Err(), c.last)
		}
	}
}
