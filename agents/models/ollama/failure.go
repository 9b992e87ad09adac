package ollama

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"syscall"

	"github.com/perdure/perdure/agents"
	"github.com/perdure/perdure/durable"
)

// unreachable returns what it means that there was no response.
func (m *Model) unreachable(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err // without the URL
	}
	hint := ""
	if errors.Is(err, syscall.ECONNREFUSED) {
		hint = "; start it with `ollama serve`, or set OLLAMA_HOST to where it runs"
	}
	return unavailable("Ollama cannot be reached at %s: %v%s", m.cfg.baseURL, err, hint)
}

// refused returns what a response means that is no answer: final, or worth another
// attempt.
func (m *Model) refused(ctx context.Context, res *http.Response) error {
	body, err := io.ReadAll(io.LimitReader(res.Body, 4096))
	if ctx.Err() != nil {
		return ctx.Err()
	}
	var e struct {
		Error string `json:"error"`
	}
	ours := err == nil && json.Unmarshal(body, &e) == nil && e.Error != ""
	told := short(e.Error)
	if !ours { // of a proxy, or cut short
		told = "without a reason"
		if text := short(string(body)); text != "" {
			told = strconv.Quote(text)
		}
	}
	text := fmt.Sprintf("the server answered %d %s: %s", res.StatusCode, http.StatusText(res.StatusCode), told)
	class := agents.ClassOfStatus(res.StatusCode)
	switch {
	case class == agents.Throttled, class == agents.Unavailable:
		err := agents.Unanswered(agents.Classify(unavailable("%s", text), class), res.StatusCode)
		if wait, ok := agents.RetryAfterHeader(res.Header); ok {
			return agents.RetryAfter(err, wait)
		}
		return err
	case res.StatusCode == http.StatusNotFound && ours:
		text += "; get it with `ollama pull " + m.name + "`"
	case res.StatusCode == http.StatusNotFound:
		text += "; is " + m.cfg.baseURL + " where Ollama runs, without /v1?"
	case strings.Contains(told, "exceeds the context length"):
		text += "; raise ollama.ContextTokens"
		class = agents.TooLong
	}
	return agents.Classify(durable.Fail(agents.ErrModel.Code, "%s", text), class)
}

// short returns so much of a text as belongs in an error.
func short(text string) string {
	text = strings.TrimSpace(text)
	if len(text) > 300 {
		text = text[:300]
	}
	return strings.ToValidUTF8(text, "?")
}

func unavailable(format string, args ...any) error {
	return &durable.Error{Code: agents.ErrModelUnavailable.Code, Message: fmt.Sprintf(format, args...)}
}
