package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	goruntime "runtime"
	"strconv"
	"strings"
	"time"

	"github.com/perdure/perdure"
	"github.com/perdure/perdure/broker/brokerbench"
	"github.com/perdure/perdure/examples/stock/warehouse"
)

// s10Keys is over how many identities the finished runs are spread.
const s10Keys = 1000

// s10 is how long the program takes until it is of use, and what it weighs.
var s10 = scenario{
	name: "S10", what: "start of the binary to the first result, on an empty directory and on one with 100,000 finished runs",
	run: runS10,
	judge: func(r *result, _ limits) {
		switch r.Metric {
		case "cold, empty", "cold, finished runs":
			r.target("<= 300 ms", r.Value <= 300)
		case "binary", "idle memory":
			r.target("<= 60 MB", r.Value <= 60)
		}
	},
}

func runS10(ctx context.Context, e env) ([]result, error) {
	binary := filepath.Join(e.dir, "perdure")
	if goruntime.GOOS == "windows" {
		binary += ".exe"
	}
	// Without symbols, as README.md says.
	if out, err := exec.CommandContext(ctx, "go", "build", "-ldflags=-s -w", "-o", binary, "github.com/perdure/perdure/cmd/perdure").CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build cmd/perdure; run bench in a checkout: %w: %s", err, out)
	}
	info, err := os.Stat(binary)
	if err != nil {
		return nil, err
	}
	starts, idle := 5, 3*time.Second
	if e.tiny {
		starts, idle = 1, 200*time.Millisecond
	}
	full := filepath.Join(e.dir, "full")
	count := e.count(100_000, 1000)
	if err := fill(ctx, full, count); err != nil {
		return nil, fmt.Errorf("fill a directory with finished runs: %w", err)
	}
	dev := cold{binary: binary, durability: e.durability}
	var empty, finished []time.Duration
	for i := range starts {
		took, err := dev.start(ctx, filepath.Join(e.dir, "empty-"+strconv.Itoa(i)), "cold", 0)
		if err != nil {
			return nil, fmt.Errorf("start on an empty directory: %w", err)
		}
		empty = append(empty, took)
		if took, err = dev.start(ctx, full, fmt.Sprintf("cold-%d", i), 0); err != nil {
			return nil, fmt.Errorf("start on a directory with finished runs: %w", err)
		}
		finished = append(finished, took)
	}
	if _, err := dev.start(ctx, filepath.Join(e.dir, "idle"), "cold", idle); err != nil {
		return nil, fmt.Errorf("start on an empty directory: %w", err)
	}
	a, b := brokerbench.TimingOf(empty), brokerbench.TimingOf(finished)
	results := []result{
		{Metric: "cold, empty", Value: ms(a.P50), Unit: "ms", N: starts, P50: ms(a.P50), P99: ms(a.Max)},
		{Metric: "cold, finished runs", Value: ms(b.P50), Unit: "ms", N: count, P50: ms(b.P50), P99: ms(b.Max)},
		{Metric: "binary", Value: float64(info.Size()) / 1e6, Unit: "MB"},
	}
	if dev.idleMB > 0 {
		results = append(results, result{Metric: "idle memory", Value: dev.idleMB, Unit: "MB", RSS: dev.idleMB})
	}
	return results, nil
}

// fill makes a data directory with finished runs, at the faster level: what is
// stored is the same.
func fill(ctx context.Context, dir string, count int) (err error) {
	n, err := open(ctx, env{dir: dir, durability: perdure.Process}, warehouse.Kind())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, n.close()) }()
	_, err = spread(ctx, count, inFlight, func(ctx context.Context, i int) error {
		_, err := perdure.Call(ctx, n.Client(), warehouse.Receive.At(fmt.Sprintf("sku-%d", i%s10Keys)), warehouse.Take{Count: 1})
		return err
	})
	return err
}

// A cold starts `perdure dev`.
type cold struct {
	binary     string
	durability perdure.Durability
	idleMB     float64 // as of the last start that was left idle
}

// start starts the binary on a directory, makes one run at key, and stops it.
// It returns the time from the start to the run's result. If idle is not 0 the
// process is left alone for as long afterwards, and its memory read.
func (c *cold) start(ctx context.Context, dir, key string, idle time.Duration) (took time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, c.binary, "dev", "--dir", dir, "--nats", "127.0.0.1:0", "--durability", c.durability.String())
	cmd.Stderr = os.Stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return 0, err
	}
	began := time.Now()
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	defer func() {
		err = errors.Join(err, cmd.Process.Signal(os.Interrupt)) // a graceful end, so that the next start is no recovery
		if werr := cmd.Wait(); err == nil {
			err = werr
		}
	}()
	url, err := readyURL(stdout)
	if err != nil {
		return 0, err
	}
	client, err := perdure.Dial(ctx, url)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, client.Close()) }()
	if _, err := perdure.Call(ctx, client, warehouse.Receive.At(key), warehouse.Take{Count: 1}); err != nil {
		return 0, err
	}
	took = time.Since(began)
	if idle == 0 {
		return took, nil
	}
	if err := pauseFor(ctx, idle); err != nil {
		return 0, err
	}
	c.idleMB, _ = statusMB(strconv.Itoa(cmd.Process.Pid), "VmRSS:")
	return took, nil
}

// readyURL reads the line by which the binary says that it takes work.
func readyURL(r io.Reader) (string, error) {
	line, err := bufio.NewReader(r).ReadString('\n')
	if err != nil {
		return "", fmt.Errorf("read the line that says ready: %w", err)
	}
	fields := strings.Fields(line)
	if len(fields) < 2 || fields[0] != "ready" {
		return "", fmt.Errorf("the first line is %q, want ready nats://", line)
	}
	return fields[1], nil
}
