package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	goruntime "runtime"
	"strconv"
	"time"

	"github.com/perdure/perdure"
	"github.com/perdure/perdure/broker/brokerbench"
)

// noDisk is less than an fsync takes on any disk.
const noDisk = 20 * time.Microsecond

// measure runs the scenarios at each durability level, each in a process of
// its own right after the limits of the machine were measured, and prints what
// they say.
func measure(ctx context.Context, o options, chosen []scenario, levels []perdure.Durability, stdout, stderr io.Writer) (err error) {
	if o.dir == "" {
		o.dir = os.TempDir()
	}
	if o.dir, err = os.MkdirTemp(o.dir, "perdure-bench-"); err != nil {
		return fmt.Errorf("make a directory for the data: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(o.dir)) }()
	fmt.Fprintf(stderr, "bench: %d CPUs, %s %s/%s, data in %s\n", goruntime.NumCPU(), goruntime.Version(), goruntime.GOOS, goruntime.GOARCH, o.dir)
	lines := encoder(stdout)
	var all []result
	for _, s := range chosen {
		for _, d := range levels {
			results, err := repeat(ctx, o, s, d, stderr)
			if err != nil {
				return fmt.Errorf("%s at durability %s: %w", s.name, d, err)
			}
			if s.name == s1.name && d == perdure.Disk && !o.tiny {
				r, ok, err := fsyncsOf(ctx, o, stderr)
				if err != nil {
					return fmt.Errorf("count fsyncs: %w", err)
				}
				if ok {
					results = append(results, r)
				}
			}
			for _, r := range results {
				if err := lines.Encode(r); err != nil {
					return err
				}
			}
			all = append(all, results...)
		}
	}
	return table(stdout, all)
}

// encoder prints one JSON object per line, as it is.
func encoder(w io.Writer) *json.Encoder {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	return e
}

// repeat runs a scenario as often as it wants, once more each time that the
// machine was noisy, and returns the medians.
func repeat(ctx context.Context, o options, s scenario, d perdure.Durability, stderr io.Writer) ([]result, error) {
	times, again := max(s.repeat, 1), 1
	if o.repeat > 0 {
		times = o.repeat
	}
	if o.tiny {
		times, again = 1, 0
	}
	var names []string
	repeats := map[string][]result{}
	for i := 0; i < times; i++ {
		l, err := bareLimits(ctx, o, d)
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(stderr, "bench: %s %s %d/%d: bare server: publish p50 %.3f ms, %.0f per s with 64 writers; fsync p50 %.3f ms\n",
			s.name, d, i+1, times, ms(l.Publish.P50), l.Rate, ms(l.Fsync.P50))
		if l.disk && l.Fsync.P50 < noDisk {
			fmt.Fprintf(stderr, "bench: an fsync takes %v here: that is no disk, and figures of durability disk mean nothing; -dir names a folder on one\n", l.Fsync.P50)
		}
		if l.noisy() && again > 0 {
			fmt.Fprintln(stderr, "bench: noisy: the bare server is under half of its reference; measured once more")
			again--
			i--
			continue
		}
		results, err := child(ctx, o, s, d, i, stderr)
		if err != nil {
			return nil, err
		}
		for _, r := range results {
			r.Scenario, r.Durability, r.Noisy = s.name, d.String(), l.noisy()
			s.judge(&r, l)
			r.peer()
			if repeats[r.Metric] == nil {
				names = append(names, r.Metric)
			}
			repeats[r.Metric] = append(repeats[r.Metric], r)
		}
	}
	var out []result
	for _, name := range names {
		out = append(out, median(repeats[name]))
	}
	return out, nil
}

func bareLimits(ctx context.Context, o options, d perdure.Durability) (l limits, err error) {
	dir, err := os.MkdirTemp(o.dir, "bare-")
	if err != nil {
		return l, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	cfg := brokerbench.Config{Dir: dir, Durability: d}
	if o.tiny {
		cfg.For = 50 * time.Millisecond
	}
	l.disk = d == perdure.Disk
	l.Limits, err = brokerbench.Measure(ctx, cfg)
	return l, err
}

// child runs a scenario in a process of its own, so that memory and CPU time
// are its own.
func child(ctx context.Context, o options, s scenario, d perdure.Durability, i int, stderr io.Writer) (results []result, err error) {
	dir, err := os.MkdirTemp(o.dir, s.name+"-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	args := []string{"-child", s.name, "-durability", d.String(), "-dir", dir, "-n", strconv.Itoa(o.n), "-for", o.span.String()}
	if o.large {
		args = append(args, "-large")
	}
	if o.tiny {
		args = append(args, "-tiny")
	}
	suffix := fmt.Sprintf("-%s-%s-%d.prof", s.name, d, i+1)
	if o.cpu != "" {
		args = append(args, "-cpuprofile", o.cpu+suffix)
	}
	if o.mem != "" {
		args = append(args, "-memprofile", o.mem+suffix)
	}
	if o.block != "" {
		args = append(args, "-blockprofile", o.block+suffix)
	}
	cmd, err := self(ctx, args...)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, stderr
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("run %s: %w", filepath.Base(cmd.Path), err)
	}
	dec := json.NewDecoder(&out)
	for {
		var r result
		if err := dec.Decode(&r); errors.Is(err, io.EOF) {
			return results, nil
		} else if err != nil {
			return nil, fmt.Errorf("read the figures: %w", err)
		}
		results = append(results, r)
	}
}

// self is the command that runs this program with other arguments. It ends by
// SIGKILL with ctx.
func self(ctx context.Context, args ...string) (*exec.Cmd, error) {
	path, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program: %w", err)
	}
	return exec.CommandContext(ctx, path, args...), nil
}

// runChild is the other side of child.
func runChild(ctx context.Context, o options, stdout io.Writer) error {
	chosen, err := choose(o.child)
	if err != nil {
		return err
	}
	levels, err := parseLevels(o.durability)
	if err != nil {
		return err
	}
	e := env{dir: o.dir, durability: levels[0], tiny: o.tiny, n: o.n, large: o.large, span: o.span, profile: &profile{cpu: o.cpu, mem: o.mem, block: o.block}}
	results, err := chosen[0].run(ctx, e)
	if err != nil {
		return err
	}
	lines := encoder(stdout)
	for _, r := range results {
		if err := lines.Encode(r); err != nil {
			return err
		}
	}
	return nil
}
