package openai_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/perdure/perdure/agents"
	"github.com/perdure/perdure/agents/models/openai"
	"github.com/perdure/perdure/durable"
)

// look is a user's message with these files.
func look(files ...agents.File) *agents.Request {
	return &agents.Request{Messages: []agents.Message{{Role: agents.RoleUser, Content: "look", Files: files}}}
}

func TestFilesAreInFrontOfTheText(t *testing.T) {
	p := provide(t, answer(200, fine))
	m := openai.New("m", openai.BaseURL(p.url))
	_, err := m.Generate(t.Context(), look(
		agents.File{Name: "a.png", MediaType: "image/png", Data: []byte("hi")},
		agents.File{MediaType: "image/jpeg", URL: "https://example.com/b.jpg"},
		agents.File{Name: "c.pdf", MediaType: "application/pdf", Data: []byte("%PDF")},
		agents.File{MediaType: "application/pdf", Data: []byte("%PDF")}))
	if err != nil {
		t.Fatal(err)
	}
	var want any
	if err := json.Unmarshal([]byte(`[{"role":"user","content":[
		{"type":"image_url","image_url":{"url":"data:image/png;base64,aGk="}},
		{"type":"image_url","image_url":{"url":"https://example.com/b.jpg"}},
		{"type":"file","file":{"filename":"c.pdf","file_data":"data:application/pdf;base64,JVBERg=="}},
		{"type":"file","file":{"filename":"document.pdf","file_data":"data:application/pdf;base64,JVBERg=="}},
		{"type":"text","text":"look"}]}]`), &want); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, p.body["messages"]); diff != "" {
		t.Error("messages (-want +got):", diff)
	}
}

func TestFilesThatTheAPIDoesNotTakeAreNotSent(t *testing.T) {
	assistant := look(agents.File{MediaType: "image/png", Data: []byte("hi")})
	assistant.Messages[0].Role = agents.RoleAssistant
	for part, req := range map[string]*agents.Request{
		`"a.csv" is of type text/csv; Chat Completions takes images and PDFs`: look(agents.File{Name: "a.csv", MediaType: "text/csv", Data: []byte("1")}),
		`"a.pdf" is a PDF at a URL`:     look(agents.File{Name: "a.pdf", MediaType: "application/pdf", URL: "https://example.com/a"}),
		`"a.png" has no media type`:     look(agents.File{Name: "a.png", Data: []byte("hi")}),
		`"a.png" is empty`:              look(agents.File{Name: "a.png", MediaType: "image/png"}),
		`of role "assistant" has files`: assistant,
	} {
		p := provide(t, answer(200, fine))
		_, err := openai.New("m", openai.BaseURL(p.url)).Generate(t.Context(), req)
		if !errors.Is(err, durable.ErrInvalid) || !strings.Contains(err.Error(), part) || p.calls.Load() != 0 {
			t.Errorf("%d requests, error %v; want none, and one with %q", p.calls.Load(), err, part)
		}
	}
}
