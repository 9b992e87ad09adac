package openai

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
	"github.com/perdure/perdure/agents"
	"github.com/perdure/perdure/durable"
)

// A Model calls one model of one provider by Chat Completions. It is safe for concurrent use.
type Model struct {
	name   string
	client openai.ChatCompletionService
	cfg    config
	err    error
}

var _ agents.Streamer = (*Model)(nil)

type config struct {
	baseURL     string
	options     []option.RequestOption
	maxTokens   int64
	temperature *float64
	effort      string
	summaries   bool
}

// An Option configures a model: [BaseURL], [APIKey], [HTTPClient], [MaxTokens],
// [Temperature], [ReasoningEffort], and of [NewResponses] alone [ReasoningSummaries].
type Option func(*config)

// BaseURL sets where the API is, path included, e.g.
// "http://localhost:11434/v1". The default is OPENAI_BASE_URL, or else OpenAI's.
func BaseURL(u string) Option {
	return func(c *config) {
		c.baseURL = u
		c.options = append(c.options, option.WithBaseURL(u))
	}
}

// APIKey sets the key. The default is OPENAI_API_KEY; without either none is
// sent, which servers of one's own accept.
func APIKey(key string) Option {
	return func(c *config) { c.options = append(c.options, option.WithAPIKey(key)) }
}

// HTTPClient sets the client that requests are made with, e.g. for a proxy or
// certificates. The default is the SDK's.
func HTTPClient(client *http.Client) Option {
	return func(c *config) { c.options = append(c.options, option.WithHTTPClient(client)) }
}

// MaxTokens bounds an answer, in tokens; an answer that reaches it counts as
// cut short. The default is the provider's. It is sent to OpenAI as
// max_completion_tokens, to other servers as max_tokens.
func MaxTokens(n int) Option { return func(c *config) { c.maxTokens = int64(n) } }

// Temperature sets how much the model varies its answers, from 0 to 2. The
// default is the provider's; some models accept no other.
func Temperature(t float64) Option { return func(c *config) { c.temperature = &t } }

// ReasoningEffort sets how much the model thinks before it answers: "none",
// "minimal", "low", "medium", "high" or what else the provider names. The default
// is the model's.
func ReasoningEffort(effort string) Option { return func(c *config) { c.effort = effort } }

// New returns the model that the provider knows by this name, asked by Chat
// Completions.
func New(model string, opts ...Option) *Model {
	m := &Model{name: model}
	m.cfg, m.err = configure(model, "openai.New", opts)
	if m.cfg.summaries && m.err == nil {
		m.err = durable.Fail(durable.ErrInvalid.Code, "model %q: Chat Completions gives no summaries of reasoning; use openai.NewResponses, or leave out openai.ReasoningSummaries", model)
	}
	// A whole client would link every service of the SDK: 22 MB more of a program.
	m.client = openai.NewChatCompletionService(m.cfg.client()...)
	return m
}

// configure returns the settings of a model, and what is wrong with them.
func configure(model, constructor string, opts []Option) (config, error) {
	c := config{baseURL: os.Getenv("OPENAI_BASE_URL")}
	for _, o := range opts {
		o(&c)
	}
	if u, err := url.Parse(c.baseURL); err != nil || c.baseURL != "" && (u.Host == "" || u.Scheme != "http" && u.Scheme != "https") {
		return c, durable.Fail(durable.ErrInvalid.Code, "the model's base URL is %q; give one such as http://localhost:11434/v1", c.baseURL)
	}
	if model == "" {
		return c, durable.Fail(durable.ErrInvalid.Code, "the model has no name; give the provider's, e.g. %s(\"gpt-5-mini\")", constructor)
	}
	return c, nil
}

// client returns the options of the SDK's client. The step that calls the model
// retries, so that each request is an attempt that is counted.
func (c config) client() []option.RequestOption {
	return slices.Concat(openai.DefaultClientOptions(), c.options, []option.RequestOption{option.WithMaxRetries(0), option.WithMiddleware(once)})
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

// Provider names whose model it is: "openai", or the host of another server.
func (m *Model) Provider() string { return m.cfg.provider() }

// MaxOutputTokens returns the bound of an answer that [MaxTokens] sets, 0 without one.
func (m *Model) MaxOutputTokens() int64 { return m.cfg.maxTokens }

func (c config) provider() string {
	if u, err := url.Parse(c.baseURL); err == nil && u.Host != "" && u.Host != "api.openai.com" {
		return u.Host
	}
	return "openai"
}

// Err returns what is wrong with the settings, nil if nothing is.
func (m *Model) Err() error { return m.err }

// Generate makes one HTTP request.
func (m *Model) Generate(ctx context.Context, req *agents.Request) (*agents.Response, error) {
	if m.err != nil {
		return nil, m.err
	}
	params, err := m.params(req)
	if err != nil {
		return nil, err
	}
	var raw *http.Response
	c, err := m.client.New(ctx, params, requestOptions(ctx, &raw)...)
	if err != nil {
		return nil, failure(ctx, raw, err)
	}
	return response(c)
}

// requestOptions returns those of one request, whose response is raw.
func requestOptions(ctx context.Context, raw **http.Response) []option.RequestOption {
	opts := []option.RequestOption{option.WithResponseInto(raw)}
	if key := durable.IdempotencyKey(ctx); key != "" {
		opts = append(opts, option.WithHeader(agents.IdempotencyHeader, key))
	}
	return opts
}

// ofOpenAI reports whether requests go to OpenAI itself, or to its deployment
// on Azure.
func (m *Model) ofOpenAI() bool {
	u, err := url.Parse(m.cfg.baseURL)
	if err != nil || m.cfg.baseURL == "" {
		return true
	}
	host := u.Hostname()
	return host == "api.openai.com" || strings.HasSuffix(host, ".openai.com") || strings.HasSuffix(host, ".openai.azure.com")
}

func response(c *openai.ChatCompletion) (*agents.Response, error) {
	if len(c.Choices) == 0 {
		return nil, unavailable("the provider's response has no choices: %.200q", c.RawJSON())
	}
	choice := c.Choices[0]
	r := &agents.Response{
		Message:      agents.Message{Role: agents.RoleAssistant, Content: choice.Message.Content},
		Usage:        usage(c.Usage),
		FinishReason: choice.FinishReason, Refusal: choice.Message.Refusal, Model: c.Model,
	}
	for _, call := range choice.Message.ToolCalls {
		r.Message.ToolCalls = append(r.Message.ToolCalls, agents.ToolCall{ID: call.ID, Name: call.Function.Name, Arguments: call.Function.Arguments})
	}
	return r, nil
}

func usage(u openai.CompletionUsage) agents.Usage {
	return agents.Usage{
		InputTokens: u.PromptTokens, CachedTokens: u.PromptTokensDetails.CachedTokens,
		OutputTokens: u.CompletionTokens, ReasoningTokens: u.CompletionTokensDetails.ReasoningTokens,
	}
}

func unavailable(format string, args ...any) error {
	return &durable.Error{Code: agents.ErrModelUnavailable.Code, Message: fmt.Sprintf(format, args...)}
}
