package ollama

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"syscall"

	"github.com/perdure/perdure/agents"
	"github.com/perdure/perdure/agents/internal/adapter"
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
	return adapter.Unavailable("Ollama cannot be reached at %s: %v%s", m.cfg.baseURL, err, hint)
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
	told := adapter.Short(e.Error)
	if !ours { // of a proxy, or cut short
		told = adapter.Quoted(string(body))
	}
	text := fmt.Sprintf("the server answered %d %s: %s", res.StatusCode, http.StatusText(res.StatusCode), told)
	class := agents.ClassOfStatus(res.StatusCode)
	switch {
	case class == agents.Throttled, class == agents.Unavailable:
	case res.StatusCode == http.StatusNotFound && ours:
		text += "; get it with `ollama pull " + m.name + "`"
	case res.StatusCode == http.StatusNotFound:
		text += "; is " + m.cfg.baseURL + " where Ollama runs, without /v1?"
	case strings.Contains(told, "exceeds the context length"):
		text += "; raise ollama.ContextTokens"
		class = agents.TooLong
	}
	return adapter.Failure(res.StatusCode, res.Header, class, text)
}
