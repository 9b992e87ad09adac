package openapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"

	"github.com/perdure/perdure/agents"
	"github.com/perdure/perdure/agents/internal/far"
	"github.com/perdure/perdure/durable"
)

// An api is an [agents.ToolServer] of the operations of a document.
type api struct {
	source      Source
	base        string
	auth        func(context.Context) (http.Header, error)
	client      *http.Client
	tags, only  []string
	without     []string
	renamed     map[string]string
	prefix      string
	steps       []agents.ToolOption
	stepsOf     map[string][]agents.ToolOption
	maxResponse int64
	err         error // what is wrong with these

	mu    sync.Mutex
	tools []agents.Tool // nil until the document was read
	named map[string]agents.Tool
}

// Tools returns the operations of a document as the tools of an agent. A document that is
// given or in a file is read at once, and what is wrong with it is reported when a node is
// opened; one at a URL is read then.
func Tools(from Source, opts ...Option) agents.Tool {
	a := &api{
		source: from, client: http.DefaultClient, renamed: map[string]string{},
		stepsOf: map[string][]agents.ToolOption{}, maxResponse: defaultMaxResponse,
	}
	for _, o := range opts {
		o(a)
	}
	client := *a.client
	if client.CheckRedirect == nil {
		client.CheckRedirect = stay
	}
	a.client = &client
	switch {
	case a.prefix == "_":
		a.err = a.fault(errors.New("the prefix is empty; leave Prefix out"))
	case a.maxResponse < 1:
		a.err = a.fault(fmt.Errorf("MaxResponse(%d): leave room for a response", a.maxResponse))
	case from.url == "":
		a.err = a.read(context.Background())
	}
	return agents.Served(a)
}

// maxRedirects is as many as net/http follows.
const maxRedirects = 10

// stay keeps requests, which have credentials, from another host.
func stay(req *http.Request, via []*http.Request) error {
	if len(via) >= maxRedirects || req.URL.Host != via[0].URL.Host || req.URL.Scheme != via[0].URL.Scheme {
		return http.ErrUseLastResponse
	}
	return nil
}

func (a *api) fault(err error) error {
	return durable.Fail(durable.ErrInvalid.Code, "openapi.Tools of %s: %v", a.source, err)
}

// Err returns what is wrong with the options, or with a document that is not at a URL.
func (a *api) Err() error { return a.err }

// Open reads a document at a URL.
func (a *api) Open(ctx context.Context) error {
	a.mu.Lock()
	read := a.tools != nil
	a.mu.Unlock()
	if read {
		return nil
	}
	return a.read(ctx)
}

// Close has nothing to do.
func (*api) Close() error { return nil }

func (a *api) read(ctx context.Context) error {
	ops, err := a.load(ctx)
	if err != nil {
		return a.fault(err)
	}
	tools, named := []agents.Tool{}, map[string]agents.Tool{}
	for _, o := range ops {
		t := a.tool(o)
		tools = append(tools, t)
		named[o.name] = t
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.tools, a.named = tools, named
	return nil
}

// Tools returns the operations.
func (a *api) Tools(context.Context) ([]agents.Tool, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.tools, nil
}

// Tool returns the operation of a name.
func (a *api) Tool(name string) (agents.Tool, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	t, ok := a.named[name]
	return t, ok
}

func (a *api) tool(o *operation) agents.Tool {
	opts := []agents.ToolOption{agents.Retry(defaultAttempts, defaultBackoff), agents.Timeout(defaultTimeout)}
	if !o.safe() && !o.keyed {
		opts = append(opts, agents.Once())
	}
	return agents.Raw(agents.ToolSpec{Name: o.name, Description: o.description, Parameters: o.schema},
		func(ctx context.Context, arguments json.RawMessage) (json.RawMessage, error) {
			return a.call(ctx, o, arguments)
		}, slices.Concat(opts, a.steps, a.stepsOf[o.id])...)
}

// call is one attempt at a call.
func (a *api) call(ctx context.Context, o *operation, written json.RawMessage) (json.RawMessage, error) {
	decoder := json.NewDecoder(bytes.NewReader(written))
	decoder.UseNumber()
	var arguments map[string]any
	if err := decoder.Decode(&arguments); err != nil {
		return nil, durable.Fail(agents.ErrBadArguments.Code, "%s: %v", o.name, err)
	}
	req, err := o.request(ctx, arguments)
	if err != nil {
		return nil, durable.Fail(agents.ErrBadArguments.Code, "%s: %v", o.name, err)
	}
	if key := durable.IdempotencyKey(ctx); o.safe() || o.keyed {
		req.Header.Set(agents.IdempotencyHeader, key)
	} else { // in small letters, by which net/http does not take it for leave to send it twice
		req.Header[strings.ToLower(agents.IdempotencyHeader)] = []string{key}
	}
	if a.auth != nil {
		header, err := a.auth(ctx)
		if err != nil {
			return nil, agents.NotMade(fmt.Errorf("authorize %s: %w", o.name, err))
		}
		maps.Copy(req.Header, header)
	}
	resp, err := a.client.Do(req)
	if err != nil {
		return nil, o.lost(ctx, err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, a.maxResponse+1))
	if err != nil {
		return nil, o.lost(ctx, err)
	}
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return nil, o.refusal(resp, data)
	}
	return a.result(o, resp, data)
}

// lost is the error of a request that was not answered.
func (o *operation) lost(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	var urlErr *url.Error
	if errors.As(err, &urlErr) {
		err = urlErr.Err // without the address, which may have a secret in it
	}
	var op *net.OpError
	unavailable := &durable.Error{Code: ErrUnavailable.Code, Message: fmt.Sprintf("%s: %v", o, err)}
	if errors.As(err, &op) && op.Op == "dial" {
		return agents.NotMade(unavailable)
	}
	return agents.MaybeMade(unavailable)
}

func (o *operation) String() string { return o.method + " " + o.server.Host + o.path }

// maxError is how much of an answer that is no success the model is told.
const maxError = 4 << 10

// refusal is the error of an answer that is no success.
func (o *operation) refusal(resp *http.Response, data []byte) error {
	said := strings.TrimSpace(strings.ToValidUTF8(string(data[:min(len(data), maxError)]), "�"))
	message := fmt.Sprintf("%s: %s: %s", o, resp.Status, said)
	if !far.MayPass(resp.StatusCode) {
		return durable.Fail(ErrRefused.Code, "%s", message)
	}
	var err error = &durable.Error{Code: ErrUnavailable.Code, Message: message}
	if wait, ok := agents.RetryAfterHeader(resp.Header); ok {
		err = agents.RetryAfter(err, wait)
	}
	return far.Made(resp.StatusCode, err)
}

// result is what the model is given of a response.
func (a *api) result(o *operation, resp *http.Response, data []byte) (json.RawMessage, error) {
	if int64(len(data)) > a.maxResponse {
		return nil, durable.Fail(ErrUnreadable.Code, "%s: the answer has more than %d bytes; ask for less at once", o, a.maxResponse)
	}
	mediaType, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	switch {
	case len(bytes.TrimSpace(data)) == 0:
		return json.Marshal(map[string]any{"status": resp.StatusCode})
	case isJSON(mediaType) && !json.Valid(data):
		return nil, durable.Fail(ErrUnreadable.Code, "%s: %s, but the answer is no JSON: %.200q", o, resp.Status, data)
	}
	return far.Result(data, mediaType, mediaType == "" || isJSON(mediaType))
}
