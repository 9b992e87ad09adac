package ollama

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/perdure/perdure/agents"
	"github.com/perdure/perdure/durable"
)

// A Model calls one model of one server. It is safe for concurrent use.
type Model struct {
	name string
	url  string // of chats
	cfg  config
	err  error
}

var _ agents.Streamer = (*Model)(nil)

type config struct {
	baseURL     string
	key         string
	client      *http.Client
	context     int
	maxTokens   int
	temperature *float64
	keepAlive   *time.Duration
	think       string
}

// An Option configures a model: [BaseURL], [APIKey], [HTTPClient], [ContextTokens],
// [MaxTokens], [Temperature], [KeepAlive], [Think].
type Option func(*config)

// BaseURL sets where the server is, e.g. "http://localhost:11434". The default is
// OLLAMA_HOST, in the forms that Ollama's own programs take, or else this one.
func BaseURL(u string) Option { return func(c *config) { c.baseURL = u } }

// APIKey sets a key, e.g. for models that ollama.com runs. There, the default is
// OLLAMA_API_KEY; elsewhere none is sent.
func APIKey(key string) Option { return func(c *config) { c.key = key } }

// HTTPClient sets the client that requests are made with, e.g. for a proxy or
// certificates. The default is one of its own without a timeout: a model that is not
// loaded takes a while to begin.
func HTTPClient(client *http.Client) Option { return func(c *config) { c.client = client } }

// ContextTokens sets how much of a conversation, the answer included, the model has in
// view, in tokens. The default is the server's, which may be as low as 4096 and by
// which an agent with tools is soon refused. More takes more memory of the server.
func ContextTokens(n int) Option { return func(c *config) { c.context = n } }

// MaxTokens bounds an answer, in tokens; an answer that reaches it counts as cut
// short. The default is what is left of the context.
func MaxTokens(n int) Option { return func(c *config) { c.maxTokens = n } }

// Temperature sets how much the model varies its answers, from 0 to 2. The
// default is the model's.
func Temperature(t float64) Option { return func(c *config) { c.temperature = &t } }

// KeepAlive sets how long the server keeps the model loaded after a request: 0 not at
// all, negative for ever. The default is the server's, five minutes.
func KeepAlive(d time.Duration) Option { return func(c *config) { c.keepAlive = &d } }

// Think sets whether a model that can think does: "on" or "off", for some models
// "low", "medium" or "high". The default is the model's.
func Think(how string) Option { return func(c *config) { c.think = how } }

// New returns the model that the server knows by this name, as in `ollama list`.
func New(model string, opts ...Option) *Model {
	m := &Model{name: model}
	for _, o := range opts {
		o(&m.cfg)
	}
	if m.cfg.baseURL == "" {
		m.cfg.baseURL = fromEnvironment(os.Getenv("OLLAMA_HOST"))
	}
	u, err := url.Parse(m.cfg.baseURL)
	if err == nil && (u.Host == "" || u.Scheme != "http" && u.Scheme != "https") {
		err = errors.New("it has no host")
	}
	bad := func(format string, args ...any) {
		m.err = durable.Fail(durable.ErrInvalid.Code, format, args...)
	}
	switch c := m.cfg; {
	case model == "":
		bad("the model has no name; give one of `ollama list`, e.g. ollama.New(\"qwen3\")")
	case err != nil:
		bad("Ollama's URL is %q; give one such as http://localhost:11434", c.baseURL)
	case c.context < 0:
		bad("ollama.ContextTokens(%d): give the size of the context in tokens, or 0 for the server's", c.context)
	case c.maxTokens < 0:
		bad("ollama.MaxTokens(%d): give a number of tokens, or 0 for no limit but the context", c.maxTokens)
	case c.temperature != nil && !(*c.temperature >= 0 && *c.temperature <= 2): // NaN is wrong, too
		bad("ollama.Temperature(%v): give 0 to 2", *c.temperature)
	case c.think != "" && thinking(c.think) == nil:
		bad("ollama.Think(%q): give on, off, low, medium or high", c.think)
	}
	if m.err != nil {
		return m
	}
	if m.cfg.key == "" && u.Hostname() == "ollama.com" {
		m.cfg.key = os.Getenv("OLLAMA_API_KEY")
	}
	if m.cfg.client == nil {
		m.cfg.client = &http.Client{}
	}
	m.url = u.JoinPath("api", "chat").String()
	return m
}

// fromEnvironment returns the URL that a value of OLLAMA_HOST means: it may lack the
// scheme, the host or the port, and be the address that a server listens at.
func fromEnvironment(value string) string {
	const port = "11434"
	value = strings.TrimSpace(value)
	if strings.Contains(value, "://") {
		return value
	}
	address, path, _ := strings.Cut(value, "/")
	host, p, err := net.SplitHostPort(address)
	if err != nil {
		host, p = strings.Trim(address, "[]"), port
	}
	switch host {
	case "ollama.com":
		return "https://ollama.com/" + path
	case "", "0.0.0.0", "::": // listens everywhere
		host = "127.0.0.1"
	}
	return strings.TrimSuffix("http://"+net.JoinHostPort(host, p)+"/"+path, "/")
}

// thinking returns how Ollama says it, nil if it cannot.
func thinking(how string) any {
	switch how {
	case "on":
		return true
	case "off":
		return false
	case "low", "medium", "high":
		return how
	}
	return nil
}

// Name returns the server's name of the model.
func (m *Model) Name() string { return m.name }

// Provider names whose model it is: the host of the server.
func (m *Model) Provider() string {
	u, err := url.Parse(m.cfg.baseURL)
	if err != nil {
		return "ollama"
	}
	return u.Host
}

// MaxOutputTokens is what [MaxTokens] has set; 0: no bound.
func (m *Model) MaxOutputTokens() int64 { return int64(m.cfg.maxTokens) }

// Err returns what is wrong with the settings, nil if nothing is.
func (m *Model) Err() error { return m.err }

// Generate makes one HTTP request.
func (m *Model) Generate(ctx context.Context, req *agents.Request) (*agents.Response, error) {
	return m.chat(ctx, req, false, func(agents.Delta) {})
}

// Stream makes one HTTP request, whose response comes in pieces. One that is cut
// short is [agents.ErrModelUnavailable], whatever was heard of it.
func (m *Model) Stream(ctx context.Context, req *agents.Request, heard func(agents.Delta)) (*agents.Response, error) {
	return m.chat(ctx, req, true, heard)
}
