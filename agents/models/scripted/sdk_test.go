package scripted_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/anthropics/anthropic-sdk-go/v2"
	anthropicoption "github.com/anthropics/anthropic-sdk-go/v2/option"
	anthropicshared "github.com/anthropics/anthropic-sdk-go/v2/shared"
	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
	"github.com/openai/openai-go/v3/packages/param"
	"github.com/openai/openai-go/v3/responses"
	"github.com/openai/openai-go/v3/shared"
	"github.com/perdure/perdure/agents/models/scripted"
)

// answers are a script with an answer of each kind, which is asked for by its name.
var answers = []scripted.Rule{
	{Message: "^text$", Reply: scripted.Reply{Text: "It is a long answer."}},
	{Message: "^calls$", Reply: scripted.Reply{Text: "I look.", Calls: []scripted.Call{
		{Name: "get_weather", Arguments: `{"city":"Oslo"}`}, {Name: "get_weather", Arguments: `{"city":"Rome"}`},
	}}},
	{Message: "^only calls$", Reply: scripted.Reply{Calls: []scripted.Call{{Name: "get_weather", Arguments: `{"city":"Oslo"}`}}}},
	{Message: "^thinking$", Reply: scripted.Reply{Thinking: "Let me see.", Redacted: "hidden", Text: "So it is."}},
	{Message: "^refusal$", Reply: scripted.Reply{Refusal: "I would rather not."}},
	{Message: "^structured$", Reply: scripted.Reply{Text: `{"coat":true}`}},
	{Message: "^length$", Reply: scripted.Reply{Text: "and so", FinishReason: "length"}},
	{Message: "^filtered$", Reply: scripted.Reply{Text: "and so", FinishReason: "content_filter"}},
}

var kindsOfAnswers = []string{"text", "calls", "only calls", "thinking", "refusal", "structured", "length", "filtered"}

var (
	coat    = map[string]any{"type": "object", "properties": map[string]any{"coat": map[string]any{"type": "boolean"}}, "required": []string{"coat"}, "additionalProperties": false}
	weather = map[string]any{"type": "object", "properties": map[string]any{"city": map[string]any{"type": "string"}}, "required": []string{"city"}, "additionalProperties": false}
)

// A question is one kind of request of a client, which returns what it has decoded.
type question struct {
	api string
	ask func(ctx context.Context, url, kind string) ([]any, error)
}

var questions = []question{
	{"chat completions", func(ctx context.Context, url, kind string) ([]any, error) {
		c, err := chat(url).Chat.Completions.New(ctx, completion(kind))
		return []any{c}, err
	}},
	{"chat completions, streamed", func(ctx context.Context, url, kind string) (all []any, err error) {
		p := completion(kind)
		p.StreamOptions.IncludeUsage = param.NewOpt(true)
		s := chat(url).Chat.Completions.NewStreaming(ctx, p)
		for s.Next() {
			all = append(all, s.Current())
		}
		return all, s.Err()
	}},
	{"responses", func(ctx context.Context, url, kind string) ([]any, error) {
		c, err := chat(url).Responses.New(ctx, inquiry(kind))
		return []any{c}, err
	}},
	{"responses, streamed", func(ctx context.Context, url, kind string) (all []any, err error) {
		s := chat(url).Responses.NewStreaming(ctx, inquiry(kind))
		for s.Next() {
			all = append(all, s.Current())
		}
		return all, s.Err()
	}},
	{"messages", func(ctx context.Context, url, kind string) ([]any, error) {
		c, err := claude(url).Messages.New(ctx, letter(kind))
		return []any{c}, err
	}},
	{"messages, streamed", func(ctx context.Context, url, kind string) (all []any, err error) {
		s := claude(url).Messages.NewStreaming(ctx, letter(kind))
		for s.Next() {
			all = append(all, s.Current())
		}
		return all, s.Err()
	}},
}

func chat(url string) *openai.Client {
	c := openai.NewClient(option.WithBaseURL(url+"/v1"), option.WithAPIKey("none"), option.WithMaxRetries(0))
	return &c
}

func claude(url string) *anthropic.Client {
	c := anthropic.NewClient(anthropicoption.WithBaseURL(url), anthropicoption.WithAPIKey("none"), anthropicoption.WithMaxRetries(0))
	return &c
}

func completion(kind string) openai.ChatCompletionNewParams {
	p := openai.ChatCompletionNewParams{
		Model: "scripted", Messages: []openai.ChatCompletionMessageParamUnion{openai.SystemMessage("Be brief."), openai.UserMessage(kind)},
		Tools: []openai.ChatCompletionToolUnionParam{openai.ChatCompletionFunctionTool(shared.FunctionDefinitionParam{Name: "get_weather", Parameters: weather})},
	}
	if kind == "structured" {
		p.ResponseFormat.OfJSONSchema = &shared.ResponseFormatJSONSchemaParam{JSONSchema: shared.ResponseFormatJSONSchemaJSONSchemaParam{Name: "coat", Schema: coat, Strict: param.NewOpt(true)}}
	}
	return p
}

func inquiry(kind string) responses.ResponseNewParams {
	p := responses.ResponseNewParams{
		Model: "scripted", Instructions: param.NewOpt("Be brief."), Input: responses.ResponseNewParamsInputUnion{OfString: param.NewOpt(kind)},
		Store: param.NewOpt(false), Include: []responses.ResponseIncludable{"reasoning.encrypted_content"},
		Reasoning: shared.ReasoningParam{Summary: "auto"},
		Tools:     []responses.ToolUnionParam{{OfFunction: &responses.FunctionToolParam{Name: "get_weather", Parameters: weather, Strict: param.NewOpt(true)}}},
	}
	if kind == "structured" {
		p.Text.Format.OfJSONSchema = &responses.ResponseFormatTextJSONSchemaConfigParam{Name: "coat", Schema: coat, Strict: param.NewOpt(true)}
	}
	return p
}

func letter(kind string) anthropic.MessageNewParams {
	p := anthropic.MessageNewParams{
		Model: "scripted", MaxTokens: 4000, Messages: []anthropic.MessageParam{anthropic.NewUserMessage(anthropic.NewTextBlock(kind))},
		System: []anthropic.TextBlockParam{{Text: "Be brief."}},
		Tools:  []anthropic.ToolUnionParam{{OfTool: &anthropic.ToolParam{Name: "get_weather", InputSchema: anthropic.ToolInputSchemaParam{Properties: weather["properties"], Required: []string{"city"}}}}},
	}
	if kind == "thinking" {
		p.Thinking.OfAdaptive = &anthropic.ThinkingConfigAdaptiveParam{}
	}
	if kind == "structured" {
		p.OutputConfig.Format = anthropic.JSONOutputFormatParam{Schema: coat}
	}
	return p
}

// TestOfficialClientsKnowEveryFieldOfAnswers asks for each kind of answer by the official clients,
// and holds what they have decoded to their types: no field that a type requires is
// missing, none is there that it does not know.
func TestOfficialClientsKnowEveryFieldOfAnswers(t *testing.T) {
	s := serve(t, answers...)
	for _, q := range questions {
		for _, kind := range kindsOfAnswers {
			got, err := q.ask(t.Context(), s.url, kind)
			if err != nil {
				t.Errorf("%s, %s: %v", q.api, kind, err)
				continue
			}
			if len(got) == 0 {
				t.Errorf("%s, %s: no answer", q.api, kind)
			}
			for _, g := range got {
				for _, w := range unlike(g) {
					t.Errorf("%s, %s: %s", q.api, kind, w)
				}
			}
		}
	}
}

// TestOfficialClientsKnowEveryFieldOfErrors does so with errors, by their status.
func TestOfficialClientsKnowEveryFieldOfErrors(t *testing.T) {
	for _, status := range []int{400, 401, 403, 404, 413, 429, 500, 529} {
		s := serve(t, scripted.Rule{Reply: scripted.Reply{Status: status, Text: "no such luck"}})
		for _, q := range questions {
			if status == http.StatusRequestEntityTooLarge && strings.HasPrefix(q.api, "messages") {
				continue // request_too_large, which the API is documented to say, and the client's types do not know
			}
			_, err := q.ask(t.Context(), s.url, "text")
			var theirs *openai.Error
			var others *anthropic.Error
			switch {
			case errors.As(err, &theirs):
				if theirs.StatusCode != status || theirs.Message != "no such luck" {
					t.Errorf("%s, %d: %v", q.api, status, err)
				}
				for _, w := range unlike(theirs) {
					t.Errorf("%s, %d: %s", q.api, status, w)
				}
			case errors.As(err, &others):
				var body anthropicshared.ErrorResponse
				if err := json.Unmarshal([]byte(others.RawJSON()), &body); err != nil || others.StatusCode != status || others.Message != "no such luck" {
					t.Errorf("%s, %d: %v (%v)", q.api, status, others, err)
				}
				for _, w := range unlike(body) {
					t.Errorf("%s, %d: %s", q.api, status, w)
				}
			default:
				t.Errorf("%s, %d: %v is no error of the API", q.api, status, err)
			}
		}
	}
}

// TestUnlikeIsRed has each answer come with a field more, and with each of its fields less,
// at every place, all of which is to be noticed.
func TestUnlikeIsRed(t *testing.T) {
	s := serve(t, answers...)
	for _, c := range []struct {
		api  string
		read func(client *http.Client) (any, error)
	}{
		{"chat completions", func(h *http.Client) (any, error) {
			return chat(s.url).Chat.Completions.New(t.Context(), completion("calls"), option.WithHTTPClient(h))
		}},
		{"responses", func(h *http.Client) (any, error) {
			return chat(s.url).Responses.New(t.Context(), inquiry("thinking"), option.WithHTTPClient(h))
		}},
		{"messages", func(h *http.Client) (any, error) {
			return claude(s.url).Messages.New(t.Context(), letter("thinking"), anthropicoption.WithHTTPClient(h))
		}},
	} {
		places := 0
		for n := 0; ; n++ {
			b := &breaking{at: n}
			got, err := c.read(&http.Client{Transport: b})
			if err != nil {
				t.Fatalf("%s: %v", c.api, err)
			}
			if !b.done {
				break
			}
			places++
			if len(unlike(got)) == 0 {
				t.Errorf("%s: %s is not noticed", c.api, b.did)
			}
		}
		if places < 10 {
			t.Errorf("%s: %d places were broken", c.api, places)
		}
	}
}

// optional are the fields of answers that a type does not require.
var optional = []string{"annotations", "service_tier", "parallel_tool_calls", "encrypted_content", "status", "tool_calls", "usage", "logprobs", "system_fingerprint", "prompt_tokens_details", "cached_tokens", "description"}

// breaking breaks the body of an answer at one place.
type breaking struct {
	at   int // of the places
	done bool
	did  string
}

func (b *breaking) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	var body any
	if err := json.NewDecoder(resp.Body).Decode(&body); err != nil {
		return nil, err
	}
	n := 0
	b.walk("", body, &n)
	data, err := json.Marshal(body)
	resp.Body, resp.ContentLength = io.NopCloser(bytes.NewReader(data)), int64(len(data))
	resp.Header.Del("Content-Length")
	return resp, err
}

func (b *breaking) walk(path string, v any, n *int) {
	place := func(did string, change func()) {
		if *n == b.at && !b.done {
			b.done, b.did = true, did
			change()
		}
		*n++
	}
	switch v := v.(type) {
	case map[string]any:
		names := []string{}
		for name := range v {
			names = append(names, name)
		}
		slices.Sort(names)
		for _, name := range names {
			if !slices.Contains([]string{"input", "metadata", "parameters"}, name) { // they are the model's, and the user's
				b.walk(path+"."+name, v[name], n)
			}
		}
		for _, name := range names {
			if !slices.Contains(optional, name) {
				place("no "+path+"."+name, func() { delete(v, name) })
			}
		}
		place("more in "+path, func() { v["unheard_of"] = 1 })
	case []any:
		for i, e := range v {
			b.walk(fmt.Sprintf("%s[%d]", path, i), e, n)
		}
	}
}

// unlike returns what is not in a value that a client of these SDKs has decoded although
// its type requires it, and what is in it although the type does not know it.
func unlike(v any) []string { return compare(reflect.TypeOf(v).String(), reflect.ValueOf(v)) }

func compare(path string, v reflect.Value) (wrong []string) {
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if v.IsNil() {
			return []string{path + " is of no known variant"}
		}
		return compare(path, v.Elem())
	case reflect.Slice:
		for i := range v.Len() {
			wrong = append(wrong, compare(fmt.Sprintf("%s[%d]", path, i), v.Index(i))...)
		}
		return wrong
	case reflect.Struct:
	default:
		return nil
	}
	if variant := v.MethodByName("AsAny"); variant.IsValid() {
		return compare(path, variant.Call(nil)[0])
	}
	if strings.HasSuffix(v.Type().Name(), "ToolUnion") { // a union without the method
		kind := v.FieldByName("Type").String()
		variant := v.MethodByName("As" + strings.ToUpper(kind[:min(1, len(kind))]) + kind[min(1, len(kind)):])
		if !variant.IsValid() {
			return []string{path + " is of no known variant"}
		}
		return compare(path, variant.Call(nil)[0])
	}
	meta := v.FieldByName("JSON")
	if !meta.IsValid() {
		return nil
	}
	if extra := meta.FieldByName("ExtraFields"); extra.IsValid() {
		for _, name := range extra.MapKeys() {
			wrong = append(wrong, fmt.Sprintf("%s has a field %s, which %s does not know", path, name, v.Type()))
		}
	}
	for i := range v.NumField() {
		f := v.Type().Field(i)
		about := meta.FieldByName(f.Name)
		if !about.IsValid() || f.Name == "JSON" {
			continue
		}
		raw := about.Interface().(interface{ Raw() string }).Raw()
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		constant, isConstant := f.Tag.Lookup("default")
		switch {
		case raw == "" && (isConstant || f.Tag.Get("api") == "required" || options == "required"):
			wrong = append(wrong, fmt.Sprintf("%s has no %s, which %s requires", path, name, v.Type()))
		case raw != "" && isConstant && raw != `"`+constant+`"`:
			wrong = append(wrong, fmt.Sprintf("%s.%s is %s, and %s wants %q", path, name, raw, v.Type(), constant))
		case raw != "" && raw != "null":
			wrong = append(wrong, compare(path+"."+name, v.Field(i))...)
		}
	}
	return wrong
}
