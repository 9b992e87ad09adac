package main

import (
	"context"
	"errors"
	"net"
	"net/http"
	"time"

	"github.com/perdure/perdure/agents/models/scripted"
)

// A model is a scripted one on a server of its own.
type model struct {
	*scripted.Server
	url   string
	close func()
}

func serveModel(ctx context.Context, play func(*scripted.Request) scripted.Reply) (*model, error) {
	return serveScript(ctx, scripted.Script{Rules: []scripted.Rule{{Func: play}}})
}

func serveScript(ctx context.Context, script scripted.Script) (*model, error) {
	s, err := scripted.New(script)
	if err != nil {
		return nil, err
	}
	url, end, err := serveHTTP(ctx, s)
	if err != nil {
		return nil, err
	}
	return &model{s, url, end}, nil
}

// serveHTTP serves at a free port until close is called.
func serveHTTP(ctx context.Context, h http.Handler) (url string, end func(), err error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	srv := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second}
	ended := make(chan error, 1)
	go func() { ended <- srv.Serve(l) }()
	return "http://" + l.Addr().String(), func() {
		_ = srv.Close()
		if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
			panic(err) // it was serving all the time: nothing that was found is worth anything
		}
	}, nil
}
