package anthropic

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/anthropics/anthropic-sdk-go/v2"
	"github.com/anthropics/anthropic-sdk-go/v2/shared"
	"github.com/perdure/perdure/agents"
	"github.com/perdure/perdure/agents/internal/adapter"
	"github.com/perdure/perdure/durable"
)

// failure returns what err means: final, or worth another attempt. raw is the
// HTTP response, nil where there was none.
func failure(ctx context.Context, raw *http.Response, err error) error {
	var e *anthropic.Error
	told := errors.As(err, &e) && e.Message != ""
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case raw == nil:
		return adapter.Unavailable("the provider cannot be reached: %v", err)
	case raw.StatusCode < 400 && told:
		return streamFailure(e)
	case raw.StatusCode < 400:
		return adapter.Unavailable("the provider's response cannot be read: %v", err)
	}
	message := ""
	if told {
		message = e.Message
	} else {
		message = adapter.Told(raw.Body, err)
	}
	text := fmt.Sprintf("the provider answered %s: %s", strings.TrimSpace(fmt.Sprint(raw.StatusCode, " ", http.StatusText(raw.StatusCode))), message)
	class := agents.ClassOfStatus(raw.StatusCode)
	if told && spent(e) {
		class = agents.Refused
	} else if class == agents.Refused && told && tooLong(e) {
		class = agents.TooLong
	}
	return adapter.Failure(raw.StatusCode, raw.Header, class, text)
}

// spent reports whether an error is a limit that no waiting mends.
func spent(e *anthropic.Error) bool {
	return e.ErrorCode() == anthropic.ErrorCodeContractSpendLimitReached || e.ErrorCode() == anthropic.ErrorCodeEnforcedSpendLimitReached
}

// tooLong reports whether a request is refused for its length, for which the API has no
// code of its own.
func tooLong(e *anthropic.Error) bool {
	return strings.Contains(e.Message, "prompt is too long") || strings.Contains(e.Message, "exceed context limit")
}

// streamFailure returns what an error in a stream means, whose status was 200.
func streamFailure(e *anthropic.Error) error {
	text := fmt.Sprintf("the provider ended its stream with %s: %s", e.Type(), e.Message)
	final := []shared.ErrorType{
		shared.ErrorTypeInvalidRequestError, shared.ErrorTypeAuthenticationError, shared.ErrorTypeBillingError,
		shared.ErrorTypePermissionError, shared.ErrorTypeNotFoundError,
	}
	if slices.Contains(final, e.Type()) || spent(e) {
		class := agents.Refused
		if tooLong(e) {
			class = agents.TooLong
		}
		return agents.Classify(durable.Fail(agents.ErrModel.Code, "%s", text), class)
	}
	if e.Type() == shared.ErrorTypeRateLimitError {
		return agents.Classify(adapter.Unavailable("%s", text), agents.Throttled)
	}
	return adapter.Unavailable("%s", text)
}
