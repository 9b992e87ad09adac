package schedules

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/schemas"
)

// A schedule is a run of one: it waits for its times, for commands, and for the
// runs that it started.
type schedule struct {
	ctx  durable.Context
	name string
	spec Spec
	hash string // of the spec
	carried
	deleted bool

	now     time.Time // never goes back
	command *durable.Future[Command]

	timer *durable.Future[time.Time] // nil: none
	due   time.Time                  // of the timer
	stop  func()                     // ends the timer

	shown string // the status as it was last set
	verbs int    // that this generation has issued, about
}

// When a plan is made again before it is followed, since another build may know
// other rules of the time zone; and how long a schedule sleeps without a look.
const (
	stalePlan  = 24 * time.Hour
	longSleep  = 7 * 24 * time.Hour
	fewMoments = 5
)

// A generation of the run ends after so many verbs: where nothing runs that it
// waits for, or else in any case.
const (
	quietVerbs = 30
	mostVerbs  = 3000
)

func run(ctx durable.Context, in input) (Counts, error) {
	s := &schedule{ctx: ctx, name: ctx.Info().Key, spec: in.spec.normal(), hash: in.spec.Hash(), now: durable.Now(ctx)}
	if in.carried != nil {
		s.carried = *in.carried
		s.now = later(s.now, s.Cursor)
	} else {
		if from := ctx.Info().From; from != schemas.LocalDomain {
			return Counts{}, durable.Fail(durable.ErrDenied.Code, "a task of the trust domain %q creates no schedule: its runs would be those of the domain %q; ask for it by the API", from, schemas.LocalDomain)
		}
		if err := s.spec.Check(s.name); err != nil {
			return Counts{}, err
		}
		s.Cursor, s.Created, s.Paused = s.now, s.now, s.spec.Paused
		if s.Paused {
			s.Reason = "created as paused"
		}
	}
	for i := range s.Running { // they go on: the same ID and input is the same run
		if err := s.launch(&s.Running[i]); err != nil {
			return s.Counts, err
		}
	}
	if err := s.await(); err != nil {
		return s.Counts, err
	}
	for {
		if next, err := s.once(); err != nil || next != nil || s.deleted {
			return s.Counts, cmp.Or(err, next)
		}
	}
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// await begins to wait for the next command.
func (s *schedule) await() (err error) {
	s.verbs++
	s.command, err = durable.AwaitAsync(s.ctx, Send)
	return err
}

// once does what there is to do, and waits for more. next is the error that ends
// this generation of the run.
func (s *schedule) once() (next, err error) {
	if err := s.ctx.Err(); err != nil {
		return nil, err
	}
	s.now = later(s.now, durable.Now(s.ctx))
	if s.timer != nil && s.timer.Done() {
		if due, err := s.timer.Result(s.ctx); err == nil {
			s.now = later(s.now, due) // by the broker's clock it is time
		}
		s.timer = nil
	}
	s.collect()
	for s.command.Done() {
		c, err := s.command.Result(s.ctx)
		if err == nil {
			err = s.obey(c)
		}
		if err != nil { // whoever sent it reads it in the status
			s.handled(c, err)
		}
		if s.deleted {
			s.show()
			return nil, nil
		}
		if err := s.await(); err != nil {
			return nil, err
		}
	}
	if err := s.dueTimes(); err != nil {
		return nil, err
	}
	if err := s.backfill(); err != nil {
		return nil, err
	}
	s.turn()
	s.show()
	if s.verbs >= mostVerbs || s.verbs >= quietVerbs && len(s.Running) == 0 {
		return durable.ContinueAsNew(s.ctx, input{s.spec, &s.carried}), nil
	}
	return nil, s.wait()
}

// plan makes a plan in a step.
func (s *schedule) plan(name string, after, oldest time.Time) (plan, error) {
	s.verbs++
	spec, of := s.spec, s.name
	p, err := durable.Step(s.ctx, name, func(context.Context) (plan, error) { return spec.plan(of, after, oldest, maxMoments/2), nil })
	s.now = later(s.now, durable.Now(s.ctx))
	return p, err
}

// replan forgets the plan: the times behind after are to come.
func (s *schedule) replan(after time.Time) {
	s.Cursor = later(s.Cursor, after)
	s.Moments, s.End = nil, false
}

// dueTimes offers the times that are due. Those that are too old are missed.
func (s *schedule) dueTimes() error {
	for !s.Paused && !s.over() {
		oldest := s.now.Add(-s.spec.CatchUp)
		stale := len(s.Moments) > 0 && !s.Moments[0].due().After(s.now) && s.now.Sub(s.Planned) > stalePlan
		if stale || len(s.Moments) < fewMoments && !s.End {
			p, err := s.plan("plan", s.Cursor, oldest)
			if err != nil {
				return fmt.Errorf("plan: %w", err)
			}
			s.Moments, s.End, s.Planned = p.Moments, p.End, s.now
			if s.Counts.Missed += p.Missed; p.Missed > 0 {
				s.Cursor = later(s.Cursor, time.Unix(p.Until, 0).UTC())
			}
			if len(s.Moments) == 0 && !s.End {
				continue // very many were missed
			}
		}
		if len(s.Moments) == 0 || s.Moments[0].due().After(s.now) {
			return nil
		}
		m := s.Moments[0]
		s.Moments, s.Cursor = s.Moments[1:], m.nominal()
		if m.due().Before(oldest) {
			s.Counts.Missed++
			continue
		}
		s.offer(action{ID: s.name + "-" + m.nominal().Format(idTime), Nominal: m.nominal()})
	}
	return nil
}

// backfill offers times of the ranges that are being backfilled, as long as there
// is room.
func (s *schedule) backfill() error {
	for len(s.Backfills) > 0 && len(s.Running)+len(s.Waiting) < maxMoments {
		b := &s.Backfills[0]
		p, err := s.plan("backfill", b.After, time.Time{})
		if err != nil {
			return fmt.Errorf("backfill: %w", err)
		}
		done := p.End
		for _, m := range p.Moments {
			if m.nominal().After(b.To) {
				done = true
				break
			}
			b.After = m.nominal()
			a := action{ID: s.name + "-" + m.nominal().Format(idTime), Nominal: m.nominal(), Manual: true, Overlap: b.Overlap}
			if b.Again {
				s.Manual++
				a.ID += fmt.Sprintf("-b%d", s.Manual)
			}
			s.offer(a)
		}
		if done {
			s.Backfills = slices.Delete(s.Backfills, 0, 1)
		}
	}
	return nil
}

// wait waits until there is something to do.
func (s *schedule) wait() error {
	if err := s.arm(); err != nil {
		return err
	}
	on := []durable.Waitable{s.command}
	if s.timer != nil {
		on = append(on, s.timer)
	}
	for _, a := range s.Running {
		on = append(on, a.child)
	}
	_, err := durable.Select(s.ctx, on...)
	return err
}

// arm sets the timer for the time that comes next.
func (s *schedule) arm() error {
	var want time.Time
	if len(s.Moments) > 0 && !s.Paused && !s.over() {
		want = s.Moments[0].due()
	}
	switch {
	case s.timer == nil:
	case want.IsZero(), s.due.After(want): // one that is due before only looks
		s.stop()
		s.timer = nil
	}
	if s.timer != nil || want.IsZero() {
		return nil
	}
	var scope durable.Context
	scope, s.stop = durable.WithCancel(s.ctx)
	d := min(want.Sub(s.now), longSleep)
	s.due = s.now.Add(d)
	s.verbs++
	s.timer = durable.After(scope, d)
	return nil
}

// handled notes a command.
func (s *schedule) handled(c Command, err error) {
	h := Handled{ID: short(c.ID), Do: short(c.Do), At: s.now}
	if err != nil {
		h.Error = short(err.Error())
	}
	s.Commands = slices.Insert(s.Commands, 0, h)
	s.Commands = s.Commands[:min(len(s.Commands), keptCommands)]
}

// show sets the run's status, if it is another one than before.
func (s *schedule) show() {
	info := Info{
		Name: s.name, Run: s.ctx.Info().Ref().String(), Paused: s.Paused, Reason: s.Reason, Recent: s.Recent, Counts: s.Counts,
		Commands: s.Commands, Created: s.Created, Updated: s.Updated, Spec: s.spec, Hash: s.hash,
	}
	info.Counts.Running, info.Counts.Waiting = len(s.Running), len(s.Waiting)
	if !s.Paused && !s.over() {
		for _, m := range s.Moments[:min(len(s.Moments), fewMoments)] {
			info.Next = append(info.Next, m.nominal())
		}
	}
	for _, a := range s.Running[max(0, len(s.Running)-kept):] {
		info.Running = append(info.Running, a.fired("running"))
	}
	for _, b := range s.Backfills {
		info.Backfills = append(info.Backfills, b.Range)
	}
	if len(info.Spec.Target.Input) > shownInput {
		info.Spec.Target.Input, info.InputOmitted = nil, true
	}
	data, err := json.Marshal(info)
	if err != nil || string(data) == s.shown {
		return
	}
	s.shown = string(data)
	for durable.SetStatus(s.ctx, json.RawMessage(data)) != nil { // long names: less of them
		if len(info.Recent) == 0 && len(info.Running) == 0 {
			return
		}
		info.Recent, info.Running = info.Recent[:len(info.Recent)/2], info.Running[:len(info.Running)/2]
		if data, err = json.Marshal(info); err != nil {
			return
		}
	}
}

// Hash identifies the spec: two that mean the same have the same.
func (s Spec) Hash() string {
	data, err := json.Marshal(s.normal())
	if err != nil {
		return "" // Check refuses an input that is not JSON
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}
