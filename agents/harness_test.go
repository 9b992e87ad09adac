package agents_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/perdure/perdure/agents/models/scripted"
	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/runtime"
	"github.com/perdure/perdure/runtime/runtimetest"
	"github.com/perdure/perdure/schemas"
)

var weather = durable.Declare[string, string]("weather")

type place struct {
	City string `json:"city" jsonschema:"the city's name"`
}

type report struct {
	City    string  `json:"city"`
	Celsius float64 `json:"celsius"`
	Sky     string  `json:"sky"`
}

func getWeather(_ context.Context, in place) (report, error) {
	return report{in.City, 9, "rain"}, nil
}

// script is a model that answers by a function.
func script(fn func(*scripted.Request) scripted.Reply) scripted.Script {
	return scripted.Script{Rules: []scripted.Rule{{Func: fn}}}
}

func call(tool, arguments string) scripted.Call {
	return scripted.Call{Name: tool, Arguments: scripted.Arguments(arguments)}
}

func calls(cs ...scripted.Call) scripted.Reply { return scripted.Reply{Calls: cs} }

// bundle is a world of kinds, for one test.
type bundle struct {
	*runtimetest.World
	t   *testing.T
	ctx context.Context
}

func setup(t *testing.T, kinds ...*runtime.Kind) *bundle {
	t.Helper()
	for _, k := range kinds {
		if err := k.Validate(); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	w := runtimetest.NewWorld(kinds...)
	w.AutoRestart = true
	t.Cleanup(func() {
		cancel()
		for _, wrong := range w.Close() {
			t.Error(wrong)
		}
	})
	return &bundle{w, t, ctx}
}

func ref(kind, key, id string) schemas.Ref {
	return schemas.Identity{Kind: schemas.Kind(kind), Key: key}.Run(schemas.RunID(id))
}

func payload(t *testing.T, v any) *schemas.Payload {
	t.Helper()
	p, err := durable.Encode(v)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// do makes a run and returns its result or error.
func do[Out any](b *bundle, r schemas.Ref, input any) (Out, error) {
	b.t.Helper()
	rec, err := b.Do(b.ctx, r, "", payload(b.t, input))
	if err != nil {
		b.t.Fatal(err)
	}
	return outcome[Out](b.t, rec)
}

func outcome[Out any](t *testing.T, rec *schemas.Record) (Out, error) {
	t.Helper()
	var out Out
	if err := runtime.DecodeError(rec.GetError()); err != nil {
		return out, err
	}
	if err := json.Unmarshal(rec.GetResult().GetData(), &out); err != nil {
		t.Fatalf("the result %q: %v", rec.GetResult().GetData(), err)
	}
	return out, nil
}

func contains(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, p := range parts {
		if !strings.Contains(text, p) {
			t.Errorf("%q does not contain %q", text, p)
		}
	}
}

func wantErr(t *testing.T, err error, target *durable.Error, parts ...string) {
	t.Helper()
	if !errors.Is(err, target) {
		t.Fatalf("error %v, want one of code %q", err, target.Code)
	}
	contains(t, err.Error(), parts...)
}
