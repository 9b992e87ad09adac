package agents

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"unicode/utf8"

	"github.com/perdure/perdure/durable"
)

// defaultMaxResult is how many bytes of a tool's result a model is given.
const defaultMaxResult = 64 << 10

// MaxResult sets how many bytes of a result of the tool the model is given, in place of
// what [MaxToolResult] says for the agent. Of a longer one it gets the beginning and the
// end, and a reference, by which it reads more with the tool read_result, that the agent
// then has: a part by its offset, or the places where some text occurs. The whole result
// is in the run's journal, as long as the run is kept, and nowhere else. A later run of
// the same identity cannot read it.
func MaxResult(bytes int) ToolOption {
	return toolOption(func(c *toolConfig) { c.maxResult = bytes })
}

// MaxToolResult sets how many bytes of a tool's result the model is given, 65,536 by
// default, where the tool has no [MaxResult] of its own.
func MaxToolResult(bytes int) Option {
	return func(a *agent) {
		if a.maxResult = bytes; bytes < 1 {
			a.bad("MaxToolResult(%d): leave room for a result", bytes)
		}
	}
}

// A cutResult is what the step of a tool call records of a result that is too long for the
// model: a run that is in flight goes on with what was given then, whatever a deploy says
// of the limit.
type cutResult struct {
	Given  int             `json:"perdure/given"` // bytes, about
	Result json.RawMessage `json:"result"`
}

var cutPrefix = []byte(`{"perdure/given":`)

// cut returns what is recorded of a result.
func (c toolConfig) cut(out json.RawMessage) (json.RawMessage, error) {
	if c.maxResult <= 0 || len(out) <= c.maxResult || len(textOf(out)) <= c.maxResult {
		return out, nil
	}
	return json.Marshal(cutResult{c.maxResult, out})
}

// uncut returns the result that is recorded, and how much of it the model was given; 0:
// all of it.
func uncut(recorded json.RawMessage) (out json.RawMessage, given int) {
	var c cutResult
	if !bytes.HasPrefix(recorded, cutPrefix) || json.Unmarshal(recorded, &c) != nil || len(c.Result) == 0 {
		return recorded, 0
	}
	return c.Result, c.Given
}

// within returns the tool with an agent's limit, if it has none of its own.
func (t Tool) within(limit int) Tool {
	if t.call == nil || t.cfg.maxResult != 0 {
		return t
	}
	t.cfg.maxResult = limit
	t.begin = t.cfg.begin(t.spec.Name, t.call)
	return t
}

// told returns what the model is told of a call of a tool. The error ends the run.
func (v *conversation) told(tool Tool, recorded json.RawMessage, err error) (string, error) {
	if err != nil {
		if tool.cfg.is(failTheRun) && leftUnknown(err) {
			return "", durable.Fail(durable.ErrUnknownOutcome.Code, "call tool %s: %v; find out whether it was carried out, then start another run", tool.spec.Name, err)
		}
		return toolResult(nil, err), nil
	}
	out, given := uncut(recorded)
	text := toolResult(out, nil)
	if given == 0 && tool.call == nil { // what no step of ours has cut: a delegated run's
		given = v.maxResult
	}
	if given <= 0 || len(text) <= given {
		return text, nil
	}
	return v.excerpt(text, given), nil
}

// excerpt keeps a result for [readResult] and returns what the model is given of it.
func (v *conversation) excerpt(text string, given int) string {
	begin, end := head(text, given-given/4), tail(text, given/4)
	left := len(text) - len(begin) - len(end)
	if v.owns(readResult) {
		return fmt.Sprintf("%s\n[cut here: %d of %d bytes are left out; ask for less at once]\n%s", begin, left, len(text), end)
	}
	run := sha256.Sum256([]byte(v.ctx.Info().Ref().String()))
	ref := fmt.Sprintf("result-%s-%d", hex.EncodeToString(run[:4]), len(v.kept)+1)
	if v.kept == nil {
		v.kept = map[string]string{}
	}
	v.kept[ref] = text
	return fmt.Sprintf("%s\n[cut here: %d of %d bytes are left out, from offset %d on; the result is %q: read more of it, or search in it, with %s]\n%s", begin, left, len(text), len(begin), ref, readResult, end)
}

// readResult is the tool that an agent has once a result was cut.
const readResult = "read_result"

// owns reports whether the agent or one of its servers has a tool of this name.
func (v *conversation) owns(name string) bool {
	if _, ok := v.tools[name]; ok {
		return true
	}
	return slices.ContainsFunc(v.served.specs, func(s ToolSpec) bool { return s.Name == name })
}

// reader returns the tool by which the model reads on in what was cut, if there is such a
// result.
func (v *conversation) reader() (Tool, bool) {
	if len(v.kept) == 0 || v.owns(readResult) {
		return Tool{}, false
	}
	kept := maps.Clone(v.kept) // it is read while others are added
	return Func(readResult, "Read more of a tool result that was cut: a part of it by its offset, or the places where a text occurs in it", func(_ context.Context, in reading) (readPart, error) {
		text, ok := kept[in.Result]
		if !ok {
			return readPart{}, durable.Fail(durable.ErrNotFound.Code, "there is no result %.100q in this run; what an earlier one was told is gone: call the tool again", in.Result)
		}
		return in.read(text, v.maxResult), nil
	}, MaxResult(-1)), true
}

// readerSpec returns what a request says of that tool, if there is one.
func (v *conversation) readerSpec() *ToolSpec {
	if t, ok := v.reader(); ok {
		return &t.spec
	}
	return nil
}

// withReader adds it to the tools of a request, unless one of them has its name.
func withReader(tools []ToolSpec, reader *ToolSpec) []ToolSpec {
	if reader == nil || slices.ContainsFunc(tools, func(s ToolSpec) bool { return s.Name == reader.Name }) {
		return tools
	}
	return append(tools, *reader)
}

// A reading is what the model asks of a result that was cut.
type reading struct {
	Result string `json:"result" jsonschema:"the name of the result, e.g. result-1f2e3d4c-1"`
	Offset int    `json:"offset,omitempty" jsonschema:"where to begin, in bytes"`
	Length int    `json:"length,omitempty" jsonschema:"how many bytes to read at most"`
	Search string `json:"search,omitempty" jsonschema:"find this text, from the offset on, whatever its case, in place of reading"`
}

// A readPart is what the model is told then.
type readPart struct {
	Offset  int     `json:"offset"`
	Text    string  `json:"text,omitempty"`
	Matches []match `json:"matches,omitempty"`
	// Next is where to go on; absent at the end.
	Next  int    `json:"next_offset,omitempty"`
	Total int    `json:"total"`
	Note  string `json:"note,omitempty"`
}

type match struct {
	Offset int    `json:"offset"`
	Text   string `json:"text"` // it and what is around it
}

const (
	maxMatches  = 20
	aroundMatch = 120 // bytes on each side
)

// read returns a part of a text, of at most limit bytes.
func (r reading) read(text string, limit int) readPart {
	from := min(max(r.Offset, 0), len(text))
	for from > 0 && from < len(text) && !utf8.RuneStart(text[from]) {
		from--
	}
	part := readPart{Offset: from, Total: len(text)}
	if r.Search != "" {
		return r.find(text, part, limit)
	}
	if r.Length > 0 {
		limit = min(r.Length, limit)
	}
	part.Text = head(text[from:], limit)
	if part.Text == "" && from < len(text) { // at least one character, or it would never end
		_, n := utf8.DecodeRuneInString(text[from:])
		part.Text = text[from : from+n]
	}
	if end := from + len(part.Text); end < len(text) {
		part.Next = end
	} else if part.Text == "" {
		part.Note = "this is the end"
	}
	return part
}

func (r reading) find(text string, part readPart, limit int) readPart {
	what := regexp.MustCompile("(?i)" + regexp.QuoteMeta(r.Search)) // offsets hold, unlike with strings.ToLower
	size, at := 0, part.Offset
	for len(part.Matches) < maxMatches {
		loc := what.FindStringIndex(text[at:])
		if loc == nil {
			if len(part.Matches) == 0 {
				part.Note = "it does not occur"
			}
			return part
		}
		begin, end := at+loc[0], at+loc[1]
		m := match{begin, tail(text[:begin], aroundMatch) + head(text[begin:end], limit/4) + head(text[end:], aroundMatch)}
		if size += len(m.Text); size > limit && len(part.Matches) > 0 {
			break
		}
		part.Matches = append(part.Matches, m)
		at = end
	}
	if what.MatchString(text[at:]) {
		part.Next = at
	}
	return part
}

// textOf returns a result as the model is told of it.
func textOf(out json.RawMessage) string { return toolResult(out, nil) }

// head returns the beginning of a text, of at most limit bytes.
func head(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	end := max(limit, 0)
	for end > 0 && !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end]
}

// tail returns the end of a text, of at most limit bytes.
func tail(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	begin := len(text) - max(limit, 0)
	for begin < len(text) && !utf8.RuneStart(text[begin]) {
		begin++
	}
	return text[begin:]
}
