package runtime

import (
	"fmt"
	"slices"
	"strings"

	"github.com/perdure/perdure/schemas"
)

// To try again what made a run fail is to fork it from there.

// FailedStep returns the fork of a run that failed, or was cancelled, which tries
// again what made it fail: the step whose failure ended the run, what came before
// the cancellation, or all of the journal where no step has failed. The error is
// [ErrConflict] where something ran after the failure, e.g. to undo what came
// before it: what is copied would then say what is no longer so.
func FailedStep(ref schemas.Ref, source []schemas.Stored) (*schemas.Fork, error) {
	f := &schemas.Fork{Run: ref.String()}
	n := len(source)
	rec := source[n-1].Entry.GetRecord()
	var events []*schemas.Event
	for _, s := range source[:n-1] {
		events = append(events, s.Entry.GetEvents()...)
	}
	cut := slices.IndexFunc(events, func(e *schemas.Event) bool { return e.GetCancelRequested() != nil })
	switch {
	case rec.GetError().GetCode() == ErrTerminated.Code:
		return f, nil
	case rec.GetStatus() == schemas.Status_CANCELLED && cut >= 0:
		f.Uncancelled = true
	default:
		if cut = failedEvent(events, rec.GetError()); cut < 0 { // its code has ended it
			if err := undid(ref, compensated(rec)); err != nil {
				return nil, err
			}
			return f, nil
		}
		f.Step = pathOf(events[cut])
		if strings.HasPrefix(f.Step, limitPath) {
			return nil, Errorf(ErrConflict.Code, "retry %s: a limit of its kind refused it before its code ran (%s), so that there is nothing to try again; start it under another ID", ref, rec.GetError().GetMessage())
		}
	}
	var after []string
	for _, e := range events[cut:] {
		if s := e.GetStepCompleted(); s != nil && s.GetError() == nil {
			after = append(after, fmt.Sprintf("%s %q", s.GetPath(), s.GetName()))
		}
	}
	if err := undid(ref, after); err != nil {
		return nil, err
	}
	return f, nil
}

// undid is the error of a retry where the run has done something after its failure,
// nil where it has done nothing.
func undid(ref schemas.Ref, after []string) error {
	if len(after) == 0 {
		return nil
	}
	return Errorf(ErrConflict.Code, "retry %s: after it failed it has done %s, which may have undone what came before; fork it from the step that you choose", ref, strings.Join(after, ", "))
}

// compensated lists the compensations of a run that have done what they should.
func compensated(rec *schemas.Record) (list []string) {
	for _, s := range rec.GetSteps() {
		if s.GetKind() == kindUndo && s.GetError() == "" {
			list = append(list, fmt.Sprintf("%s %q", s.GetPath(), s.GetName()))
		}
	}
	return list
}

// failedEvent is the index of the failure that a run ended with: the last that the
// record's error tells of, or else the last there is; and of failures that were
// recorded right before it, the first. It is negative for none.
func failedEvent(events []*schemas.Event, why *schemas.Error) int {
	failure := func(e *schemas.Event) *schemas.Error {
		if s := e.GetStepCompleted(); s != nil {
			return s.GetError()
		}
		return e.GetCallReturned().GetError()
	}
	found := -1
	for i, e := range events {
		if f := failure(e); f != nil && f.GetCode() == why.GetCode() && strings.Contains(why.GetMessage(), f.GetMessage()) {
			found = i
		}
	}
	for i := len(events) - 1; i >= 0 && found < 0; i-- {
		if failure(events[i]) != nil {
			found = i
		}
	}
	for found > 0 && failure(events[found-1]) != nil {
		found--
	}
	return found
}
