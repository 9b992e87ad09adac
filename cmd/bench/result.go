package main

import (
	"cmp"
	"slices"
	"time"

	"github.com/perdure/perdure/broker/brokerbench"
)

// A result is one figure of a scenario: a line of the output.
type result struct {
	Scenario   string  `json:"scenario"`
	Durability string  `json:"durability"`
	Metric     string  `json:"metric"`
	Value      float64 `json:"value"`
	Unit       string  `json:"unit"`
	Low        float64 `json:"low,omitempty"` // of the repeats
	High       float64 `json:"high,omitempty"`
	N          int     `json:"n,omitempty"`
	P50        float64 `json:"p50_ms,omitempty"`
	P95        float64 `json:"p95_ms,omitempty"`
	P99        float64 `json:"p99_ms,omitempty"`
	RSS        float64 `json:"rss_mb,omitempty"`
	CPU        float64 `json:"cpu_s,omitempty"`
	Disk       int64   `json:"disk_b,omitempty"`
	Limit      float64 `json:"limit,omitempty"` // in the same unit
	LimitOf    string  `json:"limit_of,omitempty"`
	Ratio      float64 `json:"ratio,omitempty"` // value to limit
	Peer       string  `json:"peer,omitempty"`  // what other engines took for the same: see peers
	Target     string  `json:"target,omitempty"`
	Met        *bool   `json:"met,omitempty"`
	Noisy      bool    `json:"noisy,omitempty"`
	OtherCPU   float64 `json:"other_cpu"` // cores that other processes used meanwhile
}

// limit sets the physical limit, and with it the ratio.
func (r *result) limit(v float64, of string) {
	r.Limit, r.LimitOf = v, of
	if v > 0 {
		r.Ratio = r.Value / v
	}
}

// target sets what ours must reach.
func (r *result) target(text string, met bool) { r.Target, r.Met = text, &met }

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// median merges the repeats of one metric.
func median(repeats []result) result {
	slices.SortFunc(repeats, func(a, b result) int { return cmp.Compare(a.Value, b.Value) })
	r := repeats[len(repeats)/2]
	if len(repeats) > 1 {
		r.Low, r.High = repeats[0].Value, repeats[len(repeats)-1].Value
	}
	for _, o := range repeats {
		r.Noisy = r.Noisy || o.Noisy
	}
	return r
}

// limits are the physical limits of the machine at one durability level.
type limits struct {
	brokerbench.Limits
	disk bool
}

// noisy reports whether the bare server is under half of what it reaches on
// the machine for which the targets were set: publish p50, and rate with 64
// writers.
func (l limits) noisy() bool {
	p50, rate := 16*time.Microsecond, 56_000.0
	if l.disk {
		p50, rate = 230*time.Microsecond, 4_250.0
	}
	return l.Publish.P50 > 2*p50 || l.Rate < rate/2
}
