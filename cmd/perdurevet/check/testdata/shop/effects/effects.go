// Package effects is about what is outside of the process.
package effects

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/perdure/perdure/durable"
)

type bank interface {
	Charge(ctx context.Context, cents int) error
}

type shop struct {
	db    *sql.DB
	bank  bank
	web   *http.Client
	hook  func(context.Context) error
	price func(string) int
}

func (s *shop) workflow(ctx durable.Context, name string) (int, error) {
	_, _ = http.Get(name)        // want `^shop.workflow calls http.Get: it happens again on every replay; do it in a durable.Step`
	_, _ = s.web.Do(nil)         // want `calls http.Client.Do`
	_, _ = net.Dial("tcp", name) // want `calls net.Dial`
	var conn net.Conn
	_, _ = conn.Write(nil)                               // want `calls net.Conn.Write`
	_, _ = os.ReadFile(name)                             // want `calls os.ReadFile`
	_ = os.Getenv("HOME")                                // want `calls os.Getenv: a replay may be on another machine`
	_ = os.Args[0]                                       // want `reads os.Args`
	_ = exec.Command(name).Run()                         // want `calls exec.Cmd.Run`
	_, _ = s.db.QueryContext(context.Background(), name) // want `calls sql.DB.QueryContext`
	_ = s.bank.Charge(context.Background(), 1)           // want `calls bank.Charge with a context.Context: what takes a context may wait`
	_ = s.hook(context.Background())                     // want `calls hook with a context.Context`
	_, _ = filepath.Glob(name)                           // want `calls filepath.Glob`
	return 0, nil
}

func (s *shop) good(ctx durable.Context, name string) (int, error) {
	u, err := url.Parse(name)
	if err != nil || errors.Is(err, os.ErrNotExist) || os.IsNotExist(err) {
		return 0, err
	}
	if net.ParseIP(u.Host) == nil || http.StatusText(200) == "" {
		return 0, durable.Fail("bad", "%s", net.JoinHostPort(u.Host, "80"))
	}
	ctx.Log().InfoContext(context.Background(), "at", "path", filepath.Join("a", "b"))
	slog.Info(fmt.Sprint(s.price(name)))
	body := func(ctx context.Context) (int, error) { return 1, s.hook(ctx) }
	if _, err := durable.Step(ctx, "hook", body); err != nil {
		return 0, err
	}
	if _, err := durable.Step(ctx, "charge", s.charge, durable.OnceOrVerify(func(ctx context.Context) (int, error) {
		_, err := os.ReadFile(name)
		return 1, err
	}), durable.RetryIf(func(err error) bool { return os.Getenv("PATIENT") != "" })); err != nil {
		return 0, err
	}
	durable.OnFailure(ctx, "refund", func(ctx context.Context) error { return s.bank.Charge(ctx, -1) })
	sizes, err := durable.Map(ctx, "size", []string{name}, 3, size)
	return len(sizes), err
}

func (s *shop) charge(ctx context.Context) (int, error) { // want charge:"calls bank.Charge with a context.Context"
	return 1, s.bank.Charge(ctx, 1)
}

func size(_ context.Context, name string) (int, error) { // want size:"calls os.ReadFile"
	b, err := os.ReadFile(name)
	return len(b), err
}
