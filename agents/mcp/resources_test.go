package mcp_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"
	"github.com/perdure/perdure/agents"
	"github.com/perdure/perdure/agents/mcp"
)

// library adds resources and prompts to a site.
func library(s *site) {
	s.far.AddResource(&sdk.Resource{URI: "book://walden", Name: "Walden", MIMEType: "text/plain", Size: 12}, func(_ context.Context, r *sdk.ReadResourceRequest) (*sdk.ReadResourceResult, error) {
		return &sdk.ReadResourceResult{Contents: []*sdk.ResourceContents{{URI: r.Params.URI, MIMEType: "text/plain", Text: "in the woods"}}}, nil
	})
	s.far.AddResourceTemplate(&sdk.ResourceTemplate{URITemplate: "page://{book}/{n}", Name: "a page"}, func(_ context.Context, r *sdk.ReadResourceRequest) (*sdk.ReadResourceResult, error) {
		return &sdk.ReadResourceResult{Contents: []*sdk.ResourceContents{
			{URI: r.Params.URI, MIMEType: "image/png", Blob: make([]byte, 7)},
			{URI: r.Params.URI + "#text", Text: "a pond"},
		}}, nil
	})
	s.far.AddPrompt(&sdk.Prompt{Name: "review", Description: "How to review", Arguments: []*sdk.PromptArgument{{Name: "book", Required: true}}}, func(_ context.Context, r *sdk.GetPromptRequest) (*sdk.GetPromptResult, error) {
		return &sdk.GetPromptResult{Messages: []*sdk.PromptMessage{
			{Role: "user", Content: &sdk.TextContent{Text: "Review " + r.Params.Arguments["book"]}},
			{Role: "assistant", Content: &sdk.TextContent{Text: "Gladly."}},
		}}, nil
	})
}

func TestResourcesAndPrompts(t *testing.T) {
	for _, c := range []struct {
		tool, arguments string
		want            []string
	}{
		{"far_list_resources", `{}`, []string{`{"uri":"book://walden","name":"Walden","media_type":"text/plain","size":12}`, `{"uri_template":"page://{book}/{n}","name":"a page"}`}},
		{"far_read_resource", `{"uri":"book://walden"}`, []string{"in the woods"}},
		{"far_read_resource", `{"uri":"page://walden/7"}`, []string{"[a resource, page://walden/7, image/png, 7 bytes, not shown]", "a pond"}},
		{"far_read_resource", `{"uri":"book://none"}`, []string{"mcp_refused", "not found"}},
		{"far_read_resource", `{}`, []string{"bad_arguments"}},
		{"far_list_prompts", `{}`, []string{`{"name":"review","description":"How to review","arguments":[{"name":"book","required":true}]}`}},
		{"far_get_prompt", `{"name":"review","arguments":{"book":"Walden"}}`, []string{"user: Review Walden\nassistant: Gladly."}},
		{"far_get_prompt", `{"name":"none"}`, []string{"mcp_refused"}},
	} {
		t.Run(c.tool+c.arguments, func(t *testing.T) {
			s := newSite(t, nil)
			library(s)
			contains(t, told(t, mcp.HTTP(s.URL, fast, mcp.Prefix("far"), mcp.Resources(), mcp.Prompts()), c.tool, c.arguments), c.want...)
		})
	}
}

// TestExtrasAreOfferedWhereThereIsSomething has a server with and without them.
func TestExtrasAreOfferedWhereThereIsSomething(t *testing.T) {
	s := newSite(t, nil)
	contains(t, told(t, mcp.HTTP(s.URL, fast, mcp.Resources(), mcp.Prompts()), "read_resource", `{"uri":"a:b"}`), "unknown_tool")
	library(s)
	contains(t, told(t, mcp.HTTP(s.URL, fast), "read_resource", `{"uri":"book://walden"}`), "unknown_tool")
	s.far.AddTool(&sdk.Tool{Name: "read_resource", InputSchema: json.RawMessage(`{"type":"object"}`)}, func(context.Context, *sdk.CallToolRequest) (*sdk.CallToolResult, error) {
		return text("its own"), nil
	})
	contains(t, told(t, mcp.HTTP(s.URL, fast, mcp.Resources()), "read_resource", `{}`), "its own")
}

// TestALongResultOfAServerIsReadOn has one that is longer than the model is given.
func TestALongResultOfAServerIsReadOn(t *testing.T) {
	s := newSite(t, nil)
	s.far.AddTool(&sdk.Tool{Name: "book", InputSchema: json.RawMessage(`{"type":"object"}`)}, func(context.Context, *sdk.CallToolRequest) (*sdk.CallToolResult, error) {
		return text(strings.Repeat("x", 500) + "the end"), nil
	})
	got := told(t, mcp.HTTP(s.URL, fast, mcp.MaxResult(100)), "book", `{}`)
	contains(t, got, "[cut here: 407 of 507 bytes are left out, from offset 75 on", "read_result", "xthe end")
	got = told(t, mcp.HTTP(s.URL, fast, mcp.MaxResult(100), mcp.Tool("book", agents.MaxResult(1000))), "book", `{}`)
	if strings.Contains(got, "cut here") {
		t.Errorf("the option of the tool does not count: %q", got)
	}
}
