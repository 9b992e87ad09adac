package scripted

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"time"
)

// Serve plays a script at an address until ctx ends, which is no error. Port 0
// is one that is free; ready, if not nil, is given the server's URL once it can
// be asked. The base URL of Chat Completions is that URL with /v1 behind it, that
// of the Messages API is that URL.
func Serve(ctx context.Context, addr string, s Script, ready func(url string)) error {
	if addr == "" {
		return errors.New("an address is needed to serve the scripted model, e.g. 127.0.0.1:0")
	}
	v, err := New(s)
	if err != nil {
		return err
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", addr)
	if err != nil {
		return fmt.Errorf("listen for the scripted model: %w", err)
	}
	// Requests end with ctx, so that stopping does not wait for those that stall.
	srv := &http.Server{Handler: v, ReadHeaderTimeout: 10 * time.Second, BaseContext: func(net.Listener) context.Context { return ctx }}
	stop := context.AfterFunc(ctx, func() { _ = srv.Close() })
	defer stop()
	if ready != nil {
		ready("http://" + l.Addr().String())
	}
	if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve the scripted model at %s: %w", addr, err)
	}
	return nil
}

// Run is the main function of a program that is a scripted model, for a process
// of its own: it takes the arguments -addr and -script, prints a line "ready
// URL" once it can be asked, and returns when ctx ends. The script is a file, or
// the word weather for [Weather].
//
//	err := scripted.Run(ctx, os.Args[1:], os.Stdout)
func Run(ctx context.Context, args []string, stdout io.Writer) error {
	flags := flag.NewFlagSet("scripted", flag.ContinueOnError)
	flags.SetOutput(stdout)
	addr := flags.String("addr", "127.0.0.1:0", "`HOST:PORT` to listen at; port 0 is a free one")
	script := flags.String("script", "weather", "`FILE` with a script, or the word weather")
	if err := flags.Parse(args); err != nil {
		return err
	}
	s := Weather()
	if *script != "weather" {
		data, err := os.ReadFile(*script)
		if err != nil {
			return fmt.Errorf("read the script: %w", err)
		}
		if s, err = Parse(data); err != nil {
			return fmt.Errorf("script %s: %w", *script, err)
		}
	}
	return Serve(ctx, *addr, s, func(url string) { _, _ = fmt.Fprintln(stdout, "ready", url) })
}
