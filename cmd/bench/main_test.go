package main

import (
	"bytes"
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/perdure/perdure/broker/brokerbench"
)

// TestMain is the program itself where bench has started it again.
func TestMain(m *testing.M) {
	// whatever it is: to run the tests again in place of it would start it again, and so on
	if len(os.Args) > 1 && !strings.HasPrefix(os.Args[1], "-test.") {
		main()
		return
	}
	os.Exit(m.Run())
}

// tinyMetrics are what each scenario prints that needs no other binary.
var tinyMetrics = map[string][]string{
	"S1": {"latency"},
	"S2": {"rate", "cpu", "memory", "disk"},
	"S3": {"latency"},
	"S4": {
		"first step", "last result", "body running at the kill", "run again",
		"run again, not in flight", "completed twice", "lost",
	},
	"S5": {"memory, just suspended", "memory", "restart, killed", "restart", "lost", "lateness p99", "lateness p99, after a restart", "lateness p99, in memory"},
	"S7": {"engine, a call", "engine, first calls", "engine, last calls", "engine, growth", "journal", "memory, idle agents", "memory, agents at work"},
	"S8": {"node leaves", "node killed", "node hangs", "rolling restart", "rolling restart, lost", "leading server killed"},
	"S6": {"signal", "ask", "query"},
	"S9": {
		"run, 50 kept", "run, 100 kept", "run, 150 kept", "run, kept, growth",
		"step, journal of 10", "step, journal of 600", "step, journal, growth", "replay, journal of 10", "replay, journal of 600",
		"message to one, 10 records", "message to one, 40 records", "message to one, records, growth",
		"message to many, 50 live", "message to many, 150 live", "message to many, live, growth", "memory, 50 live", "memory, 150 live",
		"run, 4 partitions", "run, 16 partitions", "run, 64 partitions", "run, partitions, growth",
		"run, 1 node", "run, 2 nodes", "run, 3 nodes", "run, nodes, growth",
	},
	"D1": {"rate", "p95"},
	"D2": {"rate", "p95"},
	"D3": {"rate", "p95"},
	"D4": {"rate", "p95"},
	"D5": {
		"rate, 10 KB", "p95, 10 KB", "rate, 50 KB", "p95, 50 KB", "rate, 100 KB", "p95, 100 KB",
		"rate, fan-out of ten", "p95, fan-out of ten",
	},
	"SC": {
		"accepted", "ended under load", "drain", "waiting, most", "memory, first third", "memory, second third", "memory, last third",
		"memory, peak", "memory, growth", "in use, each that waits", "in use, bare server", "memory, kept", "lost",
	},
}

// The tiny form runs every scenario that needs no other binary, and prints each metric,
// as JSON and in the table: some at both levels, the others at one.
func TestTinyPrintsEveryMetric(t *testing.T) {
	for _, s := range scenarios {
		if s.name == s10.name { // builds another binary
			continue
		}
		t.Run(s.name, func(t *testing.T) {
			t.Parallel() // they measure nothing
			tinyPrints(t, s.name, tinyMetrics[s.name])
		})
	}
}

func tinyPrints(t *testing.T, name string, metrics []string) {
	var stdout, stderr bytes.Buffer
	levels := []string{"disk", "process"}
	switch {
	case slices.Contains([]string{"S1", "S2", "S6"}, name):
	case strings.HasPrefix(name, "D"): // whose targets are for disk
		levels = levels[:1]
	default:
		levels = levels[1:]
	}
	if err := run(t.Context(), []string{"-tiny", "-s", strings.ToLower(name), "-dir", t.TempDir(), "-durability", strings.Join(levels, ",")}, &stdout, &stderr); err != nil {
		t.Fatalf("%v\n%s", err, stderr.Bytes())
	}
	got := map[string]bool{}
	out := stdout.String()
	for line := range strings.Lines(out) {
		if !strings.HasPrefix(line, "{") {
			continue
		}
		var r result
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatalf("line %q: %v", line, err)
		}
		got[r.Scenario+" "+r.Durability+" "+r.Metric] = true
		switch r.Metric {
		case "latency", "signal", "ask", "query":
			if r.Value <= 0 || r.P99 < r.P50 || r.Limit <= 0 || r.Ratio <= 0 || (r.Target == "") != (r.Metric == "ask") {
				t.Errorf("%+v", r)
			}
		}
		if strings.HasPrefix(r.Metric, "run again, not") || r.Metric == "lost" {
			if r.Value != 0 {
				t.Errorf("%s: %v, want none", r.Metric, r.Value)
			}
		}
	}
	want := map[string]bool{}
	for _, level := range levels {
		for _, m := range metrics {
			want[name+" "+level+" "+m] = true
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("metrics (-want +got):\n%s", diff)
	}
	if !strings.Contains(out, "scenario  durability") {
		t.Errorf("no table in\n%s", out)
	}
}

func TestWrongArgumentsSayWhatIsRight(t *testing.T) {
	for args, want := range map[string]string{
		"-s S99":                   "S1, S2, S3, S4, S5, S6, S7, S8, S9, S10, D1, D2, D3, D4, D5, SC",
		"-durability quorum -s S1": "use disk or process",
		"-durability often -s S1":  "disk",
		"S1":                       "named by -s",
		"compare -s S1":            "BASE=rev",
		"compare -base x -s S99":   "S1, S2",
	} {
		var out bytes.Buffer
		err := run(t.Context(), strings.Fields(args), &out, &out)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("bench %s: %v, want %q in it", args, err, want)
		}
	}
}

// A step that was begun before the kill and begins again is counted; it is
// wrong only if its workflow had gone on behind it.
func TestSummaryOfAKill(t *testing.T) {
	at := time.Unix(100, 0)
	e := func(what, key string, step int) event { return event{what, key, step, at.Add(time.Second)} }
	before := []event{
		e("start", "a", 0), e("end", "a", 0), e("start", "a", 1), // in flight
		e("start", "b", 0), e("end", "b", 0), // ended, perhaps not recorded
		e("start", "c", 0), e("end", "c", 0), e("start", "c", 1), e("end", "c", 1),
	}
	after := []event{
		e("start", "a", 1), e("end", "a", 1),
		e("start", "b", 0), e("end", "b", 0),
		e("start", "c", 0), e("end", "c", 0), // recorded, and run again: wrong
		e("done", "a", 0), e("done", "b", 0),
	}
	got := map[string]float64{}
	for _, r := range summarize(before, after, at, 3) {
		got[r.Metric] = r.Value
	}
	want := map[string]float64{
		"first step": 1000, "last result": 1000, "body running at the kill": 1, "run again": 3,
		"run again, not in flight": 1, "completed twice": 2, "lost": 1,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestMedianKeepsTheRangeAndTheNoise(t *testing.T) {
	r := median([]result{{Value: 3}, {Value: 1, Noisy: true}, {Value: 2}})
	if r.Value != 2 || r.Low != 1 || r.High != 3 || !r.Noisy {
		t.Errorf("%+v", r)
	}
}

func TestNoisyIsUnderHalfOfTheReference(t *testing.T) {
	at := func(p50 time.Duration, rate float64, disk bool) limits {
		return limits{brokerbench.Limits{Publish: brokerbench.Timing{P50: p50}, Rate: rate}, disk}
	}
	for _, c := range []struct {
		l    limits
		want bool
	}{
		{at(16*time.Microsecond, 56_000, false), false},
		{at(31*time.Microsecond, 29_000, false), false},
		{at(33*time.Microsecond, 56_000, false), true},
		{at(16*time.Microsecond, 27_000, false), true},
		{at(250*time.Microsecond, 4_000, true), false},
		{at(250*time.Microsecond, 2_000, true), true},
	} {
		if got := c.l.noisy(); got != c.want {
			t.Errorf("noisy(%+v) = %v", c.l, got)
		}
	}
}

func TestFsyncsOfASummaryOfStrace(t *testing.T) {
	const text = `% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ----------------
 99.10    0.123456          10      1234         3 fsync
  0.90    0.001234           1        66           fdatasync
------ ----------- ----------- --------- --------- ----------------
100.00    0.124690                  1300         3 total
`
	if n, err := sumCalls([]byte(text)); err != nil || n != 1300 {
		t.Errorf("%d fsyncs, %v; want 1300", n, err)
	}
}
