package gemini_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/perdure/perdure/agents"
	"github.com/perdure/perdure/agents/models/gemini"
	"github.com/perdure/perdure/durable"
)

// ways are the two ways in which a model is asked.
var ways = map[string]func(context.Context, *gemini.Model) (*agents.Response, error){
	"whole": func(ctx context.Context, m *gemini.Model) (*agents.Response, error) { return m.Generate(ctx, hello) },
	"streamed": func(ctx context.Context, m *gemini.Model) (*agents.Response, error) {
		return m.Stream(ctx, hello, func(agents.Delta) {})
	},
}

// TestEachFailureIsOneRequestAndSaysWhetherToTryAgain looks at the error of one call,
// in which the SDK must not have tried again itself.
func TestEachFailureIsOneRequestAndSaysWhetherToTryAgain(t *testing.T) {
	const final, again = true, false
	for name, c := range map[string]struct {
		answer http.HandlerFunc
		final  bool
		part   string
	}{
		"400":            {fault(400, "INVALID_ARGUMENT", "API key not valid"), final, "400 Bad Request: API key not valid"},
		"403 empty":      {answer(403, ``), final, "403 Forbidden: without a reason"},
		"404":            {fault(404, "NOT_FOUND", "models/m is not found"), final, "models/m is not found"},
		"413 in words":   {answer(413, `too large`), final, `"too large"`},
		"400 huge":       {answer(400, strings.Repeat("é", 90000)), final, "éé"},
		"408":            {answer(408, ``), again, "408"},
		"409":            {fault(409, "ABORTED", "again"), again, "409 Conflict: again"},
		"429":            {fault(429, "RESOURCE_EXHAUSTED", "quota"), again, "429 Too Many Requests: quota"},
		"500":            {fault(500, "INTERNAL", "oops"), again, "500"},
		"503":            {fault(503, "UNAVAILABLE", "The model is overloaded"), again, "The model is overloaded"},
		"504 of a proxy": {answer(504, `<html>late</html>`), again, `"<html>late</html>"`},
		"cut in an error": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "9")
			w.WriteHeader(500)
		}, again, "500"},
		"connection lost": {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, again, "cannot be reached"},
		"cut to nothing":  {func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Content-Length", "9") }, again, "cut short: unexpected EOF"},
		"cut at its end":  {answer(200, said(`{"text":"hi"}`), "Content-Length", "9999"), again, "cut short: unexpected EOF"},
		"no JSON":         {answer(200, `<html>`), again, "cannot be read"},
		"nothing":         {answer(200, ``), again, "no finish reason"},
	} {
		for way, ask := range ways {
			t.Run(name+" "+way, func(t *testing.T) {
				p := provide(t, c.answer)
				r, err := ask(t.Context(), p.model("gemini-3-pro"))
				code := agents.ErrModelUnavailable.Code
				if c.final {
					code = agents.ErrModel.Code
				}
				var e *durable.Error
				if r != nil || !errors.As(err, &e) || e.Code != code || e.Final != c.final || !strings.Contains(err.Error(), c.part) {
					t.Fatalf("error %#v, want code %q, final %t, with %q", err, code, c.final, c.part)
				}
				if len(err.Error()) > 1000 {
					t.Errorf("the error has %d bytes", len(err.Error()))
				}
				if n := len(p.requests()); n != 1 {
					t.Errorf("%d requests", n)
				}
			})
		}
	}
	for way, ask := range ways {
		if _, err := ask(t.Context(), gemini.New("m", gemini.APIKey("k"), gemini.BaseURL("http://127.0.0.1:1"))); !errors.Is(err, agents.ErrModelUnavailable) {
			t.Errorf("nobody listens, %s: %v", way, err)
		}
	}
}

// TestUnfinishedResponsesAreNotContinuedByTheSDK has a response that offers to be
// continued, which the SDK would do by further requests.
func TestUnfinishedResponsesAreNotContinuedByTheSDK(t *testing.T) {
	body := `{"candidates":[{"content":{"role":"model","parts":[{"text":"ha"}]},"finishReason":"CONTINUATION","continuationToken":"dG9r"}]}`
	rest := said(`{"text":"ha"}`)
	for way, script := range map[string][]http.HandlerFunc{"whole": {answer(200, body), answer(200, rest)}, "streamed": {events(body), events(rest)}} {
		p := provide(t, script...)
		r, err := ways[way](t.Context(), p.model("gemini-3-pro"))
		if err != nil || r.FinishReason != "length" || len(p.requests()) != 1 {
			t.Errorf("%s: %v, %v after %d requests; want length after one", way, r, err, len(p.requests()))
		}
	}
}

func TestReasonsToStopAreTold(t *testing.T) {
	ended := func(rest string) string { return `{"candidates":[{` + rest + `}],"modelVersion":"m"}` }
	text := `"content":{"role":"model","parts":[{"text":"ha"}]},`
	call := `"content":{"role":"model","parts":[{"functionCall":{"id":"x","name":"f","args":{"n":9007199254740991,"s":"<&>"}}}]},`
	for name, c := range map[string]struct {
		body, finish, refusal string
		calls                 int
		err                   *durable.Error
		part                  string
	}{
		"stop":       {ended(text + `"finishReason":"STOP"`), "stop", "", 0, nil, ""},
		"calls":      {ended(call + `"finishReason":"STOP"`), "tool_calls", "", 1, nil, ""},
		"length":     {ended(text + `"finishReason":"MAX_TOKENS"`), "length", "", 0, nil, ""},
		"safety":     {ended(call + `"finishReason":"SAFETY","safetyRatings":[{"category":"HARM_CATEGORY_HARASSMENT","probability":"HIGH","blocked":true},{"category":"HARM_CATEGORY_HATE_SPEECH","probability":"LOW"}]`), "content_filter", "the provider's filter withheld the answer: SAFETY, HARM_CATEGORY_HARASSMENT", 0, nil, ""},
		"recitation": {ended(text + `"finishReason":"RECITATION"`), "content_filter", "the provider's filter withheld the answer: RECITATION", 0, nil, ""},
		"SPII":       {ended(`"finishReason":"SPII"`), "content_filter", "the provider's filter withheld the answer: SPII", 0, nil, ""},
		"blocked": {
			`{"promptFeedback":{"blockReason":"PROHIBITED_CONTENT","blockReasonMessage":"not this"},"usageMetadata":{"promptTokenCount":7}}`,
			"content_filter", "the provider's filter blocked the conversation: PROHIBITED_CONTENT, not this", 0, nil, "",
		},
		"malformed call": {ended(`"finishReason":"MALFORMED_FUNCTION_CALL"`), "", "", 0, agents.ErrModelUnavailable, "MALFORMED_FUNCTION_CALL"},
		"other":          {ended(`"finishReason":"OTHER"`), "", "", 0, agents.ErrModelUnavailable, "OTHER"},
		"new one":        {ended(text + `"finishReason":"NEVER_HEARD"`), "", "", 0, agents.ErrModelUnavailable, "NEVER_HEARD"},
		"signature":      {ended(`"finishReason":"MISSING_THOUGHT_SIGNATURE"`), "", "", 0, agents.ErrModel, "signature"},
		"none":           {ended(text + `"index":0`), "", "", 0, agents.ErrModelUnavailable, "no finish reason"},
		"no candidates":  {`{"candidates":[]}`, "", "", 0, agents.ErrModelUnavailable, "no finish reason"},
	} {
		for way, h := range map[string]http.HandlerFunc{"whole": answer(200, c.body), "streamed": events(c.body)} {
			t.Run(name+" "+way, func(t *testing.T) {
				r, err := ways[way](t.Context(), provide(t, h).model("gemini-3-pro"))
				if c.err != nil {
					if !errors.Is(err, c.err) || !strings.Contains(err.Error(), c.part) {
						t.Errorf("error %v, want one of code %q with %q", err, c.err.Code, c.part)
					}
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				if r.FinishReason != c.finish || r.Refusal != c.refusal || len(r.Message.ToolCalls) != c.calls {
					t.Errorf("finish %q, refusal %q, %d calls; want %q, %q, %d", r.FinishReason, r.Refusal, len(r.Message.ToolCalls), c.finish, c.refusal, c.calls)
				}
				if want := `{"n":9007199254740991,"s":"<&>"}`; c.calls > 0 && r.Message.ToolCalls[0].Arguments != want {
					t.Errorf("arguments %s, want %s", r.Message.ToolCalls[0].Arguments, want)
				}
			})
		}
	}
}

// TestBrokenKeptConnectionIsAnAttemptThatCounts has a connection break that was used
// before, which net/http would hide by a second request.
func TestBrokenKeptConnectionIsAnAttemptThatCounts(t *testing.T) {
	fine := answer(200, said(`{"text":"hi"}`))
	p := provide(t, fine, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, fine)
	m := p.model("gemini-3-pro", gemini.HTTPClient(&http.Client{Transport: keyed{http.DefaultTransport}}))
	for i := range 3 {
		if _, err := m.Generate(t.Context(), hello); (err != nil) != (i == 1) {
			t.Errorf("call %d: %v", i+1, err)
		}
	}
	if n := len(p.requests()); n != 3 {
		t.Errorf("%d requests for three calls", n)
	}
}

// A keyed transport sets the header that a step would.
type keyed struct{ base http.RoundTripper }

func (k keyed) RoundTrip(r *http.Request) (*http.Response, error) {
	r.Header.Set(agents.IdempotencyHeader, "k")
	return k.base.RoundTrip(r)
}

func TestEndOfTheContextIsItsError(t *testing.T) {
	for way, ask := range ways {
		arrived := make(chan struct{})
		p := provide(t, func(_ http.ResponseWriter, r *http.Request) {
			close(arrived)
			<-r.Context().Done()
		})
		ctx, cancel := context.WithCancel(t.Context())
		go func() { <-arrived; cancel() }()
		if _, err := ask(ctx, p.model("gemini-3-pro")); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: error %v", way, err)
		}
		ctx, cancel = context.WithTimeout(t.Context(), time.Nanosecond)
		if _, err := ask(ctx, p.model("gemini-3-pro")); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: error %v", way, err)
		}
		cancel()
	}
}
