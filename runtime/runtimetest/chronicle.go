package runtimetest

import (
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/perdure/perdure/schemas"
)

// A Chronicle is what was stored in journals, also what records have taken the place of
// since: entries in the order of their sequences. It is held against the invariants of
// docs/protocol.
type Chronicle []Chronicled

// A Chronicled is an entry as far as a chronicle looks at it.
type Chronicled struct {
	Seq   uint64
	Time  time.Time // when it was stored, by the broker's clock; zero: not known
	Run   schemas.Ref
	Epoch uint64
	Nonce string   // of the process that wrote it, hexadecimal
	What  []string // its events, and its record; see [Happenings]
}

// Add takes entries in.
func (c *Chronicle) Add(all ...schemas.Stored) {
	for _, s := range all {
		*c = append(*c, Chronicled{s.Seq, s.Time, s.Ref, s.Entry.GetEpoch(), hex.EncodeToString(s.Entry.GetNonce()), Happenings(s.Entry)})
	}
}

// Happenings names what an entry says, each by a word and what that is about: "step 3"
// for a step that was recorded, "record COMPLETED", "refused k/a/1" for a record beside
// that open run.
func Happenings(e *schemas.Entry) (what []string) {
	say := func(words ...string) { what = append(what, strings.Join(words, " ")) }
	for _, ev := range e.GetEvents() {
		switch k := ev.GetKind().(type) {
		case *schemas.Event_Claimed:
			say("claimed", k.Claimed.GetNode())
		case *schemas.Event_Started:
			say("started")
		case *schemas.Event_Continued:
			say("continued")
		case *schemas.Event_StepCompleted:
			say("step", k.StepCompleted.GetPath())
		case *schemas.Event_TimerCreated:
			say("timer", k.TimerCreated.GetPath(), strconv.FormatInt(k.TimerCreated.GetDue(), 10))
		case *schemas.Event_TimerFired:
			say("fired", k.TimerFired.GetPath())
		case *schemas.Event_Suspended:
			say("suspended")
		case *schemas.Event_SignalReceived:
			say("signal", k.SignalReceived.GetName(), k.SignalReceived.GetId())
		case *schemas.Event_Called:
			say("called", k.Called.GetPath())
		case *schemas.Event_CallReturned:
			say("returned", k.CallReturned.GetPath())
		case *schemas.Event_Sent:
			say("sent", k.Sent.GetPath())
		case *schemas.Event_Parked:
			say("parked", k.Parked.GetReason())
		default:
			say("other")
		}
	}
	switch rec := e.GetRecord(); {
	case rec.GetOpen() != "":
		say("refused", rec.GetOpen())
	case rec != nil:
		say("record", rec.GetStatus().String())
	}
	return what
}

// Check says what is against the protocol. An entry that is not there, since a record
// came before it was read, hides something, and makes nothing up.
func (c Chronicle) Check() (wrong []string) {
	c = slices.Clone(c)
	slices.SortStableFunc(c, func(a, b Chronicled) int { return int(a.Seq) - int(b.Seq) })
	c = slices.CompactFunc(c, func(a, b Chronicled) bool { return a.Seq == b.Seq })
	identities := map[schemas.Identity]*history{}
	for _, e := range c {
		h := identities[e.Run.Identity]
		if h == nil {
			h = &history{runs: map[schemas.Ref]*told{}}
			identities[e.Run.Identity] = h
		}
		for _, w := range h.take(e) {
			wrong = append(wrong, fmt.Sprintf("entry %d of %s: %s", e.Seq, e.Run, w))
		}
	}
	return wrong
}

// A history is what the entries of an identity have said so far.
type history struct {
	last Chronicled
	open schemas.Ref // zero: none
	runs map[schemas.Ref]*told
}

// A told is what those of a run have.
type told struct {
	claimed      bool
	epoch        uint64 // in which, and by which process
	nonce        string
	began, ended bool
	once         map[string]bool  // what may be there once
	due          map[string]int64 // of its timers, by path
}

// take holds the next entry against those before it.
func (h *history) take(e Chronicled) (wrong []string) {
	say := func(form string, args ...any) { wrong = append(wrong, fmt.Sprintf(form, args...)) }
	if e.Epoch < h.last.Epoch {
		say("epoch %d comes behind epoch %d", e.Epoch, h.last.Epoch)
	}
	h.last = e
	r := h.runs[e.Run]
	if r == nil {
		r = &told{once: map[string]bool{}, due: map[string]int64{}}
		h.runs[e.Run] = r
	}
	if r.ended {
		say("the run has its record already")
	}
	refused, record := false, false
	for _, w := range e.What {
		word, about, _ := strings.Cut(w, " ")
		switch word {
		case "refused":
			refused = true
			if r.began {
				say("a run that has begun is refused")
			}
			if open := h.open.String(); h.open != (schemas.Ref{}) && about != open {
				say("it was refused because of %s, and %s is open", about, open)
			}
		case "record":
			record = true
		case "claimed":
			r.claimed, r.epoch, r.nonce = true, e.Epoch, e.Nonce
		case "continued": // its steps have their numbers anew
			clear(r.once)
			clear(r.due)
		case "started", "step", "fired", "signal", "returned":
			if r.once[w] {
				say("%s is recorded twice", w)
			}
			r.once[w] = true
		case "timer":
			path, due, _ := strings.Cut(about, " ")
			r.due[path], _ = strconv.ParseInt(due, 10, 64)
		}
		if due := time.Unix(0, r.due[about]); word == "fired" && r.due[about] != 0 && !e.Time.IsZero() && e.Time.Before(due) {
			say("timer %s fired %s early", about, due.Sub(e.Time))
		}
	}
	if r.ended = r.ended || refused || record; refused {
		return wrong
	}
	if h.open != (schemas.Ref{}) && h.open != e.Run {
		say("%s is open", h.open)
	}
	if r.claimed && e.Epoch <= r.epoch && e.Nonce != r.nonce {
		say("who wrote it, in epoch %d, is not who claimed the run, in epoch %d", e.Epoch, r.epoch)
	}
	r.began = true
	if h.open = e.Run; record {
		h.open = schemas.Ref{}
	}
	return wrong
}
