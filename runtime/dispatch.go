package runtime

import (
	"context"

	"github.com/perdure/perdure/schemas"
)

// What a live run's code asks for is stored as far as it must be, and then put out.

// creations returns the events that must be stored before what the code has
// asked for may be put out. Without begin no step is to begin any more.
func (l *live) creations(begin bool) (events []*schemas.Event) {
	now, within := l.cfg.clock()
	for _, f := range l.r.issued {
		if f.created || f.idle() {
			continue
		}
		switch f.kind {
		case kindAsk:
			events = append(events, l.r.asked(f))
		case kindStep:
			if !begin {
				continue
			}
			f.live = true // started by this process: it may run
			events = append(events, &schemas.Event{Kind: &schemas.Event_StepStarted{StepStarted: &schemas.StepStarted{Path: f.path, Name: f.name}}})
		case kindTimer:
			events = append(events, &schemas.Event{Kind: &schemas.Event_TimerCreated{TimerCreated: &schemas.TimerCreated{Path: f.path, Name: f.name, Due: now.Add(f.wait + within).UnixNano()}}})
		case kindCall:
			events = append(events, &schemas.Event{Kind: &schemas.Event_Called{Called: &schemas.Called{
				Path: f.path, Name: f.name, To: f.msg.to.String(), Method: f.msg.env.GetMethod(), InputHash: HashPayload(f.msg.env.GetPayload()),
				Detached: f.msg.detached,
			}}})
		case kindAttach:
			events = append(events, &schemas.Event{Kind: &schemas.Event_Called{Called: &schemas.Called{
				Path: f.path, Name: f.name, To: f.msg.to.String(), Attach: true,
			}}})
		case kindSend:
			events = append(events, &schemas.Event{Kind: &schemas.Event_Sent{Sent: &schemas.Sent{
				Path: f.path, Name: f.name, To: f.msg.to.String(), Method: f.msg.env.GetMethod(), InputHash: HashPayload(f.msg.env.GetPayload()),
			}}})
		}
	}
	return events
}

// dispatch puts out everything that was asked for and is recorded as far as it
// must be, and returns once the messages among it are accepted: the next entry
// says that they were. Steps are left if none is to begin any more.
func (l *live) dispatch(ctx, stepCtx context.Context, begin bool) *Ending {
	var rest []*Future
	var out []*Future
	for _, f := range l.r.issued {
		switch {
		case f.kind == kindBranch, f.idle():
		case f.kind == kindStep && (!begin || f.step.opts.Once && !f.started && !f.step.told):
			rest = append(rest, f)
		case f.kind == kindStep:
			if end := l.startStep(stepCtx, f); end != nil {
				return end
			}
		case f.kind == kindSignal, f.kind == kindUntil:
			l.armed[f] = f.path
		case !f.created:
			rest = append(rest, f)
		case f.kind == kindTimer, f.kind == kindAsk:
			l.armed[f] = f.path
		default:
			if !f.done {
				l.armed[f] = f.path
			}
			if !f.msg.confirmed {
				out = append(out, f)
			}
		}
	}
	l.r.issued = rest
	return l.send(ctx, out)
}

// startStep runs a step's body on a goroutine of the crew. One that must not be
// repeated and was started by another process is not run: its policy decides.
func (l *live) startStep(ctx context.Context, f *Future) *Ending {
	if end := l.stale(ctx); end != nil {
		return end
	}
	body := f.step.fn
	switch {
	case f.step.opts.Once && f.started && !f.live: // also if it is to stop: it may have happened
		if body = f.step.opts.IfUnknown; body == nil {
			body = func(context.Context) (*schemas.Payload, error) {
				return nil, Errorf(ErrUnknownOutcome.Code, "step %s %q was started by a process that ended before its outcome was recorded, and must not be repeated; find out what happened, then run it again under another ID", f.path, f.name)
			}
		}
	case f.step.told:
		body = func(context.Context) (*schemas.Payload, error) { return nil, f.scope.err }
	}
	f.live = true
	s := &stepping{
		f: f, body: body, crew: l.cfg.Crew, tracer: l.cfg.Tracer, host: l,
		known: StepContext{Info: l.r.info, Path: f.path, Name: f.name, sender: l.r.author("step", f.path), global: l.r.global(f.path), commons: l.cfg.commons()},
		said:  said{progress: f.step.progress, mail: l.mail},
	}
	l.begins(&s.known)
	f.step.running = s
	l.steps++
	l.work.Add(1)
	s.begin(ctx)
	return nil
}

func (l *live) goesOn(ctx context.Context) bool { return l.stale(ctx) == nil }

func (l *live) stepEnded(f *Future, e *schemas.Event) {
	if ev, limit := e.GetStepCompleted(), l.cfg.PayloadCap; limit > 0 && int64(len(ev.GetResult().GetData())) > limit {
		ev.Error = EncodeError(Errorf(ErrTooLarge.Code, "the result of step %s %q has %d bytes; the cap is %d: store it elsewhere and return its name", f.path, f.name, len(ev.Result.Data), limit))
		ev.Result = nil
	}
	l.mail.putStep(stepDone{future: f, event: e})
	l.work.Done()
}
