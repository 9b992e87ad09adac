package actors

import (
	"slices"
	"strings"

	"github.com/perdure/perdure/runtime"
)

// A liveStep is a step that runs, and what it says. Everything of it is of live.mu.
type liveStep struct {
	live    *live
	run     *liveRun // nil: nobody hears it any more
	path    string
	name    string
	attempt uint32    // how often it began
	fresh   bool      // nothing was begun in it yet
	air     *speech   // that is told; nil: none
	others  []*speech // of the same attempt, that may be told in its place
}

// A speech is what is said in one go.
type speech struct {
	step *liveStep
	by   any
	log  []piece
	// text and thought are the sizes of both in the log.
	text, thought int
	full          bool // more is not heard
	over          bool
}

// A piece is said without a break.
type piece struct {
	kind string // LiveText or LiveReasoning
	text []byte
}

// A LiveSaid is how much of a step somebody has heard.
type LiveSaid struct {
	Owner     uint32 `json:"owner"`
	Attempt   uint32 `json:"attempt"`
	Text      int    `json:"text"`
	Reasoning int    `json:"reasoning"`
}

var _ runtime.Speech = (*speech)(nil)

// forget ends the step: what is said from here on is not heard.
func (s *liveStep) forget() {
	if s.run == nil {
		return
	}
	for _, sp := range append(s.others, s.air) {
		if sp != nil {
			s.live.bytes -= sp.text + sp.thought
		}
	}
	s.run, s.air, s.others = nil, nil, nil
}

// Speech implements [runtime.Speaker].
func (s *liveStep) Speech(by any) runtime.Speech {
	s.live.mu.Lock()
	defer s.live.mu.Unlock()
	sp := &speech{step: s, by: by}
	if s.run == nil {
		return sp
	}
	if s.air != nil && s.air.by == by && !s.air.over {
		s.others = append(s.others, sp)
		return sp
	}
	if s.air != nil {
		s.void("another attempt begins")
	}
	s.goOnAir(sp)
	return sp
}

// goOnAir begins to tell a speech, with what it has said.
func (s *liveStep) goOnAir(sp *speech) {
	s.others = slices.DeleteFunc(s.others, func(o *speech) bool {
		if o != sp && o.by != sp.by {
			s.live.bytes -= o.text + o.thought
		}
		return o == sp || o.by != sp.by
	})
	s.air = sp
	if s.fresh {
		s.fresh = false
		return
	}
	s.attempt++
	for _, e := range s.said(LiveSaid{}) {
		s.run.tell(e)
	}
	s.live.wake(s.run, true)
}

// void ends what is told, and tells so.
func (s *liveStep) void(why string) {
	s.live.bytes -= s.air.text + s.air.thought
	s.air = nil
	s.run.tell(LiveEvent{Type: LiveVoid, Step: s.path, Name: s.name, Owner: s.run.owner, Attempt: s.attempt, Reason: cutText(why, maxLiveReason)})
	s.live.wake(s.run, true)
}

// said returns what is told of the step beyond what somebody has heard.
func (s *liveStep) said(heard LiveSaid) (events []LiveEvent) {
	if s.run == nil || s.air == nil && !s.fresh {
		return nil
	}
	if heard.Owner != s.run.owner || heard.Attempt != s.attempt {
		heard = LiveSaid{}
		events = append(events, LiveEvent{Type: LiveBegin, Step: s.path, Name: s.name, Owner: s.run.owner, Attempt: s.attempt})
	}
	if s.air == nil {
		return events
	}
	skip, at := map[string]int{LiveText: heard.Text, LiveReasoning: heard.Reasoning}, map[string]int{}
	for _, p := range s.air.log {
		cut := min(max(skip[p.kind]-at[p.kind], 0), len(p.text))
		at[p.kind] += cut
		for _, text := range LivePieces(string(p.text[cut:])) {
			events = append(events, s.event(p.kind, at[p.kind], text))
			at[p.kind] += len(text)
		}
	}
	return events
}

func (s *liveStep) event(kind string, at int, text string) LiveEvent {
	return LiveEvent{Type: kind, Step: s.path, Name: s.name, Owner: s.run.owner, Attempt: s.attempt, Offset: at, Text: text}
}

// Say implements [runtime.Speech].
func (sp *speech) Say(text string) { sp.add(LiveText, text) }

// Reason implements [runtime.Speech].
func (sp *speech) Reason(text string) { sp.add(LiveReasoning, text) }

func (sp *speech) add(kind, text string) {
	if text = strings.ToValidUTF8(text, "\uFFFD"); text == "" {
		return
	}
	s := sp.step
	s.live.mu.Lock()
	defer s.live.mu.Unlock()
	if s.run == nil || sp.over || sp != s.air && !slices.Contains(s.others, sp) {
		return
	}
	if sp.full = sp.full || sp.text+sp.thought+len(text) > maxLiveText || !s.live.room(len(text)); sp.full {
		return
	}
	at := &sp.text
	if kind == LiveReasoning {
		at = &sp.thought
	}
	if sp == s.air {
		offset := *at
		for _, p := range LivePieces(text) {
			s.run.tell(s.event(kind, offset, p))
			offset += len(p)
		}
		s.live.wake(s.run, false)
	}
	*at += len(text)
	s.live.bytes += len(text)
	if n := len(sp.log); n > 0 && sp.log[n-1].kind == kind {
		sp.log[n-1].text = append(sp.log[n-1].text, text...)
		return
	}
	sp.log = append(sp.log, piece{kind, []byte(text)})
}

// Void implements [runtime.Speech].
func (sp *speech) Void(why string) {
	s := sp.step
	s.live.mu.Lock()
	defer s.live.mu.Unlock()
	switch {
	case s.run == nil || sp.over:
	case sp != s.air:
		if i := slices.Index(s.others, sp); i >= 0 {
			s.others = slices.Delete(s.others, i, i+1)
			s.live.bytes -= sp.text + sp.thought
		}
	default:
		s.void(why)
		if len(s.others) > 0 {
			s.goOnAir(s.others[0])
		}
	}
	sp.over = true
}

// Done implements [runtime.Speech].
func (sp *speech) Done() {
	s := sp.step
	s.live.mu.Lock()
	defer s.live.mu.Unlock()
	if sp.over || s.run == nil {
		return
	}
	if sp != s.air && slices.Contains(s.others, sp) && !(s.air != nil && s.air.over) {
		if s.air != nil {
			s.void("another answer came first")
		}
		s.goOnAir(sp)
	}
	sp.over = true
}
