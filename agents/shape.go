package agents

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/perdure/perdure/durable"
)

// A shape is what a request has that follows neither from the agent's code nor from the
// conversation: settings that were changed while nodes run ([Settings]), and instructions
// that are made of [Values]. Like the tools of servers it is looked at before each request
// and recorded with the model's answer, once and again when it changes.
type shape struct {
	Settings      uint64  `json:"settings,omitempty"`     // number of the version that was set
	Version       string  `json:"version,omitempty"`      // of the instructions
	Instructions  *string `json:"instructions,omitempty"` // nil: those of the code
	Model         string  `json:"model,omitempty"`
	MaxIterations int     `json:"max_iterations,omitempty"`
}

// shaping is a shape and what the journal has of it; nil where there never was one.
type shaping struct {
	shape
	text json.RawMessage
}

// reshape returns what the next request is to have.
func (v *conversation) reshape(ctx context.Context) (shaping, error) {
	set, p := v.set.Load(), v.prompt
	var s shape
	if set != nil {
		s.Settings, s.Model, s.MaxIterations = set.number, set.Model, set.MaxIterations
		if set.prompt != nil {
			p = set.prompt
		}
	}
	if p != nil && (v.values != nil || p != v.prompt) {
		s.Version = p.version
		if was := v.served.shape; was.Version == p.version && was.Instructions != nil {
			s.Instructions = was.Instructions
		} else {
			var values any = struct{}{}
			var err error
			if v.values != nil {
				if values, err = v.values(ctx, v.ctx.Info()); err != nil {
					return shaping{}, fmt.Errorf("values for the instructions: %w", err)
				}
			}
			text, err := p.render(v.ctx.Info(), values)
			if err != nil {
				return shaping{}, err
			}
			s.Instructions = &text
		}
	}
	if s == (shape{}) {
		return shaping{}, nil
	}
	text, err := json.Marshal(s)
	return shaping{s, text}, err
}

// noShape is what the journal has where everything is as in the code again.
var noShape = json.RawMessage("{}")

// since returns what is recorded after a request that had the one before; nil: nothing.
func (s shaping) since(before shaping) json.RawMessage {
	switch {
	case bytes.Equal(s.text, before.text):
		return nil
	case s.text == nil:
		return noShape
	}
	return s.text
}

// then is the reverse of since.
func (s shaping) then(recorded json.RawMessage) (shaping, error) {
	if recorded == nil {
		return s, nil
	}
	next := shaping{text: recorded}
	if err := json.Unmarshal(recorded, &next.shape); err != nil {
		return s, fmt.Errorf("read the recorded settings: %w", err)
	}
	if next.shape == (shape{}) {
		return shaping{}, nil
	}
	return next, nil
}

// sum is the hash of a request: asked is the one of all else that it says.
func (s shaping) sum(asked []byte) []byte {
	if s.text == nil {
		return asked
	}
	h := sha256.New()
	h.Write(asked)
	h.Write([]byte("settings"))
	h.Write(s.text)
	return h.Sum(nil)
}

// apply gives a request its shape.
func (v *conversation) apply(s shaping, req *Request) {
	if s.Instructions != nil {
		req.Instructions = *s.Instructions
	}
	if req.model = v.models[s.Model]; req.model == nil { // none is set; whoever sets one has checked it
		req.model = v.model
	}
}

// annotateShape says in the timeline what a request was made of.
func (v *conversation) annotateShape(ctx context.Context, s shaping) {
	version := s.Version
	if s.Instructions == nil && v.prompt != nil {
		version = v.prompt.version
	}
	if version != "" {
		durable.Annotate(ctx, "instructions_version", version)
	}
	if s.Settings != 0 {
		durable.Annotate(ctx, "settings", strconv.FormatUint(s.Settings, 10))
	}
}

// limit is how many model calls the run may make, by what its last one was told.
func (v *conversation) limit() int {
	if n := v.served.shape.MaxIterations; n > 0 {
		return n
	}
	return v.maxIterations
}
