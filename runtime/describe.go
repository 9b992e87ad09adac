package runtime

import (
	"fmt"
	"strings"

	"github.com/perdure/perdure/schemas"
)

// described says what an event is, for people.
func described(e *schemas.Event) string {
	switch k := e.GetKind().(type) {
	case *schemas.Event_Started:
		return "its start"
	case *schemas.Event_Continued:
		return fmt.Sprint("the start of generation ", k.Continued.GetGeneration())
	case *schemas.Event_StepStarted:
		return "the start of " + numbered(kindStep, k.StepStarted.GetName(), k.StepStarted.GetPath())
	case *schemas.Event_StepProgress:
		return "progress of " + numbered(kindStep, k.StepProgress.GetName(), k.StepProgress.GetPath())
	case *schemas.Event_StepCompleted:
		return numbered(kindStep, k.StepCompleted.GetName(), k.StepCompleted.GetPath())
	case *schemas.Event_TimerCreated:
		return numbered(kindTimer, k.TimerCreated.GetName(), k.TimerCreated.GetPath())
	case *schemas.Event_TimerFired:
		return numbered(kindTimer, "", k.TimerFired.GetPath())
	case *schemas.Event_Called:
		return numbered(calledKind(k.Called), k.Called.GetName(), k.Called.GetPath())
	case *schemas.Event_CallReturned:
		return "the result of " + numbered(kindCall, "", k.CallReturned.GetPath())
	case *schemas.Event_Sent:
		return numbered(kindSend, k.Sent.GetName(), k.Sent.GetPath())
	case *schemas.Event_CancelRequested:
		return "a cancellation"
	case *schemas.Event_SignalReceived:
		return fmt.Sprintf("signal %q", k.SignalReceived.GetName())
	case *schemas.Event_Versioned:
		return fmt.Sprintf("change %q", k.Versioned.GetChange())
	case *schemas.Event_StatusSet:
		return "what it shows"
	case *schemas.Event_AttributesSet:
		return "its attributes"
	case *schemas.Event_UpdateAccepted:
		return fmt.Sprintf("update %q", k.UpdateAccepted.GetName())
	case *schemas.Event_UpdateCompleted:
		return "the answer to update " + k.UpdateCompleted.GetId()
	case *schemas.Event_Asked:
		return fmt.Sprintf("question %q at number %s", k.Asked.GetName(), k.Asked.GetPath())
	case *schemas.Event_Paused:
		return "a pause"
	case *schemas.Event_Resumed:
		return "that it was resumed"
	case *schemas.Event_Claimed:
		return "that a process claimed it"
	case *schemas.Event_Released:
		return "that a process gave it up in good order"
	case *schemas.Event_Parked:
		return "that it was parked as " + strings.ToLower(k.Parked.GetStatus().String())
	case *schemas.Event_Joined:
		return "that one more waits for its result"
	case *schemas.Event_Refused:
		return "that another run was refused"
	case *schemas.Event_Suspended:
		return "a wait"
	}
	return "an event"
}

func numbered(kind futureKind, name, path string) string {
	return recorded(kind, name) + " at number " + path
}
