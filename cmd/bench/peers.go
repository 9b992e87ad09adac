package main

import "github.com/perdure/perdure"

// peers is what other engines took for the same, fsync on, by scenario and metric:
// Restate 1.7.12, DBOS Go 1.8 on PostgreSQL 15, and Temporal 1.32 on PostgreSQL with
// local activities. Each was measured once on a machine of two cores, when the
// benchmarks were chosen, and not beside this program.
var peers = map[[2]string]string{
	{"S1", "latency"}:        "Restate 16, DBOS 9.8, Temporal 24 ms",
	{"S2", "rate"}:           "Restate 266, DBOS 345, Temporal 84 per s",
	{"S2", "cpu"}:            "Restate 7.2, DBOS 5.3, Temporal 23 ms",
	{"S2", "memory"}:         "Restate 350, DBOS 90, Temporal 500 MB",
	{"S3", "latency"}:        "Restate 192, DBOS 114, Temporal 184 ms",
	{"S4", "first step"}:     "Restate 940, DBOS 141, Temporal 167 ms",
	{"S4", "lost"}:           "0 in all",
	{"S6", "signal"}:         "Restate 5.9, DBOS 2.3, Temporal 11.8 ms",
	{"S7", "engine, growth"}: "Temporal: ended by its history limit at call 53 of 100",
	{"S10", "cold, empty"}:   "Restate 1800, DBOS 140 (PostgreSQL runs), Temporal 1000 ms",
	{"S10", "binary"}:        "Restate 226, DBOS 33, Temporal 162 MB",
	{"S10", "idle memory"}:   "Restate 263, Temporal 229 MB",
}

// peer says what other engines took, which is of durability disk.
func (r *result) peer() {
	if r.Peer == "" && r.Durability == perdure.Disk.String() {
		r.Peer = peers[[2]string{r.Scenario, r.Metric}]
	}
}
