package scripted

import (
	"encoding/json"
	"net/http"
	"strconv"
)

// completions is the Chat Completions API.
type completions struct{ *Server }

func (completions) parse(_ http.Header, body []byte) (*Request, error) { return parseRequest(body) }

func (completions) error(status int, message string) []byte { return errorBody(status, message) }

func (v completions) body(req *Request, reply Reply) ([][]byte, error) {
	message := map[string]any{"role": "assistant", "content": reply.Text, "refusal": nil}
	if reply.Refusal != "" {
		message["refusal"] = reply.Refusal
	}
	finish := "stop"
	written := len(reply.Text) + len(reply.Refusal)
	if len(reply.Calls) > 0 {
		finish = "tool_calls"
		if reply.Text == "" {
			message["content"] = nil
		}
		calls := make([]any, len(reply.Calls))
		for i, c := range reply.Calls {
			if c.ID == "" {
				c.ID = "call_" + strconv.Itoa(v.nextID())
			}
			written += len(c.Name) + len(c.Arguments)
			calls[i] = map[string]any{"id": c.ID, "type": "function", "function": map[string]any{"name": c.Name, "arguments": string(c.Arguments)}}
		}
		message["tool_calls"] = calls
	}
	if reply.FinishReason != "" {
		finish = reply.FinishReason
	}
	in, out := tokens(len(req.Body)), tokens(written)
	usage := map[string]any{
		"prompt_tokens": in, "completion_tokens": out, "total_tokens": in + out,
		"prompt_tokens_details": map[string]any{"cached_tokens": v.seen(req.Body) / 4},
	}
	whole := map[string]any{
		"id": "chatcmpl-" + strconv.Itoa(req.Number), "object": "chat.completion", "created": 0, "model": req.Model,
		"choices": []any{map[string]any{"index": 0, "message": message, "finish_reason": finish, "logprobs": nil}}, "usage": usage,
	}
	if req.Stream {
		if !req.usage {
			usage = nil
		}
		return chunks(whole, message, finish, usage)
	}
	data, err := json.Marshal(whole)
	return [][]byte{data}, err
}

func (v *Server) nextID() int {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.ids++
	return v.ids
}

// tokens is about how many tokens a text of so many bytes has.
func tokens(bytes int) int { return (bytes + 3) / 4 }
