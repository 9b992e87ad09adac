package durable

import (
	"time"

	"github.com/perdure/perdure/runtime"
	"github.com/perdure/perdure/schemas"
)

// An Outcome is how a run ended.
type Outcome string

// How a run ends.
const (
	Completed Outcome = "completed"
	Failed    Outcome = "failed"
	Cancelled Outcome = "cancelled"
)

// Status returns the outcome as a record has it; the error is [ErrInvalid] for what
// is none.
func (o Outcome) Status() (schemas.Status, error) {
	switch o {
	case Completed:
		return schemas.Status_COMPLETED, nil
	case Failed:
		return schemas.Status_FAILED, nil
	case Cancelled:
		return schemas.Status_CANCELLED, nil
	}
	return 0, Fail(ErrInvalid.Code, "no run ends as %q; one does as %q, %q or %q", string(o), Completed, Failed, Cancelled)
}

// Keep is how long runs of the kind that ended so can be looked at, in place of what
// the node says (perdure.Keep): at least the node's retention time, in which the
// same message ID is the same run. Behind that their records are in an archive: they
// are shown and listed, their message IDs are not remembered, and there is nothing
// to retry.
//
//	durable.Workflow(Fulfil, fulfil, durable.Keep(durable.Failed, 30*24*time.Hour))
func Keep(outcome Outcome, d time.Duration) KindOption {
	return func(k *runtime.Kind) {
		s, err := outcome.Status()
		if err != nil {
			k.Errs = append(k.Errs, err)
			return
		}
		if k.Keep == nil {
			k.Keep = map[schemas.Status]time.Duration{}
		}
		k.Keep[s] = d
	}
}
