package durable_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/durable/durabletest"
)

// A Parcel is what the examples of limits are asked for.
type Parcel struct {
	Customer, Region string
}

// Deliver is a workflow behind limits.
var Deliver = durable.DeclareWorkflow[Parcel, string]("deliver")

// A warehouse counts the runs that are in it at once.
type warehouse struct {
	mu       sync.Mutex
	in, most int
}

func (w *warehouse) door(by int) func(context.Context) (int, error) {
	return func(context.Context) (int, error) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.in += by
		w.most = max(w.most, w.in)
		return w.in, nil
	}
}

func (w *warehouse) ship(ctx durable.Context, o Parcel) (string, error) {
	if _, err := durable.Step(ctx, "enter", w.door(1)); err != nil {
		return "", err
	}
	if err := durable.Sleep(ctx, time.Millisecond); err != nil {
		return "", err
	}
	_, err := durable.Step(ctx, "leave", w.door(-1))
	return "sent to " + o.Customer, err
}

// shipAll starts an order of each customer and waits for all.
func shipAll(kind *durable.Kind, orders ...Parcel) {
	w := durabletest.New(kind)
	var runs []*durabletest.Run[string]
	for i, o := range orders {
		r, err := durabletest.Start(w, Deliver.At(fmt.Sprint("order-", i)), o)
		if err != nil {
			fmt.Println(err)
			return
		}
		runs = append(runs, r)
	}
	for _, r := range runs {
		out, err := r.Result()
		switch {
		case errors.Is(err, durable.ErrBusy):
			out = "busy"
		case errors.Is(err, durable.ErrSuperseded):
			out = "superseded"
		case err != nil:
			out = err.Error()
		}
		fmt.Println(out)
	}
	if err := w.Close(); err != nil {
		fmt.Println(err)
	}
}

func ExampleConcurrency() {
	w := &warehouse{}
	kind := durable.Workflow(Deliver, w.ship,
		durable.Concurrency(2), // of all
		durable.Concurrency(1, durable.LimitName("region"), durable.LimitBy(func(o Parcel) string { return o.Region })),
	)
	shipAll(kind, Parcel{"ann", "eu"}, Parcel{"ben", "eu"}, Parcel{"cas", "us"}, Parcel{"dia", "as"})
	fmt.Println("at once, at most:", w.most)
	// Output:
	// sent to ann
	// sent to ben
	// sent to cas
	// sent to dia
	// at once, at most: 2
}

func ExampleTenant() {
	w := &warehouse{}
	kind := durable.Workflow(Deliver, w.ship,
		durable.Concurrency(1, durable.Tenant(func(o Parcel) string { return o.Customer })))
	shipAll(kind, Parcel{Customer: "ann"}, Parcel{Customer: "ben"})
	fmt.Println("at once, at most:", w.most)
	// Output:
	// sent to ann
	// sent to ben
	// at once, at most: 1
}

func ExampleRate() {
	w := &warehouse{}
	kind := durable.Workflow(Deliver, w.ship, durable.Rate(1000, time.Second, durable.Burst(2)))
	shipAll(kind, Parcel{Customer: "ann"}, Parcel{Customer: "ben"})
	// Output:
	// sent to ann
	// sent to ben
}

func ExampleSingleton() {
	w := &warehouse{}
	kind := durable.Workflow(Deliver, w.ship,
		durable.Singleton(durable.LimitBy(func(o Parcel) string { return o.Region }), durable.Attached()))
	shipAll(kind, Parcel{"ann", "eu"})
	// Output: sent to ann
}

func ExampleDebounce() {
	w := &warehouse{}
	kind := durable.Workflow(Deliver, w.ship,
		durable.Debounce(50*time.Millisecond, durable.LimitBy(func(o Parcel) string { return o.Region }), durable.Longest(time.Second)))
	shipAll(kind, Parcel{"ann", "eu"})
	// Output: sent to ann
}

func ExamplePriority() {
	name := durable.DeclareWorkflow[string, string]("desk")
	desk := durable.Workflow(name, func(ctx durable.Context, o string) (string, error) {
		return durable.Call(ctx, Deliver.At(o), Parcel{Customer: o}, durable.Priority(5))
	})
	w := durabletest.New(desk, durable.Workflow(Deliver, (&warehouse{}).ship, durable.Concurrency(1)))
	fmt.Println(durabletest.Call(w, name.At("ann"), "ann"))
	fmt.Println(w.Close())
	// Output:
	// sent to ann <nil>
	// <nil>
}
