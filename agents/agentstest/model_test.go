package agentstest_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/perdure/perdure/agents"
	"github.com/perdure/perdure/agents/agentstest"
	"github.com/perdure/perdure/agents/models/openai"
	"github.com/perdure/perdure/agents/models/scripted"
)

// A recorder is a test that is watched by another.
type recorder struct {
	testing.TB
	said     []string
	cleanups []func()
}

func (r *recorder) Helper()          {}
func (r *recorder) Cleanup(f func()) { r.cleanups = append(r.cleanups, f) }
func (r *recorder) Errorf(format string, args ...any) {
	r.said = append(r.said, fmt.Sprintf(format, args...))
}

func (r *recorder) Fatalf(format string, args ...any) {
	r.Errorf(format, args...)
	panic(r)
}

func ask(t *testing.T, m agents.Model) (string, error) {
	t.Helper()
	r, err := m.Generate(t.Context(), &agents.Request{Messages: []agents.Message{{Role: agents.RoleUser, Content: "hi"}}})
	if err != nil {
		return "", err
	}
	return r.Message.Content, nil
}

func TestModelIsAskedOverHTTPAndCounted(t *testing.T) {
	r := &recorder{TB: t}
	m := agentstest.Model(r, scripted.Script{Rules: []scripted.Rule{{Reply: scripted.Reply{Text: "hello"}}}})
	defer func() {
		for _, f := range r.cleanups {
			f()
		}
	}()
	if got, err := ask(t, m); err != nil || got != "hello" {
		t.Errorf("%q, %v", got, err)
	}
	if got, err := ask(t, openai.New("other", openai.BaseURL(m.BaseURL))); err != nil || got != "hello" {
		t.Errorf("another client: %q, %v", got, err)
	}
	m.WantCalls(2)
	if len(r.said) != 0 {
		t.Errorf("two calls: the test is told %q", r.said)
	}
	m.WantCalls(1)
	m.WantRequests(2, 1)
	if len(r.said) != 2 || !strings.Contains(r.said[0], "2 calls and 0 repeats; want 1 and 0") {
		t.Errorf("wrong expectations: the test is told %q", r.said)
	}
}

func TestScriptThatCannotBePlayedFailsTheTest(t *testing.T) {
	r := &recorder{TB: t}
	defer func() {
		if recover() != any(r) || len(r.said) != 1 || !strings.Contains(r.said[0], "at least one rule") {
			t.Errorf("the test is told %q", r.said)
		}
	}()
	agentstest.Model(r, scripted.Script{})
}

func TestServerEndsWithTheTestAlsoWhileItHoldsARequest(t *testing.T) {
	r := &recorder{TB: t}
	m := agentstest.Model(r, scripted.Script{Rules: []scripted.Rule{{Reply: scripted.Reply{Stall: scripted.Duration(time.Hour)}}}})
	ended := make(chan error, 1)
	go func() {
		_, err := ask(t, m)
		ended <- err
	}()
	if err := m.Server.Wait(t.Context(), func(c scripted.Counts) bool { return c.InFlight == 1 }); err != nil {
		t.Fatal(err)
	}
	for _, f := range r.cleanups {
		f()
	}
	if err := <-ended; err == nil {
		t.Error("the request was answered")
	}
	if _, err := ask(t, m); err == nil {
		t.Error("the server is still there")
	}
}
