package timetable

import (
	"time"

	"github.com/perdure/perdure/agents"
	"github.com/perdure/perdure/durable"
)

// Desk is the agent; its key is the question's.
var Desk = durable.Declare[string, string]("timetable")

// Pause is how long a model that fails is left alone at first.
const Pause = 2 * time.Second

// Kind binds the agent to its name. large is asked first; small is another provider's.
func Kind(large, small agents.Model) *durable.Kind {
	return agents.New(Desk,
		agents.Instructions("You answer questions about trains, in one sentence."),
		agents.UseModel(large,
			agents.Timeout(time.Second),
			agents.Retry(3, 50*time.Millisecond),
			agents.RetryOn(agents.Throttled, 6, 200*time.Millisecond),
			agents.RateLimit(agents.PerMinute{Requests: 500, Tokens: 200_000}),
			agents.Breaker(agents.Trip{Failures: 3, Within: time.Minute, Pause: Pause}),
			agents.Fallback(small, agents.Breaker(agents.Trip{})),
		),
	)
}
