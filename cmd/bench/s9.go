package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/perdure/perdure"
	"github.com/perdure/perdure/broker"
	"github.com/perdure/perdure/broker/brokerbench"
	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/runtime"
)

// s9Window is how many runs are measured at each number of runs that are kept.
const s9Window = 1000

// s9 is what work costs as what is there grows. Each part measures the same work at
// one size after another; its growth is the last time to the first.
var s9 = scenario{
	name: "S9", what: "S2 as runs, journals, records, identities, partitions and nodes grow",
	run: func(ctx context.Context, e env) (results []result, err error) {
		if err := e.profile.start(); err != nil {
			return nil, err
		}
		parts := []struct {
			dir string
			run func(context.Context, env) ([]result, error)
		}{
			{"runs", s9Runs}, {"journals", s9Journals}, {"records", s9Records}, {"live", s9Live}, {"partitions", s9Partitions}, {"nodes", s9Nodes},
		}
		for _, p := range parts {
			of := e
			of.dir = filepath.Join(e.dir, p.dir)
			more, err := p.run(ctx, of)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", p.dir, errors.Join(err, e.profile.stop()))
			}
			results = append(results, more...)
		}
		return results, e.profile.stop()
	},
	judge: judgeS9,
}

func judgeS9(r *result, l limits) {
	stored := func(publishes, fsyncs float64, of string) {
		if l.disk {
			r.limit(fsyncs*ms(l.Fsync.P50), fmt.Sprintf("ms: %.3g fsyncs%s", fsyncs, of))
		} else {
			r.limit(publishes*ms(l.Publish.P50), fmt.Sprintf("ms: %.3g bare publishes%s", publishes, of))
		}
	}
	switch what, _, _ := strings.Cut(r.Metric, ","); {
	case strings.HasSuffix(r.Metric, ", growth"):
		r.target("<= 1.3 x", r.Value <= 1.3)
	case what == "run":
		if l.disk {
			stored(0, inSeries/float64(inFlight), fmt.Sprintf(", of %d that %d share", inSeries, inFlight))
		} else {
			r.limit(1e3*publishes/l.Rate, fmt.Sprintf("ms: %d at the bare rate", publishes))
		}
	case what == "step":
		stored(1, 1, "")
	case what == "message to one":
		stored(askPublishes, askInSeries, "")
	}
}

// growth is the last time to the first.
func growth(metric string, sizes []result) result {
	return result{Metric: metric + ", growth", Value: sizes[len(sizes)-1].Value / sizes[0].Value, Unit: "x"}
}

// s9Runs measures S2's runs when so many are kept already.
func s9Runs(ctx context.Context, e env) (results []result, err error) {
	n, err := open(ctx, e, tenStepsKind())
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, n.close()) }()
	marks := e.sizes([]int{1000, 10_000, 100_000}, nil, []int{50, 100, 150})
	window := min(marks[0], s9Window)
	if _, err := n.many(ctx, "warm", window/2); err != nil {
		return nil, err
	}
	kept := window / 2
	for _, mark := range marks {
		if _, err := n.many(ctx, fmt.Sprintf("fill-%d", mark), max(0, mark-kept-window)); err != nil {
			return nil, err
		}
		r, err := timed(fmt.Sprintf("run, %d kept", mark), window, func() error {
			_, err := n.many(ctx, fmt.Sprintf("run-%d", mark), window)
			return err
		})
		if err != nil {
			return nil, err
		}
		kept = mark
		results = append(results, r)
	}
	return append(results, growth("run, kept", results)), nil
}

// timed returns what each of count things that do does takes.
func timed(metric string, count int, do func() error) (result, error) {
	before, began := usageNow(), time.Now()
	err := do()
	took := time.Since(began)
	cpu, others := before.since()
	return result{
		Metric: metric, Value: ms(took) / float64(count), Unit: "ms each", N: count,
		RSS: residentMB(), CPU: cpu.Seconds(), OtherCPU: others,
	}, err
}

// s9Partitions measures S2's runs with so many partitions.
func s9Partitions(ctx context.Context, e env) (results []result, err error) {
	count := 5000
	if e.tiny {
		count = 20
	}
	if e.n > 0 {
		count = min(count, e.n)
	}
	for _, partitions := range []int{4, 16, 64} {
		of := e
		of.dir = filepath.Join(e.dir, fmt.Sprint(partitions))
		r, err := s9Partitioned(ctx, of, partitions, count)
		if err != nil {
			return nil, fmt.Errorf("%d: %w", partitions, err)
		}
		results = append(results, r)
	}
	return append(results, growth("run, partitions", results)), nil
}

func s9Partitioned(ctx context.Context, e env, partitions, count int) (_ result, err error) {
	// A program cannot choose the number; a namespace that is there keeps its own.
	b, err := broker.Open(ctx, broker.Config{Dir: e.dir, Durability: e.durability, Partitions: uint32(partitions)})
	if err != nil {
		return result{}, err
	}
	if err := b.Close(); err != nil {
		return result{}, err
	}
	n, err := open(ctx, e, tenStepsKind())
	if err != nil {
		return result{}, err
	}
	defer func() { err = errors.Join(err, n.close()) }()
	if _, err := n.many(ctx, "warm", min(count, 500)); err != nil {
		return result{}, err
	}
	return timed(fmt.Sprintf("run, %d partitions", partitions), count, func() error {
		_, err := n.many(ctx, "run", count)
		return err
	})
}

// s9Nodes measures S2's runs with so many nodes beside a server, each a process. They
// share the machine: what is to stay is what a run costs, and not that more nodes do more.
func s9Nodes(ctx context.Context, e env) (results []result, err error) {
	server, err := startProcess(ctx, "server", "-dir", e.dir, "-durability", e.durability.String())
	if err != nil {
		return nil, err
	}
	c := &cluster{dir: e.dir, urls: server.url, servers: []*process{server}}
	defer func() { c.stop() }()
	client, err := perdure.Dial(ctx, c.urls, perdure.Logger(warnings()))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, client.Close()) }()
	count := 5000
	if e.tiny {
		count = 20
	}
	if e.n > 0 {
		count = min(count, e.n)
	}
	for nodes := 1; nodes <= clusterSize; nodes++ {
		if err := c.join(ctx, e.durability); err != nil {
			return nil, err
		}
		many := func(prefix string, count int) error {
			_, err := spread(ctx, count, inFlight, func(ctx context.Context, i int) error {
				return callTen(ctx, client, fmt.Sprintf("%s-%d-%d", prefix, nodes, i))
			})
			return err
		}
		if err := many("warm", min(count, 500)); err != nil {
			return nil, err
		}
		r, err := timed("run, "+counted(nodes, "node"), count, func() error { return many("run", count) })
		if err != nil {
			return nil, err
		}
		results = append(results, r)
	}
	return append(results, growth("run, nodes", results)), nil
}

func counted(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return fmt.Sprint(n, " ", what)
}

// s9Records measures a message to one virtual actor that has so many records.
func s9Records(ctx context.Context, e env) (results []result, err error) {
	had := 0
	for _, size := range e.sizes([]int{10, 1000, 10_000, 100_000}, nil, []int{10, 40}) {
		window := min(size, 100)
		if err := s9Fill(ctx, e, had, size-window); err != nil {
			return nil, err
		}
		r, err := s9Message(ctx, e, size, window)
		if err != nil {
			return nil, err
		}
		had = size
		results = append(results, r)
	}
	return append(results, growth("message to one, records", results)), nil
}

// s9Fill gives one virtual actor records, at the faster level: what is stored is
// the same.
func s9Fill(ctx context.Context, e env, from, to int) (err error) {
	e.durability = perdure.Process
	n, err := open(ctx, e, pageKind())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, n.close()) }()
	_, err = spread(ctx, max(0, to-from), inFlight, func(ctx context.Context, _ int) error { return n.write(ctx, "one") })
	return err
}

func s9Message(ctx context.Context, e env, size, window int) (_ result, err error) {
	n, err := open(ctx, e, pageKind())
	if err != nil {
		return result{}, err
	}
	defer func() { err = errors.Join(err, n.close()) }()
	for range 20 { // of another one
		if err := n.write(ctx, "warm"); err != nil {
			return result{}, err
		}
	}
	return latencies(fmt.Sprintf("message to one, %d records", size), window, func(int) (time.Duration, error) {
		began := time.Now()
		err := n.write(ctx, "one")
		return time.Since(began), err
	})
}

// write sends a message to a virtual actor and waits for its answer.
func (n *node) write(ctx context.Context, key string) error {
	out, err := perdure.Call(ctx, n.Client(), write.At(key), text)
	return unlessText(out, err)
}

// s9Live measures messages to virtual actors that have not been written to before,
// and the memory that each takes: in the server, with its state and its record, and
// in the node as long as it stays there.
func s9Live(ctx context.Context, e env) (results []result, err error) {
	sizes := e.sizes([]int{10_000, 100_000}, []int{1_000_000}, []int{50, 150})
	floor, err := brokerbench.MeasureWaits(ctx, brokerbench.Config{Dir: e.dir + "-bare", Durability: perdure.Process, For: time.Millisecond}, max(sizes[0], 1000), 1000)
	if err != nil {
		return nil, err
	}
	n, err := open(ctx, e, pageKind())
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, n.close()) }()
	// The more live, the more is allocated between two collections of garbage, and the
	// longer one takes: a window of the same number would have none of it, or all.
	windowOf := func(size int) int { return max(min(sizes[0]/2, s9Window), size/10) }
	window := windowOf(sizes[0])
	fill := func(from, to int) error {
		_, err := spread(ctx, max(0, to-from), inFlight, func(ctx context.Context, i int) error {
			return n.write(ctx, fmt.Sprintf("page-%d", from+i))
		})
		return err
	}
	if _, err := spread(ctx, window, inFlight, func(ctx context.Context, i int) error { return n.write(ctx, fmt.Sprintf("warm-%d", i%10)) }); err != nil {
		return nil, err
	}
	before, err := settledMB(ctx, e)
	if err != nil {
		return nil, err
	}
	live := 0
	var memory []result
	for _, size := range sizes {
		window = windowOf(size)
		if err := fill(live, size-window); err != nil {
			return nil, err
		}
		r, err := timed(fmt.Sprintf("message to many, %d live", size), window, func() error { return fill(size-window, size) })
		if err != nil {
			return nil, err
		}
		after, err := settledMB(ctx, e)
		if err != nil {
			return nil, err
		}
		m := result{Metric: fmt.Sprintf("memory, %d live", size), Value: (after - before) * 1e6 / float64(size), Unit: "bytes each", N: size, RSS: after}
		m.limit(2*floor.Subject, "bytes: two bare subjects")
		live, results, memory = size, append(results, r), append(memory, m)
	}
	return append(append(results, memory...), growth("message to many, live", results)), nil
}

// A long is the input of a workflow of so many steps, the last of which come one
// after another.
type long struct{ Steps, Last int }

var longSteps = durable.DeclareWorkflow[long, durable.None]("bench-long")

// s9Batch is how many steps of a long workflow come at once.
const s9Batch = 500

// longKind tells a channel when each of the last steps began. Then it waits.
func longKind(began chan<- time.Time) *runtime.Kind {
	return durable.Workflow(longSteps, func(ctx durable.Context, l long) (none durable.None, err error) {
		for left := l.Steps - l.Last; left > 0; left -= s9Batch {
			steps := make([]*durable.Future[string], min(left, s9Batch))
			for i := range steps {
				steps[i] = durable.StepAsync(ctx, "step", func(context.Context) (string, error) { return text, nil })
			}
			if _, err := durable.All(ctx, steps...); err != nil {
				return none, err
			}
		}
		for range l.Last {
			if _, err := durable.Step(ctx, "step", func(context.Context) (string, error) {
				began <- time.Now()
				return text, nil
			}); err != nil {
				return none, err
			}
		}
		_, err = durable.Await(ctx, goOn)
		return none, err
	})
}

// s9Journals measures a step of a run that has so many already, and how long it
// takes until a run that was not in memory continues.
func s9Journals(ctx context.Context, e env) (results []result, err error) {
	began := make(chan time.Time, 100)
	// A hundred steps take 2 ms: all of them, or none, fell in a collection of garbage.
	measured := 1000
	if e.tiny {
		measured = 100
	}
	n, err := openWith(ctx, e, []perdure.Option{perdure.SuspendAfter(10 * time.Millisecond), perdure.LongJournal(0)}, longKind(began))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, n.close()) }()
	var replays []result
	for _, size := range e.sizes([]int{10, 1000, 100_000}, nil, []int{10, 600}) {
		var steps []time.Duration
		var replay time.Duration
		last := min(size, max(100, size/100))
		for i := range measured / min(last, measured) { // as many steps of each size
			took, back, err := n.long(ctx, fmt.Sprintf("long-%d-%d", size, i), long{size, last}, began)
			if err != nil {
				return nil, err
			}
			steps, replay = append(steps, took...), back
		}
		t := brokerbench.TimingOf(steps)
		results = append(results, result{Metric: fmt.Sprintf("step, journal of %d", size), Value: ms(t.P50), Unit: "ms", N: t.N, P50: ms(t.P50), P99: ms(t.P99), RSS: residentMB()})
		replays = append(replays, result{Metric: fmt.Sprintf("replay, journal of %d", size), Value: ms(replay), Unit: "ms", N: size})
	}
	return append(append(results, replays...), growth("step, journal", results)), nil
}

// long runs a long workflow, and returns how long its last steps took, and how long
// it took to come back to memory and end.
func (n *node) long(ctx context.Context, key string, l long, began <-chan time.Time) (steps []time.Duration, replay time.Duration, err error) {
	run, err := perdure.Start(ctx, n.Client(), longSteps.At(key), l)
	if err != nil {
		return nil, 0, err
	}
	var last time.Time
	for range l.Last {
		select {
		case at := <-began:
			if !last.IsZero() {
				steps = append(steps, at.Sub(last))
			}
			last = at
		case <-ctx.Done():
			return nil, 0, ctx.Err()
		}
	}
	if err := n.suspended(ctx, run.Ref()); err != nil {
		return nil, 0, err
	}
	from := time.Now()
	if err := perdure.Signal(ctx, n.Client(), run.Ref(), goOn, text); err != nil {
		return nil, 0, err
	}
	_, err = run.Result(ctx)
	return steps, time.Since(from), err
}

// suspended returns when a run is not in memory any more.
func (n *node) suspended(ctx context.Context, ref string) error {
	for {
		info, err := n.Client().Get(ctx, ref)
		if err != nil || info.Status == "suspended" {
			return err
		}
		if err := pauseFor(ctx, 5*time.Millisecond); err != nil {
			return err
		}
	}
}
