package runtime_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/perdure/perdure/runtime/runtimetest"
	"github.com/perdure/perdure/schemas"
)

// never names the kinds of event at which no random program crashes, each with
// the reason.
var never = map[string]string{
	"released": "no process leaves in good order: see TestP24_WhoGivesARunUpInGoodOrderIsNoCrash",
	"parked":   "the code of a random program agrees with its journal: see TestG6_RunThatItsCodeDoesNotMatchIsParkedAndLosesNothing",
	"refused":  "no random program is sent to an identity that is busy, with another policy than to wait: see TestBusy_ACrashAnywhereRefusesOnceOrNotAtAll",
}

// A tally counts at which kinds of write processes crashed, by its side.
type tally struct {
	before, after map[string]int
}

func newTally() *tally { return &tally{map[string]int{}, map[string]int{}} }

// add counts the crashes of a plan that happened.
func (c *tally) add(o outcome, crashes map[int]runtimetest.When) {
	for n, when := range crashes {
		if n > len(o.kinds) {
			continue // the program ended before
		}
		side := c.before
		if when == runtimetest.After {
			side = c.after
		}
		for _, k := range o.kinds[n-1] {
			side[k]++
		}
	}
}

// missed returns the kinds at which nothing crashed: of events, by their
// descriptor, and of the other writes.
func (c *tally) missed() (kinds []string) {
	events := (&schemas.Event{}).ProtoReflect().Descriptor().Oneofs().ByName("kind").Fields()
	all := []string{"record", "state", "send", "wake", "unwake", "ack"}
	for i := range events.Len() {
		all = append(all, string(events.Get(i).Name()))
	}
	for _, k := range all {
		if never[k] == "" && (c.before[k] == 0 || c.after[k] == 0) {
			kinds = append(kinds, k)
		}
	}
	return kinds
}

func (c *tally) String() string {
	all := maps.Clone(c.before)
	maps.Copy(all, c.after)
	var b strings.Builder
	for _, k := range slices.Sorted(maps.Keys(all)) {
		fmt.Fprintf(&b, "\n  %-18s %5d before %5d after", k, c.before[k], c.after[k])
	}
	return b.String()
}

// rare looks for programs that do what no random one has crashed at yet, and
// crashes there: chance alone would let the tally fail once in a while.
func rare(t *testing.T, crashed *tally) {
	for seed := 0; seed < 300 && len(crashed.missed()) > 0; seed++ {
		program := programs(2).Example(seed)
		by := plan{latency: []int{0, 1, 2}}
		if seed%3 == 0 {
			by.cancel = time.Duration(1+seed%40) * 500 * time.Millisecond
		}
		quiet := execute(t, program, by)
		for _, k := range crashed.missed() {
			n := slices.IndexFunc(quiet.kinds, func(kinds []string) bool { return slices.Contains(kinds, k) }) + 1
			if n == 0 {
				continue
			}
			for _, when := range []runtimetest.When{runtimetest.Before, runtimetest.After} {
				by.crashes = map[int]runtimetest.When{n: when}
				if by.cancel > 0 {
					crashed.add(cancelled(t, t, program, by), by.crashes)
				} else {
					crashed.add(disturbed(t, t, program, by, quiet), by.crashes)
				}
			}
		}
	}
}
