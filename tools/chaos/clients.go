package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/perdure/perdure"
	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/tools/chaos/load"
)

// How much the clients ask for.
const (
	orderClients = 12
	cellClients  = 8
	napClients   = 12
	agentClients = 2
	liveCells    = 4
	cellLife     = 400 // operations, then the next cell takes its place
	ledgers      = 8
)

// clients ask for what nodes do, and note what they ask and what comes of it. None of
// them gives up: whatever is away, they wait.
type clients struct {
	h    *history
	c    *perdure.Client
	seed uint64
	t    *tracker

	number  int // of clients so far
	ops     atomic.Int64
	retried atomic.Int64 // questions that were asked again because nobody answered
	cellOps [liveCells]atomic.Int64
	wg      sync.WaitGroup

	mu   sync.Mutex
	sent map[string]map[string]bool // by ledger: what it is to have
}

func dial(ctx context.Context, url string) (*perdure.Client, error) {
	return perdure.Dial(ctx, url, perdure.WithDurability(perdure.Quorum), perdure.Logger(slog.New(slog.DiscardHandler)),
		perdure.NATSOptions(nats.IgnoreDiscoveredServers()))
}

// start begins all clients. They begin nothing new once load has ended, and wait for
// what they have begun until ctx ends.
func (c *clients) start(ctx, load context.Context) {
	begin := func(n int, work func(context.Context, context.Context, *rand.Rand, int)) {
		for range n {
			number := c.number
			c.number++
			r := rand.New(rand.NewPCG(c.seed, uint64(number)+1))
			c.wg.Go(func() {
				for load.Err() == nil {
					work(ctx, load, r, number)
					select {
					case <-load.Done():
					case <-time.After(time.Duration(r.IntN(20)) * time.Millisecond):
					}
				}
			})
		}
	}
	begin(orderClients, c.order)
	begin(cellClients, c.cell)
	begin(napClients, c.nap)
	begin(agentClients, c.forecast)
}

// invoke notes that an operation begins, and returns what its end is noted with.
func (c *clients) invoke(e event) (accepted func(), returned func(out any, err error)) {
	e.Ev, e.Op = evInvoke, int(c.ops.Add(1))
	c.h.add(e)
	c.t.begin(e.Run)
	accepted = func() { c.h.add(event{Ev: evAccept, Op: e.Op}) }
	returned = func(out any, err error) {
		c.t.end(e.Run)
		r := event{Ev: evReturn, Op: e.Op}
		r.Result, r.Err = told(out, err)
		if n, ok := out.(int); ok {
			r.Out = n
		}
		if receipt, ok := out.(load.Receipt); ok {
			r.Out = receipt.Sum
		}
		c.h.add(r)
	}
	return accepted, returned
}

// told is a result as the history has it.
func told(out any, err error) (result, failed string) {
	if err != nil {
		return "", err.Error()
	}
	data, err := json.Marshal(out)
	if err != nil {
		return "", err.Error()
	}
	return string(data), ""
}

// cellKey draws one of the cells that live.
func (c *clients) cellKey(r *rand.Rand) string {
	i := r.IntN(liveCells)
	return fmt.Sprintf("c%d-%d", i, c.cellOps[i].Add(1)/cellLife)
}

// order has an order fulfilled: start it, signal it, wait for it; some of it twice.
func (c *clients) order(ctx, stop context.Context, r *rand.Rand, number int) {
	n := int(c.ops.Load())*100 + number // unique: each client does one thing at a time
	o := load.Order{N: n, Cell: c.cellKey(r), Ledger: fmt.Sprint("l", r.IntN(ledgers)), Wait: time.Duration(20+r.IntN(1500)) * time.Millisecond}
	if r.IntN(4) == 0 {
		o.Wait = time.Duration(r.IntN(5000)) * time.Millisecond
	}
	key := fmt.Sprint(n)
	ref := "order/" + key + "/" + key
	accepted, returned := c.invoke(event{Client: number, Verb: "order", Run: ref, Cell: o.Cell, Ledger: o.Ledger, In: n, WaitMS: int(o.Wait.Milliseconds())})
	run, err := perdure.Start(ctx, c.c, load.Fulfil.At(key), o)
	if err != nil {
		returned(nil, err)
		return
	}
	accepted()
	again := r.IntN(4) == 0
	if again { // while it goes on, or after that
		late := time.Duration(r.IntN(6000)) * time.Millisecond
		c.wg.Go(func() {
			select {
			case <-time.After(late):
			case <-stop.Done():
				return
			}
			got, err := func() (load.Receipt, error) {
				run, err := perdure.Start(ctx, c.c, load.Fulfil.At(key), o)
				if err != nil {
					return load.Receipt{}, err
				}
				return run.Result(ctx)
			}()
			c.again(ref, got, err)
		})
	}
	wait(ctx, time.Duration(r.IntN(2000))*time.Millisecond)
	for range 1 + r.IntN(2) {
		if err := perdure.Signal(ctx, c.c, ref, load.Approve, "yes "+key, perdure.MessageID("yes")); err != nil {
			returned(nil, fmt.Errorf("signal: %w", err))
			return
		}
	}
	got, err := run.Result(ctx)
	returned(got, err)
	if err == nil {
		c.expect(o.Ledger, n, 2)
	}
}

// nap has a workflow sleep.
func (c *clients) nap(ctx, _ context.Context, r *rand.Rand, number int) {
	n := int(c.ops.Load())*100 + number
	o := load.Nap{N: n, Ledger: fmt.Sprint("l", r.IntN(ledgers)), Wait: time.Duration(250+r.IntN(1500)) * time.Millisecond}
	key := fmt.Sprint(n)
	accepted, returned := c.invoke(event{Client: number, Verb: "nap", Run: "nap/" + key + "/" + key, Ledger: o.Ledger, In: n, WaitMS: int(o.Wait.Milliseconds())})
	run, err := perdure.Start(ctx, c.c, load.TakeNap.At(key), o)
	if err != nil {
		returned(nil, err)
		return
	}
	accepted()
	got, err := run.Result(ctx)
	returned(got, err)
	if err == nil {
		c.expect(o.Ledger, n, 1)
	}
}

// expect notes that a ledger is to have what a run has sent.
func (c *clients) expect(ledger string, order, notes int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.sent == nil {
		c.sent = map[string]map[string]bool{}
	}
	if c.sent[ledger] == nil {
		c.sent[ledger] = map[string]bool{}
	}
	for i := range notes {
		c.sent[ledger][fmt.Sprintf("%d.%d", order, i+1)] = true
	}
}

// again notes what a result is said to be that was asked for once more.
func (c *clients) again(ref string, out any, err error) {
	e := event{Ev: evAgain, Run: ref}
	e.Result, e.Err = told(out, err)
	c.h.add(e)
}

// cell changes or reads a cell.
func (c *clients) cell(ctx, _ context.Context, r *rand.Rand, number int) {
	key := c.cellKey(r)
	id := fmt.Sprintf("m%d-%d", number, c.ops.Load())
	op := event{Client: number, Run: "cell/" + key + "/" + id, Cell: key}
	switch r.IntN(5) {
	case 0:
		op.Verb, op.Run = "ask", ""
		_, returned := c.invoke(op)
		for {
			got, err := perdure.Ask(ctx, c.c, load.CellAsk.At(key), durable.None{})
			if err != nil && ctx.Err() == nil && errors.Is(err, durable.ErrUnavailable) {
				c.retried.Add(1)
				wait(ctx, 50*time.Millisecond)
				continue
			}
			returned(got, err)
			return
		}
	case 1:
		op.Verb = "get"
		_, returned := c.invoke(op)
		got, err := perdure.Call(ctx, c.c, load.CellGet.At(key), durable.None{}, perdure.MessageID(id))
		returned(got, err)
	default:
		op.Verb, op.In = "add", 1+r.IntN(1000)
		_, returned := c.invoke(op)
		got, err := perdure.Call(ctx, c.c, load.CellAdd.At(key), op.In, perdure.MessageID(id))
		returned(got, err)
		if r.IntN(8) > 0 {
			return
		}
		late := time.Duration(r.IntN(6000)) * time.Millisecond
		c.wg.Go(func() {
			wait(ctx, late)
			got, err := perdure.Call(ctx, c.c, load.CellAdd.At(key), op.In, perdure.MessageID(id))
			c.again(op.Run, got, err)
		})
	}
}

// forecast asks an agent.
func (c *clients) forecast(ctx, _ context.Context, r *rand.Rand, number int) {
	key := fmt.Sprintf("f%d-%d", number, c.ops.Load())
	city := []string{"Oslo", "Lima", "Rome"}[r.IntN(3)]
	accepted, returned := c.invoke(event{Client: number, Verb: "forecast", Run: "forecast/" + key + "/" + key, Name: city})
	run, err := perdure.Start(ctx, c.c, load.Forecast.At(key), "How is the weather in "+city+"?", perdure.MessageID(key))
	if err != nil {
		returned(nil, err)
		return
	}
	accepted()
	got, err := run.Result(ctx)
	returned(got, err)
	wait(ctx, time.Duration(r.IntN(500))*time.Millisecond)
}

// lists notes what the ledgers have in the end. What nobody waits for may be under way
// for a while, which they are given.
func (c *clients) lists(ctx context.Context, patience time.Duration) {
	for i := range ledgers {
		e := event{Ev: evList, Ledger: fmt.Sprint("l", i)}
		for over := time.Now().Add(patience); ; wait(ctx, time.Second) {
			notes, err := perdure.Call(ctx, c.c, load.LedgerList.At(e.Ledger), durable.None{})
			_, e.Err = told(nil, err)
			e.What = nil
			lacks := len(c.sent[e.Ledger])
			for _, n := range notes {
				note := fmt.Sprintf("%d.%d", n.Order, n.I)
				e.What = append(e.What, note)
				if c.sent[e.Ledger][note] {
					lacks--
				}
			}
			if err != nil || lacks <= 0 || time.Now().After(over) {
				break
			}
		}
		c.h.add(e)
	}
}

// audit notes what an audit finds in the end, which repairs nothing.
func (c *clients) audit(ctx context.Context) {
	report, err := c.c.Audit(ctx, perdure.Audit{})
	if err != nil {
		c.h.add(event{Ev: evPhase, Phase: "unread", Err: "look through the namespace: " + err.Error()})
		return
	}
	for _, f := range report.Findings {
		c.h.add(event{Ev: evFound, Name: f.Kind, Run: f.Subject, Result: f.Found})
	}
}

// wait waits for a while.
func wait(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// A tracker knows which runs are in flight, and which node has claimed each.
type tracker struct {
	mu    sync.Mutex
	open  map[string]bool
	owner map[string]string
}

func newTracker() *tracker { return &tracker{open: map[string]bool{}, owner: map[string]string{}} }

func (t *tracker) begin(run string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if run != "" { // a question is no run
		t.open[run] = true
	}
}

func (t *tracker) end(run string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.open, run)
	delete(t.owner, run)
}

func (t *tracker) claimed(run, node string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.open[run] {
		t.owner[run] = node
	}
}

// flight returns how many runs are in flight: on a node, or at all.
func (t *tracker) flight(node string) (n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if node == "" {
		return len(t.open)
	}
	for _, o := range t.owner {
		if o == node {
			n++
		}
	}
	return n
}
