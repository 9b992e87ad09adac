package main

import (
	"fmt"
	"net"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/perdure/perdure/agents"
	"github.com/perdure/perdure/agents/models/scripted"
	"github.com/perdure/perdure/tools/chaos/load"
)

// A farSide is the world around the nodes, on which their steps act: it lives with the
// driver, and notes each execution of a step.
type farSide struct {
	addr  string
	srv   *http.Server
	model *scripted.Server
	n     atomic.Int64
}

// newFarSide answers each node below its name:
//
//	POST /<node>/step/<name>  execution n of any step: <name>#<n>
//	/<node>/v1/               a model that plays the weather
func newFarSide(h *history) (*farSide, error) {
	model, err := scripted.New(scripted.Weather())
	if err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	f := &farSide{addr: listener.Addr().String(), model: model}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /{node}/step/{name}", func(w http.ResponseWriter, r *http.Request) {
		begun, err := strconv.ParseInt(r.Header.Get(load.HeaderBegun), 10, 64)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		n := f.n.Add(1)
		if n%7 == 0 { // some take their time, so that they are under way when their node is not heard of
			wait(r.Context(), time.Duration(n%5)*700*time.Millisecond)
		}
		h.add(event{
			Ev: evStep, Node: r.PathValue("node"), Run: r.Header.Get(load.HeaderRun), Path: r.Header.Get(load.HeaderPath),
			Name: r.PathValue("name"), Key: r.Header.Get(agents.IdempotencyHeader), Begun: begun, Op: int(n),
		})
		fmt.Fprintf(w, "%s#%d", r.PathValue("name"), n)
	})
	mux.HandleFunc("/{node}/v1/", func(w http.ResponseWriter, r *http.Request) {
		http.StripPrefix("/"+r.PathValue("node"), model).ServeHTTP(w, r)
	})
	f.srv = &http.Server{Handler: mux, ReadHeaderTimeout: time.Minute}
	go func() { _ = f.srv.Serve(listener) }() // ends with close
	return f, nil
}

func (f *farSide) close() {
	f.model.Release()
	_ = f.srv.Close()
}
