package scripted

import (
	"encoding/json"
	"maps"
	"strconv"
)

// body returns the body of a response, or the events of one that is streamed.
func (v responses) body(req *Request, reply Reply) ([][]byte, error) {
	var q inquiry
	if err := json.Unmarshal(req.Body, &q); err != nil {
		return nil, err
	}
	output := v.output(req, reply)
	written := len(reply.Text) + len(reply.Refusal) + len(reply.Thinking)
	for _, c := range reply.Calls {
		written += len(c.Name) + len(c.Arguments)
	}
	in, out := tokens(len(req.Body)), tokens(written)
	begun := q.settled()
	maps.Copy(begun, map[string]any{
		"id": "resp_" + strconv.Itoa(req.Number), "object": "response", "created_at": 0, "model": req.Model,
		"status": "in_progress", "error": nil, "incomplete_details": nil, "output": []any{},
	})
	r := maps.Clone(begun)
	r["status"], r["output"] = "completed", output
	r["usage"] = map[string]any{
		"input_tokens": in, "input_tokens_details": map[string]any{"cached_tokens": v.seen(req.Body) / 4, "cache_write_tokens": 0},
		"output_tokens": out, "output_tokens_details": map[string]any{"reasoning_tokens": tokens(len(reply.Thinking))}, "total_tokens": in + out,
	}
	kind := "response.completed"
	switch reply.FinishReason {
	case "length":
		kind, r["status"], r["incomplete_details"] = "response.incomplete", "incomplete", map[string]any{"reason": "max_output_tokens"}
	case "content_filter":
		kind, r["status"], r["incomplete_details"] = "response.incomplete", "incomplete", map[string]any{"reason": "content_filter"}
	}
	if req.Stream {
		return responseEvents(kind, begun, r, output)
	}
	data, err := json.Marshal(r)
	return [][]byte{data}, err
}

// output returns the items of an answer.
func (v responses) output(req *Request, reply Reply) []map[string]any {
	items := []map[string]any{}
	add := func(prefix, kind string, more map[string]any) {
		more["id"], more["type"], more["status"] = prefix+strconv.Itoa(v.nextID()), kind, "completed"
		items = append(items, more)
	}
	if reply.Thinking != "" {
		summary := []any{}
		if req.think {
			summary = append(summary, map[string]any{"type": "summary_text", "text": reply.Thinking})
		}
		var content any
		if req.encrypt {
			content = encrypted(reply.Thinking)
		}
		add("rs_", "reasoning", map[string]any{"summary": summary, "encrypted_content": content})
	}
	content := []any{}
	if reply.Text != "" {
		content = append(content, map[string]any{"type": "output_text", "text": reply.Text, "annotations": []any{}})
	}
	if reply.Refusal != "" {
		content = append(content, map[string]any{"type": "refusal", "refusal": reply.Refusal})
	}
	if len(content) > 0 || len(reply.Calls) == 0 {
		add("msg_", "message", map[string]any{"role": "assistant", "content": content})
	}
	for _, c := range reply.Calls {
		if c.ID == "" {
			c.ID = "call_" + strconv.Itoa(v.nextID())
		}
		add("fc_", "function_call", map[string]any{"call_id": c.ID, "name": c.Name, "arguments": string(c.Arguments)})
	}
	return items
}

// settled returns what a response repeats of the settings that it was asked with.
func (q *inquiry) settled() map[string]any {
	tools := []any{}
	for _, t := range q.Tools {
		tools = append(tools, map[string]any{"type": t.Type, "name": t.Name, "description": t.Description, "parameters": t.Parameters, "strict": t.Strict})
	}
	temperature, instructions := any(1), any(nil)
	if q.Temperature != nil {
		temperature = *q.Temperature
	}
	if q.Instructions != "" {
		instructions = q.Instructions
	}
	return map[string]any{
		"instructions": instructions, "tools": tools, "tool_choice": "auto", "parallel_tool_calls": true, "temperature": temperature, "top_p": 1,
		"metadata": map[string]any{}, "access_programs": map[string]any{"cyber": "standard"},
	}
}
