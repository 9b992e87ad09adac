package perdure

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"time"
)

// Health lets the node answer at HOST:PORT, by HTTP, what an orchestrator asks: GET /livez,
// which is 200 for as long as the process answers, also while [Open] waits for other servers;
// and GET /readyz, which is 200 while the node takes work and has its lease and its connection
// to NATS, and otherwise 503 with the reason in a line. Whoever reaches the address may ask.
// It is closed when the node is.
func Health(addr string) Option {
	return func(o *options) error {
		if _, _, err := net.SplitHostPort(addr); err != nil {
			return fmt.Errorf("health is to be answered at %q: use HOST:PORT, e.g. 127.0.0.1:8080", addr)
		}
		o.health = addr
		return nil
	}
}

// A health answers how a node is. It is there before the node is open.
type health struct {
	server http.Server
	ended  chan struct{} // closed when nothing is served any more
	node   atomic.Pointer[Node]
}

// serveHealth listens at an address until the health is closed.
func serveHealth(ctx context.Context, addr string, log *slog.Logger) (*health, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("answer health at %s: %w; set health to an address of this machine that is free, or stop the program that has it", addr, err)
	}
	log.Info("answers whether it lives and is ready, at /livez and /readyz", "address", l.Addr().String())
	h := &health{ended: make(chan struct{})}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { say(w, "") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) { say(w, h.unready()) })
	h.server = http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second, IdleTimeout: time.Minute, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug)}
	go func() {
		defer close(h.ended)
		if err := h.server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			log.Error("health is not answered any more", "address", addr, "error", err)
		}
	}()
	return h, nil
}

// say answers that all is well, or why not.
func say(w http.ResponseWriter, why string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	if why != "" {
		w.WriteHeader(http.StatusServiceUnavailable)
	} else {
		why = "ok"
	}
	_, _ = io.WriteString(w, why+"\n") // who asked asks again
}

// unready says why the node is not ready; empty if it is.
func (h *health) unready() string {
	n := h.node.Load()
	if n == nil {
		return "the node is opening: it starts its NATS server, or waits for others"
	}
	return n.unready()
}

// unready says why the node, which is open, does not take work; empty if it does.
func (n *Node) unready() string {
	if n.draining.Load() {
		return "the node is leaving: it takes nothing new, and hands over what it has"
	}
	select {
	case <-n.Ready():
	default:
		return "the node does not take work yet: it joins the others"
	}
	switch {
	case !n.b.Conn().IsConnected():
		return "the node has no connection to NATS"
	case !n.host.Leased():
		return "the node has no lease: it could not renew it in time, and owns no partition"
	}
	return ""
}

// close stops listening, and waits until nothing is served.
func (h *health) close() error {
	err := h.server.Close()
	<-h.ended
	return err
}
