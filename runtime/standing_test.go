package runtime_test

import (
	"testing"

	"github.com/perdure/perdure/runtime"
	"github.com/perdure/perdure/schemas"
)

// TestStanding: whatever is recorded of a run that was parked says that it goes on;
// a pause lasts until it is resumed or cancelled.
func TestStanding(t *testing.T) {
	parked := &schemas.Event{Kind: &schemas.Event_Parked{Parked: &schemas.Parked{Status: schemas.Status_POISONED, Reason: "crashes"}}}
	paused := &schemas.Event{Kind: &schemas.Event_Paused{Paused: &schemas.Paused{Id: "p", Reason: "wait"}}}
	claimed := &schemas.Event{Kind: &schemas.Event_Claimed{Claimed: &schemas.Claimed{}}}
	resumed := &schemas.Event{Kind: &schemas.Event_Resumed{Resumed: &schemas.Resumed{Id: "r"}}}
	cancel := &schemas.Event{Kind: &schemas.Event_CancelRequested{CancelRequested: &schemas.CancelRequested{Id: "c"}}}
	done := &schemas.Event{Kind: &schemas.Event_StepCompleted{StepCompleted: &schemas.StepCompleted{Path: "1"}}}
	suspended := &schemas.Event{Kind: &schemas.Event_Suspended{Suspended: &schemas.Suspended{Paused: true}}}
	for name, test := range map[string]struct {
		events []*schemas.Event
		status schemas.Status
		why    string
		at     int64
	}{
		"nothing":                         {[]*schemas.Event{claimed}, schemas.Status_RUNNING, "", 0},
		"parked":                          {[]*schemas.Event{claimed, parked}, schemas.Status_POISONED, "crashes", 0},
		"parked, then it goes on":         {[]*schemas.Event{parked, claimed, resumed}, schemas.Status_RUNNING, "", 0},
		"paused":                          {[]*schemas.Event{claimed, paused}, schemas.Status_PAUSED, "wait", 2},
		"paused, and a step ended":        {[]*schemas.Event{paused, done}, schemas.Status_PAUSED, "wait", 1},
		"paused, outside of memory":       {[]*schemas.Event{paused, suspended}, schemas.Status_PAUSED, "wait", 1},
		"paused, and resumed":             {[]*schemas.Event{paused, resumed}, schemas.Status_RUNNING, "", 0},
		"paused, and cancelled":           {[]*schemas.Event{paused, cancel}, schemas.Status_RUNNING, "", 0},
		"paused, parked":                  {[]*schemas.Event{paused, parked}, schemas.Status_POISONED, "crashes", 1},
		"paused, parked, claimed, paused": {[]*schemas.Event{paused, parked, claimed, suspended}, schemas.Status_PAUSED, "wait", 1},
	} {
		var entries []schemas.Stored
		for i, e := range test.events {
			entries = append(entries, schemas.Stored{Entry: &schemas.Entry{At: int64(i + 1), Events: []*schemas.Event{e}}})
		}
		s := runtime.StandingOf(entries)
		why := s.Paused.GetReason()
		if s.Parked != nil {
			why = s.Parked.GetReason()
		}
		if _, status := runtime.Timeline(entries); status != test.status || why != test.why || s.Since != test.at {
			t.Errorf("%s: the run is %s because of %q since %d, want %s, %q, %d", name, status, why, s.Since, test.status, test.why, test.at)
		}
	}
}
