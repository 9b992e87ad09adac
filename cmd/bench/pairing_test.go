package main

import (
	"bytes"
	"math"
	"strings"
	"testing"
)

// pairsOf are pairs of one metric: base, ours, base, ours.
func pairsOf(r result, values ...float64) *pairing {
	p := &pairing{}
	r.Scenario, r.Durability = "S1", "process"
	for i := 0; i < len(values); i += 2 {
		base, ours := r, r
		base.Value, ours.Value = values[i], values[i+1]
		if r.Limit > 0 {
			base.limit(r.Limit, "")
			ours.limit(r.Limit, "")
		}
		p.add([]result{base}, []result{ours})
	}
	return p
}

func TestAChangeByMoreThanAThirdIsSaid(t *testing.T) {
	latency, rate := result{Metric: "latency", Unit: "ms", Limit: 0.2}, result{Metric: "rate", Unit: "per s"}
	for name, c := range map[string]struct {
		p    *pairing
		want string
	}{
		"a latency that doubled":         {pairsOf(latency, 1, 2, 1, 2.1, 1, 1.9), "WORSE"},
		"a latency that halved":          {pairsOf(latency, 2, 1, 2, 1.1, 2, 0.9), "better"},
		"a latency within a third":       {pairsOf(latency, 1, 1.3, 1, 1.3, 1, 1.3), ""},
		"a latency just over a third":    {pairsOf(latency, 1, 1.34, 1, 1.34, 1, 1.34), "WORSE"},
		"a rate that fell to a half":     {pairsOf(rate, 1000, 500, 1000, 520, 1000, 480), "WORSE"},
		"a rate that doubled":            {pairsOf(rate, 500, 1000, 480, 1000), "better"},
		"noise on both sides":            {pairsOf(latency, 1, 3, 3, 1, 1, 3, 3, 1, 1, 3), ""},
		"something lost where none was":  {pairsOf(result{Metric: "lost", Unit: "workflows", Target: "0"}, 0, 1, 0, 2), "WORSE"},
		"nothing lost, as before":        {pairsOf(result{Metric: "lost", Unit: "workflows", Target: "0"}, 0, 0, 0, 0), ""},
		"what was under way by accident": {pairsOf(result{Metric: "run again", Unit: "steps"}, 1, 9, 1, 9), ""},
	} {
		var out bytes.Buffer
		err := c.p.report(&out, "old", true)
		if got := c.p.metrics[0].change(true).verdict; got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
		if (err != nil) != (c.want == "WORSE") || err != nil && !strings.Contains(err.Error(), "S1 process "+c.p.metrics[0].ours[0].Metric) {
			t.Errorf("%s: the report ends with %v", name, err)
		}
		if c.want != "" && !strings.Contains(out.String(), c.want) {
			t.Errorf("%s: %s is not in\n%s", name, c.want, &out)
		}
	}
}

// On a machine that became slower the values double, and their limits, too.
func TestTheRatioToTheLimitHoldsOnANoisyMachine(t *testing.T) {
	base := result{Scenario: "S1", Durability: "disk", Metric: "latency", Unit: "ms", Value: 1}
	base.limit(0.5, "")
	slow := base
	slow.Value = 2
	slow.limit(1, "")
	p := &pairing{}
	for range 3 {
		p.add([]result{base}, []result{slow})
	}
	if c := p.metrics[0].change(true); c.verdict != "" || c.of != "ratio" || c.median != 1 {
		t.Errorf("by the limit: %+v", c)
	}
	if c := p.metrics[0].change(false); c.verdict != "WORSE" || c.of != "value" || c.median != 2 {
		t.Errorf("each with its own benchmarks: %+v", c)
	}
}

func TestOnlyWhatBothHaveIsCompared(t *testing.T) {
	p := &pairing{}
	p.add([]result{{Metric: "a"}, {Metric: "b"}}, []result{{Metric: "b"}, {Metric: "c"}})
	if len(p.metrics) != 1 || p.metrics[0].ours[0].Metric != "b" {
		t.Errorf("%d metrics", len(p.metrics))
	}
	if err := new(pairing).report(&bytes.Buffer{}, "old", true); err == nil {
		t.Error("a comparison of nothing succeeds")
	}
}

func TestQuartiles(t *testing.T) {
	for _, c := range []struct {
		sorted         []float64
		q1, median, q3 float64
	}{
		{[]float64{5}, 5, 5, 5},
		{[]float64{1, 2}, 1.25, 1.5, 1.75},
		{[]float64{1, 2, 3, 4, 5}, 2, 3, 4},
		{[]float64{1, 2, math.Inf(1)}, 1.5, 2, math.Inf(1)},
	} {
		if a, b, d := quartile(c.sorted, 1), quartile(c.sorted, 2), quartile(c.sorted, 3); a != c.q1 || b != c.median || d != c.q3 {
			t.Errorf("%v: %v %v %v", c.sorted, a, b, d)
		}
	}
}

func TestALineOfABenchmark(t *testing.T) {
	r := result{Scenario: "S9", Durability: "disk", Metric: "run, 1000 kept", Value: 0.25, Unit: "ms each"}
	if got, want := benchLine(r), "BenchmarkS9/disk/run-1000-kept 1 0.25 ms-each\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
