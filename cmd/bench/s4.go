package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"
)

// s4Step is how long a step of S4 takes, s4Patience how long the whole may.
const (
	s4Step     = 100 * time.Millisecond
	s4Patience = 2 * time.Minute
)

// s4 kills the worker half way.
var s4 = scenario{
	name: "S4", what: "200 workflows of 10 steps of 100 ms; kill -9 half way, restart at once",
	repeat: 3,
	run:    runS4,
	judge: func(r *result, _ limits) {
		switch r.Metric {
		case "first step":
			r.target("<= 100 ms", r.Value <= 100)
		case "lost", "run again, not in flight":
			r.target("0", r.Value == 0)
		}
	},
}

func runS4(ctx context.Context, e env) ([]result, error) {
	ctx, cancel := context.WithTimeout(ctx, s4Patience)
	defer cancel()
	count := e.count(200, 20)
	path := filepath.Join(e.dir, "events")
	worker := func(more ...string) (*exec.Cmd, error) {
		cmd, err := self(ctx, append([]string{
			"worker", "-dir", filepath.Join(e.dir, "data"), "-durability", e.durability.String(),
			"-journal", path, "-n", strconv.Itoa(count), "-step", s4Step.String(),
		}, more...)...)
		if err == nil {
			cmd.Stderr = os.Stderr
			err = cmd.Start()
		}
		return cmd, err
	}
	first, err := worker()
	if err != nil {
		return nil, fmt.Errorf("start the worker: %w", err)
	}
	if err := halfWay(ctx, path, count*stepsEach/2); err != nil {
		return nil, errors.Join(err, first.Process.Kill(), first.Wait())
	}
	if err := first.Process.Kill(); err != nil {
		return nil, fmt.Errorf("kill the worker: %w", err)
	}
	if err := first.Wait(); err == nil {
		return nil, errors.New("the worker ended by itself before it was killed")
	}
	before, err := readJournal(path)
	if err != nil {
		return nil, fmt.Errorf("read what the worker did: %w", err)
	}
	again := time.Now()
	second, err := worker("-resume")
	if err != nil {
		return nil, fmt.Errorf("start the worker again: %w", err)
	}
	if err := second.Wait(); err != nil {
		return nil, fmt.Errorf("the worker that was started again: %w", err)
	}
	all, err := readJournal(path)
	if err != nil {
		return nil, fmt.Errorf("read what the worker did: %w", err)
	}
	return summarize(before, all[len(before):], again, count), nil
}

// halfWay returns when so many steps have ended.
func halfWay(ctx context.Context, path string, ends int) error {
	t := time.NewTicker(5 * time.Millisecond)
	defer t.Stop()
	for {
		events, err := readJournal(path)
		if err != nil {
			return fmt.Errorf("read what the worker does: %w", err)
		}
		n := 0
		for _, e := range events {
			if e.what == "end" {
				n++
			}
		}
		if n >= ends {
			return nil
		}
		select {
		case <-t.C:
		case <-ctx.Done():
			return fmt.Errorf("wait for half of the steps: %d of %d ended: %w", n, ends, ctx.Err())
		}
	}
}

// A stepOf is a step of one workflow.
type stepOf struct {
	key  string
	step int
}

// summarize compares what happened before the kill with what happened after
// the worker was started again.
func summarize(before, after []event, again time.Time, count int) []result {
	type seen struct{ starts, ends int }
	steps, latest := map[stepOf]*seen{}, map[string]int{} // latest: the last step that each had begun
	at := func(e event) *seen {
		k := stepOf{e.key, e.step}
		if steps[k] == nil {
			steps[k] = &seen{}
		}
		return steps[k]
	}
	var inFlight, twice, rerun, wrong, done int
	for _, e := range before {
		switch e.what {
		case "start":
			at(e).starts++
			latest[e.key] = max(latest[e.key], e.step)
		case "end":
			at(e).ends++
		}
	}
	for _, s := range steps {
		if s.ends == 0 {
			inFlight++
		}
	}
	var first, last time.Time
	for _, e := range after {
		switch e.what {
		case "start":
			if first.IsZero() {
				first = e.at
			}
			if s := at(e); s.starts > 0 {
				rerun++
				if e.step != latest[e.key] {
					wrong++
				}
			}
		case "end":
			if s := at(e); s.ends > 0 {
				twice++
			}
		case "done":
			done++
			last = e.at
		}
	}
	left := 0 // steps of the workflow that has most of them before it
	for _, step := range latest {
		left = max(left, stepsEach-step)
	}
	end := result{Metric: "last result", Value: ms(last.Sub(again)), Unit: "ms", N: count}
	end.limit(float64(left)*ms(s4Step), fmt.Sprintf("ms: %d steps", left))
	return []result{
		{Metric: "first step", Value: ms(first.Sub(again)), Unit: "ms", N: count},
		end,
		{Metric: "body running at the kill", Value: float64(inFlight), Unit: "steps", N: count},
		{Metric: "run again", Value: float64(rerun), Unit: "steps", N: count},
		{Metric: "run again, not in flight", Value: float64(wrong), Unit: "steps", N: count},
		{Metric: "completed twice", Value: float64(twice), Unit: "steps", N: count},
		{Metric: "lost", Value: float64(count - done), Unit: "workflows", N: count},
	}
}
