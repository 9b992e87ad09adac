package perdure

import (
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/perdure/perdure/actors"
	"github.com/perdure/perdure/agents"
)

// A merger makes, of what is told of a run in no order, more than once and with gaps, what
// a watcher sees: each thing once, in order. A node does so with a journal and what the
// owner says, and a client with live events.
type merger struct {
	at   *position
	over map[string]bool // paths that were recorded while this merger looked
	emit func(actors.LiveEvent)
	// full says that enough was emitted: what follows is left for another time.
	full func() bool
}

func newMerger(at *position, emit func(actors.LiveEvent)) *merger {
	return &merger{at: at, over: map[string]bool{}, emit: emit, full: func() bool { return false }}
}

// say emits an event with the position behind it.
func (m *merger) say(e actors.LiveEvent) {
	e.Position = m.at.String()
	m.emit(e)
}

// live takes an event of a live subject, or of what an owner answered. It returns false
// if something before it is missing: then the journal and the owner are to be asked.
func (m *merger) live(e actors.LiveEvent) bool {
	switch {
	case m.at.ended:
		return true
	case e.Type == actors.LiveMore, e.Type == actors.LiveDone, e.Type == "":
		return false
	case e.Owner < m.at.owner: // somebody has gone on who does not count any more
		return true
	case e.Owner > m.at.owner: // what the one before has recorded comes first
		return false
	case e.Type == actors.LiveEnd:
		switch {
		case e.Recorded <= m.at.recorded:
			return true
		case e.Recorded > m.at.recorded+1, e.ResultBytes > 0:
			return false
		}
		msg, _ := agents.MessageOf(e.Name, e.Result)
		if msg == nil && m.at.open[e.Step].Text < e.Offset { // what it has said is no part of the journal
			return false
		}
		e.Offset = 0
		return m.recorded(e, msg)
	case m.over[e.Step]:
		return true
	}
	h, known := m.at.open[e.Step]
	switch newer := !known || h.newer(e.Owner, e.Attempt); {
	case e.Type == actors.LiveBegin && newer:
		m.void(e.Step, e.Name, "another attempt begins")
		m.begin(e)
		return true
	case newer:
		return false // its beginning is missing
	case e.Attempt < h.Attempt, h.void, e.Type == actors.LiveBegin:
		return true
	case e.Type == actors.LiveVoid:
		m.void(e.Step, e.Name, e.Reason)
		return true
	}
	return m.text(e, h)
}

// merged takes an event that a node has made by a merger of its own from this one's
// position on.
func (m *merger) merged(e actors.LiveEvent) (err error) {
	if m.at, err = parsePosition(e.Position); err != nil {
		return err
	}
	if e.Type == actors.LiveEnd {
		m.over[e.Step] = true
	}
	m.emit(e)
	return nil
}

// text takes a part of a text or of what is thought.
func (m *merger) text(e actors.LiveEvent, h heard) bool {
	at := &h.Text
	if e.Type == actors.LiveReasoning {
		at = &h.Reasoning
	}
	switch known := *at - e.Offset; {
	case known < 0:
		return false
	case known >= len(e.Text):
		return true
	default:
		e.Text, e.Offset = e.Text[known:], *at
	}
	*at += len(e.Text)
	if e.Type == actors.LiveText {
		h.sum = sum(h.sum, e.Text)
	}
	m.at.open[e.Step] = h
	m.say(e)
	return true
}

func (m *merger) begin(e actors.LiveEvent) {
	m.at.open[e.Step] = heard{LiveSaid: actors.LiveSaid{Owner: e.Owner, Attempt: e.Attempt}}
	m.say(actors.LiveEvent{Type: actors.LiveBegin, Step: e.Step, Name: e.Name, Owner: e.Owner, Attempt: e.Attempt})
}

// void says that what was heard of a step does not count, if anything was.
func (m *merger) void(path, name, why string) {
	h, known := m.at.open[path]
	if !known || h.void {
		return
	}
	h.void = true
	m.at.open[path] = h
	m.say(actors.LiveEvent{Type: actors.LiveVoid, Step: path, Name: name, Owner: h.Owner, Attempt: h.Attempt, Reason: why})
}

// recorded takes the end of the next step: what was recorded counts. What was heard of it
// is gone on with where it is the beginning of the text, whoever has said it; of a step
// that is no message it is left as it is. It returns false where it was not all told.
func (m *merger) recorded(end actors.LiveEvent, msg *agents.Message) bool {
	h, known := m.at.open[end.Step]
	text := ""
	if msg != nil {
		text = msg.Content
	}
	if known && !h.void && msg != nil && !h.begins(text) {
		m.void(end.Step, end.Name, "what was recorded is another message")
		h = m.at.open[end.Step]
	}
	if !known || h.void {
		if known && !h.newer(end.Owner, end.Attempt) { // it counts its attempts in another way
			end.Attempt = h.Attempt + 1
		}
		m.begin(end)
		h = m.at.open[end.Step]
	}
	if len(text) > h.Text {
		for _, p := range actors.LivePieces(text[h.Text:]) {
			if m.full() {
				return false
			}
			h = m.at.open[end.Step]
			m.text(actors.LiveEvent{Type: actors.LiveText, Step: end.Step, Name: end.Name, Owner: h.Owner, Attempt: h.Attempt, Offset: h.Text, Text: p}, h)
		}
	}
	delete(m.at.open, end.Step)
	m.over[end.Step] = true
	m.at.recorded++
	end.Recorded = m.at.recorded
	m.say(end)
	return true
}

// ownedBy takes in who executes the run by now: what others said that is not recorded
// does not count.
func (m *merger) ownedBy(owner uint32, names map[string]string) {
	m.voidBelow(owner, names, "its owner is gone, and another one has taken the run over")
	m.at.owner = max(m.at.owner, owner)
}

// voidAll says that nothing counts that is not recorded.
func (m *merger) voidAll(names map[string]string, why string) {
	m.voidBelow(math.MaxUint32, names, why)
}

func (m *merger) voidBelow(owner uint32, names map[string]string, why string) {
	for _, path := range slices.SortedFunc(maps.Keys(m.at.open), strings.Compare) {
		if m.at.open[path].Owner < owner {
			m.void(path, names[path], why)
		}
	}
}

// done ends the stream.
func (m *merger) done(d actors.Done) {
	m.at.ended, m.at.open = true, map[string]heard{}
	m.say(actors.LiveEvent{Type: actors.LiveDone, Done: &d})
}
