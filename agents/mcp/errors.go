package mcp

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"sync/atomic"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	sdk "github.com/modelcontextprotocol/go-sdk/mcp"
	"github.com/perdure/perdure/durable"
)

// How a call fails. The model is told; the run goes on.
var (
	// ErrTool is a tool that says that it failed.
	ErrTool = &durable.Error{Code: "tool_error", Final: true}
	// ErrRefused is a call that the server answers with an error of the protocol or of
	// HTTP, e.g. for a missing permission.
	ErrRefused = &durable.Error{Code: "mcp_refused", Final: true}
	// ErrUnavailable is a server that could not be reached, or was lost before it
	// answered, at every attempt: it may have done what it was asked for.
	ErrUnavailable = &durable.Error{Code: "mcp_unavailable"}
)

func unavailable(s *server, err error) error {
	return &durable.Error{Code: ErrUnavailable.Code, Message: s.String() + ": " + err.Error()}
}

// A reply is what HTTP said to the requests of one call.
type reply struct{ status atomic.Int32 }

type replyKey struct{}

// replyTransport adds the server's headers and notes the status of what is answered.
type replyTransport struct {
	base   http.RoundTripper
	host   string // that the headers are for; not another one, to which it redirects
	header http.Header
}

func (t replyTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.URL.Host == t.host && len(t.header) > 0 {
		req = req.Clone(req.Context())
		maps.Copy(req.Header, t.header)
	}
	resp, err := t.base.RoundTrip(req)
	if r, ok := req.Context().Value(replyKey{}).(*reply); ok && err == nil {
		r.status.Store(int32(resp.StatusCode))
	}
	return resp, err
}

// transportCodes are what the SDK, and servers that follow it, call what is of the
// transport and not of the call.
var transportCodes = map[int64]bool{-32001: true, -32003: true, -32004: true, -32005: true}

// refused reports whether a call was answered, by an error that another attempt would
// be answered with as well.
func refused(err error, status int) bool {
	var answered *jsonrpc.Error
	if errors.As(err, &answered) && !transportCodes[answered.Code] {
		return true
	}
	switch status {
	case http.StatusNotFound, http.StatusRequestTimeout, http.StatusConflict, http.StatusTooEarly, http.StatusTooManyRequests:
		return false
	}
	return status >= 400 && status < 500
}

// lost reports whether the session has ended.
func lost(err error, status int) bool {
	return unknownSession(err, status) || errors.Is(err, sdk.ErrConnectionClosed)
}

// unknownSession reports whether the server does not know the session: it did not get as
// far as the tool.
func unknownSession(err error, status int) bool {
	return status == http.StatusNotFound || errors.Is(err, sdk.ErrSessionMissing)
}

// ended returns the reason for which ctx has ended, nil if it has not.
func ended(ctx context.Context) error {
	if ctx.Err() == nil {
		return nil
	}
	return context.Cause(ctx)
}
