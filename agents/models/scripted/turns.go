package scripted

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// converse reads the messages and checks that they make a conversation: the
// results of a message's tool calls are the first of the next one, and what the
// model thought comes back as it was and where it was.
func (q *question) converse(r *Request) error {
	var open []block // calls of the message before
	for i, m := range q.Messages {
		at := func(format string, args ...any) error {
			return fmt.Errorf("messages.%d: "+format, append([]any{i}, args...)...)
		}
		if len(m.Content) == 0 {
			return at("all messages must have non-empty content")
		}
		prefix := r.prefix()
		results := m.Role == "user" && len(open) > 0
		out := Message{Role: m.Role}
		said := false // something that is no result of a call
		var calls []block
		for _, b := range m.Content {
			if err := b.check(m.Role); err != nil {
				return at("%w", err)
			}
			said = said || b.Type != "tool_result"
			switch b.Type {
			case "text":
				out.Content += b.Text
			case "image", "document":
				out.Files++
			case "thinking", "redacted_thinking":
				if err := q.thought(b, prefix); err != nil {
					return at("%w", err)
				}
				out.Thinking += b.Thinking
			case "tool_use":
				calls = append(calls, b)
				out.Calls = append(out.Calls, Call{ID: b.ID, Name: b.Name, Arguments: Arguments(b.Input)})
			case "tool_result":
				n := slices.IndexFunc(open, func(c block) bool { return c.ID == b.ToolUseID })
				if n < 0 || said {
					return at("unexpected tool_use_id %q: each tool_result block must have a corresponding tool_use block in the previous message, and nothing in front but others", b.ToolUseID)
				}
				r.Messages = append(r.Messages, Message{Role: "tool", ToolCallID: b.ToolUseID, Tool: open[n].Name, Content: b.Content.text()})
				open = slices.Delete(open, n, n+1)
			}
			r.reads(m.Role, b.bare(), b.Cache)
		}
		if len(open) > 0 {
			return at("%d tool_use ids were found without tool_result blocks immediately after", len(open))
		}
		if open = calls; said {
			r.Messages = append(r.Messages, out)
		}
		if before := i - 1; results && i == len(q.Messages)-1 && q.Thinking != nil && q.Thinking.Type == "enabled" {
			if first := q.Messages[before].Content[0].Type; first != "thinking" && first != "redacted_thinking" {
				return fmt.Errorf("messages.%d.content.0.type: expected thinking or redacted_thinking, but found %s", before, first)
			}
		}
	}
	if last := q.Messages[len(q.Messages)-1]; last.Role != "user" {
		return fmt.Errorf("the conversation must end with a user message, and ends with one of role %q", last.Role)
	}
	return nil
}

// check refuses a block that a message of the role may not have.
func (b block) check(role string) error {
	of := map[string][]string{"user": {"text", "image", "document", "tool_result"}, "assistant": {"text", "tool_use", "thinking", "redacted_thinking"}}
	switch {
	case of[role] == nil:
		return fmt.Errorf("its role is %q", role)
	case !slices.Contains(of[role], b.Type):
		return fmt.Errorf("a message of role %q has a block of type %q", role, b.Type)
	case b.Type == "text" && strings.TrimSpace(b.Text) == "":
		return fmt.Errorf("text content blocks must be non-empty")
	case b.Type == "tool_use":
		var input map[string]json.RawMessage
		if b.ID == "" || !name64.MatchString(b.Name) || json.Unmarshal(b.Input, &input) != nil {
			return fmt.Errorf("a call has id %q, name %q and input %.100q; it needs an id, a name and an object", b.ID, b.Name, b.Input)
		}
	case b.Type == "image" || b.Type == "document":
		return b.Source.check(b.Type)
	case b.Type == "tool_result":
		for _, c := range b.Content {
			if c.Type != "text" || c.Text == "" {
				return fmt.Errorf("a tool_result has a block of type %q and text %q", c.Type, c.Text)
			}
		}
	}
	return nil
}

// check refuses a file that the API does not take.
func (s *source) check(of string) error {
	if s == nil {
		return fmt.Errorf("a block of type %s has no source", of)
	}
	kinds := map[string][]string{"image": {"image/jpeg", "image/png", "image/gif", "image/webp"}, "document": {"application/pdf"}}[of]
	ok := false
	switch s.Type {
	case "url":
		ok = s.URL != "" && s.Data == "" && s.MediaType == ""
	case "base64":
		_, err := base64.StdEncoding.DecodeString(s.Data)
		ok = err == nil && s.Data != "" && s.URL == "" && slices.Contains(kinds, s.MediaType)
	case "text":
		ok = of == "document" && s.MediaType == "text/plain" && s.Data != "" && s.URL == ""
	}
	if !ok {
		return fmt.Errorf("a block of type %s has a source of type %q, media type %q, %d bytes and URL %q", of, s.Type, s.MediaType, len(s.Data), s.URL)
	}
	return nil
}

func (b blocks) text() (s string) {
	for _, one := range b {
		s += one.Text
	}
	return s
}

// thought refuses what the model did not think, or not about what is in front of
// it now. Models that are given a budget do not look at the latter.
func (q *question) thought(b block, prefix []byte) error {
	signature, text := b.Signature, b.Thinking
	if b.Type == "redacted_thinking" {
		var hidden string
		signature, hidden, _ = strings.Cut(b.Data, ".")
		data, err := base64.StdEncoding.DecodeString(hidden)
		if err != nil {
			return fmt.Errorf("invalid data in redacted_thinking block")
		}
		text = string(data)
	}
	of, about, _ := strings.Cut(signature, "-")
	switch want, now, _ := strings.Cut(sign(text, prefix), "-"); {
	case of != want && text != "": // without its text, it was not to be shown
		return fmt.Errorf("invalid signature in %s block", b.Type)
	case about != now && (q.Thinking == nil || q.Thinking.Type != "enabled"):
		return fmt.Errorf("invalid signature in %s block: the block is bound to a different conversation", b.Type)
	}
	return nil
}

// sign returns what vouches for a thought, and for what it was about.
func sign(text string, prefix []byte) string {
	of, about := sha256.Sum256([]byte(text)), sha256.Sum256(prefix)
	return base64.StdEncoding.EncodeToString(of[:12]) + "-" + base64.StdEncoding.EncodeToString(about[:12])
}
