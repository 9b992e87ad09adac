package durable

import (
	"time"

	"github.com/perdure/perdure/runtime"
)

// RetryBy is a retry policy of one's own, in place of [Retry] and [RetryIf]: policy is told
// how many attempts there were, and how the last one ended, as its body returned it, and
// says how long to wait, and whether there is another attempt. It is asked about final
// errors ([Fail]), too. A panic of it ends the step. [RetryFor] bounds it.
//
//	durable.RetryBy(func(attempts int, err error) (time.Duration, bool) {
//		var busy *Busy
//		return busy.After, errors.As(err, &busy) && attempts < 10
//	})
//
// Wrong: a policy without an end; a step whose process dies begins to count again.
func RetryBy(policy func(attempts int, err error) (wait time.Duration, again bool)) StepOption {
	return stepOption(func(s *runtime.StepOptions) { s.RetryBy = policy })
}
