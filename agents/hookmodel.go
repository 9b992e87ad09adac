package agents

import (
	"context"
	"encoding/json"
	"slices"
	"sync/atomic"

	"github.com/perdure/perdure/durable"
)

// modelHooks are the hooks of one model call. They are called once for all attempts of
// its step in this process, whichever of which fails.
type modelHooks struct {
	v         *conversation
	iteration int
	approved  bool
	before    atomic.Pointer[asked]
	response  atomic.Pointer[Response] // what the model said, before AfterModel
}

// asked is a request that hooks have seen.
type asked struct {
	req *Request
	ruling
}

// held is what keeps the answer of a model from being used, recorded with it.
type held struct {
	// Before: the model was not asked, and people are asked whether it may be.
	Before bool `json:"before,omitempty"`
	ruling
}

func (v *conversation) modelHooks(iteration int) *modelHooks {
	return &modelHooks{v: v, iteration: iteration, approved: v.approvedCall}
}

// generate calls the model between its hooks, unless the call is postponed.
func (h *modelHooks) generate(ctx context.Context, req *Request, call func(context.Context, *Request) (*Response, *postponement, error)) (*Response, *held, *postponement, error) {
	v := h.v
	if len(v.hooks) == 0 {
		r, later, err := call(ctx, req)
		return r, nil, later, err
	}
	run := v.ctx.Info().Ref().String()
	if h.before.Load() == nil {
		own := *req
		own.Messages, own.Tools = slices.Clone(req.Messages), slices.Clone(req.Tools)
		asks := ModelCall{Run: run, Iteration: h.iteration, Request: &own, Approved: h.approved}
		r, err := rule(v.hooks, v.onQuestion != nil, func(k Hooks) (Verdict, error) {
			if k.BeforeModel == nil {
				return Proceed(), nil
			}
			return k.BeforeModel(ctx, &asks)
		})
		if err != nil {
			return nil, nil, nil, &uncharged{err}
		}
		h.before.Store(&asked{asks.Request, r})
	}
	switch b := h.before.Load(); {
	case b.Denied != "":
		return nil, nil, nil, &uncharged{durable.Fail(ErrDenied.Code, "a call of the model: %s", b.Denied)}
	case b.Skip != nil:
		h.response.CompareAndSwap(nil, said(b.Skip))
	case b.Asks != nil && !h.approved:
		return &Response{}, &held{true, ruling{Asks: b.Asks}}, nil, nil
	case h.response.Load() == nil:
		r, later, err := call(ctx, b.req)
		if err != nil || later != nil {
			return nil, nil, later, err
		}
		h.response.Store(r)
	}
	copied := *h.response.Load()
	copied.Message.ToolCalls = slices.Clone(copied.Message.ToolCalls) // the hook's own, too
	answer := ModelAnswer{Run: run, Iteration: h.iteration, Response: &copied}
	r, err := rule(v.hooks, v.onQuestion != nil, func(k Hooks) (Verdict, error) {
		if k.AfterModel == nil {
			return Proceed(), nil
		}
		return k.AfterModel(ctx, &answer)
	})
	switch {
	case err != nil:
		unsay(ctx, err)
		return nil, nil, nil, &unused{err}
	case r.Skip != nil:
		usage := answer.Response.Usage
		answer.Response = said(r.Skip)
		answer.Response.Usage = usage // it was paid for
	case r.Denied != "" || r.Asks != nil:
		return answer.Response, &held{ruling: r}, nil, nil
	}
	return answer.Response, nil, nil, nil
}

// said is a response that a hook gives: a message, or its text.
func said(result json.RawMessage) *Response {
	r := &Response{FinishReason: "stop", Message: Message{Role: RoleAssistant}}
	if json.Unmarshal(result, &r.Message.Content) == nil {
		return r
	}
	var m Message
	if json.Unmarshal(result, &m) == nil && (m.Content != "" || len(m.ToolCalls) > 0) {
		m.Role = RoleAssistant
		r.Message = m
		return r
	}
	r.Message.Content = string(result)
	return r
}

// release waits for what keeps a model's answer back. again: the model is to be asked
// now. The error ends the run.
func (v *conversation) release(h *held, r *Response) (again bool, err error) {
	if h == nil {
		v.approvedCall = false
		return false, nil
	}
	if h.Denied != "" {
		return false, durable.Fail(ErrDenied.Code, "an answer of the model: %s", h.Denied)
	}
	name, p := "model answer", Proposal{Text: r.Message.Content}
	if len(r.Message.ToolCalls) > 0 {
		if p.Arguments, err = json.Marshal(r.Message.ToolCalls); err != nil {
			return false, err
		}
	}
	if h.Before {
		name, p = "model call", Proposal{Text: v.messages[len(v.messages)-1].Content}
	}
	if err := v.approved(v.ctx, name, h.Asks, p, argumentsHash(name, json.RawMessage(p.Text+string(p.Arguments)))); err != nil {
		return false, err
	}
	v.approvedCall = h.Before
	return h.Before, nil
}
