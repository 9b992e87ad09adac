package mcp

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/perdure/perdure/agents"
	"github.com/perdure/perdure/durable"
)

// A StdioOption configures [Stdio]: any [Option], [Args], [Env] and [Dir].
type StdioOption interface{ applyStdio(*server) }

// An HTTPOption configures [HTTP]: any [Option], [Header], [OAuth], [Token] and [Client].
type HTTPOption interface{ applyHTTP(*server) }

// An Option configures a server however it is reached: [Prefix], [Allow], [Deny], [Tool],
// [EveryTool], [MaxResult], [StartTimeout], [Resources], [Prompts], [Answers], [AskPeople],
// [Sampling].
type Option func(*server)

func (o Option) applyStdio(s *server) { o(s) }
func (o Option) applyHTTP(s *server)  { o(s) }

type stdioOption func(*server)

func (o stdioOption) applyStdio(s *server) { o(s) }

type httpOption func(*server)

func (o httpOption) applyHTTP(s *server) { o(s) }

// Args are the arguments of the program.
func Args(args ...string) StdioOption {
	return stdioOption(func(s *server) { s.args = append(s.args, args...) })
}

// Env sets a variable in the environment of the program, which is this process's
// otherwise.
func Env(name, value string) StdioOption {
	return stdioOption(func(s *server) { s.env = append(s.env, name+"="+value) })
}

// Dir is the folder that the program works in; default: that of this process.
func Dir(path string) StdioOption { return stdioOption(func(s *server) { s.dir = path }) }

// Header adds a header to every request.
func Header(name, value string) HTTPOption {
	return httpOption(func(s *server) { s.header.Add(name, value) })
}

// Client sets the HTTP client. It must have no timeout of its own: the stream of a server's
// notices stays open. The default is [http.DefaultClient].
func Client(c *http.Client) HTTPOption { return httpOption(func(s *server) { s.client = c }) }

// Prefix puts prefix and _ in front of the names of the tools, so that those of two servers
// do not meet. Options that name a tool name it as the server does.
func Prefix(prefix string) Option {
	return func(s *server) { s.prefix = strings.TrimSuffix(prefix, "_") + "_" }
}

// Allow gives the agent these tools of the server and no others.
func Allow(names ...string) Option {
	return func(s *server) { s.allow = append(s.allow, names...) }
}

// Deny gives the agent all tools of the server but these.
func Deny(names ...string) Option { return func(s *server) { s.deny = append(s.deny, names...) } }

// EveryTool configures the steps of all calls. The default is agents.Retry(6, 500 ms) and
// agents.Timeout(1 min).
func EveryTool(opts ...agents.ToolOption) Option {
	return func(s *server) { s.steps = append(s.steps, opts...) }
}

// Tool configures the steps of the calls of one tool, in addition to [EveryTool]. The
// function of an [agents.IfUnknown] may be of any types that the arguments fit.
//
//	mcp.Tool("transfer", agents.Once())
func Tool(name string, opts ...agents.ToolOption) Option {
	return func(s *server) { s.stepsOf[name] = append(s.stepsOf[name], opts...) }
}

// MaxResult sets how many bytes of a result the model is given, 65,536 by default. It reads
// the rest as [agents.MaxResult] says, up to 16 MiB. Errors are cut at 8,192 bytes.
func MaxResult(bytes int) Option { return func(s *server) { s.maxResult = bytes } }

// StartTimeout sets how long a server may take to start, to answer and to list its tools,
// one minute by default.
func StartTimeout(d time.Duration) Option { return func(s *server) { s.startTimeout = d } }

const (
	defaultAttempts     = 6
	defaultBackoff      = 500 * time.Millisecond
	defaultTimeout      = time.Minute
	defaultStartTimeout = time.Minute
	defaultMaxResult    = 64 << 10
)

// stepOptions returns the options of a tool, by the name that the server has for it.
func (s *server) stepOptions(name string) []agents.ToolOption {
	return slices.Concat([]agents.ToolOption{agents.Retry(defaultAttempts, defaultBackoff), agents.Timeout(defaultTimeout), agents.MaxResult(s.maxResult)}, s.steps, s.stepsOf[name])
}

// check returns what is wrong with the options.
func (s *server) check() error {
	switch {
	case s.maxResult < 1:
		return durable.Fail(durable.ErrInvalid.Code, "%s: MaxResult(%d): leave room for a result", s, s.maxResult)
	case s.prefix == "_":
		return durable.Fail(durable.ErrInvalid.Code, "%s: the prefix is empty; leave Prefix out", s)
	case s.answer != nil && s.askPeople:
		return durable.Fail(durable.ErrInvalid.Code, "%s: Answers and AskPeople: questions are answered by one of them", s)
	case s.startTimeout <= 0:
		return durable.Fail(durable.ErrInvalid.Code, "%s: StartTimeout(%s): a server takes some time to start", s, s.startTimeout)
	}
	for _, name := range slices.Sorted(maps.Keys(s.stepsOf)) {
		if !s.allowed(name) {
			return durable.Fail(durable.ErrInvalid.Code, "%s: Tool(%q) configures a tool that Allow and Deny leave out", s, name)
		}
	}
	return nil
}

func (s *server) allowed(name string) bool {
	return (len(s.allow) == 0 || slices.Contains(s.allow, name)) && !slices.Contains(s.deny, name)
}
