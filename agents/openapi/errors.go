package openapi

import "github.com/perdure/perdure/durable"

// How a call fails. The model is told; the run goes on.
var (
	// ErrRefused is an answer that is no success and will not become one: a status of 4xx,
	// or a redirect that was not followed.
	ErrRefused = &durable.Error{Code: "http_refused", Final: true}
	// ErrUnavailable is an API that could not be reached, or answered with a status that
	// may pass, at every attempt.
	ErrUnavailable = &durable.Error{Code: "http_unavailable"}
	// ErrUnreadable is an answer that could not be read as a result.
	ErrUnreadable = &durable.Error{Code: "http_unreadable", Final: true}
)
