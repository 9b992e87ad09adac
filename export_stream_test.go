package perdure

import (
	"github.com/perdure/perdure/actors"
	"github.com/perdure/perdure/schemas"
)

// A RunView is what a store knows of a run.
type RunView struct {
	Steps   []*schemas.TimelineStep
	Results map[string]*schemas.Payload
	Owner   uint32
	Record  *schemas.Record
}

// Tell is what a node answers to runs.stream.
func (v RunView) Tell(from string, said actors.LiveAnswer, limit int) (events []actors.LiveEvent, position string, more bool, err error) {
	at, err := parsePosition(from)
	if err != nil {
		return nil, "", false, err
	}
	size := 0
	m := newMerger(at, func(e actors.LiveEvent) {
		events = append(events, e)
		size += len(e.Text)
	})
	m.full = func() bool { return size > limit }
	more, err = (&runView{steps: v.Steps, results: v.Results, owner: v.Owner, record: v.Record}).tell(m, said, 1<<20)
	return events, at.String(), more, err
}

// A Watcher is the client's side of a stream.
type Watcher struct{ m *merger }

// NewWatcher watches from a position.
func NewWatcher(from string, emit func(StreamEvent)) (*Watcher, error) {
	at, err := parsePosition(from)
	if err != nil {
		return nil, err
	}
	s := &streamer{yield: func(e StreamEvent, _ error) bool { emit(e); return true }}
	s.m = newMerger(at, s.emit)
	return &Watcher{s.m}, nil
}

// Live takes a live event; it returns false for a gap.
func (w *Watcher) Live(e actors.LiveEvent) bool { return w.m.live(e) }

// Merged takes an event of an answer.
func (w *Watcher) Merged(e actors.LiveEvent) error { return w.m.merged(e) }

// Position is where the watcher is.
func (w *Watcher) Position() string { return w.m.at.String() }
