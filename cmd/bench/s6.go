package main

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/perdure/perdure"
	"github.com/perdure/perdure/actors"
	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/runtime"
)

// What is stored, one after another, until the answer is there: a signal, and
// the run's receipt of it; an actor's task, its start, its record, its state. At
// disk the first fsync of each may run beside the second. A question is a
// request, and the read of a state is another.
const (
	signalPublishes, signalInSeries = 2, 1
	askPublishes, askInSeries       = 4, 3
	queryReads                      = 2
)

// s6 is the latency of what is said to, and asked of, something that lives.
var s6 = scenario{
	name: "S6", what: "a signal until its run continues; a message to a virtual actor until its answer; a query",
	run:   runS6,
	judge: judgeS6,
}

func judgeS6(r *result, l limits) {
	stored := func(publishes, inSeries int) {
		if l.disk {
			r.limit(float64(inSeries)*ms(l.Fsync.P50), fmt.Sprintf("ms: %d fsyncs", inSeries))
		} else {
			r.limit(float64(publishes)*ms(l.Publish.P50), fmt.Sprintf("ms: %d bare publishes", publishes))
		}
	}
	switch r.Metric {
	case "signal":
		stored(signalPublishes, signalInSeries)
		if l.disk {
			r.target("<= 0.5 ms", r.Value <= 0.5)
		} else {
			r.target("<= 0.1 ms", r.Value <= 0.1)
		}
	case "ask":
		stored(askPublishes, askInSeries)
	case "query":
		r.limit(queryReads*ms(l.Read.P50), fmt.Sprintf("ms: %d bare reads", queryReads))
		r.target("<= 0.05 ms", r.Value <= 0.05)
	}
}

// waiting is a workflow that waits for so many signals, one after another.
var (
	waiting = durable.DeclareWorkflow[int, durable.None]("bench-waiting")
	goOn    = durable.DeclareSignal[string]("go-on")
)

// waitingKind tells a channel of each signal when the run continued with it, once: a
// run that leaves memory in between is replayed.
func waitingKind(continued chan<- time.Time) *runtime.Kind {
	var told atomic.Int64
	return durable.Workflow(waiting, func(ctx durable.Context, signals int) (none durable.None, err error) {
		for n := range int64(signals) {
			if _, err := durable.Await(ctx, goOn); err != nil {
				return none, err
			}
			if told.CompareAndSwap(n, n+1) {
				continued <- time.Now() //perdurevet:ignore the moment is what is measured
			}
		}
		return none, nil
	})
}

// A page is the state of a virtual actor.
type page struct {
	Text    string
	Written int
}

var (
	write = durable.Declare[string, string]("bench-page.write")
	read  = durable.DeclareQuery[durable.None, string]("bench-page.read")
)

func pageKind() *runtime.Kind {
	return actors.New(actors.Handlers[page]{
		actors.On(write, func(_ durable.Context, p *page, in string) (string, error) {
			p.Text = in
			p.Written++
			return in, nil
		}),
		actors.OnQuery(read, func(p page, _ durable.None) (string, error) { return p.Text, nil }),
	})
}

func runS6(ctx context.Context, e env) (_ []result, err error) {
	count := e.count(3000, 20)
	warm := min(count, 200)
	continued := make(chan time.Time, warm+count)
	n, err := open(ctx, e, waitingKind(continued), pageKind())
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, n.close()) }()
	run, err := perdure.Start(ctx, n.Client(), waiting.At("run"), warm+count)
	if err != nil {
		return nil, err
	}
	things := []struct {
		metric string
		do     func() (time.Time, error) // returns when it was done
	}{
		{"signal", func() (time.Time, error) {
			if err := perdure.Signal(ctx, n.Client(), run.Ref(), goOn, text); err != nil {
				return time.Time{}, err
			}
			select {
			case at := <-continued:
				return at, nil
			case <-ctx.Done():
				return time.Time{}, ctx.Err()
			}
		}},
		{"ask", func() (time.Time, error) {
			out, err := perdure.Call(ctx, n.Client(), write.At("page"), text)
			return time.Now(), unlessText(out, err)
		}},
		{"query", func() (time.Time, error) {
			out, err := perdure.Ask(ctx, n.Client(), read.At("page"), durable.None{})
			return time.Now(), unlessText(out, err)
		}},
	}
	for _, t := range things {
		for range warm {
			if _, err := t.do(); err != nil {
				return nil, fmt.Errorf("%s, to warm up: %w", t.metric, err)
			}
		}
	}
	if err := e.profile.start(); err != nil {
		return nil, err
	}
	var results []result
	for _, t := range things {
		r, err := latencies(t.metric, count, func(int) (time.Duration, error) {
			began := time.Now()
			at, err := t.do()
			return at.Sub(began), err
		})
		if err != nil {
			return nil, fmt.Errorf("%s: %w", t.metric, errors.Join(err, e.profile.stop()))
		}
		results = append(results, r)
	}
	if err := e.profile.stop(); err != nil {
		return nil, err
	}
	_, err = run.Result(ctx)
	return results, err
}

// unlessText is an error if what came back is not what was sent.
func unlessText(out string, err error) error {
	if err == nil && out != text {
		err = fmt.Errorf("%q came back, not what was sent", out)
	}
	return err
}
