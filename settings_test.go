package perdure_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/perdure/perdure"
	"github.com/perdure/perdure/agents"
	"github.com/perdure/perdure/agents/agentstest"
	"github.com/perdure/perdure/agents/models/openai"
	"github.com/perdure/perdure/agents/models/scripted"
	"github.com/perdure/perdure/durable"
)

var advised = durable.Declare[string, string]("advice")

// instructed is a model that calls the tool hold once for the message "hold", and then
// answers with its name and its instructions.
func instructed(t *testing.T) *agentstest.Scripted {
	return agentstest.Model(t, scripted.Script{Rules: []scripted.Rule{{Func: func(r *scripted.Request) scripted.Reply {
		if r.User() == "hold" && r.Rounds() == 0 {
			return scripted.Reply{Calls: []scripted.Call{{Name: "hold", Arguments: scripted.Arguments("{}")}}}
		}
		text := r.Model
		if m := r.Messages[0]; m.Role == "system" || m.Role == "developer" {
			text += ": " + m.Content
		}
		return scripted.Reply{Text: text}
	}}}})
}

// inForce waits until nodes have a version in force, or say that they have not.
func inForce(t *testing.T, c *perdure.Client, agent string, number uint64, nodes int) *perdure.AgentInfo {
	t.Helper()
	ctx := testContext(t)
	for {
		info, err := c.Agent(ctx, agent)
		if err != nil {
			t.Fatal(err)
		}
		settled := 0
		for _, n := range info.Nodes {
			if n.Number >= number || strings.HasPrefix(n.Error, fmt.Sprintf("version %d:", number)) {
				settled++
			}
		}
		if settled == nodes {
			return info
		}
		select {
		case <-ctx.Done():
			t.Fatalf("version %d is not in force: %+v", number, info)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// TestSettings_AreInForceOnEveryNodeWithoutARestart: a run on its way goes by them from its
// next model call, a node that starts later has them, and one whose code cannot keeps what
// it has and says so.
func TestSettings_AreInForceOnEveryNodeWithoutARestart(t *testing.T) {
	t.Parallel()
	ctx := testContext(t)
	m := instructed(t)
	g := newGate()
	t.Cleanup(g.release)
	kind := func(opts ...agents.Option) *durable.Kind {
		return agents.New(advised, append(opts, agents.Instructions("as in the code"), agents.UseModel(m), agents.Tools(
			agents.Func("hold", "", func(ctx context.Context, _ struct{}) (string, error) {
				g.arrived <- ""
				select {
				case <-g.open:
				case <-ctx.Done():
				}
				return "held", ctx.Err()
			})))...)
	}
	careful := agents.Models(map[string]agents.Model{"careful": openai.New("careful", openai.BaseURL(m.BaseURL), openai.APIKey("none"))})
	one := running(t, "", perdure.Name("one"), perdure.Host(kind(careful)))
	c := one.Client()

	run, err := perdure.Start(ctx, c, advised.At("ann"), "hold")
	if err != nil {
		t.Fatal(err)
	}
	<-g.arrived
	set, err := c.SetAgent(ctx, "advice", agents.Settings{Instructions: "be kind to {{.Run.Key}}", Model: "careful"}, perdure.Why{By: "ann", Reason: "complaints"})
	if err != nil || set.Number != 1 || set.By != "ann" || set.Reason != "complaints" || set.At.IsZero() {
		t.Fatalf("set %+v, %v", set, err)
	}
	inForce(t, c, "advice", 1, 1)
	g.release()
	if got, err := run.Result(ctx); err != nil || got != "careful: be kind to ann" {
		t.Errorf("the run on its way ends with %q, %v", got, err)
	}
	known, err := c.Get(ctx, run.Ref())
	if err != nil || len(known.Steps) != 3 || known.Steps[0].Attributes["settings"] != "" || known.Steps[2].Attributes["settings"] != "1" {
		t.Errorf("the run's steps do not say which settings they had: %+v, %v", known, err)
	}

	for want, s := range map[string]agents.Settings{"there is no model \"fast\"": {Model: "fast"}, "no template": {Instructions: "{{"}} {
		if _, err := c.SetAgent(ctx, "advice", s, perdure.Why{}); !errors.Is(err, durable.ErrInvalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("setting %+v gives %v, want %q", s, err, want)
		}
	}
	if _, err := c.SetAgentAfter(ctx, "advice", 7, agents.Settings{}, perdure.Why{}); !errors.Is(err, durable.ErrConflict) {
		t.Errorf("a change of another version gives %v", err)
	}
	if _, err := c.SetAgent(ctx, "nobody", agents.Settings{}, perdure.Why{}); !errors.Is(err, durable.ErrUnavailable) {
		t.Errorf("settings of an agent that nobody hosts give %v", err)
	}

	// Version 2 and the first one again, by any NATS client.
	nc := plain(t, one)
	answered[perdure.SettingsVersion](t, nc, "agents.set", `{"agent":"advice","settings":{"instructions":"be brief"},"after":1,"by":"bob"}`)
	inForce(t, c, "advice", 2, 1)
	if got, err := perdure.Call(ctx, c, advised.At("bob"), "go"); err != nil || got != "scripted: be brief" {
		t.Errorf("the answer is %q, %v", got, err)
	}
	back := answered[perdure.SettingsVersion](t, nc, "agents.set", `{"agent":"advice","version":1,"by":"bob"}`)
	if back.Number != 3 {
		t.Errorf("the version of a roll-back is %d, want 3", back.Number)
	}

	// A node whose code has no such model.
	two := running(t, one.URL(), perdure.Name("two"), perdure.Host(kind()))
	info := inForce(t, two.Client(), "advice", 3, 2)
	if len(info.Versions) != 3 || info.Nodes[0] != (perdure.NodeSettings{Node: "one", Number: 3}) ||
		info.Nodes[1].Number != 0 || !strings.Contains(info.Nodes[1].Error, `there is no model "careful"`) {
		t.Errorf("of the agent is known %+v", info)
	}
	if _, err := c.SetAgent(ctx, "advice", agents.Settings{Instructions: "be exact"}, perdure.Why{}); err != nil {
		t.Fatal(err)
	}
	if info := inForce(t, c, "advice", 4, 2); info.Nodes[1] != (perdure.NodeSettings{Node: "two", Number: 4}) {
		t.Errorf("of the agent is known %+v", info)
	}
	running(t, one.URL(), perdure.Name("three"), perdure.Host(kind())) // has them as it is ready
	if info := inForce(t, c, "advice", 4, 3); len(info.Nodes) != 3 {
		t.Errorf("of the agent is known %+v", info)
	}
	if _, err := c.RollbackAgent(ctx, "advice", 9, perdure.Why{}); !errors.Is(err, durable.ErrNotFound) {
		t.Errorf("a roll-back to what there is not gives %v", err)
	}
}

// TestSettings_TheOldestVersionsGo once there are too many, and none is too large.
func TestSettings_TheOldestVersionsGo(t *testing.T) {
	t.Parallel()
	ctx := testContext(t)
	node := running(t, "", perdure.Host(agents.New(advised, agents.UseModel(instructed(t)))))
	c := node.Client()
	for i := range 5 {
		if _, err := c.SetAgent(ctx, "advice", agents.Settings{Instructions: strings.Repeat(fmt.Sprint(i), 200<<10)}, perdure.Why{}); err != nil {
			t.Fatal(err)
		}
	}
	info, err := c.Agent(ctx, "advice")
	if err != nil || len(info.Versions) != 3 || info.Versions[2].Number != 5 {
		t.Errorf("%d versions are kept (%v)", len(info.Versions), err)
	}
	if _, err := c.SetAgent(ctx, "advice", agents.Settings{Instructions: strings.Repeat("x", 300<<10)}, perdure.Why{}); !errors.Is(err, durable.ErrTooLarge) {
		t.Errorf("large instructions give %v", err)
	}
	var s agents.Settings
	if err := json.Unmarshal(info.Versions[2].Settings, &s); err != nil || s.Instructions[0] != '4' {
		t.Errorf("the last version is not the last that was set (%v)", err)
	}
}
