package check

// A rule is a kind of thing that workflow code must not do.
type rule string

const (
	clock     rule = "clock"
	random    rule = "random"
	goroutine rule = "goroutine"
	channel   rule = "channel"
	block     rule = "block"
	effect    rule = "effect"
	environ   rule = "environment"
	unknown   rule = "unknown"
	client    rule = "client"
	order     rule = "maporder"
	captured  rule = "context"
)

// advice says why it is wrong, and what to do instead.
func (r rule) advice() string {
	switch r {
	case clock:
		return "a replay sees another time; use durable.Now, durable.Sleep, durable.After or durable.WithTimeout"
	case random:
		return "a replay gets another value; use durable.Rand or durable.NewID, or make it in a durable.Step"
	case goroutine:
		return "a replay does not know in which order goroutines ran; use durable.Go, durable.StepAsync or durable.Map"
	case channel:
		return "a replay does not know what came first, and the run cannot leave memory; use futures with durable.Select, or durable.Await for a signal"
	case block:
		return "it waits for other goroutines, which a replay does not have; use futures with durable.All or durable.Select"
	case effect:
		return "it happens again on every replay; do it in a durable.Step"
	case environ:
		return "a replay may be on another machine; read it where the node is set up, or in a durable.Step"
	case unknown:
		return "what takes a context may wait, or reach out of the process; call it in a durable.Step"
	case client:
		return "it happens again on every replay; use the verb of package durable, or call it in a durable.Step"
	}
	return ""
}
