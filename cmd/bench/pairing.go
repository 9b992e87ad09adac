package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
)

// third is from where on a change is said: worse, or better, by more than a third.
const third = 4.0 / 3

// A pairing is what two commits measured in turns, metric by metric.
type pairing struct {
	metrics []*paired // in the order in which they came
}

// A paired is one metric. Invariant: base and ours are as long, and what has the same
// index was measured one right after the other.
type paired struct{ base, ours []result }

// add adds a pair. A metric that only one of the two has is left out.
func (p *pairing) add(base, ours []result) {
	same := func(a, b result) bool {
		return a.Scenario == b.Scenario && a.Durability == b.Durability && a.Metric == b.Metric
	}
	for _, o := range ours {
		i := slices.IndexFunc(base, func(b result) bool { return same(b, o) })
		if i < 0 {
			continue
		}
		at := slices.IndexFunc(p.metrics, func(m *paired) bool { return same(m.ours[0], o) })
		if at < 0 {
			at = len(p.metrics)
			p.metrics = append(p.metrics, &paired{})
		}
		m := p.metrics[at]
		m.base, m.ours = append(m.base, base[i]), append(m.ours, o)
	}
}

// name is what a metric is called in messages.
func (m *paired) name() string {
	r := m.ours[0]
	return r.Scenario + " " + r.Durability + " " + r.Metric
}

// A change is how a metric moved: ours to base, the median of the pairs, and the
// middle half of them.
type change struct {
	median, low, high float64
	of                string // what moved: the ratio to the limit, or the value
	verdict           string // empty: not by more than a third, or not to be told from the noise
}

// change compares. byLimit says that both measured the same limits: then it is the
// ratio to the limit that counts, which holds on a noisy machine.
func (m *paired) change(byLimit bool) change {
	c := change{of: "value"}
	none := func(r result) bool { return r.Ratio <= 0 }
	if byLimit && !slices.ContainsFunc(m.base, none) && !slices.ContainsFunc(m.ours, none) {
		c.of = "ratio"
	}
	moved := make([]float64, len(m.ours))
	for i := range moved {
		if c.of == "ratio" {
			moved[i] = m.ours[i].Ratio / m.base[i].Ratio
		} else {
			moved[i] = quotient(m.ours[i].Value, m.base[i].Value)
		}
	}
	slices.Sort(moved)
	c.low, c.median, c.high = quartile(moved, 1), quartile(moved, 2), quartile(moved, 3)
	r := m.ours[0]
	worse, better := c.median > third && c.low > 1, c.median < 1/third && c.high < 1
	switch {
	case r.Target == "" && slices.Contains([]string{"steps", "runs", "workflows"}, r.Unit):
		// What happened to be under way is neither good nor bad.
	case strings.HasPrefix(r.Unit, "per s") && better, !strings.HasPrefix(r.Unit, "per s") && worse:
		c.verdict = "WORSE"
	case worse, better:
		c.verdict = "better"
	}
	return c
}

// quotient is a to b; nothing to nothing is as much.
func quotient(a, b float64) float64 {
	switch {
	case a == b:
		return 1
	case b == 0:
		return math.Inf(1)
	}
	return a / b
}

// quartile is where q quarters of sorted are below, between two of them if need be.
func quartile(sorted []float64, q int) float64 {
	at := float64(len(sorted)-1) * float64(q) / 4
	i := int(at)
	if i+1 >= len(sorted) || sorted[i] == sorted[i+1] { // two that are endless have nothing between them
		return sorted[i]
	}
	if at == float64(i) {
		return sorted[i]
	}
	return sorted[i] + (at-float64(i))*(sorted[i+1]-sorted[i])
}

// report prints each metric, and is an error if one is worse by more than a third.
func (p *pairing) report(w io.Writer, base string, byLimit bool) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "\nscenario\tdurability\tmetric\tpairs\t%s\tnow\tnow to %[1]s\tmiddle half\tof\t\t\n", base)
	var worse []string
	for _, m := range p.metrics {
		c, r := m.change(byLimit), m.ours[0]
		fmt.Fprintf(t, "%s\t%s\t%s, %s\t%d\t%s\t%s\t%.2f\t%.2f to %.2f\t%s\t%s\t\n", r.Scenario, r.Durability, r.Metric, r.Unit, len(m.ours),
			number(middle(m.base)), number(middle(m.ours)), c.median, c.low, c.high, c.of, c.verdict)
		if c.verdict == "WORSE" {
			worse = append(worse, m.name())
		}
	}
	if err := t.Flush(); err != nil {
		return err
	}
	switch {
	case len(p.metrics) == 0:
		return errors.New("nothing was compared: the two have no metric in common")
	case len(worse) > 0:
		return fmt.Errorf("worse than %s by more than a third: %s", base, strings.Join(worse, "; "))
	}
	fmt.Fprintf(w, "Nothing is worse than %s by more than a third.\n", base)
	return nil
}

// middle is the median value.
func middle(results []result) float64 {
	values := make([]float64, len(results))
	for i, r := range results {
		values[i] = r.Value
	}
	slices.Sort(values)
	return quartile(values, 2)
}

// benchstat prints what the tool of this name makes of the values: whether a
// difference can be told from the noise, which takes four pairs.
func (p *pairing) benchstat(ctx context.Context, root, dir string, stdout, stderr io.Writer) error {
	for name, of := range map[string]func(*paired) []result{
		"base": func(m *paired) []result { return m.base }, "now": func(m *paired) []result { return m.ours },
	} {
		var text strings.Builder
		for _, m := range p.metrics {
			for _, r := range of(m) {
				text.WriteString(benchLine(r))
			}
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text.String()), 0o644); err != nil {
			return err
		}
	}
	out, err := command(ctx, root, "go", "tool", "-modfile=tools/go.mod", "benchstat", "base="+filepath.Join(dir, "base"), "now="+filepath.Join(dir, "now"))
	if err != nil {
		fmt.Fprintln(stderr, "bench: without benchstat:", err)
		return nil
	}
	_, err = fmt.Fprintln(stdout, out)
	return err
}

// benchLine is a result as the line of a Go benchmark.
func benchLine(r result) string {
	word := strings.NewReplacer(" ", "-", ",", "", "/", "-")
	return fmt.Sprintf("Benchmark%s/%s/%s 1 %g %s\n", r.Scenario, r.Durability, word.Replace(r.Metric), r.Value, word.Replace(r.Unit))
}
