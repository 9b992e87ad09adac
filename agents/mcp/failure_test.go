package mcp_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"
	"github.com/perdure/perdure/agents"
	"github.com/perdure/perdure/agents/mcp"
)

func isCall(body string) bool { return strings.Contains(body, `"tools/call"`) }

// TestAProgramThatDiesIsStartedAgain kills a server in the middle of a call.
func TestAProgramThatDiesIsStartedAgain(t *testing.T) {
	t.Parallel()
	p := newProgram(t)
	if got := told(t, p.tools(t, "serves", fast), "crash", `{}`); got != "alive" {
		t.Errorf("the model is told %q", got)
	}
	if n := p.starts(); n != 2 {
		t.Errorf("the program was started %d times, want 2", n)
	}
}

func TestAOnceToolIsNotCalledAgainWhenItsProgramDies(t *testing.T) {
	t.Parallel()
	p := newProgram(t)
	contains(t, told(t, p.tools(t, "serves", fast, mcp.Tool("crash", agents.Once())), "crash", `{}`), `"unknown_outcome"`, "may have been carried out")
}

// TestAProgramThatAnswersNothingAnyMoreIsStartedAgain has one that reads
// no more.
func TestAProgramThatAnswersNothingAnyMoreIsStartedAgain(t *testing.T) {
	t.Parallel()
	p := newProgram(t)
	if got := told(t, p.tools(t, "serves", mcp.EveryTool(agents.Retry(2, time.Millisecond), agents.Timeout(3*time.Second))), "freeze", `{}`); got != "thawed" {
		t.Errorf("the model is told %q", got)
	}
	if n := p.starts(); n != 2 {
		t.Errorf("the program was started %d times, want 2", n)
	}
}

// TestACallThatHangsTimesOutAndIsRetried does not take the session from the server, which
// answers otherwise.
func TestACallThatHangsTimesOutAndIsRetried(t *testing.T) {
	t.Parallel()
	p := newProgram(t)
	tools := p.tools(t, "serves", mcp.Tool("wait", agents.Retry(2, time.Millisecond), agents.Timeout(200*time.Millisecond)))
	contains(t, told(t, tools, "wait", `{}`), `"timeout"`)
	got := p.calls()
	if len(got) != 2 || got[0] != got[1] || got[0] == "wait " {
		t.Errorf("the server was called %q, want the same key twice", got)
	}
	if n := p.starts(); n != 1 {
		t.Errorf("the program was started %d times, want 1", n)
	}
}

// TestALostSessionIsMadeAnew has a server that forgets its sessions, and one that never had
// any.
func TestALostSessionIsMadeAnew(t *testing.T) {
	for name, opts := range map[string]*sdk.StreamableHTTPOptions{"stateful": nil, "stateless": {Stateless: true}} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, opts)
			once := true
			s.answerBy(func(_ http.ResponseWriter, r *http.Request, body string) bool {
				if isCall(body) && once {
					once = false
					s.restart(opts)
				}
				return false
			})
			tools := mcp.HTTP(s.URL, mcp.EveryTool(agents.Once())) // one attempt is enough
			if got := told(t, tools, "words", `{}`); got != "one\ntwo" {
				t.Errorf("the model is told %q", got)
			}
			if n := len(s.called("words")); n != 1 {
				t.Errorf("the tool was called %d times", n)
			}
		})
	}
}

// only2025 makes a server one of the protocol's version of 2025, which has sessions.
func only2025(w http.ResponseWriter, _ *http.Request, body string) bool {
	if !strings.Contains(body, `"server/discover"`) {
		return false
	}
	http.Error(w, `{"jsonrpc":"2.0","id":`+idOf(body)+`,"error":{"code":-32601,"message":"unknown method"}}`, http.StatusBadRequest)
	return true
}

// TestASessionThatTheServerDoesNotKnowIsMadeAnew is of servers with sessions, such as those
// of versions of the protocol before 2026: they answer 404.
func TestASessionThatTheServerDoesNotKnowIsMadeAnew(t *testing.T) {
	for name, body404 := range map[string]string{"by text": "session not found", "by JSON": `{"jsonrpc":"2.0","id":%ID,"error":{"code":-32001,"message":"Session not found"}}`} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, nil)
			refused := map[string]bool{}
			s.answerBy(func(w http.ResponseWriter, r *http.Request, body string) bool {
				if only2025(w, r, body) {
					return true
				}
				id := r.Header.Get("Mcp-Session-Id")
				if isCall(body) && len(refused) == 0 {
					refused[id] = true
					http.Error(w, strings.ReplaceAll(body404, "%ID", idOf(body)), http.StatusNotFound)
					return true
				}
				if isCall(body) && (refused[id] || id == "") {
					t.Errorf("a call in the session %q, which is gone", id)
				}
				return false
			})
			if got := told(t, mcp.HTTP(s.URL, mcp.EveryTool(agents.Once())), "words", `{}`); got != "one\ntwo" {
				t.Errorf("the model is told %q", got)
			}
			if len(refused) != 1 || refused[""] {
				t.Errorf("sessions that were refused: %v", refused)
			}
		})
	}
}

// TestWhatHTTPAnswersDecidesOnRetries refuses a call twice.
func TestWhatHTTPAnswersDecidesOnRetries(t *testing.T) {
	for name, c := range map[string]struct {
		status int
		body   string
		tries  int // that reach the server
		told   string
	}{
		"bad gateway":       {502, "", 3, "one\ntwo"},
		"internal":          {500, "", 3, "one\ntwo"},
		"busy":              {429, "", 3, "one\ntwo"},
		"forbidden":         {403, "", 1, "mcp_refused"},
		"bad request":       {400, "", 1, "mcp_refused"},
		"protocol's error":  {200, `{"jsonrpc":"2.0","id":%ID,"error":{"code":-32602,"message":"no such shelf"}}`, 1, "no such shelf"},
		"error with status": {400, `{"jsonrpc":"2.0","id":%ID,"error":{"code":-32602,"message":"no such shelf"}}`, 1, "no such shelf"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, nil)
			tries := 0
			s.answerBy(func(w http.ResponseWriter, r *http.Request, body string) bool {
				if !isCall(body) {
					return false
				}
				if tries++; tries > 2 {
					return false
				}
				w.Header().Set("Content-Type", "application/json")
				w.WriteHeader(c.status)
				_, _ = w.Write([]byte(strings.ReplaceAll(c.body, "%ID", idOf(body))))
				return true
			})
			got := told(t, mcp.HTTP(s.URL, fast), "words", `{}`)
			contains(t, got, c.told)
			if tries != c.tries {
				t.Errorf("%d tries, want %d; the model is told %q", tries, c.tries, got)
			}
		})
	}
}

func TestHeadersAreSentToTheServerAlone(t *testing.T) {
	other := newSite(t, nil)
	s := newSite(t, nil)
	s.answerBy(func(w http.ResponseWriter, r *http.Request, body string) bool {
		if isCall(body) {
			http.Redirect(w, r, other.URL, http.StatusTemporaryRedirect)
			return true
		}
		return false
	})
	told(t, mcp.HTTP(s.URL, mcp.Header("X-Token", "secret"), mcp.EveryTool(agents.Once())), "words", `{}`)
	for _, h := range s.headers {
		if h.Get("X-Token") != "secret" {
			t.Errorf("a request without the header: %v", h)
		}
	}
	if len(other.headers) == 0 {
		t.Error("nothing was redirected")
	}
	for _, h := range other.headers {
		if h.Get("X-Token") != "" {
			t.Error("the header went where the server redirected to")
		}
	}
}
