package actors

import (
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
	open     *schemas.Ref      // the run that goes first, if one is open and not executing
	asleep   bool              // open is suspended: it waits for a message
	halted   bool              // parked or stopped: nothing of it runs under this lease
	restarts int               // in a row
	due      []expired         // records to remove between two runs
	settling []<-chan struct{} // each closed once what an execution left is acknowledged
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
	if a.removeDue() {
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
			slots := a.pump.host.slots
			if !slots.try() {
				if err := slots.wait(ctx, a.pump.lease.Draining()); err != nil {
					return &runtime.Ending{Kind: runtime.Restart, Err: err}
				}
			}
			defer slots.free()
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
	u, done := a.pump, make(chan struct{})
	a.settling = append(slices.DeleteFunc(a.settling, over), done)
	a.current = run
	a.busy = u.work.begin(func() {
		defer close(done)
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
	pause := min(time.Duration(1<<min(a.restarts, 12))*5*time.Millisecond, 5*time.Second)
	a.busy = a.pump.work.begin(func() {
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
