package openapi

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/perdure/perdure/agents"
)

// An Option configures [Tools].
type Option func(*api)

// Server sets where requests go, in place of what the document says. The paths of the
// document come behind it.
func Server(url string) Option { return func(a *api) { a.base = url } }

// Auth sets what gives each request its headers, an Authorization for instance. It is
// called for every attempt, and what it returns goes to the API's own host alone. An error
// is tried again like one of the connection, unless it is final (durable.Fail).
func Auth(headers func(ctx context.Context) (http.Header, error)) Option {
	return func(a *api) { a.auth = headers }
}

// Client sets the HTTP client; [http.DefaultClient] otherwise. Unless it has a
// CheckRedirect of its own it does not follow redirects to another host.
func Client(c *http.Client) Option { return func(a *api) { a.client = c } }

// Tags gives the agent the operations that have one of these tags, and no others.
func Tags(tags ...string) Option { return func(a *api) { a.tags = append(a.tags, tags...) } }

// Operations gives the agent the operations of these IDs, in addition to those of [Tags],
// and no others. One without an ID is named by its method and path, as in "GET /orders".
func Operations(ids ...string) Option { return func(a *api) { a.only = append(a.only, ids...) } }

// Without leaves out the operations of these IDs.
func Without(ids ...string) Option { return func(a *api) { a.without = append(a.without, ids...) } }

// Rename sets the name that the model has for an operation.
func Rename(id, name string) Option { return func(a *api) { a.renamed[id] = name } }

// Prefix puts prefix and _ in front of the names that are not given by [Rename].
func Prefix(prefix string) Option {
	return func(a *api) { a.prefix = strings.TrimSuffix(prefix, "_") + "_" }
}

// EveryTool configures the steps of all calls. The default is agents.Retry(6, 500 ms) and
// agents.Timeout(1 min).
func EveryTool(opts ...agents.ToolOption) Option {
	return func(a *api) { a.steps = append(a.steps, opts...) }
}

// Tool configures the steps of the calls of one operation, in addition to [EveryTool]. The
// function of an [agents.Verify] may be of any types that the arguments fit.
//
//	openapi.Tool("createOrder", agents.IfUnknown(agents.Repeat))
func Tool(id string, opts ...agents.ToolOption) Option {
	return func(a *api) { a.stepsOf[id] = append(a.stepsOf[id], opts...) }
}

// MaxResponse sets how many bytes of a response are read, 8 MiB by default; a longer one is
// an error. How much of it the model is given says [agents.MaxResult].
func MaxResponse(bytes int64) Option { return func(a *api) { a.maxResponse = bytes } }

const (
	defaultAttempts    = 6
	defaultBackoff     = 500 * time.Millisecond
	defaultTimeout     = time.Minute
	defaultMaxResponse = 8 << 20
)

// selects reports whether the agent is to have an operation.
func (a *api) selects(id string, tags []string) bool {
	if slices.Contains(a.without, id) {
		return false
	}
	if len(a.tags) == 0 && len(a.only) == 0 {
		return true
	}
	return slices.Contains(a.only, id) || slices.ContainsFunc(tags, func(t string) bool { return slices.Contains(a.tags, t) })
}
