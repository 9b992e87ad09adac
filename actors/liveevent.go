package actors

import (
	"encoding/json"
	"strings"

	"github.com/perdure/perdure/schemas"
)

// The types of a [LiveEvent].
const (
	// LiveBegin: a step begins what it says, or begins it anew.
	LiveBegin = "begin"
	// LiveText: more of what it says; LiveReasoning: of what the model thought.
	LiveText      = "text"
	LiveReasoning = "reasoning"
	// LiveVoid: what the step has said does not count; Reason says why.
	LiveVoid = "void"
	// LiveEnd: the step is recorded.
	LiveEnd = "end"
	// LiveMore: more is recorded than was told: ask runs.stream.
	LiveMore = "more"
	// LiveDone: the run has ended.
	LiveDone = "done"
)

// A LiveEvent is what whoever watches a run is told of it, in JSON: on the live subject and
// by api.runs.stream.
type LiveEvent struct {
	Type string `json:"type"`
	// Step is the path of the step, Name its name.
	Step string `json:"step,omitempty"`
	Name string `json:"name,omitempty"`
	// Owner is the number of the owner that says it, from 1, and Attempt how often the
	// step began what it says under that owner. Of what was recorded Attempt counts the
	// attempts of the step.
	Owner   uint32 `json:"owner,omitempty"`
	Attempt uint32 `json:"attempt,omitempty"`
	// Offset is how many bytes of text, or of reasoning, came before Text; of the end of a
	// step, on the live subject, how many bytes of text it has said.
	Offset int    `json:"offset,omitempty"`
	Text   string `json:"text,omitempty"`
	Reason string `json:"reason,omitempty"`

	// Of the end of a step: how many steps the run has recorded with it, what sort of step
	// it is as in runs.get, and what it came to. Codec is that of a result which is not
	// JSON, in the form of Done.Result; of one that is larger than 64 KiB ResultBytes is
	// its size, and it is left out. Error is the code of an error. Missing says that what
	// the step came to is kept no more, and neither is what it said.
	Recorded    uint64          `json:"recorded,omitempty"`
	Kind        string          `json:"kind,omitempty"`
	Result      json.RawMessage `json:"result,omitempty"`
	Codec       string          `json:"result_codec,omitempty"`
	ResultBytes int             `json:"result_bytes,omitempty"`
	Error       string          `json:"error,omitempty"`
	Missing     bool            `json:"missing,omitempty"`

	Done *Done `json:"done,omitempty"` // of the end of a run
	// Position is the one behind the event, for whoever goes on later. Events of the live
	// subject have none.
	Position string `json:"position,omitempty"`
}

// The bounds of live events, in bytes.
const (
	// LivePiece is how much of a text is in one event at most.
	LivePiece = 16 << 10
	// maxLiveReason is how much of a reason is.
	maxLiveReason = 1 << 10
	// maxLiveResult is how large a result is that goes along.
	maxLiveResult = 64 << 10
)

// SetResult makes p what the step came to.
func (e *LiveEvent) SetResult(p *schemas.Payload) {
	if p == nil || p.Data == nil {
		return
	}
	data, codec := PayloadJSON(p)
	e.Codec = codec
	if len(data) > maxLiveResult || !json.Valid(data) {
		e.ResultBytes = len(data)
		return
	}
	e.Result = data
}

// cutText returns at most so many bytes of a text.
func cutText(text string, most int) string {
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + " ..."
}

// LivePieces cuts a text into what goes into one event each, between characters.
func LivePieces(text string) (pieces []string) {
	for len(text) > LivePiece {
		n := LivePiece
		for n > LivePiece-4 && text[n]&0xC0 == 0x80 { // in the middle of a character
			n--
		}
		pieces = append(pieces, text[:n])
		text = text[n:]
	}
	if text != "" {
		pieces = append(pieces, text)
	}
	return pieces
}
