package agents

import (
	"context"
	"encoding/json"
	"reflect"
	"slices"
	"strings"

	"github.com/google/jsonschema-go/jsonschema"
	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/runtime"
	"github.com/perdure/perdure/schemas"
)

// A handOff is what makes a tool one of [HandOff].
type handOff struct {
	to   durable.Name[json.RawMessage, json.RawMessage]
	out  reflect.Type // of its answers
	opts []durable.CallOption
}

// HandOff makes a tool by which the model gives the conversation to another agent, which
// answers in its place: the caller gets the other agent's answer, so both must answer with
// the same type. Use [Delegate] where the first agent is to go on with what it gets.
//
// The other agent is called under the key of this one: exactly one run there. It is given
// the conversation so far, this agent's tool calls and their results included, and why,
// in the model's words. The conversation stays this agent's: it remembers the answer; the
// other one neither reads nor changes what it remembers itself. If the other one's run
// fails, the model is told, and may answer after all. Conversations do not go round: a hand-off
// to an agent that waits for this very answer is an error that the model is told
// ([durable.ErrCallCycle]), and so is one beyond [MaxDepth] or [MaxTree].
//
// The tool's name is hand_off_to_ and that of the other agent, with _ for the dot. Of
// several hand-offs at once the first that succeeds is the one; other tools that are called
// beside it are called before.
func HandOff[In, Out any](name durable.Name[In, Out], description string, opts ...durable.CallOption) Tool {
	t := Tool{spec: ToolSpec{
		Name:        "hand_off_to_" + strings.ReplaceAll(name.String(), ".", "_"),
		Description: "Gives the conversation to " + name.String() + ", who answers the user in your place. " + description,
	}}
	fail := func(err error) {
		t.errs = append(t.errs, durable.Fail(durable.ErrInvalid.Code, "hand off to %q: %v", name, err))
	}
	if err := name.Err(); err != nil {
		fail(err)
		return t
	}
	if name.OncePerKey() {
		t.bad("%q was made by DeclareWorkflow, and a conversation goes to an agent; use Delegate", name)
	}
	if err := checkToolName(t.spec.Name); err != nil {
		fail(err)
	}
	args, err := compile(object([]string{"reason"}, &jsonschema.Schema{Type: "string", Description: "why, and what is to be done, for " + name.String()}))
	if err != nil {
		fail(err)
		return t
	}
	t.spec.Parameters = args.text
	t.handOff = &handOff{durable.Declare[json.RawMessage, json.RawMessage](name.String()), reflect.TypeFor[Out](), opts}
	// The rest follows when the other calls of the message are done.
	t.begin = toolConfig{}.begin(t.spec.Name, func(_ context.Context, written string) (json.RawMessage, error) {
		in, err := decodeArguments[handOffReason](args, written)
		if err != nil {
			return nil, err
		}
		return json.Marshal(in)
	})
	return t
}

// handOffReason is the arguments of a [HandOff] tool.
type handOffReason struct {
	Reason string `json:"reason"`
}

// handOffErrors returns what is wrong with the hand-offs of an agent that answers with Out.
func handOffErrors[Out any](a *agent) (errs []error) {
	form := func(t reflect.Type) reflect.Type {
		if isText(t) {
			return reflect.TypeFor[string]()
		}
		return t
	}
	own := reflect.TypeFor[Out]()
	for _, name := range a.names {
		if h := a.tools[name].handOff; h != nil && form(h.out) != form(own) {
			errs = append(errs, durable.Fail(durable.ErrInvalid.Code, "tool %q: %s answers with %s and this agent with %s, and the caller of this one gets that answer; give both the same type, or use Delegate", name, h.to, h.out, own))
		}
	}
	return errs
}

// handed is the input of an agent that a conversation is handed to.
type handed struct {
	From     string    `json:"from"` // kind of the agent that hands it off
	Reason   string    `json:"reason,omitempty"`
	Messages []Message `json:"messages"`
}

// handedInput is its form on the wire: an object of this one name, which no input of a
// user's has.
type handedInput struct {
	HandOff *handed `json:"perdure.hand_off"`
}

// handedBy returns the conversation that an input hands off; nil: it is another input.
func handedBy(p *schemas.Payload) (*handed, error) {
	if !strings.HasPrefix(string(p.GetData()), `{"perdure.hand_off":`) {
		return nil, nil
	}
	in, err := durable.Decode[handedInput](p)
	if err == nil && (in.HandOff == nil || len(in.HandOff.Messages) == 0) {
		err = durable.Fail(durable.ErrInvalid.Code, "a conversation without messages was handed off")
	}
	return in.HandOff, err
}

// take makes the agent's run one that answers in place of another.
func (a *agent) take(c *runtime.Context, h *handed) (*schemas.Payload, error) {
	if c.Info().Parent == "" {
		return nil, durable.Fail(durable.ErrDenied.Code, "a conversation is handed off by a run of an agent, and this one came from a client; send it a message")
	}
	taken := *a
	taken.memory = memory{off: true, begin: h.Messages}
	note := "[The conversation was handed to you by " + h.From
	if h.Reason != "" {
		note += ": " + h.Reason
	}
	return taken.run(c, Message{Role: RoleUser, Content: note + "]\n\nAnswer the user now."})
}

// handedOff hands the conversation to the first of the agents that the model named in a
// message and that took it. It returns the run's result and what is remembered of it;
// nil: nobody took it, and results say why.
func (v *conversation) handedOff(m Message, results []Message) (*schemas.Payload, Message, error) {
	none := func(err error) (*schemas.Payload, Message, error) { return nil, Message{}, err }
	for i, call := range m.ToolCalls {
		h := v.tools[call.Name].handOff
		var why handOffReason
		if reason, ok := v.reasons[i]; h == nil || !ok || json.Unmarshal(reason, &why) != nil {
			continue
		}
		in, err := json.Marshal(handedInput{&handed{From: v.ctx.Info().Kind, Reason: why.Reason, Messages: v.untilHandOff(m, results)}})
		if err != nil {
			return none(err)
		}
		out, err := durable.Call(v.ctx, h.to.At(v.ctx.Info().Key), json.RawMessage(in), h.opts...)
		if ctxErr := v.ctx.Err(); ctxErr != nil {
			return none(ctxErr)
		}
		if err != nil {
			results[i].Content = toolResult(nil, err)
			continue
		}
		result, err := durable.Result(out)
		return result, Message{Role: RoleAssistant, Content: toolResult(out, nil)}, err
	}
	return none(nil)
}

// untilHandOff returns the conversation as another agent is to see it: every call in it
// has its result, none is a hand-off, and nothing is in a form that only the provider of
// this agent's model takes back.
func (v *conversation) untilHandOff(m Message, results []Message) []Message {
	messages := slices.Clone(v.messages)
	calls := m.ToolCalls
	m.ToolCalls = nil
	var done []Message
	for i, call := range calls {
		if v.tools[call.Name].handOff == nil {
			m.ToolCalls, done = append(m.ToolCalls, call), append(done, results[i])
		}
	}
	if m.Content != "" || len(m.ToolCalls) > 0 {
		messages = append(append(messages, m), done...)
	}
	for i := range messages {
		messages[i].Reasoning = nil
	}
	return messages
}
