// Package load is what the nodes of a chaos run host, and what is asked of them.
package load

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"syscall"
	"time"

	"github.com/perdure/perdure/actors"
	"github.com/perdure/perdure/agents"
	"github.com/perdure/perdure/agents/models/openai"
	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/runtime"
)

// An Order asks for what a workflow can do: steps, a timer, a signal, a call to a
// cell, and messages to a ledger.
type Order struct {
	N      int           `json:"n"` // unique
	Cell   string        `json:"cell"`
	Ledger string        `json:"ledger"`
	Wait   time.Duration `json:"wait"`
}

// A Receipt is what it comes to.
type Receipt struct {
	Steps    []string `json:"steps"` // what each execution of a step that was recorded answered
	Approved string   `json:"approved"`
	Sum      int      `json:"sum"` // of the cell, as the call returned it
}

// A Nap asks for a workflow whose last wait is a timer, and whose message goes out as it
// ends: nothing but the timer carries it.
type Nap struct {
	N      int           `json:"n"` // unique, among orders too
	Ledger string        `json:"ledger"`
	Wait   time.Duration `json:"wait"`
}

// A Note is one of the messages that an order sends to its ledger.
type Note struct {
	Order int `json:"order"`
	I     int `json:"i"` // 1, and then 2
}

// The verbs of the load.
var (
	Fulfil     = durable.DeclareWorkflow[Order, Receipt]("order")
	TakeNap    = durable.DeclareWorkflow[Nap, []string]("nap")
	Approve    = durable.DeclareSignal[string]("approve")
	CellAdd    = durable.Declare[int, int]("cell.add")
	CellGet    = durable.Declare[durable.None, int]("cell.get")
	CellAsk    = durable.DeclareQuery[durable.None, int]("cell.ask")
	LedgerNote = durable.Declare[Note, durable.None]("ledger.note")
	LedgerList = durable.Declare[durable.None, []Note]("ledger.list")
	Forecast   = durable.Declare[string, string]("forecast")
)

// Headers by which the far side knows what asks.
const (
	HeaderRun   = "X-Run"
	HeaderPath  = "X-Path"
	HeaderBegun = "X-Begun" // when the body of the step began, Unix nanoseconds
)

// A Far is the far side as a node asks it.
type Far struct {
	Base   string // with the node's name
	Client *http.Client
}

// NewFar returns the far side at base, for the node of a name.
func NewFar(base, node string) Far {
	return Far{base + "/" + node, &http.Client{Timeout: 10 * time.Second, Transport: agents.IdempotentTransport(nil)}}
}

// RealNow is the time by the clock of the machine, which is not that of a node whose
// clock was made to jump.
func RealNow() time.Time {
	var t syscall.Timeval
	if err := syscall.Gettimeofday(&t); err != nil {
		return time.Now()
	}
	return time.Unix(0, t.Nano())
}

// do calls the far side from within a step, and returns what this execution is
// called.
func (f Far) do(ctx context.Context, name string) (string, error) {
	begun := RealNow()
	s, ok := runtime.StepFrom(ctx)
	if !ok {
		return "", errors.New("the far side is called outside of a step")
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, f.Base+"/step/"+url.PathEscape(name), nil)
	if err != nil {
		return "", err
	}
	req.Header.Set(HeaderRun, s.Info.Ref().String())
	req.Header.Set(HeaderPath, s.Path)
	req.Header.Set(HeaderBegun, strconv.FormatInt(begun.UnixNano(), 10))
	resp, err := f.Client.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", resp.Status, body)
	}
	return string(body), err
}

// Place is what the tool of the agent is asked.
type Place struct {
	City string `json:"city"`
}

// Sky is what it answers.
type Sky struct {
	Sky     string `json:"sky"`
	Celsius int    `json:"celsius"`
}

// Kinds are what every node hosts.
func Kinds(f Far) []*runtime.Kind {
	return []*runtime.Kind{
		durable.Workflow(Fulfil, func(ctx durable.Context, o Order) (Receipt, error) { return fulfil(ctx, f, o) }, durable.KeepHistory()),
		durable.Workflow(TakeNap, func(ctx durable.Context, n Nap) ([]string, error) { return nap(ctx, f, n) }),
		actors.New(actors.Handlers[int]{
			actors.On(CellAdd, func(_ durable.Context, sum *int, n int) (int, error) {
				*sum += n
				return *sum, nil
			}),
			actors.On(CellGet, func(_ durable.Context, sum *int, _ durable.None) (int, error) { return *sum, nil }),
			actors.OnQuery(CellAsk, func(sum int, _ durable.None) (int, error) { return sum, nil }),
		}),
		actors.New(actors.Handlers[[]Note]{
			actors.On(LedgerNote, func(_ durable.Context, all *[]Note, n Note) (durable.None, error) {
				*all = append(*all, n)
				return durable.None{}, nil
			}),
			actors.On(LedgerList, func(_ durable.Context, all *[]Note, _ durable.None) ([]Note, error) { return *all, nil }),
		}),
		agents.New(Forecast,
			agents.Instructions("You answer questions about the weather."),
			agents.UseModel(openai.New("scripted", openai.BaseURL(f.Base+"/v1"), openai.APIKey("none")), agents.Retry(1000, 50*time.Millisecond)),
			agents.Tools(agents.Func("get_weather", "Current weather in a city", func(ctx context.Context, p Place) (Sky, error) {
				_, err := f.do(ctx, "look at "+p.City)
				return Sky{"rain", len(p.City)}, err
			}, agents.Retry(1000, 50*time.Millisecond)))),
	}
}

func body(f Far, name string) func(context.Context) (string, error) {
	return func(ctx context.Context) (string, error) { return f.do(ctx, name) }
}

// nap sends its message as it wakes up, and ends: the timer alone carries that.
func nap(ctx durable.Context, f Far, n Nap) (steps []string, err error) {
	s, err := durable.Step(ctx, "yawn", body(f, "yawn"), durable.Retry(1000, 50*time.Millisecond))
	if err == nil {
		err = durable.Sleep(ctx, n.Wait)
	}
	if err == nil {
		_, err = durable.Send(ctx, LedgerNote.At(n.Ledger), Note{n.N, 1})
	}
	return []string{s}, err
}

// fulfil has steps in a row and side by side, a timer, a signal, a call and messages.
func fulfil(ctx durable.Context, f Far, o Order) (r Receipt, err error) {
	retry := durable.Retry(1000, 50*time.Millisecond)
	step := func(name string) {
		if err != nil {
			return
		}
		var s string
		if s, err = durable.Step(ctx, name, body(f, name), retry); err == nil {
			r.Steps = append(r.Steps, s)
		}
	}
	step("reserve")
	if err == nil {
		err = durable.Sleep(ctx, o.Wait)
	}
	step("charge")
	if err == nil {
		r.Approved, err = durable.Await(ctx, Approve)
	}
	if err == nil {
		var both []string
		both, err = durable.All(ctx, durable.StepAsync(ctx, "pick", body(f, "pick"), retry),
			durable.StepAsync(ctx, "pack", body(f, "pack"), retry), durable.StepAsync(ctx, "label", body(f, "label"), retry))
		r.Steps = append(r.Steps, both...)
	}
	if err == nil {
		r.Sum, err = durable.Call(ctx, CellAdd.At(o.Cell), o.N)
	}
	for i := 1; i <= 2 && err == nil; i++ {
		_, err = durable.Send(ctx, LedgerNote.At(o.Ledger), Note{o.N, i})
	}
	step("ship")
	return r, err
}
