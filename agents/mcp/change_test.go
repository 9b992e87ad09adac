package mcp_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	sdk "github.com/modelcontextprotocol/go-sdk/mcp"
	"github.com/perdure/perdure/agents"
	"github.com/perdure/perdure/agents/agentstest"
	"github.com/perdure/perdure/agents/mcp"
	"github.com/perdure/perdure/agents/models/scripted"
	"github.com/perdure/perdure/runtime"
)

// answersWith adds a tool to a server while it runs.
func answersWith(s *sdk.Server, name, answer string, before func()) {
	sdk.AddTool(s, &sdk.Tool{Name: name}, func(context.Context, *sdk.CallToolRequest, none) (*sdk.CallToolResult, any, error) {
		before()
		return text(answer), nil, nil
	})
}

// seen is what the model was told by tools, one a line.
func seen(r *scripted.Request) string {
	var all []string
	for _, m := range r.Messages {
		if m.Role == "tool" {
			all = append(all, m.Content)
		}
	}
	return strings.Join(all, "\n")
}

// mortal returns a tool whose first call lasts until its process is killed, and what is
// closed once it is called.
func mortal() (agents.Tool, <-chan struct{}) {
	reached, died := make(chan struct{}), false
	return agents.Func("die", "", func(ctx context.Context, _ none) (string, error) {
		if died {
			return "alive", nil
		}
		died = true
		close(reached)
		<-ctx.Done()
		return "", ctx.Err()
	}), reached
}

func tick() agents.Tool {
	return agents.Func("tick", "", func(context.Context, none) (string, error) { return "tick", nil })
}

// killed makes a run, kills its process once reached is closed, deploys the kind next, if
// there is one, and returns the run's answer.
func (w *world) killed(reached <-chan struct{}, next *runtime.Kind) string {
	w.t.Helper()
	p := w.Start()
	w.Task(run("1"), "", input(w.t, "go"))
	select {
	case <-reached:
	case <-w.ctx.Done():
		w.t.Fatal("the run does not come to the call in which it is killed")
	}
	p.Kill()
	if next != nil {
		if err := next.Validate(); err != nil {
			w.t.Fatal(err)
		}
		w.Deploy(next)
	}
	w.Start()
	rec, err := w.Result(w.ctx, run("1"))
	if err != nil {
		w.t.Fatal(err)
	}
	return answer(w.t, rec)
}

func changes(offers []string) []string {
	return slices.DeleteFunc(offers, func(o string) bool { return o == "-" })
}

// TestARunGoesOnWhenTheServersToolsChange changes the tools in the first call of a run,
// and kills the process once the run has used the new ones.
func TestARunGoesOnWhenTheServersToolsChange(t *testing.T) {
	for name, serve := range map[string]func(t *testing.T) (*sdk.Server, agents.Tool){
		"http": func(t *testing.T) (*sdk.Server, agents.Tool) {
			s := newSite(t, nil)
			return s.far, mcp.HTTP(s.URL, mcp.Prefix("far"), mcp.Allow("change", "words", "fresh"))
		},
		"http with sessions": func(t *testing.T) (*sdk.Server, agents.Tool) {
			s := newSite(t, nil)
			s.answerBy(only2025)
			return s.far, mcp.HTTP(s.URL, mcp.Prefix("far"), mcp.Allow("change", "words", "fresh"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			far, tools := serve(t)
			answersWith(far, "change", "changed", func() {
				far.RemoveTools("words")
				answersWith(far, "fresh", "from fresh", func() {})
			})
			m := agentstest.Model(t, script(func(r *scripted.Request) scripted.Reply {
				told := seen(r)
				switch {
				case told == "":
					return calls("far_change", `{}`)
				case !slices.Contains(r.Tools, "far_fresh"):
					return calls("tick", `{}`)
				case !strings.Contains(told, "from fresh"):
					return calls("far_words", `{}`, "far_fresh", `{}`, "far_never", `{}`)
				case !strings.Contains(told, "alive"):
					return calls("die", `{}`)
				}
				return scripted.Reply{Text: told}
			}))
			die, reached := mortal()
			w := host(t, agent(m, agents.Tools(tools, die, tick()), agents.MaxIterations(5000)))
			got := w.killed(reached, nil)
			contains(t, got, "changed\n", `"unknown_tool","message":"there is no tool \"far_words\" any more; its server has: far_change, far_fresh"`,
				"from fresh", `there is no tool \"far_never\"; there are: die, tick, far_change, far_fresh`, "alive")
			if diff := cmp.Diff([]string{"far_change far_words", "far_change far_fresh"}, changes(w.offers())); diff != "" {
				t.Errorf("what the journal says of the tools (-want +got): %s", diff)
			}
			if strings.Contains(w.log.String(), "answers another request") {
				t.Errorf("a recorded answer is to another request: %s", w.log.String())
			}
		})
	}
}

// TestADeployGivesARunAServerOrTakesIt deploys in the middle of a run.
func TestADeployGivesARunAServerOrTakesIt(t *testing.T) {
	for _, c := range []struct {
		name          string
		before, after bool
		offers        []string
		told          string
	}{
		{"gives", false, true, []string{"words"}, "one\ntwo"},
		{"takes", true, false, []string{"words", ""}, "unknown_tool"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSite(t, nil)
			m := agentstest.Model(t, script(func(r *scripted.Request) scripted.Reply {
				switch r.Rounds() {
				case 0:
					return calls("die", `{}`)
				case 1:
					return calls("words", `{}`)
				}
				return scripted.Reply{Text: seen(r)}
			}))
			die, reached := mortal()
			kind := func(served bool) *runtime.Kind {
				tools := []agents.Tool{die}
				if served {
					tools = append(tools, mcp.HTTP(s.URL, mcp.Allow("words")))
				}
				return agent(m, agents.Tools(tools...))
			}
			first, second := kind(c.before), kind(c.after)
			if c.after {
				opened(t, second)
			}
			w := host(t, first)
			contains(t, w.killed(reached, second), "alive\n", c.told)
			if diff := cmp.Diff(c.offers, changes(w.offers())); diff != "" {
				t.Errorf("what the journal says of the tools (-want +got): %s", diff)
			}
			if strings.Contains(w.log.String(), "answers another request") {
				t.Errorf("a recorded answer is to another request: %s", w.log.String())
			}
		})
	}
}

// TestWhichToolsTheModelIsOffered has each option that decides it.
func TestWhichToolsTheModelIsOffered(t *testing.T) {
	long := strings.Repeat("long", 20)
	for name, c := range map[string]struct {
		opts []mcp.HTTPOption
		want []string
	}{
		"all":           {nil, []string{"add", "count", "fail", "files_get", "long", long[:55] + "_5aa1dce7", "nothing", "wait", "words"}},
		"some":          {[]mcp.HTTPOption{mcp.Allow("add", "words", "absent")}, []string{"add", "words"}},
		"all but some":  {[]mcp.HTTPOption{mcp.Deny("add", "count", "files.get", "long", "wait", long)}, []string{"fail", "nothing", "words"}},
		"with a prefix": {[]mcp.HTTPOption{mcp.Prefix("a"), mcp.Allow("files.get", "add"), mcp.Deny("add")}, []string{"a_files_get"}},
		"none":          {[]mcp.HTTPOption{mcp.Allow("absent")}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, nil)
			answersWith(s.far, long, "", func() {})
			var got []string
			m := agentstest.Model(t, script(func(r *scripted.Request) scripted.Reply {
				got = r.Tools
				return scripted.Reply{Text: "done"}
			}))
			w := host(t, agent(m, agents.Tools(mcp.HTTP(s.URL, c.opts...))))
			w.Start()
			w.ask("1", "go")
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("tools (-want +got): %s", diff)
			}
		})
	}
}

// TestTheModelIsOfferedWhatTheServerLastHad has a program that dies and does not start again.
func TestTheModelIsOfferedWhatTheServerLastHad(t *testing.T) {
	var got [][]string
	m := agentstest.Model(t, script(func(r *scripted.Request) scripted.Reply {
		got = append(got, r.Tools)
		switch r.Rounds() {
		case 0:
			return calls("crash", `{}`)
		case 1:
			return calls("words", `{}`)
		}
		return scripted.Reply{Text: seen(r)}
	}))
	w := host(t, agent(m, agents.Tools(newProgram(t).tools(t, "serves once", mcp.Allow("words", "crash"), fast))))
	w.Start()
	contains(t, w.ask("1", "go"), "mcp_unavailable", "exit status 3", "cannot read the token file")
	if diff := cmp.Diff([][]string{{"crash", "words"}, {"crash", "words"}, {"crash", "words"}}, got); diff != "" {
		t.Errorf("tools (-want +got): %s", diff)
	}
}

// TestAServerOutOfReachIsTold takes a server away between two runs.
func TestAServerOutOfReachIsTold(t *testing.T) {
	s := newSite(t, nil)
	m := agentstest.Model(t, script(func(r *scripted.Request) scripted.Reply {
		if r.Rounds() == 0 {
			return calls("words", `{}`)
		}
		return scripted.Reply{Text: "told: " + r.Last().Content}
	}))
	w := host(t, agent(m, agents.Tools(mcp.HTTP(s.URL, mcp.Allow("words"), fast))))
	w.Start()
	contains(t, w.ask("1", "first"), "told: one\ntwo")
	s.CloseClientConnections()
	s.Close()
	contains(t, w.ask("2", "second"), "mcp_unavailable", "MCP server "+s.URL)
}
