package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/perdure/perdure"
)

// fsyncsOf counts from outside, with strace, how many fsyncs a run of S1 at
// durability disk costs, everything included: the difference between a long
// and a short execution. ok is false where there is no strace.
func fsyncsOf(ctx context.Context, o options, stderr io.Writer) (r result, ok bool, err error) {
	strace, err := exec.LookPath("strace")
	if err != nil {
		fmt.Fprintln(stderr, "bench: fsyncs are not counted: strace is not installed")
		return r, false, nil
	}
	const short, long = 10, 60
	var counts [2]int
	for i, n := range []int{short, long} {
		if counts[i], err = traced(ctx, strace, o, n); err != nil {
			fmt.Fprintln(stderr, "bench: fsyncs are not counted:", err)
			return r, false, nil
		}
	}
	runs := 2 * (long - short) // each makes as many to warm up
	r = result{
		Scenario: s1.name, Durability: perdure.Disk.String(), Metric: "fsyncs", Unit: "a run",
		Value: float64(counts[1]-counts[0]) / float64(runs), N: runs,
	}
	r.limit(inSeries, "in series")
	return r, true, nil
}

// traced runs S1 under strace and returns the number of fsyncs.
func traced(ctx context.Context, strace string, o options, n int) (count int, err error) {
	dir, err := os.MkdirTemp(o.dir, "fsyncs-")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	child, err := self(ctx, "-child", s1.name, "-durability", perdure.Disk.String(), "-dir", filepath.Join(dir, "data"), "-n", strconv.Itoa(n))
	if err != nil {
		return 0, err
	}
	out := filepath.Join(dir, "counts")
	cmd := exec.CommandContext(ctx, strace, append([]string{"-f", "-c", "-e", "trace=fsync,fdatasync,io_submit", "-o", out}, child.Args...)...)
	var said bytes.Buffer
	cmd.Stderr = &said
	if err := cmd.Run(); err != nil {
		return 0, fmt.Errorf("strace: %w: %s", err, said.Bytes())
	}
	text, err := os.ReadFile(out)
	if err != nil {
		return 0, err
	}
	return sumCalls(text)
}

// sumCalls adds up the calls in a summary of strace -c.
func sumCalls(text []byte) (sum int, err error) {
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		f := strings.Fields(lines.Text()) // % time, seconds, usecs/call, calls, errors, syscall
		if len(f) < 5 {
			continue
		}
		switch f[len(f)-1] {
		case "fsync", "fdatasync", "io_submit": // the last for an asynchronous fsync
		default:
			continue
		}
		n, err := strconv.Atoi(f[3])
		if err != nil {
			return 0, fmt.Errorf("line %q of strace: %w", lines.Text(), err)
		}
		sum += n
	}
	return sum, nil
}
