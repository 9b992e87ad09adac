package anthropic

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"hash"
	"unicode/utf8"

	"github.com/anthropics/anthropic-sdk-go/v2"
	"github.com/anthropics/anthropic-sdk-go/v2/packages/param"
	"github.com/perdure/perdure/agents"
	"github.com/perdure/perdure/agents/internal/adapter"
)

// A digest is the hash of what a model was sent so far: tools, instructions and
// messages. The API takes what a model thought only behind the same again.
type digest struct {
	h   hash.Hash
	err error
}

func (d *digest) hash(parts ...any) {
	if d.h == nil {
		d.h = sha256.New()
	}
	if err := json.NewEncoder(d.h).Encode(parts); err != nil && d.err == nil {
		d.err = fmt.Errorf("encode a request: %w", err)
	}
}

func (d *digest) sum() string { return base64.RawStdEncoding.EncodeToString(d.h.Sum(nil)[:16]) }

// thoughts are the data of [agents.Reasoning].
type thoughts struct {
	Prefix string `json:"prefix"` // the digest of what was sent
	// Blocks are the message's up to the last that is neither text nor a call, in
	// order; those that are, are placeholders.
	Blocks []json.RawMessage `json:"blocks"`
}

// A placeholder stands for a block that the message has itself.
type placeholder struct {
	Type string `json:"type,omitempty"` // empty; the provider's blocks have one
	Text int    `json:"text,omitempty"` // so many bytes of the message's text
	Call bool   `json:"call,omitempty"` // its next call
}

// remember returns the reasoning of a message, nil if it has none.
func remember(content []anthropic.ContentBlockUnion, prefix string) (*agents.Reasoning, error) {
	t := thoughts{Prefix: prefix}
	last := 0
	for _, b := range content {
		raw := json.RawMessage(b.RawJSON())
		switch b.Type {
		case "text":
			raw = mustMarshal(placeholder{Text: len(b.Text)})
		case "tool_use":
			raw = mustMarshal(placeholder{Call: true})
		default:
			last = len(t.Blocks) + 1
		}
		t.Blocks = append(t.Blocks, raw)
	}
	if last == 0 {
		return nil, nil
	}
	t.Blocks = t.Blocks[:last]
	return adapter.Keep(provider, t)
}

func mustMarshal(p placeholder) json.RawMessage {
	data, err := json.Marshal(p)
	if err != nil {
		panic(err) // of a number and a bool
	}
	return data
}

// recall returns the blocks of a message with what the model thought in its
// place. It is not ok if there is nothing of this provider's, if the API would
// refuse it because something in front of it has changed, or if it does not fit
// the message any more.
func (c *conversation) recall(m agents.Message) (blocks []anthropic.ContentBlockParamUnion, ok bool) {
	var t thoughts
	if !adapter.Recall(m, provider, &t) || !c.keepAll && t.Prefix != c.sum() {
		return nil, false
	}
	content, wanted := m.Content, m.ToolCalls
	for _, raw := range t.Blocks {
		var p placeholder
		switch err := json.Unmarshal(raw, &p); {
		case err == nil && p.Type == "" && p.Call && len(wanted) > 0:
			blocks = append(blocks, calls(wanted[:1])...)
			wanted = wanted[1:]
		case err == nil && p.Type == "" && !p.Call && cuts(content, p.Text):
			blocks = append(blocks, text(content[:p.Text])...)
			content = content[p.Text:]
		case p.Type != "":
			blocks = append(blocks, param.Override[anthropic.ContentBlockParamUnion](raw))
		default:
			return nil, false
		}
	}
	return append(append(blocks, text(content)...), calls(wanted)...), true
}

// cuts reports whether a text has n bytes in front, whole characters.
func cuts(text string, n int) bool {
	return n >= 0 && n <= len(text) && (n == len(text) || utf8.RuneStart(text[n]))
}
