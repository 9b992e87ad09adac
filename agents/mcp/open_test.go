package mcp_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/perdure/perdure/agents"
	"github.com/perdure/perdure/agents/agentstest"
	"github.com/perdure/perdure/agents/mcp"
	"github.com/perdure/perdure/agents/models/scripted"
)

func silent(t *testing.T) agents.Model {
	t.Helper()
	return agentstest.Model(t, script(func(*scripted.Request) scripted.Reply { return scripted.Reply{Text: "."} }))
}

// TestAServerThatCannotBeOpenedSaysWhy opens agents as a node does.
func TestAServerThatCannotBeOpenedSaysWhy(t *testing.T) {
	refuse := func(status int) func(t *testing.T) agents.Tool {
		return func(t *testing.T) agents.Tool {
			s := newSite(t, nil)
			s.answerBy(func(w http.ResponseWriter, _ *http.Request, _ string) bool {
				http.Error(w, "no", status)
				return true
			})
			return mcp.HTTP(s.URL+"/mcp?key=secret", mcp.StartTimeout(20*time.Second))
		}
	}
	for name, c := range map[string]struct {
		tools func(t *testing.T) agents.Tool
		parts []string
	}{
		"not found": {
			func(*testing.T) agents.Tool { return mcp.Stdio("no-such-program") },
			[]string{"MCP server no-such-program", "was not found", "install it"},
		},
		"ends at once": {
			func(t *testing.T) agents.Tool { return newProgram(t).tools(t, "fails") },
			[]string{"exit status 3", "cannot read the token file", "try the command by hand"},
		},
		"answers nothing": {
			func(t *testing.T) agents.Tool {
				return newProgram(t).tools(t, "silent", mcp.StartTimeout(300*time.Millisecond))
			},
			[]string{"no answer within 300ms", "raise StartTimeout"},
		},
		"nobody listens": {
			func(*testing.T) agents.Tool { return mcp.HTTP("http://127.0.0.1:1/mcp") },
			[]string{"MCP server http://127.0.0.1:1/mcp", "refused", "does a server answer there?"},
		},
		"unauthorized":   {refuse(401), []string{"/mcp:", "give the credentials that it asks for by Header"}},
		"another path":   {refuse(404), []string{"is this the address of its MCP endpoint?"}},
		"something else": {refuse(500), []string{"is the address right"}},
		"the same name twice": {
			func(t *testing.T) agents.Tool {
				return mcp.HTTP(newSite(t, nil).URL, mcp.Allow("words"))
			},
			[]string{`["words"]`, "give one of their servers a prefix"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tools := []agents.Tool{c.tools(t)}
			if name == "the same name twice" {
				tools = append(tools, c.tools(t))
			}
			kind := agent(silent(t), agents.Tools(tools...))
			if err := kind.Validate(); err != nil {
				t.Fatal(err)
			}
			closes, err := kind.Open(t.Context())
			if err == nil {
				_ = closes()
				t.Fatal("it was opened")
			}
			contains(t, err.Error(), c.parts...)
			if strings.Contains(err.Error(), "secret") {
				t.Errorf("the error shows what is secret: %v", err)
			}
		})
	}
}

// TestWrongSettingsAreReportedWithTheKind needs no server.
func TestWrongSettingsAreReportedWithTheKind(t *testing.T) {
	for want, tools := range map[string]agents.Tool{
		"https://example.com/mcp":     mcp.HTTP("example.com/mcp"),
		"the command is empty":        mcp.Stdio(""),
		"MaxResult(0)":                mcp.Stdio("x", mcp.MaxResult(0)),
		"StartTimeout(-1s)":           mcp.Stdio("x", mcp.StartTimeout(-time.Second)),
		"the prefix is empty":         mcp.Stdio("x", mcp.Prefix("")),
		`Tool("a") configures a tool`: mcp.Stdio("x", mcp.Deny("a"), mcp.Tool("a", agents.Once())),
	} {
		err := agent(silent(t), agents.Tools(tools)).Validate()
		if err == nil {
			t.Errorf("%s: no error", want)
			continue
		}
		contains(t, err.Error(), want)
	}
}

// TestWhatANodeOpensItCloses has two nodes with the same agent: the program ends with the
// second of them.
func TestWhatANodeOpensItCloses(t *testing.T) {
	p := newProgram(t)
	kind := agent(silent(t), agents.Tools(p.tools(t, "serves")))
	var closes []func() error
	for range 2 {
		c, err := kind.Open(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		closes = append(closes, c)
	}
	if n := p.starts(); n != 1 {
		t.Errorf("the program was started %d times, want 1", n)
	}
	for i, c := range closes {
		if n := p.ends(); n != 0 {
			t.Errorf("the program has ended before close %d", i+1)
		}
		if err := c(); err != nil {
			t.Error(err)
		}
	}
	if n := p.ends(); n != 1 {
		t.Errorf("%d programs have ended when the last node is closed, want 1", n)
	}
	opened(t, kind)
	if n := p.starts(); n != 2 {
		t.Errorf("the program was started %d times for two openings", n)
	}
}
