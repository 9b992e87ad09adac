package durable_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/runtime"
	"github.com/perdure/perdure/runtime/runtimetest"
	"github.com/perdure/perdure/schemas"
)

// play hosts kinds in memory and returns the result of one run.
func play[In, Out any](ctx context.Context, w *runtimetest.World, name durable.Name[In, Out], key string, in In) (Out, error) {
	var zero Out
	p, err := durable.Encode(in)
	if err != nil {
		return zero, err
	}
	ref := name.At(key).Identity().Run(schemas.RunID(key))
	rec, err := w.Do(ctx, ref, name.Method(), p)
	if err != nil {
		return zero, err
	}
	if rec.GetError() != nil {
		return zero, runtime.DecodeError(rec.GetError())
	}
	return durable.Decode[Out](rec.GetResult())
}

// bind makes a kind of one method, as packages above do.
func bind[In, Out any](name durable.Name[In, Out], fn func(durable.Context, In) (Out, error)) *durable.Kind {
	return &durable.Kind{Name: name.Kind(), Type: "actor", Methods: map[string]runtime.Method{name.Method(): {
		Check: durable.CheckInput[In],
		Handler: func(c *runtime.Context, p *schemas.Payload) (*schemas.Payload, error) {
			in, err := durable.Decode[In](p)
			if err != nil {
				return nil, err
			}
			out, err := fn(durable.FromEngine(c), in)
			if err != nil {
				return nil, err
			}
			return durable.Result(out)
		},
	}}}
}

// try runs fn as a workflow in a bubble of synctest and checks what it returns.
func try[Out comparable](t *testing.T, want Out, fn func(durable.Context) (Out, error), kinds ...*durable.Kind) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		t.Helper()
		name := durable.DeclareWorkflow[durable.None, Out]("try")
		k := durable.Workflow(name, func(ctx durable.Context, _ durable.None) (Out, error) { return fn(ctx) })
		w := runtimetest.NewWorld(append(kinds, k)...)
		w.Start()
		ctx, cancel := context.WithTimeout(t.Context(), 1000*time.Hour)
		defer cancel()
		got, err := play(ctx, w, name, "a", durable.None{})
		if err != nil || got != want {
			t.Errorf("got %v, %v; want %v", got, err, want)
		}
		if err := w.Settle(ctx); err != nil {
			t.Error(err)
		}
		for _, wrong := range w.Close() {
			t.Error(wrong)
		}
	})
}

// code is what the tests compare of an error.
func code(err error) string {
	var e *durable.Error
	if errors.As(err, &e) {
		return e.Code
	}
	return fmt.Sprint(err)
}

// logLines keeps what a world's runs say.
type logLines struct{ b bytes.Buffer }

func (l *logLines) configure(c *runtime.Config) {
	c.Log = slog.New(slog.NewTextHandler(&l.b, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey || a.Key == slog.LevelKey || a.Key == "run" {
			return slog.Attr{}
		}
		return a
	}}))
}

func (l *logLines) said() []string { return strings.Split(strings.TrimSpace(l.b.String()), "\n") }
