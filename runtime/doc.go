// Package runtime is the engine under [github.com/perdure/perdure/durable]:
// replay, steps, timers, calls and the commit of a run. It knows bytes and
// events, no NATS and no types of users; storage is behind the interfaces of
// journal.go.
//
//	x := runtime.NewExecutor(cfg, id, kind, lease)
//	end := x.Run(ctx, task, runtime.NewMailbox())
//
// A run is moved by its events alone. [Executor.Run] appends an event, waits
// for the acknowledgement, and only then lets the code see it; loading a run
// shows it the same events in the same order. replay.go is that one function.
//
// The handler and its branches take turns on goroutines of their own
// (coroutine.go), so that a run's state needs no lock; steps run beside them.
// Goroutines: a coroutine ends with its handler or is unwound when the run is
// dropped; a step ends with its body, whose context ends with the execution.
package runtime
