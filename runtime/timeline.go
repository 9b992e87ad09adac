package runtime

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/perdure/perdure/schemas"
	"google.golang.org/protobuf/proto"
)

// A record keeps so many steps of its run, and so many bytes of them; the rest
// are counted. It keeps the first claims.
const (
	maxTimeline      = 1000
	maxTimelineBytes = 128 << 10
	maxClaims        = 200
)

// A timeline is what people are shown of a run: it goes into the record, where
// the journal's events are gone.
type timeline struct {
	claims []*schemas.TimelineClaim
	steps  []*schemas.TimelineStep
	count  uint64
	bytes  int // of steps
	// questions are the names of what was asked, by path
	questions map[string]string
	// all, if not nil, is told of every step, whatever is kept.
	all func(*schemas.TimelineStep)
}

// asks notes a question, so that its answer can be shown with its name.
func (t *timeline) asks(q *schemas.Asked) {
	if t.questions == nil {
		t.questions = map[string]string{}
	}
	t.questions[q.GetPath()] = q.GetName()
}

// maxDecision is how many bytes of a decision are shown.
const maxDecision = 1 << 10

// signal adds a signal; one that answers a question as what was decided.
func (t *timeline) signal(e *schemas.SignalReceived, at int64) {
	path, answers := strings.CutPrefix(e.GetName(), AnswerPrefix)
	name, known := t.questions[path]
	if !answers || !known {
		t.done(&Future{kind: kindSignal, name: e.GetName()}, at, nil)
		return
	}
	if _, local, ok := strings.Cut(path, ":"); ok { // of a later generation
		path = local
	}
	s := &schemas.TimelineStep{Path: path, Name: name, Kind: string(kindAsk), At: at}
	if p := e.GetValue(); p.GetCodec() == "" && p.GetBlob() == nil && len(p.GetData()) <= maxDecision {
		s.Attributes = map[string]string{"decision": string(p.GetData())}
	}
	t.add(s)
}

func (t *timeline) claim(c *schemas.Claimed, at int64) {
	if len(t.claims) == maxClaims {
		return
	}
	t.claims = append(t.claims, &schemas.TimelineClaim{Node: c.GetNode(), At: at, Replayed: t.count})
}

func (t *timeline) add(s *schemas.TimelineStep) {
	t.count++
	if t.all != nil {
		t.all(s)
	}
	if t.bytes += stepSize(s); t.bytes <= maxTimelineBytes && len(t.steps) < maxTimeline {
		s.Claim = uint32(max(len(t.claims)-1, 0))
		t.steps = append(t.steps, s)
	}
}

// stepSize is an upper bound of a step's size in bytes.
func stepSize(s *schemas.TimelineStep) int {
	n := 64 + len(s.GetPath()) + len(s.GetName()) + len(s.GetKind()) + len(s.GetError()) // numbers, tags and lengths
	for k, v := range s.GetAttributes() {
		n += 16 + len(k) + len(v)
	}
	return n
}

// kindUndo is what a record's timeline calls a step that has undone something. A
// journal does not tell it from others.
const kindUndo = "compensation"

func (t *timeline) step(s *schemas.StepCompleted, at int64, undoes bool) {
	kind := string(kindStep)
	if undoes {
		kind = kindUndo
	}
	t.add(&schemas.TimelineStep{
		Path: s.GetPath(), Name: s.GetName(), Kind: kind, At: at, Took: s.GetTook(),
		Attempts: s.GetAttempts(), Error: s.GetError().GetCode(), Attributes: s.GetAttributes(),
	})
}

func (t *timeline) done(f *Future, at int64, err error) {
	s := &schemas.TimelineStep{Path: f.path, Name: f.name, Kind: string(f.kind), At: at}
	if err != nil {
		s.Error = AsError(err).Code
	}
	t.add(s)
}

// Timeline returns what the entries of a run that has no record yet say of it,
// in the form of the record that it will have, and its status. It runs no code.
func Timeline(entries []schemas.Stored) (*schemas.Record, schemas.Status) {
	return timelineOf(entries, &timeline{})
}

// Steps returns every step that the entries of a run have, however many there are, and how
// many it had before it continued as new last. Of a run whose journal is not kept it returns
// what the record has of them.
func Steps(entries []schemas.Stored) (steps []*schemas.TimelineStep, before uint64) {
	open := entries
	if n := len(entries); n > 1 && entries[n-1].Entry.GetRecord() != nil {
		open = entries[:n-1]
	}
	t := timeline{all: func(s *schemas.TimelineStep) { steps = append(steps, s) }}
	rec, _ := timelineOf(open, &t)
	if n := len(rec.GetSteps()); steps == nil && rec.GetGeneration() > 0 && n < maxTimeline {
		before = rec.GetStepCount() - uint64(n)
	}
	if steps == nil {
		return rec.GetSteps(), before
	}
	return steps, rec.GetStepCount() - uint64(len(steps))
}

func timelineOf(entries []schemas.Stored, t *timeline) (*schemas.Record, schemas.Status) {
	rec, status := &schemas.Record{}, schemas.Status_QUEUED
	kinds := map[string]*Future{}
	var began int64
	var stands Standing
	updates := 0
	for _, s := range entries {
		if r := s.Entry.GetRecord(); r != nil {
			return r, r.GetStatus()
		}
		at := s.Entry.GetAt()
		for _, e := range s.Entry.GetEvents() {
			status = schemas.Status_RUNNING
			stands.happens(at, e)
			switch k := e.GetKind().(type) {
			case *schemas.Event_Claimed:
				t.claim(k.Claimed, at)
			case *schemas.Event_Continued:
				c := k.Continued
				began, t.count, rec.Generation = c.GetBegan(), c.GetSteps(), c.GetGeneration()
				rec.Updates = carriedAnswers(c)
			case *schemas.Event_Started:
				st := k.Started
				rec.Method, rec.InputHash, rec.From, rec.Parent, rec.Build = st.GetMethod(), st.GetInputHash(), st.GetFrom(), st.GetParent(), st.GetBuild()
				rec.Published, rec.Started = st.GetPublished(), cmp.Or(began, at)
				if rec.Fork = forkOf(st); st.GetFork().GetGeneration() > 0 { // it is the other run that began then
					rec.Started = at
				}
			case *schemas.Event_StepProgress:
				p := k.StepProgress
				rec.Progress = slices.DeleteFunc(rec.Progress, func(o *schemas.StepProgress) bool { return o.GetPath() == p.GetPath() })
				rec.Progress = append(rec.Progress, p)
			case *schemas.Event_StepCompleted:
				rec.Progress = slices.DeleteFunc(rec.Progress, func(o *schemas.StepProgress) bool { return o.GetPath() == k.StepCompleted.GetPath() })
				t.step(k.StepCompleted, at, false)
			case *schemas.Event_TimerCreated:
				kinds[k.TimerCreated.GetPath()] = &Future{kind: kindTimer, path: k.TimerCreated.GetPath(), name: k.TimerCreated.GetName()}
			case *schemas.Event_TimerFired:
				if f := kinds[k.TimerFired.GetPath()]; f != nil {
					t.done(f, at, nil)
				}
			case *schemas.Event_Called:
				kinds[k.Called.GetPath()] = &Future{kind: calledKind(k.Called), path: k.Called.GetPath(), name: k.Called.GetName()}
			case *schemas.Event_CallReturned:
				if f := kinds[k.CallReturned.GetPath()]; f != nil {
					t.done(f, at, DecodeError(k.CallReturned.GetError()))
				}
			case *schemas.Event_Sent:
				t.done(&Future{kind: kindSend, path: k.Sent.GetPath(), name: k.Sent.GetName()}, at, nil)
			case *schemas.Event_Asked:
				t.asks(k.Asked)
				rec.Asked = slices.DeleteFunc(rec.Asked, func(q *schemas.Asked) bool { return q.GetPath() == k.Asked.GetPath() })
				if !k.Asked.GetWithdrawn() {
					q := proto.CloneOf(k.Asked) // the entry's, which has no time of its own
					q.At = at
					rec.Asked = append(rec.Asked, q)
				}
			case *schemas.Event_UpdateAccepted:
				updates++
				t.done(&Future{kind: kindUpdate, name: k.UpdateAccepted.GetName(), path: fmt.Sprint("u", updates)}, at, nil)
			case *schemas.Event_UpdateCompleted:
				rec.Updates = append(rec.Updates, k.UpdateCompleted)
			case *schemas.Event_SignalReceived:
				if path, is := strings.CutPrefix(k.SignalReceived.GetName(), AnswerPrefix); is {
					rec.Asked = slices.DeleteFunc(rec.Asked, func(q *schemas.Asked) bool { return q.GetPath() == path })
				}
				t.signal(k.SignalReceived, at)
			case *schemas.Event_StatusSet:
				rec.CustomStatus = k.StatusSet.GetValue()
			case *schemas.Event_AttributesSet:
				rec.Attributes = k.AttributesSet.GetAttributes()
			case *schemas.Event_Suspended:
				status = schemas.Status_SUSPENDED
			}
		}
	}
	rec.Updates = keepAnswers(rec.Updates, len(rec.Updates), 0)
	rec.Claims, rec.Steps, rec.StepCount = t.claims, t.steps, t.count
	return rec, stands.status(status)
}
