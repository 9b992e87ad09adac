package actors

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/perdure/perdure/broker"
	"github.com/perdure/perdure/runtime"
	"github.com/perdure/perdure/schemas"
)

// An activation is an identity in memory: its unacknowledged messages, and at
// most one execution. Its methods run in its mailbox, one at a time, and never
// block; what blocks runs on a goroutine of the pump's, which tells the mailbox
// what came of it.
type activation struct {
	pump *pump
	id   schemas.Identity
	kind *runtime.Kind
	self address
	exec *runtime.Executor

	items    []*item // received and not acknowledged, in the order received
	received uint64
	busy     bool
	current  schemas.RunID // while busy with a run
	mail     *runtime.Mailbox
	open     *schemas.Ref // the run that goes first, if one is open and not executing
	asleep   bool         // open is suspended: it waits for a message
	halted   bool         // parked or stopped: nothing of it runs under this lease
	restarts int          // in a row
}

// An item is a message that is kept until its run is suspended or finished.
type item struct {
	d       broker.Delivery
	run     schemas.RunID
	given   bool // to the execution
	primary bool // the task that an execution was made from
}

func newActivation(u *pump, id schemas.Identity, kind *runtime.Kind, self address) *activation {
	return &activation{pump: u, id: id, kind: kind, self: self, exec: runtime.NewExecutor(u.host.engine, id, kind, u.lease)}
}

func (it *item) isTask() bool { return it.d.Envelope.GetType() == schemas.Envelope_TASK }

// ended is what an execution tells its activation, and waits for the messages
// that may be acknowledged now.
type ended struct {
	run  schemas.RunID
	end  *runtime.Ending
	over chan []*item
}

// again makes an activation look for work after a pause.
type again struct{}

// expire asks for the oldest records of the identity to be removed, in order.
type expire struct{ records []expired }

// An expired record is older than the retention time.
type expired struct {
	ref schemas.Ref
	seq uint64
}

func (a *activation) receive(msg any) {
	switch m := msg.(type) {
	case broker.Delivery:
		a.received++
		a.exec.Received()
		a.accept(m)
	case ended:
		a.busy, a.mail = false, nil
		m.over <- a.conclude(m)
	case again:
		a.busy = false
	case expire:
		a.received++
		a.expire(m)
	case idle:
		a.leave()
		return
	}
	a.next()
	if _, over := msg.(ended); over && a.kind.OncePerKey && a.open == nil && !a.halted {
		a.leave() // a workflow's key has one run: nothing more is likely to come
	}
}

// leave ends the activation if it has nothing to do.
func (a *activation) leave() {
	if !a.busy && len(a.items) == 0 && a.pump.passivate(a.id, a.received) {
		a.self.stop()
	}
}

func (a *activation) panicked(v any, stack []byte) {
	a.pump.host.cfg.Log.Error("the activation of an identity panicked", "identity", a.id.String(), "panic", v, "stack", string(stack))
	a.pump.lose(fmt.Errorf("activation of %s: panic: %v", a.id, v))
}

// accept keeps a message, and hands it to the run that executes if it is for it.
func (a *activation) accept(d broker.Delivery) {
	env := d.Envelope
	it := &item{d: d, run: schemas.RunID(env.GetRun())}
	if it.isTask() {
		if d.NoID && a.kind.OncePerKey {
			env.Id = a.id.Key
		}
		it.run = schemas.RunID(env.GetId())
	}
	a.items = append(a.items, it)
	if a.busy && a.current == it.run && a.mail != nil {
		it.given = a.mail.Put(env)
	}
}

// next begins what is to be done, if nothing is being done.
func (a *activation) next() {
	if a.busy || a.halted || a.pump.draining() || a.pump.ctx.Err() != nil {
		return
	}
	if a.open != nil {
		ref := *a.open
		for _, it := range a.items {
			if it.run == ref.ID {
				a.asleep = false
			}
		}
		if !a.asleep {
			a.execute(ref, nil)
			return
		}
		// tasks wait behind a suspended run; stray messages do not
		for _, it := range a.items {
			if !it.isTask() && !a.queued(it.run) {
				a.lookUp(it)
				return
			}
		}
		return
	}
	for _, it := range a.items {
		switch {
		case it.isTask():
			a.execute(a.id.Run(it.run), it)
			return
		case !a.queued(it.run):
			a.lookUp(it)
			return
		}
	}
}

func (a *activation) queued(run schemas.RunID) bool {
	return slices.ContainsFunc(a.items, func(it *item) bool { return it.isTask() && it.run == run })
}

// execute begins a run from its task, or, without one, goes on with an open run.
func (a *activation) execute(ref schemas.Ref, task *item) {
	mail := runtime.NewMailbox()
	for _, it := range a.items {
		if it.run != ref.ID {
			continue
		}
		if it == task {
			it.given, it.primary = true, true
		} else {
			it.given = mail.Put(it.d.Envelope)
		}
	}
	a.open, a.asleep = nil, false
	a.mail = mail
	a.begin(ref.ID, func(ctx context.Context) *runtime.Ending {
		if task == nil {
			return a.exec.Resume(ctx, ref, mail)
		}
		if task.d.Envelope.GetParent() == "" { // a client's: it waits for a place
			select {
			case a.pump.host.slots <- struct{}{}:
				defer func() { <-a.pump.host.slots }()
			case <-ctx.Done():
				return &runtime.Ending{Kind: runtime.Restart, Err: context.Cause(ctx)}
			case <-a.pump.lease.Draining():
				return &runtime.Ending{Kind: runtime.Restart, Err: errStopped}
			}
		}
		return a.exec.Run(ctx, runtime.Task{Ref: ref, Envelope: task.d.Envelope, From: task.d.From, Published: task.d.Published}, mail)
	})
}

// lookUp settles a message of a run that is neither open nor queued: its run is
// finished, or was never heard of, and then a wake-up, result or cancellation
// has nothing to do (P15).
func (a *activation) lookUp(it *item) {
	a.begin(it.run, func(ctx context.Context) *runtime.Ending {
		if !a.exec.Known() {
			if end := a.exec.Open(ctx); end != nil {
				return end
			}
		}
		if end := a.exec.Find(ctx, a.id.Run(it.run)); end != nil {
			return end
		}
		return &runtime.Ending{Kind: runtime.Finished, Found: true}
	})
}

// begin runs fn on a goroutine of the pump's, and then acknowledges what the
// ending allows.
func (a *activation) begin(run schemas.RunID, fn func(context.Context) *runtime.Ending) {
	a.busy, a.current = true, run
	u := a.pump
	u.work.Go(func() {
		m := ended{run: run, end: fn(u.ctx), over: make(chan []*item, 1)}
		a.self.tell(m)
		select {
		case items := <-m.over:
			u.settled(a.id.Run(run), m.end, items)
		case <-u.ctx.Done():
		}
	})
}

// conclude takes in how an execution ended, and returns the messages that may
// be acknowledged.
func (a *activation) conclude(m ended) []*item {
	log := a.pump.host.cfg.Log
	if m.end.Kind != runtime.Restart {
		a.restarts = 0
	}
	switch m.end.Kind {
	case runtime.Finished:
		// a look-up that found nothing settles wake-ups and the like, never a task
		return a.take(func(it *item) bool { return it.run == m.run && (m.end.Record != nil || !it.isTask()) })
	case runtime.Suspended:
		ref := a.id.Run(m.run)
		a.open, a.asleep = &ref, true
		return a.take(func(it *item) bool { return it.run == m.run && it.given })
	case runtime.Behind:
		ref := m.end.Open
		a.open, a.asleep = &ref, m.end.Asleep
	case runtime.Parked, runtime.Stopped:
		a.halted = true
		log.Error("a run cannot go on; its messages are kept", "run", a.id.Run(m.run).String(), "why", m.end.Err)
	case runtime.Restart:
		a.exec = runtime.NewExecutor(a.pump.host.engine, a.id, a.kind, a.pump.lease)
		a.restart(m.end.Err)
	case runtime.Lost:
		a.pump.lose(m.end.Err)
	}
	return nil
}

// restart begins the activation again from what is stored, after a pause that
// grows, so that a store that is away is not hammered.
func (a *activation) restart(why error) {
	for _, it := range a.items {
		it.given, it.primary = false, false
	}
	if errors.Is(why, errSwept) {
		return
	}
	a.restarts++
	if a.pump.draining() || a.pump.ctx.Err() != nil || a.restarts == 1 {
		return
	}
	a.pump.host.cfg.Log.Info("an activation begins again", "identity", a.id.String(), "why", why)
	a.busy = true
	pause := min(time.Duration(1<<min(a.restarts, 12))*5*time.Millisecond, 5*time.Second)
	a.pump.work.Go(func() {
		t := time.NewTimer(pause)
		defer t.Stop()
		select {
		case <-t.C:
		case <-a.pump.ctx.Done():
		case <-a.pump.lease.Draining():
		}
		a.self.tell(again{})
	})
}

// take removes items from the list and returns them.
func (a *activation) take(which func(*item) bool) (taken []*item) {
	rest := a.items[:0:0]
	for _, it := range a.items {
		if which(it) {
			taken = append(taken, it)
		} else {
			rest = append(rest, it)
		}
	}
	a.items = rest
	return taken
}

// settled ends what a finished or suspended run leaves: who waits is told, then
// its messages are acknowledged.
func (u *pump) settled(ref schemas.Ref, end *runtime.Ending, items []*item) {
	if len(items) == 0 {
		return
	}
	b := u.host.cfg.Broker
	if end.Record != nil {
		if err := b.Done().Notify(ref, DoneJSON(ref, end.Record, b.MaxMessage())); err != nil {
			u.host.cfg.Log.Debug("a notice was not sent", "run", ref.String(), "error", err)
		}
	}
	ds := make([]broker.Delivery, 0, len(items))
	for _, it := range items {
		ds = append(ds, it.d)
		if !it.isTask() {
			continue
		}
		env := it.d.Envelope
		same := end.Hash == nil || bytes.Equal(end.Hash, runtime.HashInput(env))
		switch {
		case !same:
			if !u.conflict(ref, it.d) {
				return
			}
		case end.Record != nil && (end.Found || !it.given):
			if !u.answer(runtime.Answer(u.host.engine.Namespace, ref, env.GetReply(), end.Record)) {
				return
			}
		}
	}
	u.ack(ds...)
}

// conflict tells the sender of a task that its message ID was used before with
// another input, and keeps the task as a dead letter.
func (u *pump) conflict(ref schemas.Ref, d broker.Delivery) bool {
	err := runtime.Errorf(runtime.ErrConflict.Code, "%s was started before with another input; use another message ID, or ask for the run that exists", ref)
	env := runtime.Answer(u.host.engine.Namespace, ref, d.Envelope.GetReply(), &schemas.Record{Error: runtime.EncodeError(err)})
	if env != nil {
		env.Id = runtime.DeriveID(u.host.engine.Namespace, ref, "conflict", env.GetRun()+" "+env.GetPath())
	}
	if !u.answer(env) {
		return false
	}
	if err := u.host.cfg.Broker.Inbox().Dead(u.ctx, d, err.Code, err.Message); err != nil {
		u.lose(fmt.Errorf("keep message %d as a dead letter: %w", d.Seq, err))
		return false
	}
	return true
}

// answer sends a result to a run that waits for it; nil is nobody.
func (u *pump) answer(env *schemas.Envelope) bool {
	if env == nil {
		return true
	}
	to, err := schemas.ParseIdentity(env.GetTo())
	if err == nil {
		err = u.host.engine.Outbox.Send(u.ctx, to, env)
	}
	if err != nil {
		u.lose(fmt.Errorf("answer %s: %w", env.GetTo(), err))
		return false
	}
	return true
}
