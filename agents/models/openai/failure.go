package openai

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/openai/openai-go/v3"
	"github.com/perdure/perdure/agents"
	"github.com/perdure/perdure/agents/internal/adapter"
	"github.com/perdure/perdure/durable"
)

// failure returns what err means: final, or worth another attempt. raw is the
// HTTP response, nil where there was none.
func failure(ctx context.Context, raw *http.Response, err error) error {
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case raw == nil:
		return adapter.Unavailable("the provider cannot be reached: %v", err)
	case raw.StatusCode < 400:
		return adapter.Unavailable("the provider's response cannot be read: %v", err)
	}
	message, code := told(raw, err)
	text := fmt.Sprintf("the provider answered %d %s: %s", raw.StatusCode, http.StatusText(raw.StatusCode), message)
	class := agents.ClassOfStatus(raw.StatusCode)
	if own, ok := classes[code]; ok { // such as a 429 that no waiting mends
		class = own
	}
	return adapter.Failure(raw.StatusCode, raw.Header, class, text)
}

// told returns what the provider says is wrong, and its code for it. Not every
// server answers in OpenAI's form, and proxies answer in none.
func told(raw *http.Response, err error) (message, code string) {
	var e *openai.Error
	if errors.As(err, &e) && e.Message != "" {
		return e.Message, e.Code
	}
	return adapter.Told(raw.Body, err), ""
}

// A failed response is one whose error came behind a status of 200.
type failed struct {
	Message string `json:"message"`
	Type    string `json:"type"`
	Code    any    `json:"code"` // a string, or of other servers a status
}

// err returns what the error means: final, or worth another attempt.
func (f failed) err() error {
	text := "the provider broke off: " + adapter.Short(f.Message)
	code, _ := f.Code.(string)
	if f.Type == "invalid_request_error" || slices.Contains(final, code) || strings.HasPrefix(code, "invalid_") || strings.HasPrefix(code, "image_") {
		class, ok := classes[code]
		if !ok {
			class = agents.Refused
		}
		return agents.Classify(durable.Fail(agents.ErrModel.Code, "%s", text), class)
	}
	if code == "rate_limit_exceeded" {
		return agents.Classify(adapter.Unavailable("%s", text), agents.Throttled)
	}
	return adapter.Unavailable("%s", text)
}

// classes are those of codes that say more than the status.
var classes = map[string]agents.Class{
	"insufficient_quota":      agents.Refused,
	"context_length_exceeded": agents.TooLong, "string_above_max_length": agents.TooLong,
	"content_filter": agents.Filtered, "content_policy_violation": agents.Filtered,
}

// final are codes, beside those that begin alike, of what no other attempt mends.
var final = []string{
	"insufficient_quota", "context_length_exceeded", "content_filter", "content_policy_violation", "bio_policy", "misalignment_policy_violation", "data_residency_mismatch",
	"unsupported_image_media_type", "empty_image_file",
}
