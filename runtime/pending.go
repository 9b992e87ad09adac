package runtime

import (
	"slices"
	"strings"
	"time"

	"github.com/perdure/perdure/schemas"
)

// Pending says for people what an open run waits for, as far as its journal says:
// what was recorded to begin and not to end, in that order. What its code has given
// up waiting for is among it, and a step that says nothing before it ends is not.
// The limits that it asks are told by [Waits].
func Pending(entries []schemas.Stored) []string {
	type open struct{ path, says string }
	var all []open
	over := func(path string) {
		all = slices.DeleteFunc(all, func(o open) bool { return o.path == path })
	}
	begins := func(path, says string) {
		over(path)
		all = append(all, open{path, says})
	}
	asleep := false
	for _, s := range entries {
		for _, e := range s.Entry.GetEvents() {
			if !claims(e) {
				asleep = false
			}
			switch k := e.GetKind().(type) {
			case *schemas.Event_Continued: // what came before is behind it
				all = nil
			case *schemas.Event_StepStarted:
				begins(k.StepStarted.GetPath(), numbered(kindStep, k.StepStarted.GetName(), k.StepStarted.GetPath())+", which has begun")
			case *schemas.Event_StepProgress:
				begins(k.StepProgress.GetPath(), numbered(kindStep, k.StepProgress.GetName(), k.StepProgress.GetPath())+", which has begun")
			case *schemas.Event_StepCompleted:
				over(k.StepCompleted.GetPath())
			case *schemas.Event_TimerCreated:
				t := k.TimerCreated
				begins(t.GetPath(), numbered(kindTimer, t.GetName(), t.GetPath())+", due "+at(t.GetDue()))
			case *schemas.Event_TimerFired:
				over(k.TimerFired.GetPath())
			case *schemas.Event_Called:
				if to, err := schemas.ParseRef(k.Called.GetTo()); err == nil && to.Kind.IsLedger() {
					break
				}
				begins(k.Called.GetPath(), numbered(calledKind(k.Called), k.Called.GetName(), k.Called.GetPath())+", to "+k.Called.GetTo())
			case *schemas.Event_CallReturned:
				over(k.CallReturned.GetPath())
			case *schemas.Event_Asked:
				over(k.Asked.GetPath())
				if !k.Asked.GetWithdrawn() {
					begins(k.Asked.GetPath(), described(e))
				}
			case *schemas.Event_SignalReceived:
				if path, answers := strings.CutPrefix(k.SignalReceived.GetName(), AnswerPrefix); answers {
					over(path)
				}
			case *schemas.Event_Suspended:
				asleep = !k.Suspended.GetPaused()
			}
		}
	}
	var says []string
	for _, o := range all {
		says = append(says, o.says)
	}
	if asleep && len(says) == 0 {
		says = []string{"a signal, or an update: the journal does not say which"}
	}
	return says
}

func at(unixNano int64) string { return time.Unix(0, unixNano).UTC().Format(time.RFC3339) }
