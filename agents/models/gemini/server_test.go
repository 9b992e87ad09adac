package gemini_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/perdure/perdure/agents/models/gemini"
)

// What the API accepts: a field that is not here fails the test.
type (
	wireRequest struct {
		Contents          []wireContent `json:"contents"`
		SystemInstruction *wireContent  `json:"systemInstruction"`
		Tools             []struct {
			FunctionDeclarations []struct {
				Name                 string          `json:"name"`
				Description          string          `json:"description"`
				ParametersJSONSchema json.RawMessage `json:"parametersJsonSchema"`
			} `json:"functionDeclarations"`
		} `json:"tools"`
		GenerationConfig struct {
			Temperature        *float64        `json:"temperature"`
			MaxOutputTokens    int             `json:"maxOutputTokens"`
			ResponseMimeType   string          `json:"responseMimeType"`
			ResponseJSONSchema json.RawMessage `json:"responseJsonSchema"`
			ThinkingConfig     *struct {
				IncludeThoughts bool   `json:"includeThoughts"`
				ThinkingBudget  *int   `json:"thinkingBudget"`
				ThinkingLevel   string `json:"thinkingLevel"`
			} `json:"thinkingConfig"`
		} `json:"generationConfig"`
	}
	wireContent struct {
		Role  string     `json:"role"`
		Parts []wirePart `json:"parts"`
	}
	wirePart struct {
		Text             *string `json:"text"`
		Thought          bool    `json:"thought"`
		ThoughtSignature []byte  `json:"thoughtSignature"`
		InlineData       *struct {
			MimeType string `json:"mimeType"`
			Data     []byte `json:"data"`
		} `json:"inlineData"`
		FileData *struct {
			MimeType string `json:"mimeType"`
			FileURI  string `json:"fileUri"`
		} `json:"fileData"`
		FunctionCall *struct {
			ID   string         `json:"id"`
			Name string         `json:"name"`
			Args map[string]any `json:"args"`
		} `json:"functionCall"`
		FunctionResponse *struct {
			ID       string         `json:"id"`
			Name     string         `json:"name"`
			Response map[string]any `json:"response"`
		} `json:"functionResponse"`
	}
)

// A provider is a server with Gemini's API. It refuses what Gemini refuses.
type provider struct {
	t   *testing.T
	url string

	mu     sync.Mutex
	bodies []string
	header http.Header
	path   string
	query  string
	script []http.HandlerFunc // the last one answers whatever comes after it
}

func provide(t *testing.T, script ...http.HandlerFunc) *provider {
	t.Helper()
	p := &provider{t: t, script: script}
	srv := httptest.NewServer(p)
	t.Cleanup(func() {
		srv.CloseClientConnections()
		srv.Close()
	})
	p.url = srv.URL
	return p
}

// model returns a model of the provider.
func (p *provider) model(name string, opts ...gemini.Option) *gemini.Model {
	return gemini.New(name, append([]gemini.Option{gemini.BaseURL(p.url), gemini.APIKey("secret")}, opts...)...)
}

// requests returns the bodies of all requests so far.
func (p *provider) requests() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.bodies...)
}

func (p *provider) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	data, err := io.ReadAll(r.Body)
	if err != nil {
		p.t.Error(err)
	}
	p.mu.Lock()
	p.bodies = append(p.bodies, string(data))
	p.header, p.path, p.query = r.Header, r.URL.Path, r.URL.RawQuery
	next := p.script[min(len(p.bodies), len(p.script))-1]
	p.mu.Unlock()
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	var req wireRequest
	if err := d.Decode(&req); err != nil {
		p.t.Errorf("the API has no such request: %v: %s", err, data)
	}
	if err := refuse(r.URL.Path, &req); err != nil {
		fault(400, "INVALID_ARGUMENT", err.Error())(w, r)
		return
	}
	next(w, r)
}

// refuse returns what Gemini would say is wrong with a request.
func refuse(path string, req *wireRequest) error {
	gemini3 := strings.Contains(path, "/gemini-3")
	if len(req.Contents) == 0 {
		return fmt.Errorf("contents is not specified")
	}
	if !gemini3 && len(req.Tools) > 0 && req.GenerationConfig.ResponseMimeType != "" {
		return fmt.Errorf("function calling with a response mime type: '%s' is unsupported", req.GenerationConfig.ResponseMimeType)
	}
	begin := 0 // of the current turn
	for i, c := range req.Contents {
		if c.Role == "user" && len(c.Parts) > 0 && c.Parts[0].FunctionResponse == nil {
			begin = i
		}
	}
	var open []wirePart // calls that the next content answers
	for i, c := range req.Contents {
		if len(c.Parts) == 0 {
			return fmt.Errorf("contents[%d].parts must not be empty", i)
		}
		var calls, results []wirePart
		for j, p := range c.Parts {
			n := 0
			for _, set := range []bool{p.Text != nil, p.InlineData != nil, p.FileData != nil, p.FunctionCall != nil, p.FunctionResponse != nil} {
				if set {
					n++
				}
			}
			switch {
			case n != 1:
				return fmt.Errorf("contents[%d].parts[%d].data: required oneof field 'data' must have one initialized field", i, j)
			case p.FunctionCall != nil:
				calls = append(calls, p)
			case p.FunctionResponse != nil:
				results = append(results, p)
				if len(p.FunctionResponse.Response) == 0 {
					return fmt.Errorf("contents[%d].parts[%d].function_response.response is empty", i, j)
				}
			}
		}
		if len(results) != len(open) {
			return fmt.Errorf("the number of function response parts is not equal to the number of function call parts of the function call turn")
		}
		for j, p := range results {
			if call := open[j].FunctionCall; p.FunctionResponse.Name != call.Name || p.FunctionResponse.ID != call.ID {
				return fmt.Errorf("function response %s %q is not of call %s %q", p.FunctionResponse.Name, p.FunctionResponse.ID, call.Name, call.ID)
			}
		}
		if open = calls; len(calls) > 0 {
			if c.Role != "model" {
				return fmt.Errorf("contents[%d]: a function call of role %q", i, c.Role)
			}
			if gemini3 && i > begin && calls[0].ThoughtSignature == nil {
				return fmt.Errorf("function call %s is missing a thought_signature, position %d", calls[0].FunctionCall.Name, i+1)
			}
		}
	}
	return nil
}

// answer is a whole response.
func answer(status int, body string, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		for i := 0; i+1 < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

// fault is a response in the API's form of an error.
func fault(status int, name, message string, details ...string) http.HandlerFunc {
	return answer(status, fmt.Sprintf(`{"error":{"code":%d,"message":%q,"status":%q,"details":[%s]}}`, status, message, name, strings.Join(details, ",")))
}

// events is a stream of these pieces.
func events(pieces ...string) http.HandlerFunc { return cut(len(pieces), false, pieces...) }

// cut is a stream that ends after n pieces: by a broken connection, or as if it were
// whole.
func cut(n int, broken bool, pieces ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for _, p := range pieces[:n] {
			_, _ = io.WriteString(w, "data: "+p+"\r\n\r\n")
			w.(http.Flusher).Flush()
		}
		if broken {
			panic(http.ErrAbortHandler)
		}
	}
}

// said is a response, or the last piece of one, with these parts.
func said(parts string) string {
	return `{"candidates":[{"index":0,"finishReason":"STOP","content":{"role":"model","parts":[` + parts + `]}}],` +
		`"usageMetadata":{"promptTokenCount":7,"candidatesTokenCount":3,"thoughtsTokenCount":2,"cachedContentTokenCount":4,"totalTokenCount":12},"modelVersion":"m-2026"}`
}

// piece is a piece of a stream that is not the last one.
func piece(parts string) string {
	return `{"candidates":[{"index":0,"content":{"role":"model","parts":[` + parts + `]}}],"usageMetadata":{"promptTokenCount":7},"modelVersion":"m-2026"}`
}
