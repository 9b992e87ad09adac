package micro

import (
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/perdure/perdure/agents"
	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/runtime"
)

// An Option configures [Tools].
type Option func(*services)

// Over asks services over another connection than the node's own, see perdure.Services.
func Over(m runtime.Messenger) Option { return func(s *services) { s.over = m } }

// Only gives the agent the endpoints of these services, and no others.
func Only(names ...string) Option {
	return func(s *services) { s.only = append(s.only, names...) }
}

// Without leaves out endpoints, as "SERVICE.ENDPOINT", or all of a service.
func Without(names ...string) Option {
	return func(s *services) { s.without = append(s.without, names...) }
}

// Endpoint makes an endpoint a tool that does not say so itself, or says of one that does
// what the model is told in place of that. name is "SERVICE.ENDPOINT"; an empty field of
// spec stands for what the service says.
func Endpoint(name string, spec agents.ToolSpec) Option {
	return func(s *services) { s.described[name] = spec }
}

// Prefix puts prefix and _ in front of the names of the tools.
func Prefix(prefix string) Option {
	return func(s *services) { s.prefix = strings.TrimSuffix(prefix, "_") + "_" }
}

// EveryTool configures the steps of all calls. The default is agents.Retry(6, 500 ms) and
// agents.Timeout(1 min).
func EveryTool(opts ...agents.ToolOption) Option {
	return func(s *services) { s.steps = append(s.steps, opts...) }
}

// Tool configures the steps of the calls of one endpoint, "SERVICE.ENDPOINT", in addition to
// [EveryTool]. The function of an [agents.Verify] may be of any types that the arguments
// fit.
func Tool(name string, opts ...agents.ToolOption) Option {
	return func(s *services) { s.stepsOf[name] = append(s.stepsOf[name], opts...) }
}

// Refresh sets how often services are looked for; five seconds by default.
func Refresh(every time.Duration) Option { return func(s *services) { s.every = every } }

// AnswerWithin sets how long services have to say that they are there, each time that they
// are looked for; one second by default. One that does not say so three times is gone.
func AnswerWithin(d time.Duration) Option { return func(s *services) { s.within = d } }

const (
	defaultAttempts = 6
	defaultBackoff  = 500 * time.Millisecond
	defaultTimeout  = time.Minute
	defaultEvery    = 5 * time.Second
	defaultWithin   = time.Second
)

// check returns what is wrong with the options.
func (s *services) check() error {
	bad := func(format string, args ...any) error {
		return durable.Fail(durable.ErrInvalid.Code, "micro.Tools: "+format, args...)
	}
	switch {
	case s.prefix == "_":
		return bad("the prefix is empty; leave Prefix out")
	case s.every <= 0:
		return bad("Refresh(%s): give it some time", s.every)
	case s.within <= 0:
		return bad("AnswerWithin(%s): a service takes some time to answer", s.within)
	}
	for name, spec := range s.described {
		if !strings.Contains(name, ".") {
			return bad("Endpoint(%q): name it SERVICE.ENDPOINT", name)
		}
		if len(spec.Parameters) > 0 && !isObject(spec.Parameters) {
			return bad("Endpoint(%q): its parameters are no JSON Schema of type object", name)
		}
	}
	for name := range s.stepsOf {
		if !strings.Contains(name, ".") {
			return bad("Tool(%q): name it SERVICE.ENDPOINT", name)
		}
	}
	return nil
}

// isObject reports whether text is a JSON Schema of objects.
func isObject(text json.RawMessage) bool {
	var shape struct {
		Type string `json:"type"`
	}
	return json.Unmarshal(text, &shape) == nil && shape.Type == "object"
}

// allows reports whether the agent may have an endpoint.
func (s *services) allows(service, endpoint string) bool {
	return (len(s.only) == 0 || slices.Contains(s.only, service)) &&
		!slices.Contains(s.without, service) && !slices.Contains(s.without, endpoint)
}
