package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/perdure/perdure"
	"github.com/perdure/perdure/actors"
	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/runtime"
)

// A drawer is a virtual actor that keeps what is saved in it.
type drawer struct{ Text string }

var (
	save  = durable.Declare[string, durable.None]("bench-drawer.save")
	load  = durable.Declare[durable.None, string]("bench-drawer.load")
	erase = durable.Declare[durable.None, durable.None]("bench-drawer.erase")

	stateful = durable.DeclareWorkflow[int, int]("bench-stateful") // of KB
	ten      = durable.DeclareWorkflow[string, string]("bench-fan-out")
)

func drawerKind() *runtime.Kind {
	return actors.New(actors.Handlers[drawer]{
		actors.On(save, func(_ durable.Context, d *drawer, in string) (none durable.None, err error) {
			d.Text = in
			return none, nil
		}),
		actors.On(load, func(_ durable.Context, d *drawer, _ durable.None) (string, error) { return d.Text, nil }),
		actors.On(erase, func(_ durable.Context, d *drawer, none durable.None) (durable.None, error) {
			*d = drawer{}
			return none, nil
		}),
	})
}

// statefulKind saves so many KB, reads them and deletes them, and returns how many
// bytes came back.
func statefulKind() *runtime.Kind {
	return durable.Workflow(stateful, func(ctx durable.Context, kb int) (int, error) {
		key := ctx.Info().Key
		if _, err := durable.Call(ctx, save.At(key), strings.Repeat("1", kb<<10)); err != nil {
			return 0, err
		}
		got, err := durable.Call(ctx, load.At(key), durable.None{})
		if err != nil {
			return 0, err
		}
		_, err = durable.Call(ctx, erase.At(key), durable.None{})
		return len(got), err
	})
}

func tenKind() *runtime.Kind {
	return durable.Workflow(ten, func(ctx durable.Context, in string) (string, error) { return fanOut(ctx, 10, in) })
}

// d5Shapes are the three sizes of state, and Dapr's fan-out of ten. What a run with
// state cannot do without: its task, its start and its end, the three messages and
// their runs' ends, two new states; of these its start, its end, each message and
// its run's end in series.
var d5Shapes = func() (shapes []shape) {
	for _, kb := range []int{10, 50, 100} {
		shapes = append(shapes, shape{
			suffix: fmt.Sprintf(", %d KB", kb), atOnce: 30, count: 300, tiny: 8,
			call: func(ctx context.Context, n *node, key string) error {
				got, err := perdure.Call(ctx, n.Client(), stateful.At(key), kb)
				if err == nil && got != kb<<10 {
					err = fmt.Errorf("%d bytes of state came back, want %d", got, kb<<10)
				}
				return err
			},
			publishes: 11, inSeries: 8, rate: 8.92, p95: 3670,
		})
	}
	return append(shapes, shape{
		suffix: ", fan-out of ten", atOnce: 30, count: 300, tiny: 8, call: textCall(ten),
		publishes: widePublishes, inSeries: wideInSeries, rate: 25,
	})
}()

// d5 is state that is saved, read and deleted by way of a virtual actor.
var d5 = scenario{
	name: "D5", what: "state of 10, 50 and 100 KB saved, read, deleted; a fan-out of ten; 30 workflows at once",
	repeat: 3,
	run: func(ctx context.Context, e env) (results []result, err error) {
		n, err := open(ctx, e, drawerKind(), statefulKind(), tenKind())
		if err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, n.close()) }()
		if err := e.profile.start(); err != nil {
			return nil, err
		}
		for _, s := range d5Shapes {
			more, err := s.load(ctx, e, n)
			if err != nil {
				return nil, errors.Join(err, e.profile.stop())
			}
			results = append(results, more...)
		}
		return results, e.profile.stop()
	},
	judge: func(r *result, l limits) {
		for _, s := range d5Shapes {
			s.judge(r, l)
		}
	},
}
