package perdure

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/perdure/perdure/actors"
	"github.com/perdure/perdure/agents"
	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/runtime"
	"github.com/perdure/perdure/schemas"
)

// streamRequest asks for what a run has done and said behind a position.
type streamRequest struct {
	Run  string `json:"run"`
	From string `json:"from,omitempty"`
}

// streamAnswer is that. More says that there is more already.
type streamAnswer struct {
	Run      string             `json:"run"`
	Status   string             `json:"status"`
	Events   []actors.LiveEvent `json:"events"`
	Position string             `json:"position"`
	More     bool               `json:"more,omitempty"`
}

// stream answers what a run has done and said behind a position, by its journal and by
// what the node says that executes it. Whichever node is asked answers.
func (a *api) stream(ctx context.Context, in streamRequest) (any, error) {
	ref, err := schemas.ParseRef(in.Run)
	if err != nil {
		return nil, err
	}
	at, err := parsePosition(in.From)
	if err != nil {
		return nil, err
	}
	answer := streamAnswer{Run: ref.String(), Events: []actors.LiveEvent{}}
	limit, size := int(a.node.b.MaxMessage()/4), 0
	m := newMerger(at, func(e actors.LiveEvent) {
		data, _ := json.Marshal(e) // it is made of what was JSON, and of text
		if len(data) > limit && e.Type == actors.LiveEnd {
			e.ResultBytes, e.Result = len(e.Result), nil
		}
		size += len(data)
		answer.Events = append(answer.Events, e)
	})
	m.full = func() bool { return size > limit }
	v, said, err := a.viewOf(ctx, ref, at, limit)
	if err != nil {
		return nil, err
	}
	answer.Status = actors.StatusName(v.status)
	if !at.ended {
		if answer.More, err = v.tell(m, said, limit); err != nil {
			return nil, err
		}
	}
	answer.Position = at.String()
	return answer, nil
}

// A runView is what the store knows of a run, for who watches it.
type runView struct {
	ref        schemas.Ref
	status     schemas.Status
	record     *schemas.Record // of a run that has ended
	generation uint32
	before     uint64 // steps of earlier generations
	steps      []*schemas.TimelineStep
	results    map[string]*schemas.Payload // by path; those that the journal has
	owner      uint32
	node       string // that is the owner
	last       uint64 // sequence of the journal's last entry
}

// viewOf reads a run, and what its owner says. The journal is read again where it has gone
// on meanwhile: what is recorded is known by it, whatever the owner knows no more.
func (a *api) viewOf(ctx context.Context, ref schemas.Ref, at *position, limit int) (v *runView, said actors.LiveAnswer, err error) {
	if v, err = a.view(ctx, ref); err != nil || v.node == "" {
		return v, said, err
	}
	req := actors.LiveRequest{Run: ref.String(), Recorded: at.recorded, Open: map[string]actors.LiveSaid{}, Limit: limit / 4}
	if at.generation != v.generation {
		req.Recorded = v.before
	} else {
		for path, h := range at.open {
			req.Open[path] = h.LiveSaid
		}
	}
	said, err = actors.AskLive(ctx, a.node.b, v.node, req)
	if err != nil { // who is cut off says nothing; the journal does
		a.node.log.Debug("the owner of a run was not asked what it says", "run", ref.String(), "node", v.node, "error", err)
		return v, actors.LiveAnswer{}, nil
	}
	if last, found, err := a.node.b.Journal().Last(ctx, ref); err == nil && found && last.Seq == v.last {
		return v, said, nil
	}
	v, err = a.view(ctx, ref)
	return v, said, err
}

// view reads a run.
func (a *api) view(ctx context.Context, ref schemas.Ref) (*runView, error) {
	v := &runView{ref: ref, results: map[string]*schemas.Payload{}}
	entries, err := actors.Entries(ctx, a.node.b, ref)
	switch {
	case errors.Is(err, durable.ErrNotFound): // it has not begun, or ended long ago
		f, err := actors.Find(ctx, a.node.b, ref)
		if err != nil {
			return nil, err
		}
		if v.status = f.Status; actors.IsEnd(f.Status) {
			v.record, v.steps, v.generation = f.Record, f.Record.GetSteps(), f.Record.GetGeneration()
		}
		return v, nil
	case err != nil:
		return nil, err
	}
	if err := a.node.b.Journal().Durable(ctx); err != nil { // what was told is so after loss of power, too
		return nil, err
	}
	rec, status := runtime.Timeline(entries)
	v.status, v.generation = status, rec.GetGeneration()
	v.steps, v.before = runtime.Steps(entries)
	if n := len(rec.GetClaims()); n > 0 {
		v.owner, v.node = uint32(n), rec.GetClaims()[n-1].GetNode()
	}
	if actors.IsEnd(status) {
		v.record = rec
	}
	v.last = entries[len(entries)-1].Seq
	for _, s := range entries {
		for _, e := range s.Entry.GetEvents() {
			if c := e.GetClaimed(); c != nil {
				v.owner, v.node = c.GetAttempt(), c.GetNode()
			}
			if c := e.GetStepCompleted(); c != nil {
				v.results[c.GetPath()] = c.GetResult()
			}
			if c := e.GetCallReturned(); c != nil {
				v.results[c.GetPath()] = c.GetResult()
			}
		}
	}
	return v, nil
}

// tell tells a merger of the run, and what the owner says. It returns whether there is
// more. Limit is the largest result of a run that is part of it, in bytes.
func (v *runView) tell(m *merger, said actors.LiveAnswer, limit int) (more bool, err error) {
	names := map[string]string{}
	known := map[string]bool{}
	for _, s := range v.steps {
		names[s.GetPath()], known[s.GetPath()] = s.GetName(), true
	}
	if m.at.generation != v.generation {
		m.voidAll(names, "the run has continued as new")
		*m.at = position{generation: v.generation, recorded: v.before, open: map[string]heard{}}
	}
	m.at.recorded = max(m.at.recorded, v.before)
	if all := v.before + uint64(len(v.steps)); m.at.recorded > all && v.record == nil {
		return false, durable.Fail(durable.ErrConflict.Code, "the position is behind step %d of %s, which has recorded %d: it is of another run, or of one that was restored since; go on from the beginning", m.at.recorded, v.ref, all)
	}
	for i := int(m.at.recorded - v.before); i < len(v.steps); i++ {
		if m.full() {
			return true, nil
		}
		n := v.before + uint64(i) + 1
		if said.Cut && n > said.Through {
			return true, nil // what the owner has of it comes with the next answer
		}
		if !v.step(m, v.steps[i], i, said.Recorded[n]) {
			return true, nil
		}
	}
	if v.record == nil {
		m.ownedBy(v.owner, names)
		for _, e := range said.Open {
			if m.full() {
				return true, nil
			}
			if !known[e.Step] && !m.live(e) {
				return false, nil // it was said by who is not the owner any more
			}
		}
		return said.Cut, nil
	}
	m.voidAll(names, "the run has ended without it")
	d := actors.DoneOf(v.ref, v.record)
	if len(d.Result) > limit {
		d.Result, d.Truncated = nil, true
	}
	m.done(d)
	return false, nil
}

// step tells of a step that is recorded; said is what the owner knows of it.
func (v *runView) step(m *merger, s *schemas.TimelineStep, i int, said []actors.LiveEvent) bool {
	end := actors.LiveEvent{
		Type: actors.LiveEnd, Step: s.GetPath(), Name: s.GetName(), Kind: s.GetKind(), Error: s.GetError(),
		Owner: s.GetClaim() + 1, Attempt: max(s.GetAttempts(), 1),
	}
	if end.Step == "" { // e.g. a signal: nothing that the code has begun
		end.Step = fmt.Sprintf("%s%d", s.GetKind(), v.before+uint64(i)+1)
	}
	for _, e := range said {
		if e.Type == actors.LiveEnd {
			end.Result, end.Codec, end.ResultBytes = e.Result, e.Codec, e.ResultBytes
			end.Owner, end.Attempt = e.Owner, e.Attempt
		} else if e.Owner >= m.at.owner {
			m.at.owner = e.Owner
			m.live(e)
		}
	}
	var message *agents.Message
	whole := true
	if p, ok := v.results[s.GetPath()]; ok {
		end.SetResult(p)
		message, _ = agents.MessageOf(s.GetName(), p.GetData())
	} else if msg, ok := agents.MessageOf(s.GetName(), end.Result); ok {
		message = msg
	} else if agents.CalledModel(s.GetName(), s.GetAttributes()) {
		message = v.answer(i)
		whole = message != nil
	} else {
		whole = end.ResultBytes > 0 || end.Result != nil || end.Error != "" || s.GetKind() != "step" && s.GetKind() != "call"
	}
	end.Missing = !whole && end.Error == ""
	return m.recorded(end, message)
}

// answer returns the message of a model whose journal is gone, nil for none: the last
// one's text is the result of an agent that answers with text.
func (v *runView) answer(i int) *agents.Message {
	for _, later := range v.steps[i+1:] {
		if agents.CalledModel(later.GetName(), later.GetAttributes()) {
			return nil
		}
	}
	var text string
	if result := v.record.GetResult(); v.record.GetStatus() != schemas.Status_COMPLETED || json.Unmarshal(result.GetData(), &text) != nil || text == "" {
		return nil
	}
	return &agents.Message{Role: agents.RoleAssistant, Content: text}
}
