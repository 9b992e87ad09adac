package mcp

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"strings"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"
	"github.com/perdure/perdure/agents"
	"github.com/perdure/perdure/agents/internal/far"
	"github.com/perdure/perdure/durable"
)

// Resources gives the agent two tools more, if the server has resources: list_resources,
// whose result also has the templates of addresses, and read_resource, which reads one. A tool of
// that name which the server has itself is preferred.
func Resources() Option { return func(s *server) { s.resources = true } }

// Prompts gives the agent two tools more, if the server has prompts: list_prompts, and
// get_prompt, which fills one in. A tool of that name which the server has itself is
// preferred.
func Prompts() Option { return func(s *server) { s.prompts = true } }

// A builtin is a tool that is no tool of the server, but another request to it.
type builtin func(ctx context.Context, se *session, arguments json.RawMessage) (string, error)

// extras returns the tools for what the server has besides its tools.
func (se *session) extras() (all []listed) {
	add := func(name, about, schema string, do builtin) {
		all = append(all, listed{
			spec:   agents.ToolSpec{Name: far.ToolName(se.s.prefix, name), Description: about, Parameters: json.RawMessage(schema)},
			remote: name, builtin: do,
		})
	}
	const nothing = `{"type":"object","properties":{},"additionalProperties":false}`
	has := &sdk.ServerCapabilities{}
	if r := se.cs.InitializeResult(); r != nil && r.Capabilities != nil {
		has = r.Capabilities
	}
	if se.s.resources && has.Resources != nil {
		add("list_resources", "List the resources that read_resource reads, and the templates of their addresses", nothing, listResources)
		add("read_resource", "Read a resource by its address", `{"type":"object","properties":{"uri":{"type":"string","description":"its address, as list_resources has it, or made by one of its templates"}},"required":["uri"],"additionalProperties":false}`, readResource)
	}
	if se.s.prompts && has.Prompts != nil {
		add("list_prompts", "List prompts: texts that say how to go about something", nothing, listPrompts)
		add("get_prompt", "Get the text of a prompt", `{"type":"object","properties":{"name":{"type":"string"},"arguments":{"type":"object","additionalProperties":{"type":"string"}}},"required":["name"],"additionalProperties":false}`, getPrompt)
	}
	return all
}

// collect writes what is listed as JSON.
func collect[T any](all []any, from iter.Seq2[T, error], of func(T) any) ([]any, error) {
	for v, err := range from {
		if err != nil {
			return nil, err
		}
		if len(all) == maxTools {
			break
		}
		all = append(all, of(v))
	}
	return all, nil
}

type listedResource struct {
	URI         string `json:"uri,omitempty"`
	Template    string `json:"uri_template,omitempty"`
	Name        string `json:"name,omitempty"`
	Description string `json:"description,omitempty"`
	MediaType   string `json:"media_type,omitempty"`
	Size        int64  `json:"size,omitempty"` // bytes
}

func listResources(ctx context.Context, se *session, _ json.RawMessage) (string, error) {
	all, err := collect([]any{}, se.cs.Resources(ctx, nil), func(r *sdk.Resource) any {
		return listedResource{URI: r.URI, Name: r.Name, Description: r.Description, MediaType: r.MIMEType, Size: r.Size}
	})
	if err == nil {
		all, err = collect(all, se.cs.ResourceTemplates(ctx, nil), func(r *sdk.ResourceTemplate) any {
			return listedResource{Template: r.URITemplate, Name: r.Name, Description: r.Description, MediaType: r.MIMEType}
		})
	}
	return text(all, err)
}

func readResource(ctx context.Context, se *session, arguments json.RawMessage) (string, error) {
	var in struct {
		URI string `json:"uri"`
	}
	if err := json.Unmarshal(arguments, &in); err != nil {
		return "", durable.Fail(agents.ErrBadArguments.Code, "%v", err)
	}
	r, err := se.cs.ReadResource(ctx, &sdk.ReadResourceParams{URI: in.URI})
	if err != nil {
		return "", err
	}
	var parts []string
	for _, c := range r.Contents {
		if len(r.Contents) == 1 && len(c.Blob) == 0 {
			return c.Text, nil
		}
		part, _ := describe(&sdk.EmbeddedResource{Resource: c})
		parts = append(parts, part)
	}
	return strings.Join(parts, "\n"), nil
}

func listPrompts(ctx context.Context, se *session, _ json.RawMessage) (string, error) {
	type argument struct {
		Name        string `json:"name"`
		Description string `json:"description,omitempty"`
		Required    bool   `json:"required,omitempty"`
	}
	type prompt struct {
		Name        string     `json:"name"`
		Description string     `json:"description,omitempty"`
		Arguments   []argument `json:"arguments,omitempty"`
	}
	return text(collect([]any{}, se.cs.Prompts(ctx, nil), func(p *sdk.Prompt) any {
		out := prompt{Name: p.Name, Description: p.Description}
		for _, a := range p.Arguments {
			out.Arguments = append(out.Arguments, argument{a.Name, a.Description, a.Required})
		}
		return out
	}))
}

func getPrompt(ctx context.Context, se *session, arguments json.RawMessage) (string, error) {
	var in struct {
		Name      string            `json:"name"`
		Arguments map[string]string `json:"arguments"`
	}
	if err := json.Unmarshal(arguments, &in); err != nil {
		return "", durable.Fail(agents.ErrBadArguments.Code, "%v", err)
	}
	r, err := se.cs.GetPrompt(ctx, &sdk.GetPromptParams{Name: in.Name, Arguments: in.Arguments})
	if err != nil {
		return "", err
	}
	if len(r.InputRequests) > 0 {
		return "", durable.Fail(ErrTool.Code, "the prompt asks its user a question, and there is nobody to answer: go on without")
	}
	var parts []string
	for _, m := range r.Messages {
		part, _ := describe(m.Content)
		if len(r.Messages) > 1 {
			part = fmt.Sprintf("%s: %s", m.Role, part)
		}
		parts = append(parts, part)
	}
	return strings.Join(parts, "\n"), nil
}

func text(v any, err error) (string, error) {
	if err != nil {
		return "", err
	}
	data, err := json.Marshal(v)
	return string(data), err
}
