package mcp_test

//lint:file-ignore SA1019 servers of older revisions use sampling

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"
	"github.com/perdure/perdure/agents"
	"github.com/perdure/perdure/agents/agentstest"
	"github.com/perdure/perdure/agents/mcp"
	"github.com/perdure/perdure/agents/models/scripted"
	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/runtime"
	"github.com/perdure/perdure/runtime/runtimetest"
)

var sizes = json.RawMessage(`{"type":"object","properties":{"size":{"type":"string","enum":["S","L"]}},"required":["size"]}`)

// asking adds tools to a site that ask for something in the middle of a call.
func asking(s *site) {
	object := json.RawMessage(`{"type":"object"}`)
	s.far.AddTool(&sdk.Tool{Name: "shirt", InputSchema: object}, func(_ context.Context, req *sdk.CallToolRequest) (*sdk.CallToolResult, error) {
		s.mu.Lock()
		key, _ := req.Params.Meta[mcp.IdempotencyMeta].(string)
		s.keys["shirt"] = append(s.keys["shirt"], key)
		s.mu.Unlock()
		got, ok := req.Params.InputResponses["size"].(*sdk.ElicitResult)
		if !ok {
			return &sdk.CallToolResult{
				InputRequests: sdk.InputRequestMap{"size": &sdk.ElicitParams{Message: "Which size?", RequestedSchema: sizes}},
				RequestState:  "a shirt",
			}, nil
		}
		return text(fmt.Sprintf("%s: %s %v", req.Params.RequestState, got.Action, got.Content["size"])), nil
	})
	s.far.AddTool(&sdk.Tool{Name: "poem", InputSchema: object}, func(_ context.Context, req *sdk.CallToolRequest) (*sdk.CallToolResult, error) {
		got, ok := req.Params.InputResponses["poem"].(*sdk.CreateMessageWithToolsResult)
		if !ok {
			if plain, ok := req.Params.InputResponses["poem"].(*sdk.CreateMessageResult); ok {
				return text(plain.Model + " writes " + plain.Content.(*sdk.TextContent).Text), nil
			}
			return &sdk.CallToolResult{InputRequests: sdk.InputRequestMap{"poem": &sdk.CreateMessageParams{
				SystemPrompt: "You rhyme.", MaxTokens: 10, Messages: []*sdk.SamplingMessage{{Role: "user", Content: &sdk.TextContent{Text: "a poem"}}},
			}}}, nil
		}
		return text(got.Model + " writes " + got.Content[0].(*sdk.TextContent).Text), nil
	})
	s.far.AddTool(&sdk.Tool{Name: "never", InputSchema: object}, func(context.Context, *sdk.CallToolRequest) (*sdk.CallToolResult, error) {
		return &sdk.CallToolResult{InputRequests: sdk.InputRequestMap{"size": &sdk.ElicitParams{Message: "And?", RequestedSchema: sizes}}}, nil
	})
}

// poet is a model that a server is given.
type poet struct {
	asked atomic.Pointer[agents.Request]
}

func (*poet) Name() string { return "poet" }

func (p *poet) Generate(_ context.Context, r *agents.Request) (*agents.Response, error) {
	p.asked.Store(r)
	return &agents.Response{Model: "poet-1", Message: agents.Message{Content: "roses"}}, nil
}

func TestWhatServersAskFor(t *testing.T) {
	says := func(a mcp.Answer, err error) mcp.Option {
		return mcp.Answers(func(_ context.Context, q mcp.Question) (mcp.Answer, error) {
			if q.Message == "" || len(q.Schema) == 0 {
				return mcp.Answer{}, durable.Fail("empty", "the question is %+v", q)
			}
			return a, err
		})
	}
	large := mcp.Answer{Accept: true, Content: map[string]any{"size": "L"}}
	for name, c := range map[string]struct {
		tool   string
		opts   []mcp.HTTPOption
		latest string // what the model is told with the revision 2026-07-28
		older  string // and with 2025-11-25, where the server asks while the call goes on
	}{
		"nobody answers":     {"shirt", nil, "there is nobody to answer", "client does not support elicitation"},
		"accepted":           {"shirt", []mcp.HTTPOption{says(large, nil)}, "a shirt: accept L", "a shirt: accept L"},
		"declined":           {"shirt", []mcp.HTTPOption{says(mcp.Answer{}, nil)}, "a shirt: decline", "a shirt: decline"},
		"does not fit":       {"shirt", []mcp.HTTPOption{says(mcp.Answer{Accept: true}, nil)}, "does not fit its schema", "does not fit its schema"},
		"cannot be answered": {"shirt", []mcp.HTTPOption{says(large, durable.Fail("closed", "the shop is closed"))}, `"closed"`, "the shop is closed"},
		"by people":          {"shirt", []mcp.HTTPOption{mcp.AskPeople()}, "", "a shirt: cancel"},
		"is never content":   {"never", []mcp.HTTPOption{says(large, nil)}, "asked for something 10 times", ""},
		"no model":           {"poem", nil, "is given none", "client does not support CreateMessage"},
		"a model":            {"poem", []mcp.HTTPOption{mcp.Sampling(&poet{})}, "poet-1 writes roses", "poet-1 writes roses"},
	} {
		for revision, want := range map[string]string{"2026-07-28": c.latest, "2025-11-25": c.older} {
			if want == "" {
				continue
			}
			t.Run(name+" "+revision, func(t *testing.T) {
				s := newSite(t, &sdk.StreamableHTTPOptions{Stateless: revision == "2026-07-28"})
				asking(s)
				opts := append([]mcp.HTTPOption{mcp.EveryTool(agents.Retry(1, time.Millisecond))}, c.opts...)
				contains(t, told(t, mcp.HTTP(s.URL, opts...), c.tool, `{}`), want)
			})
		}
	}
}

// askedPerson makes a run whose tool asks a person, who first answers what does not fit.
func askedPerson(t *testing.T, when runtimetest.When, n int) (*world, *site, string) {
	t.Helper()
	s := newSite(t, &sdk.StreamableHTTPOptions{Stateless: true})
	asking(s)
	m := agentstest.Model(t, script(func(r *scripted.Request) scripted.Reply {
		if r.Rounds() == 0 {
			return calls("shirt", `{}`)
		}
		return scripted.Reply{Text: r.Last().Content}
	}))
	w := host(t, agent(m, agents.Tools(mcp.HTTP(s.URL, mcp.AskPeople()))))
	if n > 0 {
		w.CrashAt(when, n)
	}
	w.Start()
	w.Task(run("1"), "", input(t, "go"))
	answered := map[string]bool{}
	for _, reason := range []string{`XL`, `{"size":"L"}`} {
		var path, question string
		if err := w.Until(w.ctx, func() bool {
			for _, s := range w.Journal.History() {
				for _, e := range s.Entry.GetEvents() {
					if a := e.GetAsked(); a != nil && !answered[a.GetPath()] {
						path, question = a.GetPath(), string(a.GetQuestion().GetData())
						return true
					}
				}
			}
			return false
		}); err != nil {
			t.Fatal(err)
		}
		contains(t, question, "Which size?", `"tool":"shirt"`, `"enum":["S","L"]`)
		if len(answered) == 1 {
			contains(t, question, `"wrong":"the answer \"XL\" is no JSON object`)
		}
		answered[path] = true
		d, err := durable.Encode(durable.Decision{Approved: true, By: "anna", Reason: reason})
		if err != nil {
			t.Fatal(err)
		}
		w.Signal(run("1"), "d"+path, runtime.AnswerPrefix+path, d)
	}
	rec, err := w.Result(w.ctx, run("1"))
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Settle(w.ctx); err != nil {
		t.Fatal(err)
	}
	return w, s, answer(t, rec)
}

// TestPeopleAnswerOnce kills the process around each write of such a run: who has answered
// is not asked again, and what was recorded is not called again.
func TestPeopleAnswerOnce(t *testing.T) {
	w, s, got := askedPerson(t, 0, 0)
	if got != "a shirt: accept L" || len(s.called("shirt")) != 2 {
		t.Fatalf("%q, calls %q", got, s.called("shirt"))
	}
	for n := range w.Points() {
		for _, when := range []runtimetest.When{runtimetest.Before, runtimetest.After} {
			t.Run(fmt.Sprintf("%d.%d", n+1, when), func(t *testing.T) {
				_, s, got := askedPerson(t, when, n+1)
				keys := map[string]int{}
				for _, k := range s.called("shirt") {
					keys[k]++
				}
				if got != "a shirt: accept L" || len(keys) != 2 || len(s.called("shirt")) > 3 {
					t.Errorf("%q, calls by key %v", got, keys)
				}
			})
		}
	}
}

func TestPeopleAreAskedOneWay(t *testing.T) {
	m := agentstest.Model(t, scripted.Script{Rules: []scripted.Rule{{Reply: scripted.Reply{Text: "."}}}})
	err := agent(m, agents.Tools(mcp.HTTP("http://localhost/mcp", mcp.AskPeople(), mcp.Answers(func(context.Context, mcp.Question) (mcp.Answer, error) {
		return mcp.Answer{}, errors.New("no")
	})))).Validate()
	if !errors.Is(err, durable.ErrInvalid) {
		t.Errorf("error %v", err)
	}
}
