package adapter

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/perdure/perdure/agents"
	"github.com/perdure/perdure/durable"
)

// Unavailable returns the failure of a call that another attempt may mend.
func Unavailable(format string, args ...any) error {
	return &durable.Error{Code: agents.ErrModelUnavailable.Code, Message: fmt.Sprintf(format, args...)}
}

// Failure returns what an HTTP response means that is no answer, by its class: final, or
// worth another attempt, after as long as the header asks for.
func Failure(status int, header http.Header, class agents.Class, text string) error {
	if class != agents.Throttled && class != agents.Unavailable {
		return agents.Classify(durable.Fail(agents.ErrModel.Code, "%s", text), class)
	}
	err := agents.Unanswered(agents.Classify(Unavailable("%s", text), class), status)
	if wait, ok := agents.RetryAfterHeader(header); ok {
		err = agents.RetryAfter(err, wait)
	}
	return err
}

const (
	maxBody = 4096 // bytes of a body that are read for an error
	maxText = 300  // bytes of it that the error has
)

// Told returns what is wrong according to a body that is not in the provider's form, as
// those of proxies are; err stands for one that cannot be read.
func Told(body io.Reader, err error) string {
	data, readErr := io.ReadAll(io.LimitReader(body, maxBody))
	if readErr != nil {
		return err.Error()
	}
	var other struct {
		Error   json.RawMessage `json:"error"`
		Message string          `json:"message"`
	}
	if json.Unmarshal(data, &other) == nil {
		var s string
		if json.Unmarshal(other.Error, &s) == nil && s != "" {
			return s
		}
		if other.Message != "" {
			return other.Message
		}
	}
	return Quoted(string(data))
}

// Quoted returns a text of whoever answered, as an error has it.
func Quoted(text string) string {
	if text = Short(text); text == "" {
		return "without a reason"
	}
	return strconv.Quote(text)
}

// Short returns so much of a text as belongs in an error.
func Short(text string) string {
	text = strings.ToValidUTF8(strings.TrimSpace(text), "?")
	if len(text) > maxText {
		text = strings.ToValidUTF8(text[:maxText], "")
	}
	return text
}

// BadURL reports whether a base URL is none of HTTP; an empty one is the default.
func BadURL(u string) bool {
	parsed, err := url.Parse(u)
	return err != nil || u != "" && (parsed.Host == "" || parsed.Scheme != "http" && parsed.Scheme != "https")
}

// Provider names whose model it is: own where the base URL is empty or of the host of the
// provider itself, and otherwise its host.
func Provider(baseURL, host, own string) string {
	if u, err := url.Parse(baseURL); err == nil && u.Host != "" && u.Host != host {
		return u.Host
	}
	return own
}
