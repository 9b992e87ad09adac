// Command bench measures Perdure beside the physical limits of the machine it
// runs on: `make bench S=S1,S2`. It prints one JSON object per line and metric,
// then a table. `make bench-compare BASE=rev` measures another commit and this tree in
// turns. docs/hot-path.md says what is behind the figures.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/perdure/perdure"
)

// An env is what one execution of a scenario is given.
type env struct {
	dir        string // an empty directory of its own
	durability perdure.Durability
	tiny       bool
	n          int // how many runs; 0: the scenario's own number
	large      bool
	span       time.Duration // how long SC keeps up its load; 0: its own time
	profile    *profile
}

// count is how many runs a scenario makes: what was asked for, or its number.
func (e env) count(full, tiny int) int {
	switch {
	case e.n > 0:
		return e.n
	case e.tiny:
		return tiny
	}
	return full
}

// A scenario measures one thing in a process of its own.
type scenario struct {
	name   string
	what   string
	repeat int // how often it is repeated; the median counts
	run    func(ctx context.Context, e env) ([]result, error)
	judge  func(r *result, l limits) // sets limit and target
}

var scenarios = []scenario{s1, s2, s3, s4, s5, s6, s7, s8, s9, s10, d1, d2, d3, d4, d5, sc}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	switch {
	case errors.Is(err, flag.ErrHelp):
	case err != nil:
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	if len(args) > 0 {
		switch args[0] {
		case "worker":
			return work(ctx, args[1:])
		case "server":
			return serve(ctx, args[1:], stdout)
		case "node":
			return nodeOf(ctx, args[1:], stdout)
		case "compare":
			return compare(ctx, args[1:], stdout, stderr)
		}
	}
	var o options
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.StringVar(&o.names, "s", "", "scenarios, comma separated; empty: all")
	f.StringVar(&o.durability, "durability", "disk,process", "durability levels, comma separated")
	f.BoolVar(&o.tiny, "tiny", false, "run each scenario once, small: shows that it works, measures nothing")
	f.StringVar(&o.dir, "dir", "", "where the data goes, a folder on the disk to measure; empty: the temporary directory")
	f.IntVar(&o.n, "n", 0, "number of runs, of SC how many may wait; 0: each scenario's own")
	f.BoolVar(&o.large, "large", false, "the largest sizes of S5 and S9, too, which take many minutes")
	f.DurationVar(&o.span, "for", 0, "how long SC keeps up its load; 0: its own time")
	f.IntVar(&o.repeat, "repeat", 0, "how often each is repeated; 0: each scenario's own")
	f.StringVar(&o.cpu, "cpuprofile", "", "write CPU profiles to files that begin with this name")
	f.StringVar(&o.mem, "memprofile", "", "write profiles of allocations to files that begin with this name")
	f.StringVar(&o.block, "blockprofile", "", "write profiles of what goroutines wait for to files that begin with this name")
	f.StringVar(&o.child, "child", "", "used by bench itself: run one scenario in -dir and print its figures")
	if err := f.Parse(args); err != nil {
		return err
	}
	if f.NArg() > 0 {
		return fmt.Errorf("unknown argument %q; scenarios are named by -s", f.Arg(0))
	}
	if o.child != "" {
		return runChild(ctx, o, stdout)
	}
	chosen, err := choose(o.names)
	if err != nil {
		return err
	}
	levels, err := parseLevels(o.durability)
	if err != nil {
		return err
	}
	return measure(ctx, o, chosen, levels, stdout, stderr)
}

// options are the command line.
type options struct {
	names, durability, dir, cpu, mem, block, child string
	tiny, large                                    bool
	n, repeat                                      int
	span                                           time.Duration
}

func choose(names string) (chosen []scenario, err error) {
	if names == "" {
		return scenarios, nil
	}
	for name := range strings.SplitSeq(names, ",") {
		i := slices.IndexFunc(scenarios, func(s scenario) bool { return strings.EqualFold(s.name, strings.TrimSpace(name)) })
		if i < 0 {
			var known []string
			for _, s := range scenarios {
				known = append(known, s.name)
			}
			return nil, fmt.Errorf("scenario %q is unknown; there are %s", name, strings.Join(known, ", "))
		}
		chosen = append(chosen, scenarios[i])
	}
	return chosen, nil
}

func parseLevels(names string) (levels []perdure.Durability, err error) {
	for name := range strings.SplitSeq(names, ",") {
		d, err := perdure.ParseDurability(strings.TrimSpace(name))
		if err != nil {
			return nil, err
		}
		if d == perdure.Quorum {
			return nil, errors.New("durability quorum needs a cluster; the benchmarks have one machine: use disk or process")
		}
		levels = append(levels, d)
	}
	return levels, nil
}
