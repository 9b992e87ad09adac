package gemini

import (
	"github.com/perdure/perdure/agents"
	"github.com/perdure/perdure/agents/internal/adapter"
)

// provider is whose reasoning a model of this package sends back.
const provider = "gemini"

// reasoning is the data of an [agents.Reasoning]: the parts of a message in the
// order in which they came.
type reasoning struct {
	Parts []part `json:"parts"`
}

// A part says what of a message was a part of its own. Text and calls are in the
// message and not repeated.
type part struct {
	Kind      string `json:"kind"`                // text, thought or call
	Bytes     int    `json:"bytes,omitempty"`     // of a text: its length in the message's content
	Thought   string `json:"thought,omitempty"`   // for people
	ID        string `json:"id,omitempty"`        // of a call, as the API gave it
	Signature []byte `json:"signature,omitempty"` // goes back with this part
}

const (
	kindText    = "text"
	kindThought = "thought"
	kindCall    = "call"
)

// grown adds text or thought to parts: a stream brings one part in many pieces.
// What is signed is never joined with what is not.
func grown(parts []part, p part) []part {
	if n := len(parts) - 1; n >= 0 && parts[n].Kind == p.Kind && parts[n].Signature == nil && p.Signature == nil {
		parts[n].Bytes += p.Bytes
		parts[n].Thought += p.Thought
		return parts
	}
	return append(parts, p)
}

// reasoned returns the reasoning of a message of these parts, nil if the message
// says everything itself.
func reasoned(parts []part) (*agents.Reasoning, error) {
	needed := false
	for _, p := range parts {
		needed = needed || p.Kind == kindThought || p.ID != "" || p.Signature != nil
	}
	if !needed {
		return nil, nil
	}
	return adapter.Keep(provider, reasoning{parts})
}

// partsOf returns the parts that a message came in, ok false if it is not of this
// provider, or is not any more what it was.
func partsOf(m agents.Message) (parts []part, ok bool) {
	var r reasoning
	if !adapter.Recall(m, provider, &r) {
		return nil, false
	}
	text, calls := 0, 0
	for _, p := range r.Parts {
		switch {
		case p.Kind == kindCall:
			calls++
		case p.Bytes < 0:
			return nil, false
		default:
			text += p.Bytes
		}
	}
	return r.Parts, adapter.Placed(m, text, calls)
}
