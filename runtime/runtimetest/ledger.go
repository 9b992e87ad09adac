package runtimetest

import (
	"time"

	"github.com/perdure/perdure/runtime"
)

// runLedger takes in what comes for an identity of a ledger.
func (a *activation) runLedger() {
	x := runtime.NewExecutor(a.p.cfg, a.id, a.kind, a.p)
	for a.await(timely) {
		msgs := a.held()
		tasks := make([]runtime.Task, len(msgs))
		for i, m := range msgs {
			tasks[i] = runtime.Task{Ref: m.ref, Envelope: m.env, From: "local", Published: time.Now()}
		}
		end := x.Apply(a.p.ctx, tasks)
		if end.Kind == runtime.Finished && a.ack(msgs...) == nil {
			continue
		}
		if end.Kind != runtime.Finished && !a.ended(end, msgs[0].ref) {
			return
		}
		pause(a.p.ctx)
		x = runtime.NewExecutor(a.p.cfg, a.id, a.kind, a.p)
	}
}
