package main

import (
	"bytes"
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/perdure/perdure/broker/brokerbench"
)

// TestMain is the program itself where bench has started it again.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && (os.Args[1] == "-child" || os.Args[1] == "worker") {
		main()
		return
	}
	os.Exit(m.Run())
}

// The tiny form runs every scenario that needs no other binary, and prints
// each metric at both levels, as JSON and in the table.
func TestTinyPrintsEveryMetric(t *testing.T) {
	var stdout, stderr bytes.Buffer
	if err := run(t.Context(), []string{"-tiny", "-s", "s1,S2,S3,S4,S6", "-dir", t.TempDir()}, &stdout, &stderr); err != nil {
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
	for _, level := range []string{"disk", "process"} {
		for _, m := range []string{
			"S1 # latency", "S2 # rate", "S2 # cpu", "S2 # memory", "S2 # disk",
			"S3 # latency", "S6 # signal", "S6 # ask", "S6 # query",
			"S4 # first step", "S4 # last result", "S4 # body running at the kill", "S4 # run again",
			"S4 # run again, not in flight", "S4 # completed twice", "S4 # lost",
		} {
			want[strings.ReplaceAll(m, "#", level)] = true
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
		"-s S99":                   "S1, S2, S3, S4, S6, S10",
		"-durability quorum -s S1": "use disk or process",
		"-durability often -s S1":  "disk",
		"S1":                       "named by -s",
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
