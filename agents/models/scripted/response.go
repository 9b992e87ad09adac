package scripted

import (
	"encoding/json"
	"fmt"
	"strconv"
)

// body returns the body of a response, or the events of one that is streamed.
func (v responses) body(req *Request, reply Reply) ([][]byte, error) {
	output := v.output(req, reply)
	written := len(reply.Text) + len(reply.Refusal) + len(reply.Thinking)
	for _, c := range reply.Calls {
		written += len(c.Name) + len(c.Arguments)
	}
	in, out := tokens(len(req.Body)), tokens(written)
	r := map[string]any{
		"id": "resp_" + strconv.Itoa(req.Number), "object": "response", "created_at": 0, "model": req.Model, "store": false,
		"status": "completed", "error": nil, "incomplete_details": nil, "output": output,
		"usage": map[string]any{
			"input_tokens": in, "input_tokens_details": map[string]any{"cached_tokens": v.seen(req.Body) / 4},
			"output_tokens": out, "output_tokens_details": map[string]any{"reasoning_tokens": tokens(len(reply.Thinking))}, "total_tokens": in + out,
		},
	}
	kind := "response.completed"
	switch reply.FinishReason {
	case "length":
		kind, r["status"], r["incomplete_details"] = "response.incomplete", "incomplete", map[string]any{"reason": "max_output_tokens"}
	case "content_filter":
		kind, r["status"], r["incomplete_details"] = "response.incomplete", "incomplete", map[string]any{"reason": "content_filter"}
	}
	if req.Stream {
		return responseEvents(kind, r, output)
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

// responseEvents returns the events of a response that ends as last.
func responseEvents(last string, r map[string]any, output []map[string]any) (events [][]byte, err error) {
	add := func(kind string, more map[string]any) {
		more["type"], more["sequence_number"] = kind, len(events)
		data, e := json.Marshal(more)
		if e != nil && err == nil {
			err = fmt.Errorf("encode %s: %w", kind, e)
		}
		events = append(events, event(kind, data))
	}
	add("response.created", map[string]any{"response": map[string]any{"id": r["id"], "object": "response", "model": r["model"], "status": "in_progress", "output": []any{}}})
	for i, item := range output {
		delta := func(kind, text string) {
			for _, p := range pieces(text) {
				add(kind, map[string]any{"item_id": item["id"], "output_index": i, "delta": p})
			}
		}
		add("response.output_item.added", map[string]any{"output_index": i, "item": map[string]any{"id": item["id"], "type": item["type"], "status": "in_progress"}})
		switch item["type"] {
		case "reasoning":
			for _, s := range item["summary"].([]any) {
				delta("response.reasoning_summary_text.delta", s.(map[string]any)["text"].(string))
			}
		case "message":
			for _, c := range item["content"].([]any) {
				if c := c.(map[string]any); c["type"] == "output_text" {
					delta("response.output_text.delta", c["text"].(string))
				} else {
					delta("response.refusal.delta", c["refusal"].(string))
				}
			}
		case "function_call":
			delta("response.function_call_arguments.delta", item["arguments"].(string))
		}
		add("response.output_item.done", map[string]any{"output_index": i, "item": item})
	}
	add(last, map[string]any{"response": r})
	return events, err
}
