package agents

import (
	"fmt"
	"slices"

	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/runtime"
)

// A MemoryPolicy says what an agent remembers: [NoMemory], [KeepTurns],
// [KeepToolCalls], [KeepFiles].
type MemoryPolicy func(*agent)

// Memory sets what an agent remembers from one run to the next of the same
// identity. By default that is the whole conversation: of each run that came to
// an answer, the user's message and the answer. It is the identity's state and
// is stored with the run. It is sent with every request: bound it with
// [KeepTurns] where a key is used for long. Files are remembered as [KeepFiles] says.
func Memory(policies ...MemoryPolicy) Option {
	return func(a *agent) {
		for _, p := range policies {
			p(a)
		}
	}
}

// NoMemory makes each run begin with nothing but its own message.
func NoMemory() MemoryPolicy { return func(a *agent) { a.memory.off = true } }

// KeepTurns remembers the last n runs alone.
func KeepTurns(n int) MemoryPolicy {
	return func(a *agent) {
		if a.memory.turns = n; n < 1 {
			a.bad("KeepTurns(%d): keep at least one, or use NoMemory", n)
		}
	}
}

// KeepToolCalls remembers the tool calls of each run and their results as well,
// which tells the model how it came to its answers and makes every request
// longer.
func KeepToolCalls() MemoryPolicy { return func(a *agent) { a.memory.toolCalls = true } }

// KeepFiles remembers files of the user, the newest first, as long as those that
// are kept have at most n bytes together; 8 MiB by default, 0 for none. In
// place of one that is not kept the conversation says that it was there. One that
// the provider finds at a URL has no bytes, and is kept.
func KeepFiles(n int) MemoryPolicy {
	return func(a *agent) {
		if a.memory.files = n; n < 0 {
			a.bad("KeepFiles(%d): give a number of bytes, or 0 to keep none", n)
		}
	}
}

// defaultFiles is how much of files is remembered, in bytes.
const defaultFiles = 8 << 20

type memory struct {
	off       bool
	begin     []Message // of a conversation that is another's, if it is off
	turns     int       // 0: all
	toolCalls bool
	files     int // bytes
}

// remembered is the state of an agent.
type remembered struct {
	// Messages are whole turns, each of which begins with the user's message.
	Messages []Message `json:"messages"`
}

// recall returns the conversation so far.
func (m memory) recall(c *runtime.Context) ([]Message, error) {
	if m.off {
		return m.begin, nil
	}
	r, err := durable.Decode[remembered](c.State())
	if err != nil {
		return nil, durable.Fail(durable.ErrInvalid.Code, "the memory of %s cannot be read by this build: %v", c.Info().Ref().Identity, err)
	}
	return r.Messages, nil
}

// keep makes the conversation of before and turn, which begins with the user's
// message and ends with the answer, the state that is stored with the run.
func (m memory) keep(c *runtime.Context, before, turn []Message) error {
	if m.off {
		return nil
	}
	messages := append([]Message(nil), before...)
	if !m.toolCalls {
		turn = []Message{turn[0], turn[len(turn)-1]}
	}
	messages = append(messages, turn...)
	if m.turns > 0 {
		messages = lastTurns(messages, m.turns)
	}
	p, err := durable.Encode(remembered{m.withoutLarge(messages)})
	if err != nil {
		return durable.Fail(durable.ErrInvalid.Code, "the conversation cannot be stored: %v", err)
	}
	c.SetState(p)
	return nil
}

// lastTurns returns the messages of the last n turns.
func lastTurns(messages []Message, n int) []Message {
	for i := len(messages) - 1; i >= 0; i-- {
		if messages[i].Role == RoleUser {
			if n--; n == 0 {
				return messages[i:]
			}
		}
	}
	return messages
}

// withoutLarge returns messages with the files that are remembered. None of the
// messages is changed: others hold them as well.
func (m memory) withoutLarge(messages []Message) []Message {
	out := slices.Clone(messages)
	left := m.files
	for i, msg := range slices.Backward(messages) {
		var kept []File
		notes := ""
		for _, f := range slices.Backward(msg.Files) {
			if n := len(f.Data); n <= left {
				left -= n
				kept = append(kept, f)
			} else {
				notes = fmt.Sprintf("[The file %q, %s of %d bytes, was shown here and is no longer kept.]\n\n", f.Name, f.MediaType, n) + notes
			}
		}
		slices.Reverse(kept)
		out[i].Files, out[i].Content = kept, notes+msg.Content
	}
	return out
}
