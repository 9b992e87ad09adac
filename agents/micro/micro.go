package micro

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/perdure/perdure/agents"
	"github.com/perdure/perdure/agents/internal/far"
	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/runtime"
)

// How a call fails. The model is told; the run goes on.
var (
	// ErrService is a service that answers with an error.
	ErrService = &durable.Error{Code: "service_error", Final: true}
	// ErrUnavailable is a service that was not there, did not answer, or answered with an
	// error that may pass, at every attempt: it may have done what it was asked for.
	ErrUnavailable = &durable.Error{Code: "service_unavailable"}
)

// services are an [agents.ToolServer].
type services struct {
	over          runtime.Messenger // nil: the node's
	only, without []string
	described     map[string]agents.ToolSpec
	prefix        string
	steps         []agents.ToolOption
	stepsOf       map[string][]agents.ToolOption
	every, within time.Duration
	err           error // what is wrong with these

	mu        sync.Mutex
	opened    int // by nodes
	asks      runtime.Messenger
	stop      context.CancelFunc // of follow
	following sync.WaitGroup
	heard     bool
	there     map[string]endpoint // by SERVICE.ENDPOINT
	known     map[string]endpoint // all that ever were, by the tool's name
	said      map[string]string
}

// Tools returns the endpoints of NATS micro services as the tools of an agent.
func Tools(opts ...Option) agents.Tool {
	s := &services{
		described: map[string]agents.ToolSpec{}, stepsOf: map[string][]agents.ToolOption{},
		every: defaultEvery, within: defaultWithin,
		there: map[string]endpoint{}, known: map[string]endpoint{}, said: map[string]string{},
	}
	for _, o := range opts {
		o(s)
	}
	s.err = s.check()
	return agents.Served(s)
}

// Err returns what is wrong with the options.
func (s *services) Err() error { return s.err }

// Open looks for services, and goes on to until it is closed. There need not be any yet.
func (s *services) Open(ctx context.Context) error {
	asks := s.over
	if asks == nil {
		asks = runtime.MessengerOf(ctx)
	}
	if asks == nil {
		return durable.Fail(durable.ErrInvalid.Code, "micro.Tools: there is no connection to NATS here; open the agent with a node, or give it one by Over")
	}
	s.mu.Lock()
	s.opened++
	first := s.opened == 1
	if first {
		s.asks = asks
	}
	s.mu.Unlock()
	if !first {
		return nil
	}
	if err := s.look(ctx); err != nil {
		return errors.Join(fmt.Errorf("look for NATS services: %w", err), s.Close())
	}
	followed, stop := context.WithCancel(context.Background())
	s.mu.Lock()
	s.stop = stop
	s.mu.Unlock()
	s.following.Go(func() { s.follow(followed) })
	return nil
}

// Close ends the search once the last node has closed it.
func (s *services) Close() error {
	s.mu.Lock()
	s.opened--
	stop := s.stop
	last := s.opened == 0
	if last {
		s.stop = nil
	}
	s.mu.Unlock()
	if last && stop != nil {
		stop()
		s.following.Wait()
	}
	return nil
}

func (s *services) messenger() runtime.Messenger {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asks
}

func (s *services) ticker() *time.Ticker { return time.NewTicker(s.every) }

// Tools returns the endpoints that are there.
func (s *services) Tools(context.Context) ([]agents.Tool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []agents.Tool
	for _, e := range s.sorted() {
		all = append(all, s.tool(e))
	}
	return all, nil
}

// Tool returns the tool of a name, also of an endpoint that is gone.
func (s *services) Tool(name string) (agents.Tool, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e, ok := s.known[name]
	if !ok {
		return agents.Tool{}, false
	}
	return s.tool(e), true
}

func (s *services) tool(e endpoint) agents.Tool {
	opts := []agents.ToolOption{agents.Retry(defaultAttempts, defaultBackoff), agents.Timeout(defaultTimeout)}
	if e.once {
		opts = append(opts, agents.Once())
	}
	return agents.Raw(e.spec, func(ctx context.Context, arguments json.RawMessage) (json.RawMessage, error) {
		return s.call(ctx, e, arguments)
	}, slices.Concat(opts, s.steps, s.stepsOf[e.name])...)
}

// What services say of errors, by the protocol of NATS micro services.
const (
	errorCodeHeader = "Nats-Service-Error-Code"
	errorHeader     = "Nats-Service-Error"
)

// maxError is how much of an error's body the model is told.
const maxError = 4 << 10

// call is one attempt at a call.
func (s *services) call(ctx context.Context, e endpoint, arguments json.RawMessage) (json.RawMessage, error) {
	header, data, err := s.messenger().Request(ctx, e.subject, http.Header{agents.IdempotencyHeader: {durable.IdempotencyKey(ctx)}}, arguments)
	unavailable := func(format string, args ...any) error {
		return &durable.Error{Code: ErrUnavailable.Code, Message: fmt.Sprintf("service %s: ", e.name) + fmt.Sprintf(format, args...)}
	}
	switch {
	case errors.Is(err, durable.ErrNotFound):
		return nil, agents.NotMade(unavailable("it is not there at the moment: %v", err))
	case errors.Is(err, durable.ErrUnavailable):
		return nil, agents.NotMade(unavailable("%v", err))
	case err != nil && ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case err != nil:
		return nil, agents.MaybeMade(unavailable("%v", err))
	}
	h := http.Header(header)
	if code, description := value(h, errorCodeHeader), value(h, errorHeader); code != "" || description != "" {
		said := strings.TrimSpace(strings.ToValidUTF8(string(data[:min(len(data), maxError)]), "�"))
		status, _ := strconv.Atoi(code)
		if !far.MayPass(status) {
			return nil, durable.Fail(ErrService.Code, "%s", strings.TrimSpace(fmt.Sprintf("service %s: error %s %s: %s", e.name, code, description, said)))
		}
		err := unavailable("error %s %s: %s", code, description, said)
		if wait, ok := agents.RetryAfterHeader(http.Header{"Retry-After": {value(h, "Retry-After")}}); ok {
			err = agents.RetryAfter(err, wait)
		}
		return nil, far.Made(status, err)
	}
	if len(bytes.TrimSpace(data)) == 0 {
		return json.RawMessage(`{"status":"ok"}`), nil
	}
	return far.Result(data, "", true)
}

// value returns a header, whose name NATS keeps as it was written.
func value(h http.Header, name string) string {
	for k, v := range h {
		if strings.EqualFold(k, name) && len(v) > 0 {
			return v[0]
		}
	}
	return ""
}
