package agents_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/perdure/perdure/agents"
	"github.com/perdure/perdure/agents/models/anthropic"
	"github.com/perdure/perdure/agents/models/gemini"
	"github.com/perdure/perdure/agents/models/ollama"
	"github.com/perdure/perdure/agents/models/openai"
)

// TestClassOf_WhatProvidersAnswer asks each adapter, by its SDK, of a server that fails as
// the provider does.
func TestClassOf_WhatProvidersAnswer(t *testing.T) {
	for name, c := range map[string]struct {
		provider string
		status   int
		body     string
		want     agents.Class
	}{
		"openai throttles":       {"openai", 429, `{"error":{"message":"slow down","code":"rate_limit_exceeded"}}`, agents.Throttled},
		"openai has no quota":    {"openai", 429, `{"error":{"message":"no quota","code":"insufficient_quota"}}`, agents.Refused},
		"openai is too small":    {"openai", 400, `{"error":{"message":"too long","code":"context_length_exceeded"}}`, agents.TooLong},
		"openai filters":         {"openai", 400, `{"error":{"message":"filtered","code":"content_filter"}}`, agents.Filtered},
		"openai is down":         {"openai", 502, `<html>`, agents.Unavailable},
		"openai refuses":         {"openai", 401, `{"error":{"message":"wrong key"}}`, agents.Refused},
		"anthropic throttles":    {"anthropic", 429, `{"type":"error","error":{"type":"rate_limit_error","message":"slow down"}}`, agents.Throttled},
		"anthropic is full":      {"anthropic", 529, `{"type":"error","error":{"type":"overloaded_error","message":"full"}}`, agents.Unavailable},
		"anthropic is too small": {"anthropic", 400, `{"type":"error","error":{"type":"invalid_request_error","message":"prompt is too long: 210000 tokens > 200000 maximum"}}`, agents.TooLong},
		"anthropic: too large":   {"anthropic", 413, `{"type":"error","error":{"type":"request_too_large","message":"too large"}}`, agents.TooLong},
		"anthropic refuses":      {"anthropic", 400, `{"type":"error","error":{"type":"invalid_request_error","message":"what?"}}`, agents.Refused},
		"gemini throttles":       {"gemini", 429, `{"error":{"code":429,"message":"quota","status":"RESOURCE_EXHAUSTED"}}`, agents.Throttled},
		"gemini is too small":    {"gemini", 400, `{"error":{"code":400,"message":"The input token count (2000000) exceeds the maximum number of tokens allowed (1048576).","status":"INVALID_ARGUMENT"}}`, agents.TooLong},
		"gemini is down":         {"gemini", 503, `{"error":{"code":503,"message":"overloaded","status":"UNAVAILABLE"}}`, agents.Unavailable},
		"gemini refuses":         {"gemini", 403, `{"error":{"code":403,"message":"no","status":"PERMISSION_DENIED"}}`, agents.Refused},
		"ollama is busy":         {"ollama", 503, `{"error":"server busy"}`, agents.Unavailable},
		"ollama is too small":    {"ollama", 400, `{"error":"the prompt exceeds the context length"}`, agents.TooLong},
		"ollama has no model":    {"ollama", 404, `{"error":"model not found"}`, agents.Refused},
	} {
		t.Run(name, func(t *testing.T) {
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				w.WriteHeader(c.status)
				_, _ = w.Write([]byte(c.body))
			}))
			defer srv.Close()
			m := map[string]agents.Model{
				"openai":    openai.New("m", openai.BaseURL(srv.URL+"/v1"), openai.APIKey("any")),
				"anthropic": anthropic.New("m", anthropic.BaseURL(srv.URL), anthropic.APIKey("any")),
				"gemini":    gemini.New("m", gemini.BaseURL(srv.URL), gemini.APIKey("any")),
				"ollama":    ollama.New("m", ollama.BaseURL(srv.URL)),
			}[c.provider]
			_, err := m.Generate(t.Context(), &agents.Request{Messages: []agents.Message{{Role: agents.RoleUser, Content: "hello"}}})
			if err == nil {
				t.Fatal("it is answered")
			}
			if got := agents.ClassOf(err); got != c.want {
				t.Errorf("the class of %q is %q, want %q", err, got, c.want)
			}
		})
	}
}
