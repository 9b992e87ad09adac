package anthropic

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/anthropics/anthropic-sdk-go/v2"
	"github.com/anthropics/anthropic-sdk-go/v2/shared"
	"github.com/perdure/perdure/agents"
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
		return unavailable("the provider cannot be reached: %v", err)
	case raw.StatusCode < 400 && told:
		return streamFailure(e)
	case raw.StatusCode < 400:
		return unavailable("the provider's response cannot be read: %v", err)
	}
	message := ""
	if told {
		message = e.Message
	} else {
		message = bodyOf(raw, err)
	}
	text := fmt.Sprintf("the provider answered %s: %s", strings.TrimSpace(fmt.Sprint(raw.StatusCode, " ", http.StatusText(raw.StatusCode))), message)
	class := agents.ClassOfStatus(raw.StatusCode)
	if told && spent(e) {
		class = agents.Refused
	} else if class == agents.Refused && told && tooLong(e) {
		class = agents.TooLong
	}
	if class != agents.Throttled && class != agents.Unavailable {
		return agents.Classify(durable.Fail(agents.ErrModel.Code, "%s", text), class)
	}
	err = agents.Unanswered(agents.Classify(unavailable("%s", text), class), raw.StatusCode)
	if wait, ok := agents.RetryAfterHeader(raw.Header); ok {
		err = agents.RetryAfter(err, wait)
	}
	return err
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
		return agents.Classify(unavailable("%s", text), agents.Throttled)
	}
	return unavailable("%s", text)
}

// bodyOf returns what is wrong according to a body that is not in the provider's
// form, as those of proxies are.
func bodyOf(raw *http.Response, err error) string {
	body, readErr := io.ReadAll(io.LimitReader(raw.Body, 4096))
	if readErr != nil {
		return err.Error()
	}
	var other struct {
		Error   json.RawMessage `json:"error"`
		Message string          `json:"message"`
	}
	if json.Unmarshal(body, &other) == nil {
		var s string
		if json.Unmarshal(other.Error, &s) == nil && s != "" {
			return s
		}
		if other.Message != "" {
			return other.Message
		}
	}
	text := strings.ToValidUTF8(strings.TrimSpace(string(body)), "?")
	if text == "" {
		return "without a reason"
	}
	if len(text) > 300 {
		text = strings.ToValidUTF8(text[:300], "")
	}
	return strconv.Quote(text)
}

func unavailable(format string, args ...any) error {
	return &durable.Error{Code: agents.ErrModelUnavailable.Code, Message: fmt.Sprintf(format, args...)}
}
