package runtimetest_test

import (
	"strings"
	"testing"
	"time"

	"github.com/perdure/perdure/runtime/runtimetest"
	"github.com/perdure/perdure/schemas"
)

func TestChronicle_SaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	one, two := schemas.Identity{Kind: "k", Key: "a"}.Run("1"), schemas.Identity{Kind: "k", Key: "a"}.Run("2")
	claimed := &schemas.Event{Kind: &schemas.Event_Claimed{Claimed: &schemas.Claimed{}}}
	stepped := &schemas.Event{Kind: &schemas.Event_StepCompleted{StepCompleted: &schemas.StepCompleted{Path: "1"}}}
	timer := &schemas.Event{Kind: &schemas.Event_TimerCreated{TimerCreated: &schemas.TimerCreated{Path: "2", Due: int64(2 * time.Second)}}}
	fired := &schemas.Event{Kind: &schemas.Event_TimerFired{TimerFired: &schemas.TimerFired{Path: "2"}}}
	signal := &schemas.Event{Kind: &schemas.Event_SignalReceived{SignalReceived: &schemas.SignalReceived{Name: "go", Id: "7"}}}
	started := &schemas.Event{Kind: &schemas.Event_Started{Started: &schemas.Started{}}}
	continued := &schemas.Event{Kind: &schemas.Event_Continued{Continued: &schemas.Continued{}}}
	entry := func(ref schemas.Ref, epoch uint64, nonce string, events ...*schemas.Event) schemas.Stored {
		return schemas.Stored{Ref: ref, Entry: &schemas.Entry{Epoch: epoch, Nonce: []byte(nonce), Events: events}}
	}
	record := func(ref schemas.Ref, epoch uint64, nonce, open string) schemas.Stored {
		return schemas.Stored{Ref: ref, Entry: &schemas.Entry{Epoch: epoch, Nonce: []byte(nonce), Record: &schemas.Record{Open: open}}}
	}
	for name, c := range map[string]struct {
		entries []schemas.Stored
		want    string
	}{
		"a run after another": {[]schemas.Stored{entry(one, 1, "a", claimed), entry(one, 1, "a", stepped), record(one, 1, "a", ""), entry(two, 1, "a", claimed)}, ""},
		"a take-over":         {[]schemas.Stored{entry(one, 1, "a", claimed), entry(one, 2, "b", claimed), record(one, 2, "b", "")}, ""},
		"a refusal":           {[]schemas.Stored{entry(one, 1, "a", claimed), record(two, 1, "a", one.String()), record(one, 1, "a", "")}, ""},
		"an older epoch":      {[]schemas.Stored{entry(one, 2, "b", claimed), entry(one, 1, "b", stepped)}, "epoch 1 comes behind epoch 2"},
		"a second record":     {[]schemas.Stored{record(one, 1, "a", ""), record(one, 1, "a", "")}, "the run has its record already"},
		"two open runs":       {[]schemas.Stored{entry(one, 1, "a", claimed), entry(two, 1, "a", claimed)}, "k/a/1 is open"},
		"a step twice":        {[]schemas.Stored{entry(one, 1, "a", claimed, stepped), entry(one, 2, "b", claimed, stepped)}, "step 1 is recorded twice"},
		"a timer":             {[]schemas.Stored{entry(one, 1, "a", claimed, timer), entry(one, 1, "a"), entry(one, 1, "a", fired)}, ""},
		"an early timer":      {[]schemas.Stored{entry(one, 1, "a", claimed, timer), entry(one, 1, "a", fired)}, "timer 2 fired 1s early"},
		"a timer twice":       {[]schemas.Stored{entry(one, 1, "a", claimed, fired), entry(one, 1, "a", fired)}, "fired 2 is recorded twice"},
		"a signal twice":      {[]schemas.Stored{entry(one, 1, "a", claimed, signal), entry(one, 1, "a", signal)}, "signal go 7 is recorded twice"},
		"a start twice":       {[]schemas.Stored{entry(one, 1, "a", claimed, started), entry(one, 2, "b", claimed, started)}, "started is recorded twice"},
		"a generation":        {[]schemas.Stored{entry(one, 1, "a", claimed, started, stepped), entry(one, 1, "a", claimed, continued, started, stepped)}, ""},
		"a refusal too late":  {[]schemas.Stored{entry(one, 1, "a", claimed), record(one, 1, "a", one.String())}, "a run that has begun is refused"},
		"another refusal":     {[]schemas.Stored{entry(one, 1, "a", claimed), record(two, 1, "a", two.String())}, "because of k/a/2, and k/a/1 is open"},
		"no claim":            {[]schemas.Stored{entry(one, 1, "a", claimed), entry(one, 1, "b", stepped)}, "is not who claimed the run"},
	} {
		t.Run(name, func(t *testing.T) {
			var all runtimetest.Chronicle
			for i, s := range c.entries {
				s.Seq, s.Time = uint64(i+1), time.Unix(int64(i), 0)
				all.Add(s)
			}
			wrong := all.Check()
			if c.want == "" && len(wrong) > 0 || c.want != "" && (len(wrong) != 1 || !strings.Contains(wrong[0], c.want)) {
				t.Errorf("it says %q, want %q", wrong, c.want)
			}
		})
	}
}
