package agents

import (
	"net/http"

	"github.com/perdure/perdure/durable"
)

// IdempotencyHeader is the HTTP header that carries a step's idempotency key.
const IdempotencyHeader = "Idempotency-Key"

// IdempotentTransport returns a transport that sends the idempotency key of the
// step that a request is made in, so that the far side can make its effect
// happen once however often the step is attempted. base nil is
// [http.DefaultTransport]. A header that is set already stays: a tool that
// makes several requests gives each a key of its own, made from
// [durable.IdempotencyKey]. Because of the header net/http may send a request
// again by itself, when a connection that it kept alive turns out to be broken.
//
//	client := &http.Client{Transport: agents.IdempotentTransport(nil)}
func IdempotentTransport(base http.RoundTripper) http.RoundTripper {
	if base == nil {
		base = http.DefaultTransport
	}
	return idempotentTransport{base}
}

type idempotentTransport struct{ base http.RoundTripper }

func (t idempotentTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	if key := durable.IdempotencyKey(req.Context()); key != "" && req.Header.Get(IdempotencyHeader) == "" {
		req = req.Clone(req.Context())
		req.Header.Set(IdempotencyHeader, key)
	}
	return t.base.RoundTrip(req)
}
