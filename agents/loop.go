package agents

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"log/slog"
	"strconv"
	"sync/atomic"

	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/runtime"
	"github.com/perdure/perdure/schemas"
)

// A conversation is what one run of an agent asks its model and its tools.
type conversation struct {
	*agent
	ctx      durable.Context
	messages []Message
	// hash is of what the next request says: settings first, then message after
	// message, so that a request costs the hash of what is new in it.
	hash    hash.Hash
	served  servedTools
	changed bool // some recorded answer is to another request than this build makes
}

// run is the loop: ask the model, call the tools that it wants called, ask
// again, until it answers.
func (a *agent) run(c *runtime.Context, user Message) (*schemas.Payload, error) {
	before, err := a.memory.recall(c)
	if err != nil {
		return nil, err
	}
	v := &conversation{agent: a, ctx: durable.FromEngine(c), hash: sha256.New()}
	v.settings()
	v.say(before...)
	v.say(user)
	turn := []Message{user} // to remember: what was not mended afterwards
	for i, repairs := 1, 0; i <= a.maxIterations; i++ {
		r, err := v.ask(i)
		if err != nil {
			return nil, err
		}
		if calls := r.Message.ToolCalls; len(calls) > 0 {
			if i == a.maxIterations {
				break // nobody would see the results
			}
			results, err := v.callTools(calls)
			if err != nil {
				return nil, err
			}
			turn = append(append(turn, r.Message), results...)
			v.say(r.Message)
			v.say(results...)
			continue
		}
		result, problem, err := a.answer.result(r)
		if err != nil {
			return nil, err
		}
		if problem == nil {
			return result, a.memory.keep(c, before, append(turn, r.Message))
		}
		if repairs++; repairs > maxRepairs {
			return nil, durable.Fail(ErrBadAnswer.Code, "the model gave no usable answer in %d attempts; the last: %v", repairs, problem)
		}
		if r.Message.Content != "" {
			v.say(r.Message)
		}
		v.say(Message{Role: RoleUser, Content: "That answer cannot be used: " + problem.Error() + ". Answer again, with the answer alone."})
	}
	return nil, durable.Fail(ErrIterationLimit.Code, "no answer after %d model calls; raise MaxIterations, or make instructions and tools such that it takes fewer", a.maxIterations)
}

// settings begins the hash with what is sent in front of the messages.
func (v *conversation) settings() {
	v.write(struct {
		Model, Instructions string
		Tools               []ToolSpec
		Output              *OutputSpec
	}{v.model.Name(), v.instructions, v.specs, v.answer.spec})
}

// say makes messages part of the conversation.
func (v *conversation) say(messages ...Message) {
	for _, m := range messages {
		v.messages = append(v.messages, m)
		v.write(m)
	}
}

func (v *conversation) write(part any) {
	_ = json.NewEncoder(v.hash).Encode(part) // what was JSON before, into a hash: it cannot fail
}

// A modelCall is what the step of a model call records: what is new.
type modelCall struct {
	Response
	RequestSHA256 string `json:"request_sha256"` // base64, of settings and messages as JSON
	// Tools is what the request said of the tools of servers, if the one before it said
	// something else.
	Tools json.RawMessage `json:"tools,omitempty"`
}

// ask makes the model call of an iteration.
func (v *conversation) ask(iteration int) (*Response, error) {
	asked, before := v.hash.Sum(nil), v.served
	messages := v.messages
	var attempts atomic.Int32
	var offer atomic.Pointer[servedTools] // the same for every attempt: they are one request
	t, err := durable.Step(v.ctx, modelStep, func(ctx context.Context) (modelCall, error) {
		last := int(attempts.Add(1)) >= v.call.attempts
		if offer.Load() == nil {
			now, err := v.serve(ctx)
			if err != nil {
				return modelCall{}, err
			}
			offer.CompareAndSwap(nil, &now)
		}
		served := *offer.Load()
		sum := served.sum(asked)
		req := &Request{Instructions: v.instructions, Messages: messages, Tools: served.after(v.specs), Output: v.answer.spec}
		r, err := v.generate(ctx, req)
		if err != nil {
			if !last {
				waitAfter(ctx, err)
			}
			return modelCall{}, err
		}
		r.Message.Role = RoleAssistant
		nameCalls(r.Message.ToolCalls, iteration)
		durable.Annotate(ctx, "model", r.Model)
		durable.Annotate(ctx, "input_tokens", strconv.FormatInt(r.Usage.InputTokens, 10))
		durable.Annotate(ctx, "output_tokens", strconv.FormatInt(r.Usage.OutputTokens, 10))
		if n := r.Usage.CachedTokens; n != 0 {
			durable.Annotate(ctx, "cached_tokens", strconv.FormatInt(n, 10))
		}
		if n := r.Usage.ReasoningTokens; n != 0 {
			durable.Annotate(ctx, "reasoning_tokens", strconv.FormatInt(n, 10))
		}
		durable.Annotate(ctx, "request_sha256", sum)
		return modelCall{*r, sum, served.since(before)}, nil
	}, v.call.stepOptions()...)
	if ctxErr := v.ctx.Err(); ctxErr != nil {
		return nil, ctxErr
	}
	if err != nil {
		return nil, fmt.Errorf("ask model %s: %w", v.model.Name(), err)
	}
	if o := offer.Load(); o != nil && len(o.twice) > 0 {
		v.ctx.Log().Warn("tools of servers are not offered: there are others of their names; give one of the servers a prefix", "tools", o.twice)
	}
	if v.served, err = before.then(t.Tools); err != nil {
		return nil, err
	}
	v.compare(t.RequestSHA256, v.served.sum(asked))
	return &t.Response, nil
}

// generate is one attempt at a model call.
func (v *conversation) generate(ctx context.Context, req *Request) (*Response, error) {
	callCtx, cancel := context.WithTimeout(ctx, v.call.timeout)
	defer cancel()
	r, err := callModel(callCtx, v.model, req)
	if err != nil {
		if ctx.Err() == nil && callCtx.Err() != nil && !errors.Is(err, ErrModel) {
			return nil, &durable.Error{Code: durable.ErrTimeout.Code, Message: "the model did not answer within " + v.call.timeout.String()}
		}
		return nil, err
	}
	if r == nil {
		return nil, errors.New("the model returned neither a response nor an error")
	}
	copied := *r
	return &copied, nil
}

// compare notes whether what is recorded answers the request that this build
// makes. If not, instructions or tools were changed by a deploy: the run goes
// on with what it was answered, and says so once it is live again.
func (v *conversation) compare(recorded, sum string) {
	v.changed = v.changed || recorded != sum
	if log := v.ctx.Log(); v.changed && log.Enabled(context.Background(), slog.LevelWarn) {
		v.changed = false
		log.Warn("a recorded model call answers another request than this build makes: model, instructions, tools or memory were changed since; the run goes on with what is recorded")
	}
}

// nameCalls gives an ID to the calls that have none of their own.
func nameCalls(calls []ToolCall, iteration int) {
	seen := map[string]bool{}
	for i := range calls {
		if id := calls[i].ID; id == "" || seen[id] {
			calls[i].ID = fmt.Sprintf("call_%d_%d", iteration, i+1)
		}
		seen[calls[i].ID] = true
	}
}

// callTools makes the calls of one message at once and returns their results in
// order. What fails is a result too; only the end of the run is an error.
func (v *conversation) callTools(calls []ToolCall) ([]Message, error) {
	futures := make([]*durable.Future[json.RawMessage], len(calls))
	for i, call := range calls {
		tool, ok := v.tool(call.Name)
		if !ok {
			tool = unknownTool(call.Name, v.served.names(v.names))
		}
		futures[i] = tool.begin(v.ctx, call.Arguments)
	}
	results := make([]Message, len(calls))
	for i, f := range futures {
		out, err := f.Result(v.ctx)
		if ctxErr := v.ctx.Err(); ctxErr != nil {
			return nil, ctxErr
		}
		results[i] = Message{Role: RoleTool, ToolCallID: calls[i].ID, Content: toolResult(out, err)}
	}
	return results, nil
}

// toolResult is what the model is told of a tool call: a string as it is, other
// results as JSON, and of an error its code and message.
func toolResult(out json.RawMessage, err error) string {
	if err == nil {
		var text string
		if json.Unmarshal(out, &text) == nil && len(out) > 0 && out[0] == '"' {
			return text
		}
		return string(out)
	}
	e := runtime.AsError(err)
	data, err := json.Marshal(map[string]any{"error": map[string]string{"code": e.Code, "message": e.Error()}})
	if err != nil {
		return err.Error()
	}
	return string(data)
}
