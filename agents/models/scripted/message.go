package scripted

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"strconv"
	"strings"
)

// body returns the body of an answer, or the events of one that is streamed.
func (v messages) body(req *Request, reply Reply) ([][]byte, error) {
	content := v.content(req, reply)
	written, thought := 0, len(reply.Thinking)+len(reply.Redacted)
	for _, b := range content {
		written += len(b.Text) + len(b.Name) + len(b.Input)
	}
	known, kept := v.cache(req)
	read := map[string]any{ // what is the same at the beginning of an answer and at its end
		"cache_read_input_tokens": tokens(known), "cache_creation_input_tokens": tokens(kept),
		"input_tokens": max(tokens(len(req.Body)-known-kept), 1), "server_tool_use": nil,
	}
	usage := map[string]any{
		"cache_creation": map[string]any{"ephemeral_5m_input_tokens": tokens(kept), "ephemeral_1h_input_tokens": 0},
		"inference_geo":  nil, "service_tier": "standard", "speed": nil,
		"output_tokens": 1, "output_tokens_details": nil,
	}
	maps.Copy(usage, read)
	begun := map[string]any{
		"id": "msg_" + strconv.Itoa(req.Number), "type": "message", "role": "assistant", "model": req.Model, "content": []any{},
		"stop_reason": nil, "stop_sequence": nil, "stop_details": nil, "container": nil, "diagnostics": nil, "usage": usage,
	}
	ended := map[string]any{"stop_reason": stopReason(reply), "stop_sequence": nil, "stop_details": nil, "container": nil}
	if reply.Refusal != "" {
		ended["stop_details"] = map[string]any{"type": "refusal", "category": nil, "explanation": reply.Refusal}
	}
	output := map[string]any{"output_tokens": tokens(written + thought), "output_tokens_details": map[string]any{"thinking_tokens": tokens(thought)}}
	maps.Copy(output, read)
	if req.Stream {
		return stream(begun, content, ended, output)
	}
	list := []any{}
	for _, b := range content {
		if b.Type == "tool_use" && !isObject(b.Input) {
			b.Input = json.RawMessage("{}") // what there is of a call that was cut short
		}
		list = append(list, b.wire())
	}
	begun["content"] = list
	maps.Copy(begun, ended)
	maps.Copy(usage, output)
	data, err := json.Marshal(begun)
	return [][]byte{data}, err
}

// content returns the blocks of an answer.
func (v messages) content(req *Request, reply Reply) (all []block) {
	if req.think && reply.Thinking != "" {
		all = append(all, block{Type: "thinking", Thinking: reply.Thinking, Signature: sign(reply.Thinking, req.prefix())})
	}
	if req.think && reply.Redacted != "" {
		all = append(all, block{Type: "redacted_thinking", Data: sign(reply.Redacted, req.prefix()) + "." + base64.StdEncoding.EncodeToString([]byte(reply.Redacted))})
	}
	if reply.Text != "" {
		all = append(all, block{Type: "text", Text: reply.Text})
	}
	for _, c := range reply.Calls {
		if c.ID == "" {
			c.ID = "toolu_" + strconv.Itoa(v.nextID())
		}
		all = append(all, block{Type: "tool_use", ID: c.ID, Name: c.Name, Input: json.RawMessage(c.Arguments)})
	}
	return all
}

// wire returns a block with what one of its type always has.
func (b block) wire() map[string]any {
	switch b.Type {
	case "text":
		return map[string]any{"type": b.Type, "text": b.Text, "citations": nil}
	case "thinking":
		return map[string]any{"type": b.Type, "thinking": b.Thinking, "signature": b.Signature}
	case "tool_use":
		return map[string]any{"type": b.Type, "id": b.ID, "name": b.Name, "input": b.Input, "caller": map[string]any{"type": "direct"}}
	}
	return map[string]any{"type": b.Type, "data": b.Data}
}

func isObject(data []byte) bool {
	var object map[string]json.RawMessage
	return json.Unmarshal(data, &object) == nil
}

// stopReason says why the model stopped, in the API's words.
func stopReason(reply Reply) string {
	reason := reply.FinishReason
	switch {
	case reply.Refusal != "":
		reason = "content_filter"
	case reason == "" && len(reply.Calls) > 0:
		reason = "tool_calls"
	}
	switch reason {
	case "", "stop":
		return "end_turn"
	case "tool_calls":
		return "tool_use"
	case "length":
		return "max_tokens"
	case "content_filter":
		return "refusal"
	}
	return reason
}

// stream returns the events of an answer.
func stream(begun map[string]any, content []block, ended, output map[string]any) (events [][]byte, err error) {
	add := func(kind string, more map[string]any) {
		more["type"] = kind
		data, e := json.Marshal(more)
		if e != nil && err == nil {
			err = fmt.Errorf("encode %s: %w", kind, e)
		}
		events = append(events, event(kind, data))
	}
	add("message_start", map[string]any{"message": begun})
	add("ping", map[string]any{})
	for i, b := range content {
		empty := block{Type: b.Type, ID: b.ID, Name: b.Name, Input: json.RawMessage("{}"), Data: b.Data}
		add("content_block_start", map[string]any{"index": i, "content_block": empty.wire()})
		delta := func(kind, field string, parts ...string) {
			for _, p := range parts {
				add("content_block_delta", map[string]any{"index": i, "delta": map[string]any{"type": kind, field: p}})
			}
		}
		switch b.Type {
		case "text":
			delta("text_delta", "text", pieces(b.Text)...)
		case "thinking":
			delta("thinking_delta", "thinking", pieces(b.Thinking)...)
			delta("signature_delta", "signature", b.Signature)
		case "tool_use":
			delta("input_json_delta", "partial_json", append([]string{""}, pieces(string(b.Input))...)...)
		}
		add("content_block_stop", map[string]any{"index": i})
	}
	add("message_delta", map[string]any{"delta": ended, "usage": output})
	add("message_stop", map[string]any{})
	return events, err
}

// pieces cuts a text into what comes at a time: words.
func pieces(text string) []string { return strings.SplitAfter(text, " ") }
