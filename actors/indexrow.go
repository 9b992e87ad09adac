package actors

import (
	"math"
	"slices"
	"strings"
	"time"

	"github.com/perdure/perdure/runtime"
	"github.com/perdure/perdure/schemas"
)

// A row is a run in the index. There may be millions: it holds what a listing
// selects by and shows, and words that many have in common by their number.
type row struct {
	run              string // its reference
	seq              uint64 // of the last entry that is known
	started, updated int64  // Unix nanoseconds
	attributes       []rowAttribute
	steps            uint32
	method, code     word
	status           uint8 // schemas.Status
	archived         bool  // its record is in the archive, and perhaps still in the journals
	gone             bool  // its record was removed; it keeps its place for who pages
	begun            bool  // when it started is known
	paused           pause
	asks             asks
	seen             bool // its attributes are known
}

// A pause says whether an operator has paused a run.
type pause uint8

const (
	pauseUnknown pause = iota // not said by the entries that are known
	notPaused
	isPaused
)

// asks says whether a run waits for somebody's decision.
type asks uint8

const (
	asksUnknown asks = iota // not said by the entries that are known
	asksNothing
	asksSomething
)

// after is what an entry makes of it: after an answer, there may be other questions.
func (a asks) after(e *schemas.Entry) asks {
	if e.GetRecord() != nil {
		return asksNothing
	}
	for _, ev := range e.GetEvents() {
		switch k := ev.GetKind().(type) {
		case *schemas.Event_Started:
			a = asksNothing
		case *schemas.Event_Asked:
			if a = asksSomething; k.Asked.GetWithdrawn() {
				a = asksUnknown
			}
		case *schemas.Event_SignalReceived:
			if strings.HasPrefix(k.SignalReceived.GetName(), runtime.AnswerPrefix) {
				a = asksUnknown
			}
		case *schemas.Event_Suspended:
			if a = asksNothing; k.Suspended.GetAsks() > 0 {
				a = asksSomething
			}
		}
	}
	return a
}

// after is what an entry makes of it.
func (p pause) after(e *schemas.Entry) pause {
	if e.GetRecord() != nil {
		return notPaused
	}
	for _, ev := range e.GetEvents() {
		switch k := ev.GetKind().(type) {
		case *schemas.Event_Paused:
			p = isPaused
		case *schemas.Event_Started, *schemas.Event_Resumed, *schemas.Event_CancelRequested:
			p = notPaused
		case *schemas.Event_Suspended:
			if p = max(p, notPaused); k.Suspended.GetPaused() {
				p = isPaused
			}
		}
	}
	return p
}

// stands sets the status that the last entry says, but for a pause.
func (r *row) stands(status schemas.Status) {
	if r.paused == isPaused && (status == schemas.Status_RUNNING || status == schemas.Status_SUSPENDED) {
		status = schemas.Status_PAUSED
	}
	r.status = uint8(status)
}

// A rowAttribute is one of a row.
type rowAttribute struct {
	text string
	bits uint64
	name word
	kind attributeKind
}

type attributeKind uint8

const (
	textAttribute attributeKind = iota
	integerAttribute
	numberAttribute
	truthAttribute
	timeAttribute
)

func (a *rowAttribute) integer() int64  { return int64(a.bits) }
func (a *rowAttribute) number() float64 { return math.Float64frombits(a.bits) }
func (a *rowAttribute) truth() bool     { return a.bits != 0 }
func (a *rowAttribute) time() time.Time { return time.Unix(0, int64(a.bits)).UTC() }

func (a *rowAttribute) plain() any {
	switch a.kind {
	case integerAttribute:
		return a.integer()
	case numberAttribute:
		return a.number()
	case truthAttribute:
		return a.truth()
	case timeAttribute:
		return a.time()
	}
	return a.text
}

// A word is the number of a text in a projection; 0 is the empty one.
type word uint32

// words numbers the texts that rows have in common.
type words struct {
	list   []string
	number map[string]word
}

func (w *words) of(s string) word {
	if s == "" {
		return 0
	}
	n, ok := w.number[s]
	if !ok {
		if w.number == nil {
			w.number, w.list = map[string]word{}, []string{""}
		}
		n = word(len(w.list))
		w.list, w.number[s] = append(w.list, s), n
	}
	return n
}

func (w *words) text(n word) string {
	if n == 0 {
		return ""
	}
	return w.list[n]
}

func (w *words) attributes(all map[string]*schemas.Attribute) []rowAttribute {
	if len(all) == 0 {
		return nil
	}
	out := make([]rowAttribute, 0, len(all))
	for name, v := range all {
		a := rowAttribute{name: w.of(name)}
		switch v := v.GetValue().(type) {
		case *schemas.Attribute_Text:
			a.text = v.Text
		case *schemas.Attribute_Integer:
			a.kind, a.bits = integerAttribute, uint64(v.Integer)
		case *schemas.Attribute_Number:
			a.kind, a.bits = numberAttribute, math.Float64bits(v.Number)
		case *schemas.Attribute_Truth:
			if a.kind = truthAttribute; v.Truth {
				a.bits = 1
			}
		case *schemas.Attribute_Time:
			a.kind, a.bits = timeAttribute, uint64(v.Time)
		}
		out = append(out, a)
	}
	return out
}

// summary returns the row as a listing shows it.
func (w *words) summary(r *row) RunSummary {
	s := RunSummary{
		Run: r.run, Status: StatusName(schemas.Status(r.status)), Method: w.text(r.method), Error: w.text(r.code), Steps: uint64(r.steps),
		Started: time.Unix(0, r.started).UTC(), Updated: time.Unix(0, r.updated).UTC(), Archived: r.archived,
	}
	if len(r.attributes) > 0 {
		s.Attributes = make(Attributes, len(r.attributes))
		for i := range r.attributes {
			s.Attributes[w.text(r.attributes[i].name)] = r.attributes[i].plain()
		}
	}
	return s
}

// note takes an entry in. What the entry alone does not say of its run is read if
// the result is true.
func (p *projection) note(s schemas.Stored) (incomplete bool) {
	run := s.Ref.String()
	old := p.runs[run]
	if old != nil && s.Seq <= old.seq {
		return false // it came twice
	}
	rec, status := runtime.Timeline([]schemas.Stored{s})
	r := &row{run: run}
	whole := s.Entry.GetRecord() != nil || rec.GetStarted() != 0
	switch {
	case old != nil && !old.gone && !old.archived:
		r = old
	case old != nil: // another run of this ID
		*old = row{run: old.run}
		r = old
	default:
		p.runs[run] = r
	}
	r.seq, r.updated = s.Seq, s.Time.UnixNano()
	r.paused, r.asks = r.paused.after(s.Entry), r.asks.after(s.Entry)
	r.stands(status)
	r.steps, r.code = uint32(min(rec.GetStepCount(), math.MaxUint32)), p.words.of(rec.GetError().GetCode())
	if !IsEnd(status) {
		r.steps = 0 // not of the whole run
	}
	if r.started == 0 {
		r.started = s.Time.UnixNano() // unless more is known
	}
	events := s.Entry.GetEvents()
	set := slices.ContainsFunc(events, func(e *schemas.Event) bool { return e.GetAttributesSet() != nil })
	suspends := len(events) > 0 && events[len(events)-1].GetSuspended() != nil
	if whole || set || suspends { // the entry that suspends a run has all it has
		r.attributes, r.seen = p.words.attributes(rec.GetAttributes()), true
	}
	if whole {
		r.begin(p, rec)
	}
	return !r.begun || !r.seen || r.paused == pauseUnknown || r.asks == asksUnknown
}

// noteArchived takes in what the archive has of a run.
func (p *projection) noteArchived(s schemas.Stored) {
	r := p.runs[s.Ref.String()]
	switch {
	case r == nil || s.Seq > r.seq:
		p.note(s)
		r = p.runs[s.Ref.String()]
	case s.Seq < r.seq:
		return // the ID was used again
	}
	r.archived, r.gone = true, false
}

// begin takes in how the run began.
func (r *row) begin(p *projection, rec *schemas.Record) {
	r.method, r.begun = p.words.of(rec.GetMethod()), true
	if rec.GetStarted() != 0 {
		r.started = rec.GetStarted()
	}
}

// complete takes in what was read of a run, up to an entry, because the entries that
// are known did not say it. What was noted meanwhile is newer.
func (p *projection) complete(run string, rec *schemas.Record, status schemas.Status, whole bool, seq uint64) {
	r := p.runs[run]
	if r == nil || r.gone {
		return
	}
	if !r.begun && rec.GetStarted() != 0 {
		r.begin(p, rec)
	}
	if r.paused == pauseUnknown && whole {
		if r.paused = notPaused; status == schemas.Status_PAUSED {
			r.paused = isPaused
		}
		r.stands(schemas.Status(r.status))
	}
	if r.asks == asksUnknown && whole && seq >= r.seq {
		if r.asks = asksNothing; len(rec.GetAsked()) > 0 {
			r.asks = asksSomething
		}
	}
	if !r.seen && whole {
		r.attributes, r.seen = p.words.attributes(rec.GetAttributes()), true
	}
}
