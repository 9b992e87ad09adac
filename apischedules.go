package perdure

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/perdure/perdure/actors"
	"github.com/perdure/perdure/broker"
	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/durable/schedules"
	"github.com/perdure/perdure/runtime"
	"github.com/perdure/perdure/schemas"
)

type createScheduleRequest struct {
	Name string         `json:"name"`
	Spec schedules.Spec `json:"spec"`
}

type scheduleRequest struct {
	Name string `json:"name"`
}

// commandRequest is a command to a schedule: each has some of the fields.
type commandRequest struct {
	Name    string            `json:"name"`
	Reason  string            `json:"reason,omitempty"`
	Overlap schedules.Overlap `json:"overlap,omitempty"`
	From    time.Time         `json:"from,omitzero"`
	To      time.Time         `json:"to,omitzero"`
	Again   bool              `json:"again,omitempty"`
	Spec    *schedules.Spec   `json:"spec,omitempty"`
}

// commanded makes the handler of a command that has these fields besides the name.
func commanded(a *api, do string, fields ...string) func(context.Context, []byte) (any, error) {
	handle := decoded(func(ctx context.Context, in commandRequest) (any, error) {
		return a.commandSchedule(ctx, in.Name, schedules.Command{
			ID: NewMessageID(), Do: do, Reason: in.Reason, Overlap: in.Overlap, From: in.From, To: in.To, Again: in.Again, Spec: in.Spec,
		})
	})
	return func(ctx context.Context, body []byte) (any, error) {
		if len(strings.TrimSpace(string(body))) > 0 {
			if err := known(body, append([]string{"name"}, fields...)); err != nil {
				return nil, err
			}
		}
		return handle(ctx, body)
	}
}

// schedules returns the endpoints of schedules.
func (a *api) schedules() map[string]func(context.Context, []byte) (any, error) {
	return map[string]func(context.Context, []byte) (any, error){
		"schedules.create":   decoded(a.createSchedule),
		"schedules.get":      decoded(a.getSchedule),
		"schedules.list":     decoded(a.listSchedules),
		"schedules.pause":    commanded(a, schedules.Pause, "reason"),
		"schedules.unpause":  commanded(a, schedules.Unpause),
		"schedules.trigger":  commanded(a, schedules.Trigger, "overlap"),
		"schedules.backfill": commanded(a, schedules.Backfill, "from", "to", "overlap", "again"),
		"schedules.update":   commanded(a, schedules.Update, "spec"),
		"schedules.delete":   commanded(a, schedules.Delete),
	}
}

// scheduleWait is how long the API waits until a schedule has done what it was
// told; it is told all the same.
const scheduleWait = 10 * time.Second

// createSchedule creates a schedule in the pool of its target. Created again with
// the same spec it is the one that there is.
func (a *api) createSchedule(ctx context.Context, in createScheduleRequest) (any, error) {
	id := schemas.Identity{Kind: schedules.KindOf(""), Key: in.Name}
	if err := id.Validate(); err != nil {
		return nil, err
	}
	if err := in.Spec.Check(in.Name); err != nil {
		return nil, err
	}
	there, again, err := a.findSchedule(ctx, in.Name)
	switch {
	case err == nil:
		info, err := a.awaitSchedule(ctx, there, begun) // of one that has not, the spec is not known
		if err != nil {
			return nil, err
		}
		return info, sameSpec(info, in.Spec)
	case !errors.Is(err, durable.ErrNotFound):
		return nil, err
	}
	target := schemas.Identity{Kind: schemas.Kind(in.Spec.Target.Kind), Key: "k"}
	pool, err := a.node.b.Inbox().PoolOf(ctx, target.Kind)
	if errors.Is(err, broker.ErrUnknownKind) {
		return nil, durable.Fail(durable.ErrNotFound.Code, "schedule %q: no node has ever hosted its target's kind %q; start one that does, or correct the name", in.Name, string(target.Kind))
	} else if err != nil {
		return nil, err
	}
	if kind := a.node.host.Kinds()[target.Kind]; kind != nil {
		if err := checkTarget(kind, in.Name, in.Spec); err != nil {
			return nil, err
		}
	}
	id.Kind = schedules.KindOf(pool)
	ref := id.Run(schemas.RunID(in.Name))
	if again { // the ID of the one that was deleted is that one's
		ref.ID = schemas.RunID(in.Name + "-" + NewMessageID()[:8])
	}
	p, err := durable.Encode(in.Spec)
	if err != nil {
		return nil, err
	}
	env := &schemas.Envelope{Type: schemas.Envelope_TASK, Id: string(ref.ID), Payload: p}
	if err := actors.Publish(ctx, a.node.b, schemas.LocalDomain, ref.Identity, env); err != nil {
		return nil, err
	}
	info, err := a.awaitSchedule(ctx, ref, begun)
	if err != nil {
		return nil, err
	}
	if !begun(info) { // accepted, and not begun: its pool is down
		next, err := in.Spec.Next(time.Now(), 5)
		return ScheduleInfo{Name: in.Name, Run: ref.String(), Status: info.Status, Spec: in.Spec, Hash: in.Spec.Hash(), Next: next}, err
	}
	return info, sameSpec(info, in.Spec)
}

// begun reports whether a schedule shows what it is.
func begun(info *ScheduleInfo) bool { return info.Hash != "" }

// sameSpec refuses a spec that is not that of the schedule.
func sameSpec(info *ScheduleInfo, spec schedules.Spec) error {
	if !begun(info) || info.Hash == spec.Hash() {
		return nil
	}
	return durable.Fail(durable.ErrConflict.Code, "schedule %q exists with another spec, as %s; update changes it, delete ends it", info.Name, info.Run)
}

// checkTarget refuses a method or an input that the target's kind does not take.
func checkTarget(kind *runtime.Kind, name string, spec schedules.Spec) error {
	m, err := kind.Method(spec.Target.Method)
	if err != nil {
		return err
	}
	input, err := spec.Target.InputAt(name, time.Now())
	if err == nil {
		err = m.Validate(&schemas.Payload{Data: input})
	}
	if err != nil {
		return durable.Fail(durable.ErrInvalid.Code, "schedule %q: the input of its target: %v", name, err)
	}
	return nil
}

// findSchedule returns the run of the schedule of a name, in whichever pool. The
// error matches durable.ErrNotFound if there is none; ended says that there was.
func (a *api) findSchedule(ctx context.Context, name string) (ref schemas.Ref, ended bool, err error) {
	pools, err := a.node.b.Inbox().Pools(ctx)
	if err != nil {
		return ref, false, err
	}
	for _, pool := range pools {
		id := schemas.Identity{Kind: schedules.KindOf(pool), Key: name}
		if err := id.Validate(); err != nil {
			return ref, false, err
		}
		head, found, err := a.node.b.Journal().Head(ctx, id)
		if err != nil {
			return ref, false, err
		}
		if found && head.Entry.GetRecord() == nil {
			return head.Ref, false, nil
		}
		ended = ended || found
		waiting, err := a.node.b.Inbox().Pending(ctx, id, 0)
		if err != nil && !errors.Is(err, broker.ErrUnknownKind) {
			return ref, false, err
		}
		for _, d := range waiting {
			if d.Envelope.GetType() == schemas.Envelope_TASK && (!found || string(head.Ref.ID) != d.Envelope.GetId()) {
				return id.Run(schemas.RunID(cmp.Or(d.Envelope.GetId(), name))), false, nil
			}
		}
	}
	return ref, ended, durable.Fail(durable.ErrNotFound.Code, "there is no schedule %q; 'perdure schedule list' shows those that there are", name)
}

// lookSchedule returns what a schedule shows. One that has not begun, or has
// ended, shows its status only.
func (a *api) lookSchedule(ctx context.Context, ref schemas.Ref) (*ScheduleInfo, error) {
	rec, status, reason, err := actors.Look(ctx, a.node.b, ref)
	if err != nil {
		return nil, err
	}
	info := &ScheduleInfo{Name: ref.Key}
	if p := rec.GetCustomStatus(); p != nil {
		if err := json.Unmarshal(p.GetData(), info); err != nil {
			return nil, fmt.Errorf("read what %s shows: %w", ref, err)
		}
	}
	info.Run, info.Status, info.Trouble = ref.String(), actors.StatusName(status), reason
	if rec.GetError() != nil && status == schemas.Status_FAILED {
		return info, runtime.DecodeError(rec.GetError())
	}
	return info, nil
}

// awaitSchedule looks at a schedule until it is as it should, or time is up.
func (a *api) awaitSchedule(ctx context.Context, ref schemas.Ref, is func(*ScheduleInfo) bool) (*ScheduleInfo, error) {
	end := time.NewTimer(scheduleWait)
	defer end.Stop()
	for pause := 5 * time.Millisecond; ; pause = min(2*pause, 200*time.Millisecond) {
		info, err := a.lookSchedule(ctx, ref)
		if err != nil || is(info) {
			return info, err
		}
		t := time.NewTimer(pause)
		select {
		case <-t.C:
		case <-end.C:
			t.Stop()
			return info, nil
		case <-ctx.Done():
			t.Stop()
			return nil, ctx.Err()
		}
	}
}

func (a *api) getSchedule(ctx context.Context, in scheduleRequest) (any, error) {
	ref, _, err := a.findSchedule(ctx, in.Name)
	if err != nil {
		return nil, err
	}
	return a.lookSchedule(ctx, ref)
}

// commandSchedule tells a schedule something, and waits until it has done it.
func (a *api) commandSchedule(ctx context.Context, name string, c schedules.Command) (any, error) {
	if err := c.Check(name); err != nil {
		return nil, err
	}
	ref, _, err := a.findSchedule(ctx, name)
	if err != nil {
		return nil, err
	}
	there, err := a.lookSchedule(ctx, ref)
	if err != nil {
		return nil, err
	}
	if err := standing(there, c.Do); err != nil {
		return nil, err
	}
	p, err := durable.Encode(c)
	if err != nil {
		return nil, err
	}
	if err := sendSignal(ctx, a.node.b, schemas.LocalDomain, ref, schedules.Send.String(), c.ID, p); err != nil {
		return nil, err
	}
	var done *schedules.Handled
	info, err := a.awaitSchedule(ctx, ref, func(i *ScheduleInfo) bool {
		if n := slices.IndexFunc(i.Commands, func(h schedules.Handled) bool { return h.ID == c.ID }); n >= 0 {
			done = &i.Commands[n]
		}
		return done != nil || slices.Contains([]string{"completed", "cancelled"}, i.Status)
	})
	switch {
	case err != nil:
		return nil, err
	case done == nil:
		return nil, &durable.Error{Code: durable.ErrUnavailable.Code, Message: fmt.Sprintf("schedule %q was told to %s, and has not done it within %s: it will when a node of its pool runs; look at it, then tell it again if need be", name, c.Do, scheduleWait)}
	case done.Error != "":
		return nil, durable.Fail(durable.ErrInvalid.Code, "%s", done.Error)
	}
	return info, nil
}

// standing refuses a command to a schedule whose run stands still: nobody would
// carry it out.
func standing(i *ScheduleInfo, do string) error {
	next := ""
	switch i.Status {
	case actors.StatusName(schemas.Status_PAUSED), actors.StatusName(schemas.Status_POISONED):
		next = fmt.Sprintf("'perdure resume %s' lets it go on; then %s it", i.Run, do)
	case actors.StatusName(schemas.Status_NONDETERMINISTIC), actors.StatusName(schemas.Status_STALLED):
		next = "it goes on once code that can continue it is deployed"
	default:
		return nil
	}
	return durable.Fail(durable.ErrConflict.Code, "%s schedule %q: its own run, %s, stands still as %s (%s); %s", do, i.Name, i.Run, i.Status, cmp.Or(i.Trouble, "it does not say why"), next)
}

// listSchedules lists the schedules that there are, by name.
func (a *api) listSchedules(ctx context.Context, in ListSchedules) (any, error) {
	if in.Limit < 0 || in.Limit > 1000 {
		return nil, durable.Fail(durable.ErrInvalid.Code, "a limit of %d: ask for 1 to 1000 schedules at once, and go on with after", in.Limit)
	}
	pools, err := a.node.b.Inbox().Pools(ctx)
	if err != nil {
		return nil, err
	}
	var refs []schemas.Ref
	for _, pool := range pools {
		f := actors.Filter{Kind: string(schedules.KindOf(pool))}
		for after, more := "", true; more; {
			page, err := a.index.List(ctx, f, after, 1000)
			if err != nil {
				return nil, err
			}
			after, more = page.Next, page.Next != ""
			for _, r := range page.Runs {
				if ref, err := schemas.ParseRef(r.Run); err == nil && ref.Key > in.After && !actors.IsEndName(r.Status) {
					refs = append(refs, ref)
				}
			}
		}
	}
	slices.SortFunc(refs, func(a, b schemas.Ref) int { return strings.Compare(a.Key, b.Key) })
	list := ScheduleList{Schedules: []ScheduleInfo{}}
	if limit := cmp.Or(in.Limit, 100); len(refs) > limit {
		refs, list.More = refs[:limit], true
	}
	for _, ref := range refs {
		info, err := a.lookSchedule(ctx, ref)
		if errors.Is(err, durable.ErrNotFound) {
			continue // it has ended meanwhile
		} else if err != nil && info == nil {
			return nil, err
		}
		list.Schedules = append(list.Schedules, *info)
	}
	return list, nil
}
