package gemini

import (
	"context"
	"io"
	"net/http"
)

// seen is what the SDK does not tell of an HTTP response that it makes an error of.
type seen struct {
	status int // 0: there was no response
	line   string
	header http.Header
	broken error // why the body could not be read to its end
}

type seenKey struct{}

// observe returns a context in which the response of a request is noted.
func observe(ctx context.Context) (context.Context, *seen) {
	s := &seen{}
	return context.WithValue(ctx, seenKey{}, s), s
}

// observed returns a client whose responses are noted. It keeps net/http from
// sending a request a second time by itself, as it does with one that has an
// idempotency key when a connection that was kept alive breaks: it cannot without
// GetBody.
func observed(client *http.Client) *http.Client {
	var c http.Client
	if client != nil {
		c = *client
	}
	if c.Transport == nil {
		c.Transport = http.DefaultTransport
	}
	c.Transport = transport{c.Transport}
	return &c
}

type transport struct{ base http.RoundTripper }

func (t transport) RoundTrip(req *http.Request) (*http.Response, error) {
	r := *req
	r.GetBody = nil
	res, err := t.base.RoundTrip(&r)
	if s, ok := req.Context().Value(seenKey{}).(*seen); ok && err == nil {
		s.status, s.line, s.header = res.StatusCode, res.Status, res.Header
		res.Body = body{res.Body, s}
	}
	return res, err
}

// A body that breaks ends for the SDK, which would write the reason to the log of the
// program.
type body struct {
	io.ReadCloser
	seen *seen
}

func (b body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && err != io.EOF {
		b.seen.broken = err
		err = io.EOF
	}
	return n, err
}
