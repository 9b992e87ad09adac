package agents

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/perdure/perdure/durable"
)

// A ToolServer has tools of which it says itself what they are, and which may change
// while it runs. Package mcp has those of the Model Context Protocol. Its methods may be
// called by several goroutines at once.
//
// A server whose settings are wrong has a method Err() error beside these; what it returns
// is reported when a node is opened with the agent.
type ToolServer interface {
	// Open is called when a node is opened with an agent that has the server, before the
	// node takes work. It fails if the server does not answer.
	Open(ctx context.Context) error
	// Close is called when the node is closed, once for each Open that succeeded.
	Close() error
	// Tools returns the tools that the server has now, which [Raw] and [Func] make. It is
	// called before each request to a model, and by a server that has been opened it is
	// answered without much delay from what is known.
	Tools(ctx context.Context) ([]Tool, error)
	// Tool returns the tool of a name that the model calls. A server returns one also for
	// a name that it no longer has, so that a call which a dead process began keeps its
	// options; such a tool fails when it is called.
	Tool(name string) (Tool, bool)
}

// Served returns the tools of a server, as one value for [Tools]. Those that a request
// offers to the model are the ones that the server has at that time. They are recorded
// with the model's answer, once and again when they change: a run in flight goes on
// whatever becomes of the server's tools, and a call of one that is gone is an error that
// the model is told.
func Served(s ToolServer) Tool {
	t := Tool{server: s}
	if s == nil {
		t.errs = append(t.errs, durable.Fail(durable.ErrInvalid.Code, "Served: the server is nil"))
	} else if err := errOf(s); err != nil {
		t.errs = append(t.errs, err)
	}
	return t
}

// open opens the servers of the agent for a node.
func (a *agent) open(ctx context.Context) (closes func() error, err error) {
	var opened []ToolServer
	closes = func() error {
		var errs []error
		for _, s := range slices.Backward(opened) {
			errs = append(errs, s.Close())
		}
		return errors.Join(errs...)
	}
	for _, s := range a.servers {
		if err := s.Open(ctx); err != nil {
			return nil, errors.Join(err, closes())
		}
		opened = append(opened, s)
	}
	_, twice, err := a.list(ctx)
	if err == nil && len(twice) > 0 {
		err = durable.Fail(durable.ErrInvalid.Code, "tools %q are there twice; give one of their servers a prefix, or leave them out of one", twice)
	}
	if err != nil {
		return nil, errors.Join(err, closes())
	}
	return closes, nil
}

// list returns what the servers have now, and the names of what another tool's name
// keeps from being offered.
func (a *agent) list(ctx context.Context) (specs []ToolSpec, twice []string, err error) {
	taken := map[string]bool{}
	for _, name := range a.names {
		taken[name] = true
	}
	for _, s := range a.servers {
		tools, err := s.Tools(ctx)
		if err != nil {
			return nil, nil, err
		}
		for _, t := range tools {
			if len(t.errs) > 0 {
				return nil, nil, errors.Join(t.errs...)
			}
			if taken[t.spec.Name] {
				twice = append(twice, t.spec.Name)
				continue
			}
			taken[t.spec.Name] = true
			specs = append(specs, t.spec)
		}
	}
	return specs, twice, nil
}

// servedTools is what a request says of the tools of servers. text is what the journal
// has of it; nil where nothing was ever offered.
type servedTools struct {
	shape shaping // what else the request has that may change
	specs []ToolSpec
	text  json.RawMessage
	twice []string // names of what is left out
}

// serve returns what the next request is to say.
func (v *conversation) serve(ctx context.Context) (servedTools, error) {
	shape, err := v.reshape(ctx)
	if err != nil || len(v.servers) == 0 {
		return servedTools{shape: shape}, err
	}
	specs, twice, err := v.list(ctx)
	if err != nil {
		return servedTools{}, fmt.Errorf("list the tools: %w", err)
	}
	if len(specs) == 0 {
		return servedTools{shape: shape, twice: twice}, nil
	}
	text, err := json.Marshal(specs)
	if err != nil {
		return servedTools{}, fmt.Errorf("list the tools: %w", err)
	}
	return servedTools{shape, specs, text, twice}, nil
}

// noTools is what the journal has where there are none any more.
var noTools = json.RawMessage("[]")

// since returns what is recorded after a request that said the one before; nil: nothing.
func (s servedTools) since(before servedTools) json.RawMessage {
	switch {
	case bytes.Equal(s.text, before.text):
		return nil
	case s.text == nil:
		return noTools
	}
	return s.text
}

// then is the reverse of since.
func (s servedTools) then(recorded json.RawMessage) (servedTools, error) {
	if recorded == nil {
		return s, nil
	}
	next := servedTools{shape: s.shape, text: recorded}
	if err := json.Unmarshal(recorded, &next.specs); err != nil {
		return s, fmt.Errorf("read the recorded tools: %w", err)
	}
	if len(next.specs) == 0 {
		return servedTools{shape: s.shape}, nil
	}
	return next, nil
}

// sum is the hash of a request: asked is the one of all else that it says.
func (s servedTools) sum(asked []byte) string {
	asked = s.shape.sum(asked)
	if s.text != nil {
		h := sha256.New()
		h.Write(asked)
		h.Write(s.text)
		asked = h.Sum(nil)
	}
	return base64.RawStdEncoding.EncodeToString(asked)
}

// after returns the agent's own tools and those of servers.
func (s servedTools) after(own []ToolSpec) []ToolSpec {
	return slices.Concat(own, s.specs)
}

func (s servedTools) names(own []string) []string {
	names := slices.Clone(own)
	for _, t := range s.specs {
		names = append(names, t.Name)
	}
	return names
}

// tool returns the tool that a call is of.
func (v *conversation) tool(name string) (Tool, bool) {
	if t, ok := v.tools[name]; ok {
		return t.within(v.maxResult), true
	}
	if name == readResult {
		if t, ok := v.reader(); ok {
			return t, true
		}
	}
	for _, s := range v.servers {
		if t, ok := s.Tool(name); ok {
			return t.within(v.maxResult), true
		}
	}
	return Tool{}, false
}
