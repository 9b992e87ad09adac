package main

import (
	"fmt"
	"io"
	"strconv"
	"text/tabwriter"
)

// table prints what was measured for people.
func table(w io.Writer, results []result) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "\nscenario\tdurability\tmetric\tvalue\tp99\tlimit\tratio\tpeer\ttarget\tmet\t")
	for _, r := range results {
		value := number(r.Value) + " " + r.Unit
		if r.High > 0 {
			value += fmt.Sprintf(" (%s to %s)", number(r.Low), number(r.High))
		}
		cells := []string{r.Scenario, r.Durability, r.Metric, value, "", "", "", r.Peer, r.Target, ""}
		if r.P99 > 0 {
			cells[4] = number(r.P99) + " ms"
		}
		if r.Limit > 0 {
			cells[5], cells[6] = number(r.Limit)+" "+r.LimitOf, number(r.Ratio)
		}
		if r.Met != nil {
			cells[9] = map[bool]string{true: "yes", false: "no"}[*r.Met]
		}
		if r.Noisy {
			cells[9] += " noisy"
		}
		for _, c := range cells {
			fmt.Fprint(t, c, "\t")
		}
		fmt.Fprintln(t)
	}
	return t.Flush()
}

// number prints three digits that count.
func number(v float64) string {
	switch {
	case v >= 100:
		return strconv.FormatFloat(v, 'f', 0, 64)
	case v >= 10:
		return strconv.FormatFloat(v, 'f', 1, 64)
	case v >= 1:
		return strconv.FormatFloat(v, 'f', 2, 64)
	}
	return strconv.FormatFloat(v, 'f', 3, 64)
}
