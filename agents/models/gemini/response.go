package gemini

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/perdure/perdure/agents"
	"github.com/perdure/perdure/agents/internal/adapter"
	"github.com/perdure/perdure/durable"
	"google.golang.org/genai"
)

// An answer is put together of one response, or of the pieces of a stream.
type answer struct {
	content strings.Builder
	calls   []agents.ToolCall
	parts   []part
	model   string
	usage   agents.Usage

	finish  genai.FinishReason
	message string // about finish
	ratings []*genai.SafetyRating
	blocked *genai.GenerateContentResponsePromptFeedback
}

// add takes a response or a piece of one, and tells heard what is new in it.
func (a *answer) add(r *genai.GenerateContentResponse, heard func(agents.Delta)) error {
	if r.ModelVersion != "" {
		a.model = r.ModelVersion
	}
	if u := r.UsageMetadata; u != nil { // each is of everything so far
		a.usage = agents.Usage{
			InputTokens:     int64(u.PromptTokenCount) + int64(u.ToolUsePromptTokenCount),
			OutputTokens:    int64(u.CandidatesTokenCount) + int64(u.ThoughtsTokenCount),
			CachedTokens:    int64(u.CachedContentTokenCount),
			ReasoningTokens: int64(u.ThoughtsTokenCount),
		}
	}
	if r.PromptFeedback != nil && r.PromptFeedback.BlockReason != "" {
		a.blocked = r.PromptFeedback
	}
	if len(r.Candidates) == 0 || r.Candidates[0] == nil {
		return nil
	}
	c := r.Candidates[0]
	if c.FinishReason != "" && c.FinishReason != genai.FinishReasonUnspecified {
		a.finish, a.message, a.ratings = c.FinishReason, c.FinishMessage, c.SafetyRatings
	}
	if c.Content == nil {
		return nil
	}
	for _, p := range c.Content.Parts {
		if err := a.part(p, heard); err != nil {
			return err
		}
	}
	return nil
}

func (a *answer) part(p *genai.Part, heard func(agents.Delta)) error {
	switch {
	case p == nil:
	case p.FunctionCall != nil:
		arguments, err := compact(p.FunctionCall.Args)
		if err != nil {
			return adapter.Unavailable("the arguments of the model's call of %q cannot be read: %v", p.FunctionCall.Name, err)
		}
		a.calls = append(a.calls, agents.ToolCall{ID: p.FunctionCall.ID, Name: p.FunctionCall.Name, Arguments: arguments})
		a.parts = append(a.parts, part{Kind: kindCall, ID: p.FunctionCall.ID, Signature: p.ThoughtSignature})
	case p.Thought:
		a.parts = grown(a.parts, part{Kind: kindThought, Thought: p.Text, Signature: p.ThoughtSignature})
		if p.Text != "" {
			heard(agents.Delta{Reasoning: p.Text})
		}
	case p.Text != "" || p.ThoughtSignature != nil: // a signature may come with no text
		a.content.WriteString(p.Text)
		a.parts = grown(a.parts, part{Kind: kindText, Bytes: len(p.Text), Signature: p.ThoughtSignature})
		if p.Text != "" {
			heard(agents.Delta{Text: p.Text})
		}
	}
	return nil
}

// compact returns arguments as JSON, without the escapes that are for HTML.
func compact(arguments map[string]any) (string, error) {
	if arguments == nil {
		return "{}", nil
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(arguments)
	return strings.TrimSpace(b.String()), err
}

// response returns the answer if it is whole. name is the model that was asked.
func (a *answer) response(name string) (*agents.Response, error) {
	r := &agents.Response{Usage: a.usage, Model: a.model}
	if r.Model == "" {
		r.Model = name
	}
	r.Message = agents.Message{Role: agents.RoleAssistant, Content: a.content.String(), ToolCalls: a.calls}
	var err error
	if r.Message.Reasoning, err = reasoned(a.parts); err != nil {
		return nil, adapter.Unavailable("the model's reasoning cannot be kept: %v", err)
	}
	withheld := func(what string, reason, message string, ratings []*genai.SafetyRating) {
		r.FinishReason = "content_filter"
		r.Refusal = fmt.Sprintf("the provider's filter %s: %s", what, because(reason, message, ratings))
		r.Message.ToolCalls, r.Message.Reasoning = nil, nil // nothing goes on from here
	}
	switch a.finish {
	case genai.FinishReasonStop:
		r.FinishReason = "stop"
		if len(a.calls) > 0 {
			r.FinishReason = "tool_calls"
		}
	case genai.FinishReasonMaxTokens, genai.FinishReasonContinuation:
		r.FinishReason = "length"
	case genai.FinishReasonSafety, genai.FinishReasonRecitation, genai.FinishReasonLanguage, genai.FinishReasonBlocklist,
		genai.FinishReasonProhibitedContent, genai.FinishReasonSPII, genai.FinishReasonImageSafety,
		genai.FinishReasonImageProhibitedContent, genai.FinishReasonImageRecitation, "MODEL_ARMOR":
		withheld("withheld the answer", string(a.finish), a.message, a.ratings)
	case "MISSING_THOUGHT_SIGNATURE": // of what was sent: no waiting mends it
		return nil, durable.Fail(agents.ErrModel.Code, "the provider misses a thought signature in the conversation: %s", because(string(a.finish), a.message, nil))
	case "":
		if a.blocked == nil {
			return nil, adapter.Unavailable("the provider's response ended before the answer was whole: it has no finish reason")
		}
		withheld("blocked the conversation", string(a.blocked.BlockReason), a.blocked.BlockReasonMessage, a.blocked.SafetyRatings)
	default: // e.g. MALFORMED_FUNCTION_CALL: the next attempt is written anew
		return nil, adapter.Unavailable("the model broke off: %s", because(string(a.finish), a.message, nil))
	}
	return r, nil
}

// because returns a reason of the provider's with what it says about it.
func because(reason, message string, ratings []*genai.SafetyRating) string {
	if message != "" {
		reason += ", " + adapter.Short(message)
	}
	for _, r := range ratings {
		if r != nil && r.Blocked {
			reason += ", " + string(r.Category)
		}
	}
	return reason
}
