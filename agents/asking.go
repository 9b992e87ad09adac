package agents

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/perdure/perdure/durable"
)

// An Inquiry is what the far side of a call wants to know of people before it carries the
// call out. It is the error of a function of [RawAsking].
type Inquiry struct {
	// Questions are shown to people, each as its JSON, by names of the far side's.
	Questions map[string]json.RawMessage `json:"questions"`
	// State is what the function is given back with the answers.
	State json.RawMessage `json:"state,omitempty"`
}

// Error says that people are to be asked.
func (i *Inquiry) Error() string {
	return fmt.Sprintf("the call has %d questions to people", len(i.Questions))
}

// Answers are what people decided about an [Inquiry].
type Answers struct {
	Decisions map[string]durable.Decision
	State     json.RawMessage // of the inquiry
}

// maxInquiries bounds how often one call may ask.
const maxInquiries = 10

// RawAsking makes a tool like [Raw] whose calls may ask people: fn is called without
// answers first; if it returns an [Inquiry], its questions are asked by
// [durable.AskApproval], which waits as long as it takes, without memory, and fn is called
// again with the answers. Each call is a step of its own, with an idempotency key of its
// own, and what people have answered is not asked again after a crash.
func RawAsking(spec ToolSpec, fn func(ctx context.Context, arguments json.RawMessage, answers *Answers) (json.RawMessage, error), opts ...ToolOption) Tool {
	if fn == nil {
		return Raw(spec, nil, opts...)
	}
	schema := readSchema(spec.Parameters)
	asking := func(answers *Answers) callFunc {
		return callWith(schema, func(ctx context.Context, arguments json.RawMessage) (json.RawMessage, error) {
			out, err := fn(ctx, arguments, answers)
			if in, ok := err.(*Inquiry); ok { // the answer itself, and not a cause of something
				return json.Marshal(askedResult{in})
			}
			return out, err
		})
	}
	opts = append(slices.Clone(opts), toolOption(func(c *toolConfig) { c.asking = asking }))
	return Raw(spec, func(ctx context.Context, arguments json.RawMessage) (json.RawMessage, error) {
		return fn(ctx, arguments, nil)
	}, opts...)
}

// An askedResult is what a step records of a call that has questions.
type askedResult struct {
	Asks *Inquiry `json:"perdure/asks"`
}

var askedPrefix = []byte(`{"perdure/asks":`)

// inquiryOf returns the questions that a step has recorded, nil for none.
func (c toolConfig) inquiryOf(recorded json.RawMessage) *Inquiry {
	var r askedResult
	if c.asking == nil || !bytes.HasPrefix(recorded, askedPrefix) || json.Unmarshal(recorded, &r) != nil {
		return nil
	}
	return r.Asks
}

// ask asks people the questions, all at once.
func (i *Inquiry) ask(ctx durable.Context, name string) (*Answers, error) {
	names := slices.Sorted(maps.Keys(i.Questions))
	futures := make([]*durable.Future[durable.Decision], len(names))
	for n, q := range names {
		f, err := durable.AskApprovalAsync(ctx, stepName(name), i.Questions[q])
		if err != nil {
			return nil, err
		}
		futures[n] = f
	}
	a := &Answers{Decisions: map[string]durable.Decision{}, State: i.State}
	for n, f := range futures {
		d, err := f.Result(ctx)
		if err != nil {
			return nil, err
		}
		a.Decisions[names[n]] = d
	}
	return a, nil
}
