package gemini

import (
	"context"
	"math"
	"net/http"
	"os"
	"slices"
	"strings"

	"github.com/perdure/perdure/agents"
	"github.com/perdure/perdure/agents/internal/adapter"
	"github.com/perdure/perdure/durable"
	"google.golang.org/genai"
)

// A Model calls one model of Gemini. It is safe for concurrent use.
type Model struct {
	name   string
	models *genai.Models
	cfg    config
	err    error
}

var _ agents.Streamer = (*Model)(nil)

type config struct {
	baseURL     string
	key         string
	client      *http.Client
	maxTokens   int
	temperature *float64
	level       string
	budget      *int
	thoughts    bool
}

// An Option configures a model: [BaseURL], [APIKey], [HTTPClient], [MaxTokens],
// [Temperature], [ThinkingLevel], [ThinkingBudget], [Thoughts].
type Option func(*config)

// BaseURL sets where the API is, without its version, e.g.
// "https://gateway.example". The default is GOOGLE_GEMINI_BASE_URL, or else
// Google's.
func BaseURL(u string) Option { return func(c *config) { c.baseURL = u } }

// APIKey sets the key. The default is GOOGLE_API_KEY, or else GEMINI_API_KEY; one
// of them must be there.
func APIKey(key string) Option { return func(c *config) { c.key = key } }

// HTTPClient sets the client that requests are made with, e.g. for a proxy or
// certificates. The default is one of its own without a timeout.
func HTTPClient(client *http.Client) Option { return func(c *config) { c.client = client } }

// MaxTokens bounds an answer, what the model thinks included, in tokens; an answer
// that reaches it counts as cut short. The default is the model's.
func MaxTokens(n int) Option { return func(c *config) { c.maxTokens = n } }

// Temperature sets how much the model varies its answers, from 0 to 2. The default
// is the model's; Google advises against another one from Gemini 3 on.
func Temperature(t float64) Option { return func(c *config) { c.temperature = &t } }

// ThinkingLevel sets how much the model thinks, from Gemini 3 on: "minimal", "low",
// "medium" or "high". The default is the model's.
func ThinkingLevel(level string) Option { return func(c *config) { c.level = level } }

// ThinkingBudget sets how much the model thinks, in tokens, before Gemini 3: 0 is
// not at all, -1 as much as it finds right. The default is the model's.
func ThinkingBudget(tokens int) Option { return func(c *config) { c.budget = &tokens } }

// Thoughts asks for a summary of what the model thinks. It is heard while the model
// streams, and kept with the message.
func Thoughts() Option { return func(c *config) { c.thoughts = true } }

// New returns the model that Gemini knows by this name.
func New(model string, opts ...Option) *Model {
	m := &Model{name: model, cfg: config{baseURL: os.Getenv("GOOGLE_GEMINI_BASE_URL"), key: os.Getenv("GOOGLE_API_KEY")}}
	if m.cfg.key == "" {
		m.cfg.key = os.Getenv("GEMINI_API_KEY")
	}
	for _, o := range opts {
		o(&m.cfg)
	}
	if m.err = m.check(); m.err != nil {
		return m
	}
	client, err := genai.NewClient(context.Background(), &genai.ClientConfig{
		APIKey: m.cfg.key, Backend: genai.BackendGeminiAPI, HTTPClient: observed(m.cfg.client),
		HTTPOptions: genai.HTTPOptions{BaseURL: m.cfg.baseURL},
	})
	if err != nil {
		m.err = durable.Fail(durable.ErrInvalid.Code, "model %q: %v", model, err)
		return m
	}
	m.models = client.Models
	return m
}

// check returns what is wrong with the settings.
func (m *Model) check() error {
	bad := func(format string, args ...any) error {
		return durable.Fail(durable.ErrInvalid.Code, format, args...)
	}
	c := m.cfg
	switch {
	case m.name == "":
		return bad("the model has no name; give Google's, e.g. gemini.New(\"gemini-3-flash\")")
	case strings.ContainsAny(m.name, "?&#") || strings.Contains(m.name, ".."):
		return bad("the model's name is %q; give Google's, e.g. gemini.New(\"gemini-3-flash\")", m.name)
	case c.key == "":
		return bad("model %q has no key; set GEMINI_API_KEY, or give gemini.APIKey", m.name)
	case adapter.BadURL(c.baseURL):
		return bad("the model's base URL is %q; give one such as https://generativelanguage.googleapis.com", c.baseURL)
	case c.temperature != nil && !(*c.temperature >= 0 && *c.temperature <= 2): // NaN is wrong, too
		return bad("gemini.Temperature(%v): give 0 to 2", *c.temperature)
	case c.maxTokens < 0 || c.maxTokens > math.MaxInt32:
		return bad("gemini.MaxTokens(%d): give 1 to %d, or 0 for the model's own limit", c.maxTokens, math.MaxInt32)
	case c.level != "" && !slices.Contains([]string{"minimal", "low", "medium", "high"}, c.level):
		return bad("gemini.ThinkingLevel(%q): give minimal, low, medium or high", c.level)
	case c.budget != nil && (*c.budget < -1 || *c.budget > math.MaxInt32):
		return bad("gemini.ThinkingBudget(%d): give a number of tokens, 0 to not think, or -1 to leave it to the model", *c.budget)
	case c.level != "" && c.budget != nil:
		return bad("the model has a thinking level and a thinking budget; give the level from Gemini 3 on, the budget before")
	}
	return nil
}

// Name returns Google's name of the model.
func (m *Model) Name() string { return m.name }

// Provider names whose model it is: "gemini", or the host of another server.
func (m *Model) Provider() string {
	return adapter.Provider(m.cfg.baseURL, "generativelanguage.googleapis.com", provider)
}

// MaxOutputTokens is what [MaxTokens] has set; 0: no bound.
func (m *Model) MaxOutputTokens() int64 { return int64(m.cfg.maxTokens) }

// Err returns what is wrong with the settings, nil if nothing is.
func (m *Model) Err() error { return m.err }

// before3 reports whether the model is of a generation before Gemini 3.
func (m *Model) before3() bool {
	name := m.name[strings.LastIndex(m.name, "/")+1:]
	return strings.HasPrefix(name, "gemini-1.") || strings.HasPrefix(name, "gemini-2.")
}

// Generate makes one HTTP request.
func (m *Model) Generate(ctx context.Context, req *agents.Request) (*agents.Response, error) {
	if m.err != nil {
		return nil, m.err
	}
	contents, cfg, err := m.params(ctx, req)
	if err != nil {
		return nil, err
	}
	ctx, seen := observe(ctx)
	r, err := m.models.GenerateContent(ctx, m.name, contents, cfg)
	if err == nil {
		err = seen.broken
	}
	if err != nil {
		return nil, failure(ctx, seen, err)
	}
	var a answer
	if err := a.add(r, func(agents.Delta) {}); err != nil {
		return nil, err
	}
	return a.response(m.name)
}

// Stream makes one HTTP request, whose response comes in pieces. One that is cut
// short is [agents.ErrModelUnavailable], whatever was heard of it.
func (m *Model) Stream(ctx context.Context, req *agents.Request, heard func(agents.Delta)) (*agents.Response, error) {
	if m.err != nil {
		return nil, m.err
	}
	contents, cfg, err := m.params(ctx, req)
	if err != nil {
		return nil, err
	}
	ctx, seen := observe(ctx)
	var a answer
	for r, err := range m.models.GenerateContentStream(ctx, m.name, contents, cfg) {
		if err != nil {
			return nil, failure(ctx, seen, err)
		}
		if err := a.add(r, heard); err != nil {
			return nil, err
		}
	}
	if seen.broken != nil {
		return nil, failure(ctx, seen, seen.broken)
	}
	return a.response(m.name)
}
