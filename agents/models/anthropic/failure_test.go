package anthropic_test

import (
	"errors"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/perdure/perdure/agents"
	"github.com/perdure/perdure/agents/models/anthropic"
	"github.com/perdure/perdure/durable"
)

const fine = `{"id":"msg_1","type":"message","role":"assistant","model":"m","content":[{"type":"text","text":"hi"}],"stop_reason":"end_turn","usage":{"input_tokens":7,"output_tokens":3}}`

// TestEachFailureIsOneRequestAndSaysWhetherToTryAgain looks at the error of one
// call, in which the SDK must not have tried again itself.
func TestEachFailureIsOneRequestAndSaysWhetherToTryAgain(t *testing.T) {
	told := func(kind, code string) string {
		return `{"type":"error","error":{"type":"` + kind + `","message":"no","details":{"error_code":"` + code + `"}}}`
	}
	for name, c := range map[string]struct {
		answer http.HandlerFunc
		code   string
		final  bool
		part   string
	}{
		"400":             {as(400, told("invalid_request_error", "")), "model_error", true, "400 Bad Request: no"},
		"401":             {as(401, told("authentication_error", "")), "model_error", true, "401 Unauthorized: no"},
		"402":             {as(402, told("billing_error", "")), "model_error", true, "402 Payment Required: no"},
		"404":             {as(404, told("not_found_error", "")), "model_error", true, "no"},
		"404 in words":    {as(404, `{"error":"pull it"}`), "model_error", true, "pull it"},
		"404 otherwise":   {as(404, `{"message":"nothing here"}`), "model_error", true, "nothing here"},
		"403 empty":       {as(403, ``), "model_error", true, "without a reason"},
		"400 huge":        {as(400, strings.Repeat("é", 9000)), "model_error", true, "éé"},
		"413":             {as(413, told("request_too_large", "")), "model_error", true, "413"},
		"408":             {as(408, told("timeout_error", "")), "model_unavailable", false, "408"},
		"409":             {as(409, told("conflict_error", "")), "model_unavailable", false, "409"},
		"429":             {as(429, told("rate_limit_error", "")), "model_unavailable", false, "429 Too Many Requests: no"},
		"429 for a ramp":  {as(429, told("rate_limit_error", "ramp_limit_exceeded")), "model_unavailable", false, "no"},
		"429 for good":    {as(429, told("rate_limit_error", "enforced_spend_limit_reached")), "model_error", true, "no"},
		"500":             {as(500, told("api_error", "")), "model_unavailable", false, "500"},
		"529":             {as(529, told("overloaded_error", "")), "model_unavailable", false, "answered 529: no"},
		"no JSON":         {as(200, `<html>`), "model_unavailable", false, "cannot be read"},
		"no message":      {as(200, `{}`), "model_unavailable", false, "not a whole message"},
		"nothing at all":  {as(200, `null`), "model_unavailable", false, "not a whole message"},
		"half of one":     {as(200, fine[:60], "Content-Length", "999"), "model_unavailable", false, ""},
		"not said JSON":   {as(200, fine, "Content-Type", "text/html"), "model_unavailable", false, "cannot be read"},
		"connection lost": {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, "model_unavailable", false, "cannot be reached"},
	} {
		for how, call := range map[string]func(m *anthropic.Model, req *agents.Request) (*agents.Response, error){
			"generated": func(m *anthropic.Model, req *agents.Request) (*agents.Response, error) {
				return m.Generate(t.Context(), req)
			},
			"streamed": func(m *anthropic.Model, req *agents.Request) (*agents.Response, error) {
				return m.Stream(t.Context(), req, func(agents.Delta) {})
			},
		} {
			t.Run(name+" "+how, func(t *testing.T) {
				p := answered(t, c.answer)
				got, err := call(p.model(), &agents.Request{Messages: []agents.Message{user("hi")}})
				var e *durable.Error
				if !errors.As(err, &e) || got != nil || e.Code != c.code || e.Final != c.final {
					t.Errorf("%+v, error %#v, want code %q, final %t", got, err, c.code, c.final)
				} else if how == "generated" && !strings.Contains(err.Error(), c.part) {
					t.Errorf("error %q, want it to contain %q", err, c.part)
				}
				if err != nil && len(err.Error()) > 1000 {
					t.Errorf("the error has %d bytes", len(err.Error()))
				}
				if n := p.requests(); n != 1 {
					t.Errorf("%d requests", n)
				}
			})
		}
	}
	req := &agents.Request{Messages: []agents.Message{user("hi")}}
	m := anthropic.New("m", anthropic.BaseURL("http://127.0.0.1:1"), anthropic.APIKey("k"))
	if _, err := m.Generate(t.Context(), req); !errors.Is(err, agents.ErrModelUnavailable) {
		t.Errorf("nobody listens: %v", err)
	}
	if _, err := m.Stream(t.Context(), req, func(agents.Delta) {}); !errors.Is(err, agents.ErrModelUnavailable) {
		t.Errorf("nobody listens to a stream: %v", err)
	}
}

// TestBrokenKeptConnectionIsAnAttemptThatCounts has a connection break that
// was used before, which net/http would hide by a second request.
func TestBrokenKeptConnectionIsAnAttemptThatCounts(t *testing.T) {
	var n atomic.Int32
	p := answered(t, func(w http.ResponseWriter, r *http.Request) {
		if n.Add(1) == 2 {
			panic(http.ErrAbortHandler)
		}
		as(200, fine)(w, r)
	})
	m := p.model(anthropic.HTTPClient(&http.Client{Transport: keyed{http.DefaultTransport}}))
	for i := range 3 {
		if _, err := m.Generate(t.Context(), &agents.Request{Messages: []agents.Message{user("hi")}}); (err != nil) != (i == 1) {
			t.Errorf("call %d: %v", i+1, err)
		}
	}
	if got := p.requests(); got != 3 {
		t.Errorf("%d requests for three calls", got)
	}
}

// A keyed transport sets the header that a step would.
type keyed struct{ base http.RoundTripper }

func (k keyed) RoundTrip(r *http.Request) (*http.Response, error) {
	r.Header.Set(agents.IdempotencyHeader, "k")
	return k.base.RoundTrip(r)
}
