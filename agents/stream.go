package agents

import (
	"context"
	"encoding/json"

	"github.com/perdure/perdure/runtime"
)

// Unstreamed returns m as a model that is asked for whole answers, though it could stream
// them: for a server that does not do it well, or does not say then what a call has cost.
// Whoever watches a run gets each message when it is there.
func Unstreamed(m Model) Model {
	if m == nil {
		return nil
	}
	return unstreamed{m}
}

type unstreamed struct{ Model }

// Err is that of the model.
func (u unstreamed) Err() error { return errOf(u.Model) }

// Provider is that of the model, "" for one that does not say.
func (u unstreamed) Provider() string { return providerOf(u.Model) }

// MaxOutputTokens is that of the model, 0 for one that does not say.
func (u unstreamed) MaxOutputTokens() int64 {
	if m, ok := u.Model.(Bounded); ok {
		return m.MaxOutputTokens()
	}
	return 0
}

// callModel makes one call of one model, and tells whoever watches the run what it writes.
// Where nobody can, as in a test without a node, the model need not stream, but for a race,
// which is won by who begins to answer.
func callModel(ctx context.Context, m Model, req *Request) (*Response, error) {
	racing := entrantOf(ctx)
	streamer, streams := m.(Streamer)
	var speech runtime.Speech
	heard := false
	if step, ok := runtime.StepFrom(ctx); ok {
		speech, heard = step.Speak()
	}
	var r *Response
	var err error
	if streams && (heard || racing != nil) {
		r, err = streamer.Stream(ctx, req, func(d Delta) {
			if !racing.heard() || !heard {
				return
			}
			speech.Reason(d.Reasoning)
			speech.Say(d.Text)
		})
	} else if r, err = m.Generate(ctx, req); heard && err == nil && r != nil {
		speech.Say(r.Message.Content)
	}
	switch {
	case !heard:
	case err != nil:
		speech.Void(err.Error())
	case r == nil:
		speech.Void("the model returned no answer")
	default:
		speech.Done()
	}
	return r, err
}

// unsay tells whoever watches that an answer which was told to its end does not count.
func unsay(ctx context.Context, why error) {
	if step, ok := runtime.StepFrom(ctx); ok {
		if speech, heard := step.Speak(); heard {
			speech.Void(why.Error())
		}
	}
}

// MessageOf returns the message of the model that a step of this name has recorded, by
// the step's result; ok is false for a step that is no call of an agent's model.
func MessageOf(step string, result json.RawMessage) (m *Message, ok bool) {
	if step != modelStep {
		return nil, false
	}
	var call modelCall
	if err := json.Unmarshal(result, &call); err != nil || call.RequestSHA256 == "" || call.Message.Role != RoleAssistant || call.Held != nil && call.Held.Before {
		return nil, false
	}
	return &call.Message, true
}

// modelStep names the step of a call of the model.
const modelStep = "model"

// CalledModel reports whether a step, by its name and attributes in the run's timeline,
// was a call of an agent's model.
func CalledModel(step string, attributes map[string]string) bool {
	return step == modelStep && attributes["request_sha256"] != ""
}
