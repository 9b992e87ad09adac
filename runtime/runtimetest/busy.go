package runtimetest

import (
	"time"

	"github.com/perdure/perdure/runtime"
	"github.com/perdure/perdure/schemas"
)

// A press is what a task does that does not wait as others do.
type press struct {
	policy  schemas.Busy
	by      schemas.Ref // the task that takes its place
	offered bool
	told    schemas.Ref // the run that was told to stop for it
}

func (p press) refuses() bool { return p.policy == schemas.Busy_BUSY_REJECT || p.by != schemas.Ref{} }

// presses takes in the policy of a task that has come. a.mu is held.
func (a *activation) presses(m *received) {
	if m.env.GetType() != schemas.Envelope_TASK {
		return
	}
	if m.press.policy = a.kind.Policy(m.env); m.press.policy == schemas.Busy_BUSY_REPLACE {
		for _, o := range a.msgs {
			if o.env.GetType() == schemas.Envelope_TASK && o.ref != m.ref && o.ref != a.ref && o.ref != a.open {
				o.press.by = m.ref
			}
		}
	}
	if a.mail != nil {
		a.pressOn()
	}
}

// pressOn tells the run that executes what other tasks ask of it. a.mu is held.
func (a *activation) pressOn() {
	for _, m := range a.msgs {
		switch p := &m.press; {
		case m.ref == a.ref || p.offered || m.env.GetType() != schemas.Envelope_TASK:
		case p.refuses():
			p.offered = a.mail.Refuse(m.refusal(), func(end *runtime.Ending) { _ = a.refusedBy(m, end) })
		case runtime.Interrupts(p.policy) && p.told != a.ref:
			a.mail.Put(runtime.Interruption(a.p.cfg.Namespace, a.ref, m.ref))
			p.told = a.ref
		}
	}
}

func (m *received) refusal() runtime.Refusal {
	return runtime.Refusal{
		Task: runtime.Task{Ref: m.ref, Envelope: m.env, From: "local", Published: time.Now(), Hash: runtime.HashInput(m.env)}, By: m.press.by,
	}
}

// refusedBy answers and acknowledges a task that has a record.
func (a *activation) refusedBy(m *received, end *runtime.Ending) error {
	m.given = !end.Found
	return a.settled(m.ref, end)
}

// elbow does what tasks ask for that do not wait, while no run executes. ending
// is nil if all went well.
func (a *activation) elbow(x *runtime.Executor, open schemas.Ref) (interrupts bool, wrong *runtime.Ending) {
	for _, m := range a.held() {
		a.mu.Lock()
		p, t := m.press, m.refusal()
		a.mu.Unlock()
		switch {
		case m.env.GetType() != schemas.Envelope_TASK || m.ref == open:
		case p.by != schemas.Ref{}, p.refuses() && open != schemas.Ref{}:
			end := x.Refuse(a.p.ctx, t)
			if end.Kind != runtime.Finished {
				return false, end
			}
			if err := a.refusedBy(m, end); err != nil {
				return false, &runtime.Ending{Kind: runtime.Restart, Err: err}
			}
		case open != schemas.Ref{} && runtime.Interrupts(p.policy) && p.told != open:
			interrupts = true
		}
	}
	return interrupts, nil
}

// wants reports whether a message wants something done while a run is suspended.
func (a *activation) wants(m *received, open schemas.Ref) bool {
	a.mu.Lock()
	p := m.press
	a.mu.Unlock()
	return m.ref == open || m.env.GetType() == schemas.Envelope_TASK && (p.refuses() || runtime.Interrupts(p.policy) && p.told != open)
}
