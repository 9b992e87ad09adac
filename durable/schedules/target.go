package schedules

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/schemas"
)

// Placeholders of a target's key and input.
const (
	timePlaceholder     = "{time}"
	schedulePlaceholder = "{schedule}"
)

// idTime is how a time is written in an ID: in UTC.
const idTime = "20060102T150405Z"

// check returns what is wrong with a target, for a time as any other.
func (t Target) check(name string) error {
	if t.Kind == "" {
		return errors.New("its target names no kind")
	}
	if _, err := t.at(name, action{ID: name + "-" + idTime + "-b000000000000", Nominal: time.Unix(0, 0)}); err != nil {
		return fmt.Errorf("target: %w", err)
	}
	return nil
}

// A start is what is started at a time.
type start struct {
	target durable.Target[json.RawMessage, durable.None]
	ref    schemas.Ref
	input  json.RawMessage
}

// at fills in what a target leaves open.
func (t Target) at(name string, a action) (start, error) {
	n := t.Kind
	if t.Method != "" {
		n += "." + t.Method
	}
	key := strings.NewReplacer(timePlaceholder, a.Nominal.UTC().Format(idTime), schedulePlaceholder, name).Replace(t.Key)
	if key == "" {
		key = a.ID
	}
	s := start{target: durable.Declare[json.RawMessage, durable.None](n).At(key)}
	to, err := s.target.Resolve(a.ID)
	if err != nil {
		return s, err
	}
	s.ref = to.Identity.Run(to.ID)
	if err := s.ref.Validate(); err != nil {
		return s, err
	}
	if s.input, err = fill(t.Input, name, a.Nominal); err != nil {
		return s, fmt.Errorf("input: %w", err)
	}
	return s, nil
}

// fill replaces texts of a JSON value, and leaves everything else as it is
// written.
func fill(input json.RawMessage, name string, at time.Time) (json.RawMessage, error) {
	if len(bytes.TrimSpace(input)) == 0 {
		return json.RawMessage("null"), nil
	}
	var out bytes.Buffer
	if err := json.Compact(&out, input); err != nil {
		return nil, err
	}
	return replaceValues(out.Bytes(), map[string]string{timePlaceholder: at.UTC().Format(time.RFC3339), schedulePlaceholder: name})
}

// replaceValues replaces texts where they are a whole value: not within another
// text, and not as the name of a field. The JSON is valid.
func replaceValues(data []byte, values map[string]string) (out []byte, err error) {
	for i := 0; i < len(data); {
		if data[i] != '"' {
			out = append(out, data[i])
			i++
			continue
		}
		end := i + 1
		for ; data[end] != '"'; end++ {
			if data[end] == '\\' {
				end++
			}
		}
		end++
		text := data[i:end]
		if value, ok := values[string(text[1:len(text)-1])]; ok && (end == len(data) || data[end] != ':') {
			if text, err = json.Marshal(value); err != nil {
				return nil, err
			}
		}
		out = append(out, text...)
		i = end
	}
	return out, nil
}

// FiredAt returns which schedule started a run, and for which time: the time that
// the schedule names, however late the run began. ok is false for a run that no
// schedule started. A run that was triggered has the time of that.
//
//	name, at, ok := schedules.FiredAt(ctx.Info())
func FiredAt(run durable.Info) (name string, at time.Time, ok bool) {
	parent, err := schemas.ParseRef(run.Parent)
	if err != nil || !IsKind(parent.Kind) {
		return "", time.Time{}, false
	}
	rest, found := strings.CutPrefix(run.ID, parent.Key+"-")
	if !found || len(rest) < len(idTime) {
		return "", time.Time{}, false
	}
	at, err = time.Parse(idTime, rest[:len(idTime)])
	return parent.Key, at, err == nil
}

// InputAt returns the input of a target for a time of a schedule.
func (t Target) InputAt(name string, at time.Time) (json.RawMessage, error) {
	return fill(t.Input, name, at)
}
