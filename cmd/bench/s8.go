package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/perdure/perdure"
	"github.com/perdure/perdure/broker/brokerbench"
)

// s8 disturbs a cluster: for how long do runs stand still?
var s8 = scenario{
	name: "S8", what: "three nodes on three servers: the longest pause of a run whose node leaves, is killed, hangs; of any as one node after another is restarted, and as the leading server is killed",
	repeat: 3,
	run:    runS8,
	judge: func(r *result, _ limits) {
		switch r.Metric {
		case "node leaves":
			r.target("<= 300 ms", r.Value <= 300)
		case "node killed":
			r.target("<= 500 ms", r.Value <= 500)
		case "node hangs":
			r.target("<= 5 s", r.Value <= 5000)
		case "leading server killed":
			r.target("<= 1.2 x limit", r.Ratio <= 1.2)
		}
	},
}

// s8Patience is how long the whole may take.
const s8Patience = 5 * time.Minute

// A watched cluster is one with the runs that go on in it.
type watched struct {
	*cluster
	runs  int
	read  [clusterSize]int64 // of each node's file
	byRun map[string][]ticked
}

func runS8(ctx context.Context, e env) (results []result, err error) {
	ctx, cancel := context.WithTimeout(ctx, s8Patience)
	defer cancel()
	c, err := startCluster(ctx, e)
	if err != nil {
		return nil, err
	}
	defer c.stop()
	client, err := perdure.Dial(ctx, c.urls, perdure.Logger(warnings()))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, client.Close()) }()
	w := &watched{cluster: c, runs: e.count(60, 12), byRun: map[string][]ticked{}}
	for i := range w.runs {
		if _, err := perdure.Start(ctx, client, ticks.At(fmt.Sprint("tick-", i)), 1_000_000); err != nil {
			return nil, err
		}
	}
	for _, d := range []struct {
		metric  string
		node    int
		disturb func(p *process) error
	}{
		{"node leaves", 0, func(p *process) error { return errors.Join(p.stdin.Close(), p.cmd.Wait()) }},
		{"node killed", 1, func(p *process) error { p.kill(); return nil }},
		{"node hangs", 2, hang},
	} {
		if err := w.settled(ctx); err != nil {
			return nil, err
		}
		r, err := w.moved(ctx, d.node, d.metric, d.disturb)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", d.metric, err)
		}
		results = append(results, r)
		w.nodes[d.node].kill()
		if err := w.again(ctx, d.node); err != nil {
			return nil, err
		}
	}
	if err := w.settled(ctx); err != nil {
		return nil, err
	}
	rolled, err := w.rolled(ctx)
	if err != nil {
		return nil, fmt.Errorf("rolling restart: %w", err)
	}
	results = append(results, rolled...)
	if err := w.settled(ctx); err != nil {
		return nil, err
	}
	r, err := w.elected(ctx)
	if err != nil {
		return nil, fmt.Errorf("leading server killed: %w", err)
	}
	return append(results, r), nil
}

// events returns what all nodes have noted, by run, in the order of time. It reads what is
// new: to look often must cost the runs nothing.
func (w *watched) events() (map[string][]ticked, error) {
	for i := range w.nodes {
		events, next, err := readJournalFrom(w.journal(i), w.read[i])
		if err != nil {
			return nil, err
		}
		w.read[i] = next
		for _, e := range events {
			of := append(w.byRun[e.key], ticked{e, i})
			for k := len(of) - 1; k > 0 && of[k].at.Before(of[k-1].at); k-- { // of two nodes
				of[k], of[k-1] = of[k-1], of[k]
			}
			w.byRun[e.key] = of
		}
	}
	return maps.Clone(w.byRun), nil
}

// A ticked is an event of a run and the node that noted it.
type ticked struct {
	event
	node int
}

// until asks again until ok, or ctx ends.
func (w *watched) until(ctx context.Context, what string, ok func(byRun map[string][]ticked) bool) (map[string][]ticked, error) {
	for {
		byRun, err := w.events()
		if err != nil || ok(byRun) {
			return byRun, err
		}
		if err := pauseFor(ctx, 20*time.Millisecond); err != nil {
			return nil, fmt.Errorf("wait until %s: %w", what, err)
		}
	}
}

// everywhere returns when all runs go on, and each node has some of them.
func (w *watched) everywhere(ctx context.Context) error {
	from := time.Now()
	_, err := w.until(ctx, "every node executes runs", func(byRun map[string][]ticked) bool {
		nodes, going := map[int]bool{}, 0
		for _, events := range byRun {
			if last := events[len(events)-1]; last.at.After(from) {
				nodes[last.node] = true
				going++
			}
		}
		return going == w.runs && len(nodes) == len(w.nodes)
	})
	return err
}

// settledFor is how long nothing has moved in a cluster that has settled: longer than a
// lease, after which a node may judge another one dead.
const settledFor = 4 * time.Second

// settled returns when all runs go on, each node has some, and none has moved for a while:
// what a disturbance costs that comes upon another one, the rolling restart says.
func (w *watched) settled(ctx context.Context) error {
	from := time.Now()
	if err := w.everywhere(ctx); err != nil {
		return err
	}
	_, err := w.until(ctx, "no run moves", func(byRun map[string][]ticked) bool {
		now := time.Now()
		for _, events := range byRun {
			for k := len(events) - 1; k > 0 && events[k].at.After(from); k-- {
				if events[k].node != events[k-1].node {
					from = events[k].at
					break
				}
			}
		}
		return now.Sub(from) >= settledFor
	})
	return err
}

// moved disturbs a node, waits until all its runs go on elsewhere, and says how long
// one of them did nothing at most.
func (w *watched) moved(ctx context.Context, node int, metric string, disturb func(*process) error) (r result, err error) {
	before, err := w.events()
	if err != nil {
		return r, err
	}
	at := time.Now()
	done := make(chan error, 1)
	go func() { done <- disturb(w.nodes[node]) }() // to leave takes a while
	elsewhere := func(events []ticked) int {
		return slices.IndexFunc(events, func(t ticked) bool { return t.node != node && t.at.After(at) })
	}
	mine := map[string]bool{}
	for key, events := range before {
		if events[len(events)-1].node == node {
			mine[key] = true
		}
	}
	after, err := w.until(ctx, "its runs go on elsewhere", func(byRun map[string][]ticked) bool {
		for key := range mine {
			if elsewhere(byRun[key]) < 0 {
				return false
			}
		}
		return true
	})
	if err != nil {
		return r, err
	}
	if err := <-done; err != nil {
		return r, err
	}
	var pauses []time.Duration
	for key := range mine {
		i := elsewhere(after[key])
		last := after[key][i-1].at // of the node, which had the run until then
		if metric != "node leaves" && last.Before(at) {
			last = at
		}
		pauses = append(pauses, after[key][i].at.Sub(last))
	}
	slices.Sort(pauses)
	t := brokerbench.TimingOf(pauses)
	return result{Metric: metric, Value: ms(pauses[len(pauses)-1]), Unit: "ms", N: len(pauses), P50: ms(t.P50), P99: ms(t.P99)}, nil
}

// rolled restarts each node in turn, as an upgrade does, and says how long a run did
// nothing at most, and how many do not go on behind it or have left out a step.
func (w *watched) rolled(ctx context.Context) ([]result, error) {
	at := time.Now()
	for i := range w.nodes {
		if err := errors.Join(w.nodes[i].stdin.Close(), w.nodes[i].cmd.Wait()); err != nil {
			return nil, err
		}
		if err := w.again(ctx, i); err != nil {
			return nil, err
		}
		if err := w.everywhere(ctx); err != nil {
			return nil, err
		}
	}
	after, err := w.events()
	if err != nil {
		return nil, err
	}
	lost := w.runs
	for _, events := range after {
		if whole(events) {
			lost--
		}
	}
	return []result{pausesOf("rolling restart", after, at), {Metric: "rolling restart, lost", Value: float64(lost), Unit: "runs", N: w.runs}}, nil
}

// whole reports whether each step of a run up to its last event was done.
func whole(events []ticked) bool {
	done, last := map[int]bool{}, 0
	for _, e := range events {
		if e.what == "end" {
			done[e.step], last = true, max(last, e.step)
		}
	}
	return len(done) == last+1
}

// pausesOf says for how long a run did nothing at most since then.
func pausesOf(metric string, byRun map[string][]ticked, since time.Time) result {
	var pauses []time.Duration
	for _, events := range byRun {
		longest := time.Duration(0)
		for k, e := range events {
			if k > 0 && e.at.After(since) {
				longest = max(longest, e.at.Sub(events[k-1].at))
			}
		}
		pauses = append(pauses, longest)
	}
	slices.Sort(pauses)
	t := brokerbench.TimingOf(pauses)
	return result{Metric: metric, Value: ms(pauses[len(pauses)-1]), Unit: "ms", N: len(pauses), P50: ms(t.P50), P99: ms(t.P99)}
}

// elected kills the server that leads the journals, and says how long a run did
// nothing at most, beside bare publishers to the very streams that a step needs and that
// server leads: the journals', and perhaps the leases'. Each elects its next leader by
// chance within 4 to 9 s, so that of another stream says nothing.
func (w *watched) elected(ctx context.Context) (r result, err error) {
	leader, err := brokerbench.Leader(ctx, w.urls, "perdure_RUNS")
	if err != nil {
		return r, err
	}
	leases, err := brokerbench.Leader(ctx, w.urls, "KV_perdure_cluster")
	if err != nil {
		return r, err
	}
	subjects := []string{"perdure.run.0.bare.publisher.bench"}
	if leases == leader {
		subjects = append(subjects, "$KV.perdure_cluster.bare")
	}
	var bare []*brokerbench.Publisher
	for _, subject := range subjects {
		p, err := brokerbench.NewPublisher(ctx, w.urls, subject)
		if err != nil {
			return r, err
		}
		bare = append(bare, p)
	}
	at := time.Now()
	i := slices.IndexFunc(w.servers, func(p *process) bool { return p.name == leader })
	if i < 0 {
		return r, fmt.Errorf("no server has the name %q of the leader", leader)
	}
	w.servers[i].kill()
	// who goes on twice has come through: a first step may have been under way
	after, err := w.until(ctx, "all runs go on", func(byRun map[string][]ticked) bool {
		going := 0
		for _, events := range byRun {
			starts := 0
			for _, e := range slices.Backward(events) {
				if !e.at.After(at) {
					break
				}
				if e.what == "start" {
					starts++
				}
			}
			if starts > 2 {
				going++
			}
		}
		return going == w.runs
	})
	longest := time.Duration(0)
	for _, p := range bare {
		gap, gapErr := p.Stop()
		err, longest = errors.Join(err, gapErr), max(longest, gap)
	}
	if err != nil {
		return r, err
	}
	r = pausesOf("leading server killed", after, at)
	r.limit(ms(longest), fmt.Sprintf("ms: the longest of %d bare publishers", len(bare)))
	return r, nil
}
