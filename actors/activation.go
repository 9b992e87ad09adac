package actors

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/perdure/perdure/cluster"
	"github.com/perdure/perdure/runtime"
	"github.com/perdure/perdure/schemas"
)

// An activation is an identity in memory: its unacknowledged messages, and at
// most one execution. Its messages are handled in its mailbox, one at a time and
// without blocking; it alone changes what is below. What blocks runs on a
// goroutine of the pump's, which tells the mailbox what came of it: an execution,
// a look-up, the removal of records. There is one of those at a time, and exec is
// its meanwhile. Messages are read for a run, and those of a run that has ended
// acknowledged, beside it.
type activation struct {
	pump *pump
	id   schemas.Identity
	kind *runtime.Kind
	self address
	exec *runtime.Executor // Invariant: while busy it is used by what runs, apart from Received

	items    []*item           // received and not acknowledged, in the order received
	received uint64            // messages routed to it, to compare with place.sent
	busy     bool              // something runs for it, or it pauses
	current  schemas.RunID     // while busy with a run
	mail     *runtime.Mailbox  // of the execution, nil for none
	open     *schemas.Ref      // the run that goes first, if one is open and not executing
	asleep   bool              // open is suspended: it waits for a message
	halted   bool              // parked or stopped: nothing of it runs under this lease
	stopped  bool              // it is halted, and not for a run
	parked   schemas.RunID     // the run that it is halted for, if it is parked
	pressed  bool              // there are items with a press
	first    schemas.RunID     // the run that the identity's last record says is next
	sought   bool              // first is known to be in the inbox
	restarts int               // in a row
	idles    int               // generations in a row that did nothing beside continuing as new
	woken    chan struct{}     // closed by what comes during a pause between two of them, nil outside
	due      []expired         // records to remove between two runs
	builds   *cluster.Builds   // of the other nodes, when the last execution began
	lent     *lent             // while busy with what another node executes; nil for none
	stalled  bool              // it is halted for a build
	thinning bool              // runs of it are being moved
	forgot   time.Time         // when early signals were last looked through
	settling []<-chan struct{} // each closed once what an execution left is acknowledged
}

func newActivation(u *pump, id schemas.Identity, kind *runtime.Kind, self address) *activation {
	a := &activation{pump: u, id: id, kind: kind, self: self, exec: runtime.NewExecutor(u.host.engine, id, kind, u.lease)}
	if u.borrowed == nil && !u.lends.Load() {
		a.exec.Follows() // an activation leaves memory when nothing of it is under way
	}
	return a
}

// ended is what an execution tells its activation, and waits for the messages
// that may be acknowledged now.
type ended struct {
	run  schemas.RunID
	end  *runtime.Ending
	over chan []*item
}

// loaded is a message for the run that executes, which was read; nil is one that
// there is nothing to do for.
type loaded struct {
	it  *item
	env *schemas.Envelope
}

// again makes an activation look for work after a pause.
type again struct{}

// rebuilt says that other nodes have other builds than before.
type rebuilt struct{}

// expire asks for the oldest records of the identity to be removed, in order.
type expire struct{ records []expired }

// An expired record is older than the retention time.
type expired struct {
	ref  schemas.Ref
	seq  uint64 // that it has now
	past bool   // it was moved
}

func (a *activation) receive(msg any) {
	switch m := msg.(type) {
	case *item:
		a.received++
		a.exec.Received()
		a.remember()
		a.accept(m)
		if a.woken != nil {
			close(a.woken)
			a.woken = nil
		}
	case wakeUp:
		a.received++
		a.wake(m.run)
	case ended:
		a.busy, a.mail = false, nil
		m.over <- a.conclude(m)
	case loaded:
		a.loaded(m)
	case refused:
		a.refused(m)
	case again:
		a.busy, a.woken = false, nil
	case repaid:
		a.repaid(m)
	case done:
		a.take(func(it *item) bool { return slices.Contains(m.items, it) })
		return
	case rebuilt:
		if !a.halted || !a.stalled {
			return
		}
		ref := a.id.Run(a.parked)
		a.halted, a.open, a.asleep = false, &ref, false
	case expire:
		a.received++
		a.expire(m)
	case thinned:
		if a.thinning = false; !a.busy {
			a.thin()
		}
	case idle:
		a.forget()
		if !a.lookAgain() {
			a.leave()
		}
		return
	}
	a.next()
	switch msg.(type) {
	case ended, repaid, thinned:
		// a workflow's key has one run: nothing more is likely to come, or not for long
		// if it is suspended; and what is borrowed is given back
		if a.pump.borrowed != nil || a.kind.OncePerKey && (a.open == nil || a.asleep) && !a.halted {
			a.leave()
		}
	}
}

// lookAgain reads the head again if tasks wait behind a suspended run, and reports
// whether it has begun to.
func (a *activation) lookAgain() bool {
	if a.busy || a.halted || a.open == nil || !a.asleep || a.pump.draining() || a.pump.ctx.Err() != nil || !slices.ContainsFunc(a.items, (*item).isTask) {
		return false
	}
	ref := *a.open
	a.open, a.asleep = nil, false // until it is known what it is
	if !a.exec.Known() {
		a.next()
		return a.busy
	}
	return a.begin(ref.ID, a.exec.LookAgain)
}

// leave ends the activation if it has nothing to do.
func (a *activation) leave() {
	if !a.busy && !a.thinning && len(a.items) == 0 && a.pump.passivate(a.id, a.received) {
		a.self.stop()
	}
}

func (a *activation) panicked(v any, stack []byte) {
	a.pump.host.cfg.Log.Error("the activation of an identity panicked", "identity", a.id.String(), "panic", v, "stack", string(stack))
	a.pump.lose(fmt.Errorf("activation of %s: panic: %v", a.id, v))
}

// accept keeps a message, and hands it to the run that executes if it is for it.
func (a *activation) accept(it *item) {
	env := it.d.Envelope
	it.run = schemas.RunID(env.GetRun())
	if it.isTask() {
		it.run = schemas.RunID(env.GetId())
	}
	a.items = append(a.items, it)
	if a.lent != nil {
		a.pump.leaveLine(it)
		a.pump.lighten(it)
		a.lent.add(it)
		return
	}
	switch {
	case !a.halted || !it.unparks():
	case a.stopped: // whichever of its runs is meant: none goes on before the last is settled
		a.halted, a.open, a.asleep = false, nil, false
		a.exec = runtime.NewExecutor(a.pump.host.engine, a.id, a.kind, a.pump.lease)
	case a.parked == it.run:
		ref := a.id.Run(it.run)
		a.halted, a.open, a.asleep = false, &ref, false
	}
	switch {
	case a.executes(it) && it.light:
		a.pump.leaveLine(it)
		a.load(it)
	case a.executes(it):
		a.pump.leaveLine(it)
		it.given = a.mail.Put(env)
	case a.busy || a.halted || a.open == nil && len(a.items) > 1 || a.open != nil && a.open.ID != it.run:
		a.pump.rest(it) // it waits
	}
	if it.isTask() {
		a.presses(it)
	}
}

// executes reports whether the run of a message executes, and takes messages.
func (a *activation) executes(it *item) bool {
	return a.busy && a.current == it.run && a.mail != nil
}

// load reads a message for the run that executes.
func (a *activation) load(it *item) {
	u := a.pump
	u.begin(func() {
		env, err := u.body(u.ctx, it)
		if err != nil {
			u.lose(err)
			return
		}
		a.self.tell(loaded{it, env})
	})
}

func (a *activation) loaded(m loaded) {
	switch {
	case !slices.Contains(a.items, m.it): // settled meanwhile
	case m.env == nil:
		a.take(func(it *item) bool { return it == m.it })
		a.pump.begin(func() { a.pump.ack(m.it) })
	case a.executes(m.it) && !m.it.given:
		m.it.given = a.mail.Put(m.env)
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
	if a.kind.Ledger != nil {
		a.book()
		return
	}
	if a.open == nil && a.goesFirst() {
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
		if a.elbow() {
			return
		}
		// tasks wait behind a suspended run; stray messages do not
		for _, it := range a.items {
			if !it.isTask() && !it.early && !a.queued(it.run) {
				a.lookUp(it)
				return
			}
		}
		return
	}
	if a.elbow() {
		return
	}
	for _, it := range a.items {
		switch {
		case it.isTask():
			a.execute(a.id.Run(it.run), it)
			return
		case !it.early && !a.queued(it.run):
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
	u, mail := a.pump, runtime.NewMailbox()
	var light []*item // of the mail, to be read before the run may look into it
	for _, it := range a.items {
		it.early = it.early && it.run != ref.ID
		if it.run == ref.ID {
			u.rouse(it)
		}
		switch {
		case it.run != ref.ID:
		case it == task:
			it.given = true
		case it.light:
			u.leaveLine(it)
			it.given, light = true, append(light, it)
		default:
			u.leaveLine(it)
			it.given = mail.Put(it.d.Envelope)
		}
	}
	a.open, a.asleep = nil, false
	u.host.alarms.forget(a.id)
	a.mail = mail
	// A client's run takes a place, a new one here. One that has to wait for it needs
	// no payload.
	bound := task != nil && task.isClients()
	var p party
	if bound {
		p = u.partyOf(task)
	}
	placed := bound && u.host.slots.Try(p)
	if bound && !placed {
		task.given = false
		u.lighten(task)
		task.given = true
	}
	begin := a.occupy(ref.ID, func(ctx context.Context) *runtime.Ending {
		if bound {
			u.leaveLine(task)
			defer u.host.slots.Free(p)
		}
		return a.run(ctx, ref, task, light, mail)
	})
	if bound && !placed {
		a.busy = u.host.slots.Begin(u, p, begin)
	} else {
		a.busy = begin()
	}
	if !a.busy && placed {
		u.host.slots.Free(p)
	}
	if a.busy {
		a.press()
	}
}

// run executes a run, after reading what is light of its messages.
func (a *activation) run(ctx context.Context, ref schemas.Ref, task *item, light []*item, mail *runtime.Mailbox) *runtime.Ending {
	var env *schemas.Envelope
	if task != nil {
		var err error
		if env, err = a.pump.body(ctx, task); err != nil {
			return &runtime.Ending{Kind: runtime.Restart, Err: err}
		}
		if env == nil {
			return &runtime.Ending{Kind: runtime.Restart, Err: errVoid{task}}
		}
		a.pump.weigh(task, int64(len(env.GetPayload().GetData())))
	}
	for _, it := range light {
		m, err := a.pump.body(ctx, it)
		if err != nil {
			return &runtime.Ending{Kind: runtime.Restart, Err: err}
		}
		if m != nil { // otherwise it is acknowledged with those that are given
			mail.Put(m)
		}
	}
	if task == nil && !a.exec.Known() { // nothing but its time has come
		if end := a.find(ctx, ref); end.Kind != runtime.Behind || end.Next || end.Open != ref {
			return end
		}
	}
	if task == nil {
		return a.exec.Resume(ctx, ref, mail)
	}
	task.hashes = task.inputHashes() // of what is given away nobody else asks for them meanwhile
	end := a.exec.Run(ctx, runtime.Task{Ref: ref, Envelope: env, From: task.d.From, Published: task.d.Published, Hash: task.hashes[0]}, mail)
	if task.light {
		a.pump.weigh(task, 0)
	}
	return end
}

// errVoid ends an execution that had nothing to execute: there is nothing to do
// for the task but to acknowledge it. The activation begins again: if it was a
// later owner who settled it, it finds its head.
type errVoid struct{ task *item }

func (errVoid) Error() string { return "there is nothing to do for the task" }

// lookUp settles a message of a run that is neither open nor queued: its run is
// finished, or was never heard of, and then a wake-up, result or cancellation
// has nothing to do (P15); a signal waits for the run.
func (a *activation) lookUp(it *item) {
	a.begin(it.run, func(ctx context.Context) *runtime.Ending { return a.find(ctx, a.id.Run(it.run)) })
}

// find says what is known of a run that does not execute: Behind where it, or another,
// is open; Finished, without a record where there is none.
func (a *activation) find(ctx context.Context, ref schemas.Ref) *runtime.Ending {
	if !a.exec.Known() {
		if end := a.exec.Open(ctx); end != nil {
			return end
		}
	}
	if end := a.exec.Find(ctx, ref); end != nil {
		return end
	}
	return &runtime.Ending{Kind: runtime.Finished, Found: true}
}

// begin runs fn on a goroutine of the pump's, and then acknowledges what the
// ending allows, and waits for what it leaves. It returns false if nothing is begun
// any more.
func (a *activation) begin(run schemas.RunID, fn func(context.Context) *runtime.Ending) bool {
	a.busy = a.occupy(run, fn)()
	return a.busy
}

// occupy makes the activation busy with what begin, which may be called on any
// goroutine, once, then begins as [activation.begin] does.
func (a *activation) occupy(run schemas.RunID, fn func(context.Context) *runtime.Ending) (begin func() bool) {
	u, done := a.pump, make(chan struct{})
	a.settling = append(slices.DeleteFunc(a.settling, over), done)
	a.busy, a.current, a.builds = true, run, u.host.member.Builds()
	return func() bool {
		return u.begin(func() {
			if left := a.work(run, fn, done); left != nil {
				left()
			}
		})
	}
}

// work is what begin runs; done is closed with its last acknowledgement.
func (a *activation) work(run schemas.RunID, fn func(context.Context) *runtime.Ending, done chan<- struct{}) (left func()) {
	defer close(done)
	u := a.pump
	m := ended{run: run, end: fn(u.ctx), over: make(chan []*item, 1)}
	u.notify(a.id.Run(run), m.end)
	a.self.tell(m)
	select {
	case items := <-m.over:
		u.settled(a.id.Run(run), m.end, items)
	case <-u.ctx.Done():
	}
	return m.end.Left
}
