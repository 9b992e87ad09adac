package agents_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/perdure/perdure/agents"
	"github.com/perdure/perdure/agents/agentstest"
	"github.com/perdure/perdure/agents/models/scripted"
	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/runtime"
)

// echo returns what it is given.
func echo(_ context.Context, arguments json.RawMessage) (json.RawMessage, error) {
	return arguments, nil
}

func rawSpec(schema string) agents.ToolSpec {
	return agents.ToolSpec{Name: "raw", Description: "Echoes", Parameters: json.RawMessage(schema)}
}

// TestRawToolsAreGivenWhatMatchesTheirSchema has the model call one tool with arguments of
// all kinds.
func TestRawToolsAreGivenWhatMatchesTheirSchema(t *testing.T) {
	const schema = `{"type":"object","properties":{"n":{"type":"integer","maximum":9}},"required":["n"]}`
	for _, c := range []struct{ name, schema, arguments, told string }{
		{"as written", schema, `{"n":7, "more":1.0}`, `{"n":7,"more":1.0}`},
		{"too large", schema, `{"n":10}`, "bad_arguments"},
		{"missing", schema, ``, "bad_arguments"},
		{"no JSON", schema, `{"n":`, "bad_arguments"},
		{"a schema of another dialect", `{"type":"object","properties":{"s":{"type":"string","pattern":"(?<=x)y"}}}`, `{"s":7}`, `{"s":7}`},
		{"no object for it", `{"type":"object","properties":{"s":{"type":"string","pattern":"(?<=x)y"}}}`, `[]`, "bad_arguments"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := agentstest.Model(t, script(func(r *scripted.Request) scripted.Reply {
				if r.Rounds() == 0 {
					return calls(call("raw", c.arguments))
				}
				return scripted.Reply{Text: r.Last().Content}
			}))
			b := setup(t, agents.New(weather, agents.UseModel(m), agents.Tools(agents.Raw(rawSpec(c.schema), echo))))
			b.Start()
			got, err := do[string](b, ref("weather", "w", "1"), "go")
			if err != nil {
				t.Fatal(err)
			}
			contains(t, got, c.told)
		})
	}
}

// A shop is a server whose tools a test sets.
type shop struct {
	agents.ToolServer
	names  []string
	err    error
	opened int
}

func (s *shop) Open(context.Context) error {
	if s.err == nil {
		s.opened++
	}
	return s.err
}

func (s *shop) Close() error {
	s.opened--
	return nil
}

func (s *shop) Tools(context.Context) (tools []agents.Tool, err error) {
	for _, name := range s.names {
		tools = append(tools, agents.Raw(agents.ToolSpec{Name: name, Parameters: json.RawMessage(`{"type":"object"}`)}, echo))
	}
	return tools, nil
}

type misconfigured struct{ agents.ToolServer }

func (misconfigured) Err() error { return errors.New("it has no address") }

func TestWrongToolsAreReportedWithTheAgent(t *testing.T) {
	m := agentstest.Model(t, scripted.Script{Rules: []scripted.Rule{{Reply: scripted.Reply{Text: "."}}}})
	for want, tool := range map[string]agents.Tool{
		`tool name "a b"`:           agents.Raw(agents.ToolSpec{Name: "a b", Parameters: json.RawMessage(`{"type":"object"}`)}, echo),
		`is of type "string"`:       agents.Raw(rawSpec(`{"type":"string"}`), echo),
		"are no JSON Schema":        agents.Raw(rawSpec(``), echo),
		"its function is nil":       agents.Raw(rawSpec(`{"type":"object"}`), nil),
		"Served: the server is nil": agents.Served(nil),
		"it has no address":         agents.Served(misconfigured{}),
	} {
		err := agents.New(weather, agents.UseModel(m), agents.Tools(tool)).Validate()
		if err == nil || !errors.Is(err, durable.ErrInvalid) && !strings.Contains(want, "address") {
			t.Errorf("%s: error %v", want, err)
			continue
		}
		contains(t, err.Error(), want)
	}
}

// TestServersThatCannotBeUsedAreClosedAgain has two servers, of which one is wrong.
func TestServersThatCannotBeUsedAreClosedAgain(t *testing.T) {
	m := agentstest.Model(t, scripted.Script{Rules: []scripted.Rule{{Reply: scripted.Reply{Text: "."}}}})
	for name, c := range map[string]struct {
		second *shop
		want   string
	}{
		"does not open":        {&shop{err: errors.New("it is away")}, "it is away"},
		"has a name of theirs": {&shop{names: []string{"buy"}}, `["buy"]`},
		"has a name of ours":   {&shop{names: []string{"get_weather"}}, `["get_weather"]`},
		"has a bad name":       {&shop{names: []string{"a b"}}, `tool name "a b"`},
	} {
		t.Run(name, func(t *testing.T) {
			first := &shop{names: []string{"buy"}}
			kind := agents.New(weather, agents.UseModel(m), agents.Tools(agents.Func("get_weather", "", getWeather), agents.Served(first), agents.Served(c.second)))
			_, err := kind.Open(t.Context())
			if err == nil {
				t.Fatal("it was opened")
			}
			contains(t, err.Error(), c.want)
			if first.opened != 0 || c.second.opened != 0 {
				t.Errorf("%d and %d times open", first.opened, c.second.opened)
			}
		})
	}
}

// TestAToolThatComesWithATakenNameIsNotOffered changes the tools of an open server.
func TestAToolThatComesWithATakenNameIsNotOffered(t *testing.T) {
	s := &shop{names: []string{"buy"}}
	var offered []string
	m := agentstest.Model(t, script(func(r *scripted.Request) scripted.Reply {
		offered = r.Tools
		return scripted.Reply{Text: "done"}
	}))
	kind := agents.New(weather, agents.UseModel(m), agents.Tools(agents.Func("get_weather", "", getWeather), agents.Served(s)))
	closes, err := kind.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s.names = []string{"get_weather", "sell"}
	b := setup(t, kind)
	var log lines
	b.Configure = func(c *runtime.Config) { c.Log = slog.New(slog.NewTextHandler(&log, nil)) }
	b.Start()
	if _, err := do[string](b, ref("weather", "w", "1"), "go"); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(offered, " "); got != "get_weather sell" {
		t.Errorf("the model is offered %q", got)
	}
	if log.count("are not offered") != 1 {
		t.Errorf("the log says %s", log.b.String())
	}
	if err := closes(); err != nil || s.opened != 0 {
		t.Errorf("%v, and it is open %d times", err, s.opened)
	}
}
