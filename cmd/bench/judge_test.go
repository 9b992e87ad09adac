package main

import (
	"slices"
	"testing"
	"time"

	"github.com/perdure/perdure"
	"github.com/perdure/perdure/broker/brokerbench"
)

// What a scenario says of a figure: the limit beside it, and whether its target is
// met, where it has one.
func TestJudges(t *testing.T) {
	bare := brokerbench.Limits{
		Fsync:   brokerbench.Timing{P50: 200 * time.Microsecond, P99: time.Millisecond},
		Publish: brokerbench.Timing{P50: 20 * time.Microsecond, P99: 100 * time.Microsecond}, Rate: 40_000,
	}
	process, disk := limits{bare, false}, limits{bare, true}
	const yes, no, none = "yes", "no", ""
	for _, c := range []struct {
		scenario string
		l        limits
		r        result
		limit    float64
		met      string
	}{
		{"D1", disk, result{Metric: "rate", Value: 1149}, 250_000, yes},
		{"D1", disk, result{Metric: "rate", Value: 1148}, 250_000, no},
		{"D1", disk, result{Metric: "p95", Value: 623}, 1.4, no},
		{"D1", process, result{Metric: "rate", Value: 1}, 5000, none},
		{"D1", process, result{Metric: "p95", Value: 1}, 70, none},
		{"D2", disk, result{Metric: "p95", Value: 131}, 0.6, yes},
		{"D3", disk, result{Metric: "rate", Value: 559}, 30 / 1.4e-3, no},
		{"D4", disk, result{Metric: "rate", Value: 450}, 500, yes},
		{"D4", disk, result{Metric: "rate", Value: 449}, 500, no},
		{"D4", disk, result{Metric: "p95", Value: 2995}, 0.6, no},
		{"D5", disk, result{Metric: "rate, 50 KB", Value: 178}, 30 / 1.6e-3, no},
		{"D5", disk, result{Metric: "rate, 50 KB", Value: 179}, 30 / 1.6e-3, yes},
		{"D5", disk, result{Metric: "rate, fan-out of ten", Value: 500}, 30 / 0.6e-3, yes},
		{"D5", disk, result{Metric: "p95, fan-out of ten", Value: 500}, 0.6, none},
		{"S5", disk, result{Metric: "memory", Value: 1001}, 0, no},
		{"S5", disk, result{Metric: "restart", Value: 1000, N: 100}, 0, yes},
		{"S5", disk, result{Metric: "restart, killed", Value: 1001, N: 100}, 0, no},
		{"S5", disk, result{Metric: "restart", Value: 9000, N: 1_000_000}, 0, yes},
		{"S5", process, result{Metric: "lateness p99", Value: 301}, 0, no},
		{"S5", process, result{Metric: "lateness p99, after a restart", Value: 301}, 0, no},
		{"S5", process, result{Metric: "lateness p99, in memory", Value: 5}, 0.1, yes},
		{"S5", disk, result{Metric: "lateness p99, in memory", Value: 6}, 1, no},
		{"S5", disk, result{Metric: "lost", Value: 1}, 0, no},
		{"S9", disk, result{Metric: "run, 1000 kept", Value: 1}, 12 * 0.2 / 64, none},
		{"S9", process, result{Metric: "run, 64 partitions", Value: 1}, 13.0 / 40, none},
		{"S9", process, result{Metric: "step, journal of 10", Value: 1}, 0.02, none},
		{"S9", disk, result{Metric: "message to one, 10 records", Value: 1}, 0.6, none},
		{"S9", disk, result{Metric: "run, kept, growth", Value: 1.3}, 0, yes},
		{"S9", disk, result{Metric: "message to one, records, growth", Value: 1.31}, 0, no},
		{"SC", process, result{Metric: "accepted", Value: 1}, 40_000, none},
		{"SC", disk, result{Metric: "ended under load", Value: 1}, 64 / (12 * 0.2e-3), none},
		{"SC", disk, result{Metric: "memory, growth", Value: 2, Limit: 1.5, Ratio: 1.33}, 1.5, no},
		{"SC", disk, result{Metric: "memory, growth", Value: 1.5, Limit: 1.5, Ratio: 1}, 1.5, yes},
		{"SC", disk, result{Metric: "memory, kept", Value: 1001}, 0, no},
		{"SC", disk, result{Metric: "lost", Value: 1}, 0, no},
		{"SC", disk, result{Metric: "waiting, most", Value: 101, N: 100}, 100, yes},
		{"SC", disk, result{Metric: "waiting, most", Value: 102, N: 100}, 100, no},
	} {
		chosen, err := choose(c.scenario)
		if err != nil {
			t.Fatal(err)
		}
		r := c.r
		chosen[0].judge(&r, c.l)
		met := none
		if r.Met != nil {
			met = map[bool]string{true: yes, false: no}[*r.Met]
		}
		if met != c.met || (met == none) != (r.Target == "") || r.Limit < c.limit*0.999 || r.Limit > c.limit*1.001 {
			t.Errorf("%s %s %v, disk %v: limit %v, want %v; target %q met %q, want %q", c.scenario, r.Metric, r.Value, c.l.disk, r.Limit, c.limit, r.Target, met, c.met)
		}
	}
}

// What is kept of each run that was accepted meanwhile may be in memory.
func TestPeaksOfTheThirds(t *testing.T) {
	at := func(second int, mb float64, accepted int64) sample {
		return sample{time.Duration(second) * time.Second, mb, accepted, accepted / 2}
	}
	samples := []sample{at(0, 50, 0), at(9, 100, 10_000), at(15, 300, 20_000), at(25, 160, 60_000), at(40, 90, 60_000)}
	got := map[string]result{}
	for _, r := range peaks(samples, 30*time.Second, 7) {
		got[r.Metric] = r
	}
	for metric, want := range map[string]float64{"memory, first third": 100, "memory, second third": 300, "memory, last third": 160, "waiting, most": 30_000, "memory, peak": 300, "memory, growth": 1.6} {
		if got[metric].Value != want {
			t.Errorf("%s: %v, want %v", metric, got[metric].Value, want)
		}
	}
	if l := got["memory, growth"].Limit; l != 1.5 { // 50,000 runs of 1 KB on 100 MB
		t.Errorf("the growth's limit is %v, want 1.5", l)
	}
}

func TestSizesAreThoseThatEndInMinutes(t *testing.T) {
	full, large, tiny := []int{10, 1000}, []int{100_000}, []int{1, 2}
	for _, c := range []struct {
		e    env
		want int // the last
	}{{env{}, 1000}, {env{large: true}, 100_000}, {env{tiny: true, n: 5}, 2}, {env{n: 100}, 10}, {env{n: 1}, 10}} {
		if got := c.e.sizes(full, large, tiny); got[len(got)-1] != c.want {
			t.Errorf("%+v: %v, want %d at last", c.e, got, c.want)
		}
	}
}

func TestPeers_AreOfMetricsThatExist(t *testing.T) {
	t.Parallel()
	for key := range peers {
		metrics := tinyMetrics[key[0]]
		if key[0] == s10.name {
			metrics = []string{"cold, empty", "binary", "idle memory"}
		}
		if !slices.Contains(metrics, key[1]) {
			t.Errorf("%s has no metric %q", key[0], key[1])
		}
	}
	r := result{Scenario: "S1", Metric: "latency", Durability: perdure.Process.String()}
	r.peer()
	if r.Peer != "" {
		t.Errorf("at process the peers, who fsync, are %q", r.Peer)
	}
	r.Durability = perdure.Disk.String()
	if r.peer(); r.Peer != peers[[2]string{"S1", "latency"}] {
		t.Errorf("at disk the peers are %q", r.Peer)
	}
}
