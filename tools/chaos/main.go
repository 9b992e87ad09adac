// Command chaos runs three nodes and three NATS servers as processes under load, does
// harm to them by a draw, and judges what clients and the far side have seen.
//
//	chaos -seed 7 -d 10m            # fails if anything is wrong
//	chaos -seed 7 -d 10m -broken    # and broken builds: fails if one is not caught
//	chaos -only fence               # some of them alone
//	chaos -check history.jsonl      # judge a history again
package main

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

func main() {
	var c config
	flag.Uint64Var(&c.seed, "seed", 0, "of the draw; 0 draws one")
	flag.DurationVar(&c.lasts, "d", 30*time.Second, "how long there are faults")
	flag.StringVar(&c.dir, "dir", "", "folder for the history and what processes say; the default is a new one")
	flag.StringVar(&c.faults, "faults", "", "kinds of faults, with commas; the default is all")
	flag.BoolVar(&c.race, "race", false, "build the nodes with the race detector")
	file := flag.String("check", "", "judge this history, and do nothing else")
	broken := flag.Bool("broken", false, "see that broken builds are caught, before the run")
	only := flag.String("only", "", "regular expression of the broken builds to try, and nothing else is done")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if c.seed == 0 {
		c.seed = uint64(rand.Uint32()) + 1
	}
	good, err := *file == "", error(nil)
	switch {
	case *file != "":
		good, err = recheck(*file)
	case *only != "":
		err = catchAll(ctx, c, *only)
	default:
		good, err = all(ctx, c, *broken)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "chaos:", err)
		os.Exit(2)
	}
	if !good {
		os.Exit(1)
	}
}

// all does a run, after broken builds if they are asked for: what the run comes to is
// the last line whatever becomes of those.
func all(ctx context.Context, c config, broken bool) (good bool, err error) {
	if err := c.prepare(); err != nil {
		return false, err
	}
	if broken {
		b := c
		b.dir = filepath.Join(c.dir, "broken")
		if err := catchAll(ctx, b, ""); err != nil {
			fmt.Fprintln(os.Stderr, "chaos:", err)
			defer func() { good = false }()
		}
	}
	v, err := run(ctx, c)
	if err != nil {
		return false, err
	}
	v.print(os.Stdout)
	fmt.Println(v.line(c.seed))
	return !v.failed(), nil
}

// A config says what a run is.
type config struct {
	seed   uint64
	lasts  time.Duration
	dir    string
	faults string
	race   bool
	until  bool   // end as soon as something is wrong
	node   string // a program that is built already; empty: build it
	server string
}

// What is waited for.
const (
	startWait  = 2 * time.Minute
	patience   = 2 * time.Minute  // for what was begun, once the faults have stopped
	impatience = 45 * time.Second // likewise, where the build is broken
	calm       = time.Second      // before the first fault
)

// prepare makes the folder.
func (c *config) prepare() (err error) {
	if c.dir == "" {
		if c.dir, err = os.MkdirTemp("", "chaos"); err != nil {
			return err
		}
	}
	return os.MkdirAll(c.dir, 0o700)
}

// run does one run.
func run(ctx context.Context, c config) (*verdict, error) {
	kinds, err := kindsOf(c.faults)
	if err != nil {
		return nil, err
	}
	if err := c.prepare(); err != nil {
		return nil, err
	}
	if err := c.build(ctx); err != nil {
		return nil, err
	}
	path := filepath.Join(c.dir, "history.jsonl")
	fmt.Printf("chaos: seed %d, %s of faults, history in %s\n", c.seed, c.lasts, path)
	h, err := newHistory(path)
	if err != nil {
		return nil, err
	}
	caught, err := drive(ctx, c, kinds, h)
	if err != nil {
		return nil, err
	}
	if caught != nil {
		_, err := h.close()
		return caught, err
	}
	all, err := h.close()
	if err != nil {
		return nil, err
	}
	return judge(all), nil
}

// drive does what is to be judged. Where the run is to end as soon as something is
// wrong, caught is what was, nil if nothing was until the end.
func drive(ctx context.Context, c config, kinds []string, h *history) (caught *verdict, err error) {
	cl, err := newCluster(c.dir, c.node, c.server, h)
	if err != nil {
		return nil, err
	}
	defer cl.close()
	starting, cancel := context.WithTimeout(ctx, startWait)
	defer cancel()
	for _, d := range []struct {
		kinds []string
		mount func() bool
	}{{[]string{fullDisk}, cl.mountDisk}, {[]string{slowDisk, power}, cl.mountWeak}} {
		on := func(k string) bool { return slices.Contains(d.kinds, k) }
		if slices.ContainsFunc(kinds, on) && !d.mount() {
			for _, k := range d.kinds {
				fmt.Println("fault not available:", k)
			}
			kinds = slices.DeleteFunc(slices.Clone(kinds), on)
		}
	}
	h.add(event{Ev: evRun, Name: fmt.Sprintf("seed %d, %s", c.seed, c.lasts), What: kinds})
	if err := cl.start(starting); err != nil {
		return nil, err
	}
	pc, err := dial(starting, cl.url())
	if err != nil {
		return nil, err
	}
	defer pc.Close()
	t := newTracker()
	o, closeObserver, err := newObserver(cl.url(), h, t)
	if err != nil {
		return nil, err
	}
	defer closeObserver()
	ctx, stop := context.WithCancel(ctx) // of all that asks and looks
	defer stop()
	load, unload := context.WithCancel(ctx)
	defer unload()
	cs := &clients{h: h, c: pc, seed: c.seed, t: t}
	late := patience
	if c.until {
		late = impatience
		watched := make(chan struct{})
		go func() { // ends with stop
			defer close(watched)
			if caught = watch(ctx, h); caught != nil {
				stop()
			}
		}()
		defer func() {
			stop()
			<-watched
		}()
	}
	go o.follow(ctx)
	h.add(event{Ev: evPhase, Phase: "load"})
	go o.publish(load)
	cs.start(ctx, load)
	wait(ctx, calm)
	h.add(event{Ev: evPhase, Phase: "faults"})
	n := &nemesis{c: cl, h: h, t: t, r: rand.New(rand.NewPCG(c.seed, 0)), kinds: kinds, hit: map[string]bool{}}
	n.run(ctx, c.lasts)
	if err := cl.heal(); err != nil {
		return nil, err
	}
	h.add(event{Ev: evPhase, Phase: "quiet"})
	wait(ctx, calm) // the load goes on for a moment without faults
	unload()
	timer := time.AfterFunc(late, stop)
	defer timer.Stop()
	cs.wg.Wait()
	h.add(event{Ev: evBare, Out: int(o.bare.Load() / int64(time.Millisecond))})
	h.add(event{Ev: evPhase, Phase: "over"})
	if ctx.Err() == nil {
		cs.lists(ctx, late/2)
		if err := o.caughtUp(ctx); err != nil {
			h.add(event{Ev: evPhase, Phase: "unread", Err: err.Error()})
		}
		cs.audit(ctx)
	}
	if n := cs.retried.Load(); n > 0 {
		fmt.Printf("%d questions were asked again because nobody answered them\n", n)
	}
	for _, p := range cl.nodes {
		if said := p.said(1 << 30); strings.Contains(said, "DATA RACE") {
			h.add(event{Ev: evEnded, Node: p.name, Err: "data race: see its log"})
		}
	}
	return caught, nil
}

// watch judges what there is of a history again and again, until something is wrong or
// ctx ends.
func watch(ctx context.Context, h *history) *verdict {
	for ctx.Err() == nil {
		wait(ctx, 2*time.Second)
		if v := soFar(h.sofar()); len(v.violations) > 0 && ctx.Err() == nil {
			return v
		}
	}
	return nil
}

// recheck judges a history that a run has left.
func recheck(path string) (good bool, err error) {
	all, err := readHistory(path)
	if err != nil {
		return false, err
	}
	v := judge(all)
	v.print(os.Stdout)
	fmt.Println(v.line(seedOf(all)))
	return !v.failed(), nil
}

// seedOf is the seed that a history was drawn by.
func seedOf(all []event) (seed uint64) {
	if len(all) > 0 {
		_, _ = fmt.Sscanf(all[0].Name, "seed %d,", &seed)
	}
	return seed
}
