package agentstest

import (
	"net/http/httptest"
	"testing"

	"github.com/perdure/perdure/agents"
	"github.com/perdure/perdure/agents/models/openai"
	"github.com/perdure/perdure/agents/models/scripted"
)

// A Scripted is a model that plays a script on a server of its own.
type Scripted struct {
	agents.Model
	// Server is asked over HTTP; its Wait and Release steer requests that the
	// script holds.
	Server *scripted.Server
	// BaseURL is where the server's API is, for another client.
	BaseURL string

	t testing.TB
}

// Model returns a model that plays a script. Its server ends with the test.
func Model(t testing.TB, s scripted.Script, opts ...openai.Option) *Scripted {
	t.Helper()
	v, err := scripted.New(s)
	if err != nil {
		t.Fatalf("the script cannot be played: %v", err)
	}
	srv := httptest.NewServer(v)
	t.Cleanup(func() {
		v.Release()
		srv.CloseClientConnections()
		srv.Close()
	})
	m := &Scripted{Server: v, BaseURL: srv.URL + "/v1", t: t}
	client := srv.Client()
	defaults := []openai.Option{openai.BaseURL(m.BaseURL), openai.APIKey("none"), openai.HTTPClient(client)}
	m.Model = openai.New("scripted", append(defaults, opts...)...)
	return m
}

// Counts returns what the model was asked so far.
func (m *Scripted) Counts() scripted.Counts { return m.Server.Counts() }

// WantCalls fails the test unless the model was asked for exactly n answers,
// and for none of them twice.
func (m *Scripted) WantCalls(n int) {
	m.t.Helper()
	m.WantRequests(n, 0)
}

// WantRequests fails the test unless the model was asked for exactly calls
// answers, with repeated requests beside the first of each: retries, or calls
// whose outcome a crash lost.
func (m *Scripted) WantRequests(calls, repeated int) {
	m.t.Helper()
	if c := m.Counts(); c.Calls != calls || c.Repeated != repeated {
		m.t.Errorf("the model got %d calls and %d repeats; want %d and %d; by key: %v", c.Calls, c.Repeated, calls, repeated, c.Keys)
	}
}
