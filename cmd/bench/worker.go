package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/perdure/perdure"
	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/runtime"
)

// A worker is the process that S4 kills: a node with NATS inside, and the
// client that starts its workflows. It tells a file what happens, one line for
// each event, so that the file says after a kill what had happened before.

// slowSteps is a workflow of ten steps that take a while.
var slowSteps = durable.DeclareWorkflow[string, string]("bench-slow")

// A journal is the file of a worker. An event is one write to it, which a kill
// cannot cut in two.
type journal struct{ f *os.File }

func openJournal(path string) (*journal, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open the worker's file: %w", err)
	}
	return &journal{f}, nil
}

func (j *journal) note(what, key string, step int) error {
	_, err := fmt.Fprintf(j.f, "%s %s %d %d\n", what, key, step, time.Now().UnixNano())
	return err
}

// An event is a line of the file.
type event struct {
	what, key string
	step      int
	at        time.Time
}

// readJournal returns the events of a worker's file; none if it is not there.
func readJournal(path string) (events []event, err error) {
	events, _, err = readJournalFrom(path, 0)
	return events, err
}

// readJournalFrom returns the events from an offset on, and the offset behind them.
func readJournalFrom(path string, from int64) (events []event, next int64, err error) {
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, from, nil
	} else if err != nil {
		return nil, from, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	data, err := io.ReadAll(io.NewSectionReader(f, from, math.MaxInt64-from))
	if err != nil {
		return nil, from, err
	}
	data = data[:bytes.LastIndexByte(data, '\n')+1]
	for line := range strings.Lines(string(data)) {
		e, err := parseEvent(line)
		if err != nil {
			return nil, from, fmt.Errorf("line %q: %w", line, err)
		}
		events = append(events, e)
	}
	return events, from + int64(len(data)), nil
}

func parseEvent(line string) (e event, err error) {
	words := strings.Fields(line)
	if len(words) != 4 {
		return e, errors.New("it does not have four words")
	}
	e.what, e.key = words[0], words[1]
	step, err := strconv.Atoi(words[2])
	if err != nil {
		return e, err
	}
	at, err := strconv.ParseInt(words[3], 10, 64)
	if err != nil {
		return e, err
	}
	e.step, e.at = step, time.Unix(0, at)
	return e, nil
}

func slowStepsKind(j *journal, pause time.Duration) *runtime.Kind {
	return durable.Workflow(slowSteps, func(ctx durable.Context, in string) (string, error) {
		key := ctx.Info().Key
		for i := range stepsEach {
			out, err := durable.Step(ctx, "step", func(ctx context.Context) (string, error) {
				if err := j.note("start", key, i); err != nil {
					return "", err
				}
				if err := pauseFor(ctx, pause); err != nil {
					return "", err
				}
				return in + string(rune('a'+i)), j.note("end", key, i)
			})
			if err != nil {
				return "", err
			}
			in = out
		}
		return in, nil
	})
}

// slowResult is what slowSteps makes of a key.
func slowResult(key string) string { return key + "abcdefghij" }

func pauseFor(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// work is the worker's main function.
func work(ctx context.Context, args []string) (err error) {
	var dir, durability, path string
	var count int
	var pause time.Duration
	var resume bool
	f := flag.NewFlagSet("bench worker", flag.ContinueOnError)
	f.StringVar(&dir, "dir", "", "data directory")
	f.StringVar(&durability, "durability", "disk", "disk or process")
	f.StringVar(&path, "journal", "", "file that is told what happens")
	f.IntVar(&count, "n", 0, "number of workflows")
	f.DurationVar(&pause, "step", 0, "how long a step takes")
	f.BoolVar(&resume, "resume", false, "start no workflow, wait for the results of those that were started")
	if err := f.Parse(args); err != nil {
		return err
	}
	level, err := perdure.ParseDurability(durability)
	if err != nil {
		return err
	}
	j, err := openJournal(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, j.f.Close()) }()
	n, err := open(ctx, env{dir: dir, durability: level}, slowStepsKind(j, pause))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, n.close()) }()
	var wg sync.WaitGroup
	errs := make([]error, count)
	for i := range count {
		wg.Go(func() { errs[i] = n.slow(ctx, j, fmt.Sprintf("slow-%d", i), resume) })
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil || resume {
		return err
	}
	<-ctx.Done() // killed
	return nil
}

// slow starts a workflow, or waits for the result of one that was started.
func (n *node) slow(ctx context.Context, j *journal, key string, resume bool) error {
	if !resume {
		if _, err := perdure.Start(ctx, n.Client(), slowSteps.At(key), key); err != nil {
			return err
		}
		return j.note("accepted", key, 0)
	}
	run, err := perdure.Attach(n.Client(), slowSteps, refOf(slowSteps, key))
	if err != nil {
		return err
	}
	out, err := run.Result(ctx)
	if err == nil && out != slowResult(key) {
		err = fmt.Errorf("the result of %s is %q, want %q", key, out, slowResult(key))
	}
	if err != nil {
		return err
	}
	return j.note("done", key, 0)
}
