package anthropic_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/perdure/perdure/agents"
	"github.com/perdure/perdure/agents/models/anthropic"
	"github.com/perdure/perdure/agents/models/scripted"
)

// converse lets a conversation grow by rounds of so many calls, and returns what
// each request read, and what of that the provider had read before.
func converse(t *testing.T, p *provider, rounds int, req *agents.Request, opts ...anthropic.Option) (all []agents.Usage) {
	t.Helper()
	m := p.model(opts...)
	for range rounds {
		r := ask(t, m, req)
		all = append(all, r.Usage)
		req.Messages = append(req.Messages, stored(t, r.Message))
		for _, c := range r.Message.ToolCalls {
			req.Messages = append(req.Messages, agents.Message{Role: agents.RoleTool, ToolCallID: c.ID, Content: "rain, all day and all night"})
		}
	}
	return all
}

// TestGrowingConversationIsReadFromTheCache has a server that caches as the API
// does, which finds no more than twenty blocks back what it has read before; and
// refuses more than four marks.
func TestGrowingConversationIsReadFromTheCache(t *testing.T) {
	for _, calls := range []int{1, 3, 30} {
		for what, req := range map[string]agents.Request{
			"instructions and tools": {Instructions: strings.Repeat("be brief ", 50), Tools: []agents.ToolSpec{weather}},
			"tools":                  {Tools: []agents.ToolSpec{weather}},
			"neither":                {},
		} {
			t.Run(fmt.Sprint(what, " ", calls), func(t *testing.T) {
				reply := scripted.Reply{Thinking: "Hm.", Text: "One moment."}
				for range calls {
					reply.Calls = append(reply.Calls, scripted.Call{Name: "get_weather", Arguments: `{"city":"Oslo"}`})
				}
				p := provide(t, scripted.Rule{Reply: reply})
				req.Messages = []agents.Message{user("Is there any place where it does not rain?")}
				usage := converse(t, p, 6, &req, anthropic.Thinking())
				if usage[0].CachedTokens != 0 {
					t.Errorf("the first request reads %d tokens from the cache", usage[0].CachedTokens)
				}
				for i := 1; i < len(usage); i++ {
					// All that the request before had said was cached, but for what is in
					// no message: names of fields and settings.
					if before := usage[i-1].InputTokens; usage[i].CachedTokens <= usage[i-1].CachedTokens || usage[i].CachedTokens < before*2/3-60 {
						t.Errorf("request %d reads %d tokens from the cache, the one before had %d", i+1, usage[i].CachedTokens, before)
					}
				}
			})
		}
	}
}

func TestOtherQuestionsReadInstructionsAndToolsFromTheCache(t *testing.T) {
	p := provide(t, scripted.Rule{Reply: scripted.Reply{Text: "Rain."}})
	for i, city := range []string{"Oslo", "Rome"} {
		got := ask(t, p.model(), &agents.Request{Instructions: strings.Repeat("be brief ", 50), Messages: []agents.Message{user(city)}})
		if (got.Usage.CachedTokens > 100) != (i == 1) {
			t.Errorf("%s: %+v", city, got.Usage)
		}
	}
}

func TestNoCacheCachesNothing(t *testing.T) {
	p := provide(t, scripted.Rule{Reply: scripted.Reply{Text: "Rain.", Calls: []scripted.Call{{Name: "get_weather", Arguments: `{}`}}}})
	for _, u := range converse(t, p, 3, &agents.Request{Instructions: "be brief", Tools: []agents.ToolSpec{weather}, Messages: []agents.Message{user("Oslo?")}}, anthropic.NoCache()) {
		if u.CachedTokens != 0 || u.InputTokens == 0 {
			t.Errorf("usage %+v", u)
		}
	}
	for _, b := range p.bodies {
		if strings.Contains(b, "cache_control") {
			t.Errorf("it marks %s", b)
		}
	}
}
