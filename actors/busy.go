package actors

import (
	"context"
	"slices"
	"strings"

	"github.com/perdure/perdure/broker"
	"github.com/perdure/perdure/runtime"
	"github.com/perdure/perdure/schemas"
)

// What becomes of a task for an identity that has an open run, where it does not
// wait. A task that is refused is so by its own record, which the execution of the
// open run stores between two of its entries. One that interrupts carries the
// cancellation of the open run: it stays in the inbox until its own turn, and
// whoever owns the identity then cancels again, which is harmless.

// A press is what a task does to the runs before it.
type press struct {
	policy schemas.Busy
	by     schemas.RunID // a task that takes this one's place; empty for none
	// offered says that the run that executes was given it, to refuse it.
	offered bool
	// told is the run that was told to stop for it.
	told schemas.RunID
}

// BusyName returns a policy as the wire has it, e.g. "reject"; empty for none.
func BusyName(b schemas.Busy) string {
	if b == schemas.Busy_BUSY_UNSPECIFIED {
		return ""
	}
	return strings.ToLower(strings.TrimPrefix(b.String(), "BUSY_"))
}

// isFirst reports whether the task goes before those that wait.
func (p *press) isFirst() bool { return p != nil && runtime.Interrupts(p.policy) }

// refuses reports whether the task is not to wait behind a run.
func (p *press) refuses() bool {
	return p != nil && (p.policy == schemas.Busy_BUSY_REJECT || p.by != "")
}

// presses takes in a task that has come, and may not wait as others do.
func (a *activation) presses(it *item) {
	policy := a.kind.Policy(it.d.Envelope)
	if policy == schemas.Busy_BUSY_QUEUE {
		return
	}
	it.press, a.pressed = &press{policy: policy}, true
	if policy == schemas.Busy_BUSY_REPLACE {
		for _, o := range a.items {
			executes := a.executes(o) || a.open != nil && a.open.ID == o.run
			if !o.isTask() || o.run == it.run || executes {
				continue
			}
			if o.press == nil {
				o.press = &press{policy: schemas.Busy_BUSY_QUEUE}
			}
			o.press.by = it.run
		}
	}
	if a.busy && a.mail != nil {
		a.press()
	}
}

// press tells the run that executes what tasks of other runs ask of it.
func (a *activation) press() {
	if !a.pressed {
		return
	}
	u, left := a.pump, false
	for _, it := range a.items {
		if it.press == nil {
			continue
		}
		left = true
		switch p := it.press; {
		case it.run == a.current || p.offered:
		case p.refuses():
			p.offered = a.mail.Refuse(a.refusal(it), func(end *runtime.Ending) { a.self.tell(refused{it, end}) })
		case p.isFirst() && p.told != a.current:
			if a.mail.Put(runtime.Interruption(u.host.engine.Namespace, a.id.Run(a.current), a.id.Run(it.run))) {
				p.told = a.current
			}
		}
	}
	a.pressed = left
}

// refused tells that a task was refused by the run that executes.
type refused struct {
	it  *item
	end *runtime.Ending
}

func (a *activation) refused(m refused) {
	i := slices.Index(a.items, m.it)
	if i < 0 || m.end.Kind != runtime.Finished {
		return
	}
	a.items = slices.Delete(slices.Clone(a.items), i, i+1)
	m.it.given = !m.end.Found // its record has told who waits
	done := make(chan struct{})
	a.settling = append(slices.DeleteFunc(a.settling, over), done)
	if !a.pump.begin(func() {
		defer close(done)
		ref := a.id.Run(m.it.run)
		a.pump.notify(ref, m.end)
		a.pump.settled(ref, m.end, []*item{m.it})
	}) {
		close(done)
	}
}

func (a *activation) refusal(it *item) runtime.Refusal {
	r := runtime.Refusal{
		Task: runtime.Task{Ref: a.id.Run(it.run), Envelope: it.d.Envelope, From: it.d.From, Published: it.d.Published, Hash: it.inputHashes()[0]},
	}
	if by := it.press.by; by != "" {
		r.By = a.id.Run(by)
	}
	return r
}

// refuse refuses a task while no run executes.
func (a *activation) refuse(it *item) {
	t := a.refusal(it)
	it.given = true
	a.begin(it.run, func(ctx context.Context) *runtime.Ending { return a.exec.Refuse(ctx, t) })
}

// elbow does what tasks that do not wait ask for while no run executes, and
// reports whether it has begun anything.
func (a *activation) elbow() bool {
	if !a.pressed {
		return false
	}
	for _, it := range a.items {
		p := it.press
		switch {
		case p == nil:
		case a.open != nil && p.refuses() && it.run != a.open.ID, p.by != "":
			a.refuse(it)
			return true
		case a.open != nil && p.isFirst() && it.run != a.open.ID && p.told != a.open.ID:
			a.execute(*a.open, nil) // which is told
			return true
		}
	}
	if a.open != nil {
		return false
	}
	for _, it := range a.items {
		if it.press.isFirst() {
			a.execute(a.id.Run(it.run), it)
			return true
		}
	}
	return false
}

// goesFirst begins the run that the last record of the identity says is next: it
// has interrupted that one, and may not have been received yet. Nothing else of
// the identity begins before it, if it is still in the inbox.
func (a *activation) goesFirst() bool {
	run := a.first
	if run == "" {
		return false
	}
	for _, it := range a.items {
		if it.isTask() && it.run == run {
			a.first = ""
			a.execute(a.id.Run(run), it)
			return true
		}
	}
	if a.sought {
		return true // it will come
	}
	b := a.pump.host.cfg.Broker
	a.begin("", func(ctx context.Context) *runtime.Ending {
		waiting, err := b.Inbox().Pending(ctx, a.id, 0)
		if err != nil {
			return &runtime.Ending{Kind: runtime.Restart, Err: err}
		}
		end := &runtime.Ending{Kind: runtime.Behind, Next: true}
		if slices.ContainsFunc(waiting, func(d broker.Delivery) bool { return isTaskOf(d, a.id.Run(run)) }) {
			end.Open = a.id.Run(run)
		}
		return end
	})
	return true
}

// comesNext takes in which run is next, or that the one that was to be is not in
// the inbox any more.
func (a *activation) comesNext(end *runtime.Ending) {
	a.sought = a.first != "" && a.first == end.Open.ID
	a.first = end.Open.ID
}
