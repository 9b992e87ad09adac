package scripted

import (
	"encoding/json"
	"fmt"
)

// chunks returns the events of a completion that is streamed: its message in pieces,
// why it ends, and its usage if that was asked for.
func chunks(whole, message map[string]any, finish string, usage map[string]any) (events [][]byte, err error) {
	add := func(choices []any, usage map[string]any) {
		data, e := json.Marshal(map[string]any{
			"id": whole["id"], "object": "chat.completion.chunk", "created": 0, "model": whole["model"], "choices": choices, "usage": usage,
		})
		if e != nil && err == nil {
			err = fmt.Errorf("encode a chunk: %w", e)
		}
		events = append(events, fmt.Appendf(nil, "data: %s\n\n", data))
	}
	delta := func(d map[string]any, finish any) {
		add([]any{map[string]any{"index": 0, "delta": d, "finish_reason": finish, "logprobs": nil}}, nil)
	}
	delta(map[string]any{"role": "assistant", "content": ""}, nil)
	for _, field := range []string{"content", "refusal"} {
		if text, _ := message[field].(string); text != "" {
			for _, p := range pieces(text) {
				delta(map[string]any{field: p}, nil)
			}
		}
	}
	calls, _ := message["tool_calls"].([]any)
	for i, c := range calls {
		c := c.(map[string]any)
		f := c["function"].(map[string]any)
		call := func(more map[string]any) {
			more["index"] = i
			delta(map[string]any{"tool_calls": []any{more}}, nil)
		}
		call(map[string]any{"id": c["id"], "type": "function", "function": map[string]any{"name": f["name"], "arguments": ""}})
		for _, p := range pieces(f["arguments"].(string)) {
			call(map[string]any{"function": map[string]any{"arguments": p}})
		}
	}
	delta(map[string]any{}, finish)
	if usage != nil {
		add([]any{}, usage)
	}
	return append(events, []byte("data: [DONE]\n\n")), err
}
