package anthropic

import (
	"cmp"
	"context"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"

	"github.com/anthropics/anthropic-sdk-go/v2"
	"github.com/anthropics/anthropic-sdk-go/v2/option"
	"github.com/perdure/perdure/agents"
	"github.com/perdure/perdure/agents/internal/adapter"
	"github.com/perdure/perdure/durable"
)

// provider is what [agents.Reasoning] of this package is marked with.
const provider = "anthropic"

// defaultMaxTokens bounds an answer where [MaxTokens] does not: long enough for
// a few thousand words, and within what every model allows.
const defaultMaxTokens = 16384

// A Model calls one model of Anthropic's. It is safe for concurrent use.
type Model struct {
	name   string
	client anthropic.MessageService
	cfg    config
	err    error
	long   bool // its answers may take longer than the provider answers without a stream
}

var _ agents.Streamer = (*Model)(nil)

type config struct {
	baseURL   string
	options   []option.RequestOption
	maxTokens int64
	adaptive  bool
	budget    int64
	budgeted  bool
	effort    anthropic.OutputConfigEffort
	noCache   bool
}

// An Option configures a model: [BaseURL], [APIKey], [HTTPClient], [MaxTokens],
// [Thinking], [ThinkingBudget], [Effort], [NoCache].
type Option func(*config)

// BaseURL sets where the API is, without the /v1 of its paths, e.g.
// "http://localhost:8099". The default is ANTHROPIC_BASE_URL, or else
// Anthropic's.
func BaseURL(u string) Option {
	return func(c *config) {
		c.baseURL = u
		c.options = append(c.options, option.WithBaseURL(u))
	}
}

// APIKey sets the key. The default is ANTHROPIC_API_KEY, or what the SDK finds
// otherwise; without any none is sent, which servers of one's own accept.
func APIKey(key string) Option {
	return func(c *config) { c.options = append(c.options, option.WithAPIKey(key)) }
}

// HTTPClient sets the client that requests are made with, e.g. for a proxy or
// certificates. The default is the SDK's.
func HTTPClient(client *http.Client) Option {
	return func(c *config) { c.options = append(c.options, option.WithHTTPClient(client)) }
}

// MaxTokens bounds an answer, in tokens, what the model thinks included; an
// answer that reaches it counts as cut short. The default is 16384, and the
// budget of [ThinkingBudget] beside it.
func MaxTokens(n int) Option { return func(c *config) { c.maxTokens = int64(n) } }

// Thinking lets the model think before it answers and between calls of tools, as
// much as it finds right for the question; [Effort] says how inclined it is to.
// Without it the model does what is its default. Models from before Claude 4.6
// want a [ThinkingBudget] instead.
func Thinking() Option { return func(c *config) { c.adaptive = true } }

// ThinkingBudget lets a model of before Claude 4.6 think before it answers, for
// about so many tokens: at least 1024, and fewer than [MaxTokens]. Newer models
// may refuse it: use [Thinking].
func ThinkingBudget(tokens int) Option {
	return func(c *config) { c.budget, c.budgeted = int64(tokens), true }
}

// Effort sets how much the model puts into an answer and its thinking: "low",
// "medium", "high", "xhigh" or "max". The default is the provider's; not every
// model has every one.
func Effort(level string) Option {
	return func(c *config) { c.effort = anthropic.OutputConfigEffort(level) }
}

// NoCache sends requests that the provider does not cache: what is cached costs
// a quarter more the first time, and a tenth from then on. Use it where no
// request is like an earlier one.
func NoCache() Option { return func(c *config) { c.noCache = true } }

// New returns the model that Anthropic knows by this name.
func New(model string, opts ...Option) *Model {
	m := &Model{name: model, cfg: config{baseURL: os.Getenv("ANTHROPIC_BASE_URL")}}
	for _, o := range opts {
		o(&m.cfg)
	}
	if m.cfg.maxTokens == 0 {
		m.cfg.maxTokens = defaultMaxTokens + m.cfg.budget
	}
	m.err = m.check()
	_, err := anthropic.CalculateNonStreamingTimeout(int(m.cfg.maxTokens), model, nil)
	m.long = err != nil
	// The step that calls the model retries, so that each request is an attempt
	// that is counted.
	// A whole client would link every service of the SDK.
	m.client = anthropic.NewMessageService(slices.Concat(anthropic.DefaultClientOptions(), m.cfg.options, []option.RequestOption{option.WithMaxRetries(0), option.WithMiddleware(once)})...)
	return m
}

// check returns what is wrong with the settings.
func (m *Model) check() error {
	bad := func(format string, args ...any) error {
		return durable.Fail(durable.ErrInvalid.Code, format, args...)
	}
	c := m.cfg
	u, _ := url.Parse(c.baseURL) // adapter.BadURL says what is wrong with it
	switch {
	case m.name == "":
		return bad("the model has no name; give the provider's, e.g. anthropic.New(\"claude-sonnet-5\")")
	case adapter.BadURL(c.baseURL):
		return bad("the model's base URL is %q; give one such as http://localhost:8099", c.baseURL)
	case strings.HasSuffix(strings.TrimSuffix(u.Path, "/"), "/v1"):
		return bad("the model's base URL is %q; leave out the /v1 at its end, which the SDK adds", c.baseURL)
	case c.adaptive && c.budgeted:
		return bad("the model has both Thinking and ThinkingBudget; use Thinking, and ThinkingBudget with models of before Claude 4.6")
	case c.budgeted && (c.budget < 1024 || c.budget >= c.maxTokens):
		return bad("the model may think for %d tokens and answer with %d, thinking included; give ThinkingBudget at least 1024, and MaxTokens more than that", c.budget, c.maxTokens)
	case c.maxTokens < 0:
		return bad("the model may answer with %d tokens; give MaxTokens at least 1", c.maxTokens)
	case c.effort != "" && !slices.Contains([]string{"low", "medium", "high", "xhigh", "max"}, string(c.effort)):
		return bad("the model's effort is %q; use low, medium, high, xhigh or max", c.effort)
	}
	return nil
}

// once keeps net/http from sending a request a second time by itself, as it
// does with one that has an idempotency key when a connection that was kept
// alive breaks: it cannot without GetBody.
func once(req *http.Request, next option.MiddlewareNext) (*http.Response, error) {
	req.GetBody = nil
	return next(req)
}

// Name returns the provider's name of the model.
func (m *Model) Name() string { return m.name }

// Provider names whose model it is: "anthropic", or the host of another server.
func (m *Model) Provider() string {
	return adapter.Provider(m.cfg.baseURL, "api.anthropic.com", provider)
}

// MaxOutputTokens is what [MaxTokens] has set, or the default.
func (m *Model) MaxOutputTokens() int64 { return m.cfg.maxTokens }

// Err returns what is wrong with the settings, nil if nothing is.
func (m *Model) Err() error { return m.err }

// Generate makes one HTTP request. If the answer may be so long that the provider
// wants it streamed, by [MaxTokens], it is.
func (m *Model) Generate(ctx context.Context, req *agents.Request) (*agents.Response, error) {
	if m.long {
		return m.Stream(ctx, req, func(agents.Delta) {})
	}
	if m.err != nil {
		return nil, m.err
	}
	params, prefix, err := m.params(req)
	if err != nil {
		return nil, err
	}
	var raw *http.Response
	msg, err := m.client.New(ctx, params, requestOptions(ctx, &raw)...)
	if err != nil {
		return nil, failure(ctx, raw, err)
	}
	return response(msg, prefix)
}

// Stream makes one HTTP request. It hears the text, and what the model thinks as
// far as the provider shows it. A stream that ends before its message does is an
// error, whatever was heard.
func (m *Model) Stream(ctx context.Context, req *agents.Request, heard func(agents.Delta)) (*agents.Response, error) {
	if m.err != nil {
		return nil, m.err
	}
	params, prefix, err := m.params(req)
	if err != nil {
		return nil, err
	}
	var raw *http.Response
	stream := m.client.NewStreaming(ctx, params, requestOptions(ctx, &raw)...)
	defer stream.Close()
	var msg anthropic.Message
	for whole := false; stream.Next(); {
		event := stream.Current()
		if err := msg.Accumulate(event); err != nil {
			return nil, adapter.Unavailable("the provider's stream cannot be read: %v", err)
		}
		d := agents.Delta{
			Text:      cmp.Or(event.Delta.Text, event.ContentBlock.Text),
			Reasoning: cmp.Or(event.Delta.Thinking, event.ContentBlock.Thinking),
		}
		if d != (agents.Delta{}) {
			heard(d)
		}
		if whole = event.Type == "message_stop"; whole {
			return response(&msg, prefix)
		}
	}
	if err := stream.Err(); err != nil {
		return nil, failure(ctx, raw, err)
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	return nil, adapter.Unavailable("the provider's stream ended before its message did")
}

// requestOptions returns the options of one request, whose HTTP response is
// stored in raw.
func requestOptions(ctx context.Context, raw **http.Response) []option.RequestOption {
	opts := []option.RequestOption{option.WithResponseInto(raw)}
	if key := durable.IdempotencyKey(ctx); key != "" {
		opts = append(opts, option.WithHeader(agents.IdempotencyHeader, key))
	}
	return opts
}
