package mcp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"

	"github.com/google/jsonschema-go/jsonschema"
	sdk "github.com/modelcontextprotocol/go-sdk/mcp"
	"github.com/perdure/perdure/agents"
	"github.com/perdure/perdure/durable"
)

// A Question is what a tool of a server asks the user in the middle of a call, which the
// protocol calls elicitation.
type Question struct {
	Server  string `json:"server"`
	Tool    string `json:"tool,omitempty"` // empty where a server of an older revision does not say
	Message string `json:"message"`
	// Schema is the JSON Schema of the answer, an object without nested ones.
	Schema json.RawMessage `json:"schema,omitempty"`
	// URL is a page that the user is to visit, in place of Schema.
	URL string `json:"url,omitempty"`
	// Wrong is what was wrong with the last answer of a person, who is asked again.
	Wrong string `json:"wrong,omitempty"`
}

// An Answer is what a [Question] is answered with.
type Answer struct {
	Accept  bool           // false: the user declines
	Content map[string]any // that matches the question's schema
}

// Answers answers the questions of the server's tools by a function, which is called within
// the step of the call: again, if the call is tried again. An error ends the attempt.
func Answers(fn func(ctx context.Context, q Question) (Answer, error)) Option {
	return func(s *server) { s.answer = fn }
}

// AskPeople has people answer the questions of the server's tools, by
// [durable.AskApproval]: the question is shown with the run, which waits as long as it
// takes and without memory, and what was answered is not asked again after a crash. Who
// approves accepts, and gives the content as JSON in place of a reason; who denies declines.
//
//	perdure approve desk/anna/run-1 --by anna --reason '{"size":"L"}'
//
// It needs a server of the revision 2026-07-28, whose questions are the result of a call.
// One of an older revision asks while the call goes on, and is told that the user cancels.
func AskPeople() Option { return func(s *server) { s.askPeople = true } }

// asks reports whether the questions of tools are answered.
func (s *server) asks() bool { return s.answer != nil || s.askPeople }

// clientOptions are what a session says and does for a server.
func (s *server) clientOptions() *sdk.ClientOptions {
	o := &sdk.ClientOptions{
		Capabilities:   &sdk.ClientCapabilities{}, // no roots
		MultiRoundTrip: &sdk.MultiRoundTripOptions{Disabled: true},
	}
	if s.asks() {
		o.Capabilities.Elicitation = &sdk.ElicitationCapabilities{Form: &sdk.FormElicitationCapabilities{}, URL: &sdk.URLElicitationCapabilities{}}
		o.ElicitationHandler = func(ctx context.Context, r *sdk.ElicitRequest) (*sdk.ElicitResult, error) {
			if s.answer == nil {
				return &sdk.ElicitResult{Action: "cancel"}, nil
			}
			return s.elicited(ctx, "", r.Params)
		}
	}
	s.sampling(o)
	return o
}

// question returns what is asked.
func (s *server) question(tool string, p *sdk.ElicitParams) (Question, error) {
	q := Question{Server: s.name, Tool: tool, Message: p.Message, URL: p.URL}
	if p.URL == "" && p.RequestedSchema != nil {
		schema, err := json.Marshal(p.RequestedSchema)
		if err != nil {
			return q, err
		}
		q.Schema = schema
	}
	return q, nil
}

// elicited answers by the function.
func (s *server) elicited(ctx context.Context, tool string, p *sdk.ElicitParams) (*sdk.ElicitResult, error) {
	q, err := s.question(tool, p)
	if err != nil {
		return nil, err
	}
	a, err := s.answer(ctx, q)
	if err != nil {
		return nil, err
	}
	if !a.Accept {
		return &sdk.ElicitResult{Action: "decline"}, nil
	}
	if err := q.fits(a.Content); err != nil {
		return nil, durable.Fail(durable.ErrInvalid.Code, "the answer to %q does not fit its schema: %v", q.Message, err)
	}
	return &sdk.ElicitResult{Action: "accept", Content: a.Content}, nil
}

// fits checks an answer. A schema that cannot be read here is left to the server.
func (q Question) fits(content map[string]any) error {
	var schema jsonschema.Schema
	if len(q.Schema) == 0 || json.Unmarshal(q.Schema, &schema) != nil {
		return nil
	}
	resolved, err := schema.Resolve(nil)
	if err != nil {
		return nil // as above
	}
	if content == nil {
		content = map[string]any{}
	}
	return resolved.Validate(content)
}

// A pending inquiry is what a call goes on with once people have answered.
type pending struct {
	Request  json.RawMessage            `json:"request,omitempty"` // the server's state
	Asked    map[string]Question        `json:"asked"`
	Answered map[string]json.RawMessage `json:"answered,omitempty"` // responses that are there
}

// inputs answers what a server wants to know before a call goes on. It is an
// [agents.Inquiry] where people are to be asked.
func (s *server) inputs(ctx context.Context, tool string, r *sdk.CallToolResult) (sdk.InputResponseMap, error) {
	responses := sdk.InputResponseMap{}
	ask := map[string]Question{}
	for id, in := range r.InputRequests {
		var err error
		switch p := in.(type) {
		case *sdk.ElicitParams:
			switch {
			case s.answer != nil:
				responses[id], err = s.elicited(ctx, tool, p)
			case s.askPeople:
				ask[id], err = s.question(tool, p)
			default:
				return nil, durable.Fail(ErrTool.Code, "the tool asks its user a question, and there is nobody to answer: give it what it asks for as arguments, or go on without")
			}
		default:
			responses[id], err = s.sampled(ctx, in)
		}
		if err != nil {
			return nil, err
		}
	}
	if len(ask) > 0 {
		return nil, inquiry(ask, responses, r.RequestState)
	}
	return responses, nil
}

// inquiry returns what people are asked.
func inquiry(ask map[string]Question, responses sdk.InputResponseMap, state string) error {
	p := pending{Asked: ask, Answered: map[string]json.RawMessage{}}
	in := &agents.Inquiry{Questions: map[string]json.RawMessage{}}
	var errs []error
	encode := func(v any) json.RawMessage {
		data, err := json.Marshal(v)
		errs = append(errs, err)
		return data
	}
	p.Request = encode(state)
	for id, r := range responses {
		p.Answered[id] = encode(r)
	}
	for id, q := range ask {
		in.Questions[id] = encode(q)
	}
	in.State = encode(p)
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return in
}

// decided returns the responses that people's decisions stand for, and the server's state. It is
// an [agents.Inquiry] again where an answer does not fit.
func decided(a *agents.Answers) (sdk.InputResponseMap, string, error) {
	var p pending
	if err := json.Unmarshal(a.State, &p); err != nil {
		return nil, "", err
	}
	var state string
	if err := json.Unmarshal(p.Request, &state); err != nil {
		return nil, "", err
	}
	known, err := json.Marshal(p.Answered)
	if err != nil {
		return nil, "", err
	}
	responses := sdk.InputResponseMap{}
	if err := json.Unmarshal(known, &responses); err != nil {
		return nil, "", err
	}
	again := map[string]Question{}
	for id, q := range p.Asked {
		d := a.Decisions[id]
		if !d.Approved {
			responses[id] = &sdk.ElicitResult{Action: "decline"}
			continue
		}
		content, err := q.content(d.Reason)
		if err != nil {
			q.Wrong = fmt.Sprintf("%v; approve with a JSON object of the schema as the reason", err)
			again[id] = q
			continue
		}
		responses[id] = &sdk.ElicitResult{Action: "accept", Content: content}
	}
	if len(again) > 0 {
		return nil, "", inquiry(again, responses, state)
	}
	return responses, state, nil
}

// content returns what a person has answered.
func (q Question) content(reason string) (map[string]any, error) {
	if q.URL != "" || len(q.Schema) == 0 {
		return nil, nil
	}
	content := map[string]any{}
	if reason != "" {
		if err := json.Unmarshal([]byte(reason), &content); err != nil {
			return nil, fmt.Errorf("the answer %.100q is no JSON object", reason)
		}
	}
	return maps.Clone(content), q.fits(content)
}
