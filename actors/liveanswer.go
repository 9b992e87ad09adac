package actors

import (
	"context"
	"encoding/json"
	"fmt"
	"math"

	"github.com/perdure/perdure/broker"
	"github.com/perdure/perdure/schemas"
)

// A LiveRequest asks the node that executes a run what it says.
type LiveRequest struct {
	Run string `json:"run"`
	// Recorded is how many of its steps somebody knows, Open how much of others.
	Recorded uint64              `json:"recorded"`
	Open     map[string]LiveSaid `json:"open,omitempty"`
	// Limit is how large the answer may be about, in bytes.
	Limit int `json:"limit"`
}

// A LiveAnswer is what a node knows beyond that.
type LiveAnswer struct {
	// Recorded are the events of steps that were recorded a short while ago, by how many
	// were recorded with it.
	Recorded map[uint64][]LiveEvent `json:"recorded,omitempty"`
	// Open are those of steps that run, in the order in which they began.
	Open []LiveEvent `json:"open,omitempty"`
	// Cut says that there is more; of steps up to Through all is there.
	Cut     bool   `json:"cut,omitempty"`
	Through uint64 `json:"through,omitempty"`
}

// answer answers a request.
func (l *live) answer(ref schemas.Ref, req LiveRequest) (a LiveAnswer) {
	l.mu.Lock()
	defer l.mu.Unlock()
	r := l.runs[ref]
	if r == nil {
		return a
	}
	size := 0
	a.Recorded = map[uint64][]LiveEvent{}
	for _, k := range r.kept {
		if k.n <= req.Recorded {
			continue
		}
		events := k.events
		if k.size > req.Limit { // its text is in the journal, or is missing
			events = events[len(events)-1:]
		}
		for _, e := range events {
			size += eventSize(e)
		}
		if size > req.Limit && len(a.Recorded) > 0 {
			a.Cut = true
			return a
		}
		a.Recorded[k.n], a.Through = events, k.n
	}
	a.Through = math.MaxUint64
	for _, s := range r.steps {
		for _, e := range s.said(req.Open[s.path]) {
			if size += eventSize(e); size > req.Limit && len(a.Open) > 0 {
				a.Cut = true
				return a
			}
			a.Open = append(a.Open, e)
		}
	}
	return a
}

// serveLive answers what is asked of this node.
func (h *Host) serveLive(data []byte) []byte {
	var req LiveRequest
	var answer LiveAnswer
	if err := json.Unmarshal(data, &req); err == nil {
		if ref, err := schemas.ParseRef(req.Run); err == nil {
			answer = h.live.answer(ref, req)
		}
	}
	body, err := json.Marshal(answer)
	if err != nil {
		h.cfg.Log.Error("what a run says was not told", "run", req.Run, "error", err)
	}
	return body
}

// AskLive asks a node what a run says that it executes, or has executed a short while ago.
// A node that is gone, or does not answer, says nothing.
func AskLive(ctx context.Context, b *broker.Broker, node string, req LiveRequest) (a LiveAnswer, err error) {
	body, err := json.Marshal(req)
	if err != nil {
		return a, fmt.Errorf("encode the request: %w", err)
	}
	data, alive, err := b.Live().Ask(ctx, node, body)
	if err != nil || !alive {
		return a, err
	}
	if err := json.Unmarshal(data, &a); err != nil {
		return a, fmt.Errorf("ask node %s what %s says: %w: its answer is %.40q", node, req.Run, broker.ErrIncompatible, data)
	}
	return a, nil
}
