package agents

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"hash"
	"log/slog"
	"strconv"
	"sync/atomic"
	"time"

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
	waited  time.Duration     // until a model could be asked, for the present call
	kept    map[string]string // results that were cut, by their names
	purse   *purse            // nil: no budget is charged
	behind  int               // the models before that are not asked: what they cost is not known
	changed bool              // some recorded answer is to another request than this build makes
	// gated has what is done about the calls of the last message beside making them;
	// approvedCall is set once people have approved the next model call.
	gated        map[string]*gate
	approvedCall bool
	// reasons are of the last message's calls that hand the conversation off, by their place.
	reasons map[int]json.RawMessage
}

// run is the loop: ask the model, call the tools that it wants called, ask
// again, until it answers.
func (a *agent) run(c *runtime.Context, user Message) (*schemas.Payload, error) {
	before, err := a.memory.recall(c)
	if err != nil {
		return nil, err
	}
	if a, err = a.instructed(c.Info()); err != nil {
		return nil, err
	}
	v := &conversation{agent: a, ctx: durable.FromEngine(c), hash: sha256.New()}
	if v.purse, err = a.purse(c); err != nil {
		return nil, err
	}
	v.settings()
	v.say(before...)
	turn, result, err := v.turn(c, user)
	if err != nil {
		return nil, err
	}
	return result, a.memory.keep(c, before, turn)
}

// converse asks the model until it answers, and returns what is to be remembered, of
// which the last message is the answer, and the run's result.
func (v *conversation) converse(user Message) (turn []Message, result *schemas.Payload, err error) {
	v.say(user)
	turn = []Message{user} // what was not mended afterwards
	for i, repairs := 1, 0; i <= v.limit(); i++ {
		r, err := v.paid(i)
		if err != nil {
			return nil, nil, err
		}
		if calls := r.Message.ToolCalls; len(calls) > 0 {
			if i >= v.limit() {
				break // nobody would see the results
			}
			results, err := v.callTools(calls)
			if err != nil {
				return nil, nil, err
			}
			if result, answer, err := v.handedOff(r.Message, results); err != nil {
				return nil, nil, err
			} else if result != nil {
				return append(turn, answer), result, nil
			}
			turn = append(append(turn, r.Message), results...)
			v.say(r.Message)
			v.say(results...)
			continue
		}
		result, problem, err := v.answer.result(r)
		if err != nil {
			return nil, nil, err
		}
		if problem == nil {
			return append(turn, r.Message), result, nil
		}
		if repairs++; repairs > maxRepairs {
			return nil, nil, durable.Fail(ErrBadAnswer.Code, "the model gave no usable answer in %d attempts; the last: %v", repairs, problem)
		}
		if r.Message.Content != "" {
			v.say(r.Message)
		}
		v.say(Message{Role: RoleUser, Content: "That answer cannot be used: " + problem.Error() + ". Answer again, with the answer alone."})
	}
	return nil, nil, durable.Fail(ErrIterationLimit.Code, "no answer after %d model calls; raise MaxIterations, or make instructions and tools such that it takes fewer", v.limit())
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
	// Postponed is in place of an answer: the call is made later.
	Postponed *postponement `json:"postponed,omitempty"`
	// Of a run that is charged to a budget: the name of the model that answered; whether the
	// provider has not counted the answer; how many requests beside it have not said what
	// they cost.
	Asked     string `json:"asked,omitempty"`
	Uncounted bool   `json:"uncounted,omitempty"`
	Unsaid    int    `json:"unsaid,omitempty"`
	// Gates are of the message's tool calls, by their IDs; Held keeps the answer back.
	Gates map[string]*gate `json:"gates,omitempty"`
	Held  *held            `json:"held,omitempty"`
	// Settings is likewise of the shape that it had.
	Settings json.RawMessage `json:"settings,omitempty"`
}

// ask makes the model call of an iteration, unless it is postponed.
func (v *conversation) ask(iteration int) (*modelCall, error) {
	asked, before := v.hash.Sum(nil), v.served
	messages, reader, hooks := v.messages, v.readerSpec(), v.modelHooks(iteration)
	asking := v.asking()
	var offer atomic.Pointer[servedTools] // the same for every attempt: they are one request
	t, err := durable.Step(v.ctx, modelStep, func(ctx context.Context) (modelCall, error) {
		if offer.Load() == nil {
			now, err := v.serve(ctx)
			if err != nil {
				return modelCall{}, v.failed(asking, &uncharged{err})
			}
			offer.CompareAndSwap(nil, &now)
		}
		served := *offer.Load()
		sum := served.sum(asked)
		req := &Request{Instructions: v.instructions, Messages: messages, Tools: withReader(served.after(v.specs), reader), Output: v.answer.spec}
		v.apply(served.shape, req)
		asking.lead(req.model)
		r, held, later, err := hooks.generate(ctx, req, asking.attempt)
		if err != nil || later != nil {
			return modelCall{Postponed: later}, v.failed(asking, err)
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
		b := asking.billed()
		v.annotate(ctx, b, r)
		durable.Annotate(ctx, "request_sha256", sum)
		v.annotateShape(ctx, served.shape)
		t := modelCall{
			Response: *r, RequestSHA256: sum, Tools: served.since(before), Settings: served.shape.since(before.shape),
			Gates: v.gates(r.Message.ToolCalls), Held: held,
		}
		if v.purse != nil {
			t.Asked, t.Uncounted, t.Unsaid = b.asked, b.none, b.unsaid
		}
		return t, nil
	}, v.stepOptions(asking)...)
	v.done(&t, err)
	if ctxErr := v.ctx.Err(); ctxErr != nil {
		return nil, ctxErr
	}
	if err != nil {
		v.behind = nextAfter(err)
		return nil, fmt.Errorf("ask model %s: %w", v.asked().Name(), err)
	}
	if t.Postponed != nil {
		return &t, nil
	}
	v.behind = 0
	v.waited = 0
	if o := offer.Load(); o != nil && len(o.twice) > 0 {
		v.ctx.Log().Warn("tools of servers are not offered: there are others of their names; give one of the servers a prefix", "tools", o.twice)
	}
	if v.served, err = before.then(t.Tools); err != nil {
		return nil, err
	}
	if v.served.shape, err = before.shape.then(t.Settings); err != nil {
		return nil, err
	}
	v.compare(t.RequestSHA256, v.served.sum(asked))
	v.gated = t.Gates
	return &t, nil
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
	taken, seen := map[string]bool{}, map[string]bool{}
	for _, call := range calls {
		taken[call.ID] = true
	}
	for i := range calls {
		if id := calls[i].ID; id == "" || seen[id] {
			id = fmt.Sprintf("call_%d_%d", iteration, i+1)
			for taken[id] {
				id += "_"
			}
			calls[i].ID, taken[id] = id, true
		}
		seen[calls[i].ID] = true
	}
}

// callTools makes the calls of one message at once and returns their results in
// order. What fails is a result too; only the end of the run is an error.
func (v *conversation) callTools(calls []ToolCall) ([]Message, error) {
	v.reasons = map[int]json.RawMessage{}
	futures, tools, order := make([]*durable.Future[json.RawMessage], len(calls)), make([]Tool, len(calls)), turns{}
	for i, call := range calls {
		tool, ok := v.tool(call.Name)
		if !ok {
			tool = unknownTool(call.Name, v.served.names(v.names))
		}
		tools[i] = order.take(tool)
		futures[i] = v.begin(tools[i], call)
		order.follow(tool, futures[i])
	}
	if err := v.unlessEnded(futures); err != nil {
		return nil, err
	}
	results := make([]Message, len(calls))
	for i, f := range futures {
		out, err := f.Result(v.ctx)
		if ctxErr := v.ctx.Err(); ctxErr != nil {
			return nil, ctxErr
		}
		if g := v.gated[calls[i].ID]; err == nil && tools[i].handOff != nil && (g == nil || g.made) {
			v.reasons[i] = out
		}
		told, err := v.told(tools[i], out, err)
		if err != nil {
			return nil, err
		}
		results[i] = Message{Role: RoleTool, ToolCallID: calls[i].ID, Content: told}
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
