package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"

	"github.com/perdure/perdure"
	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/runtime"
)

// stepsEach is how many steps the measured workflow has, one after another.
const stepsEach = 10

// text is the payload of the benchmarks: 256 bytes of JSON.
var text = strings.Repeat("perdure.", 32)[:254]

// tenSteps is a workflow of ten steps that do nothing.
var tenSteps = durable.DeclareWorkflow[string, string]("bench-ten")

func tenStepsKind() *runtime.Kind {
	return durable.Workflow(tenSteps, func(ctx durable.Context, in string) (string, error) {
		for range stepsEach {
			var err error
			if in, err = durable.Step(ctx, "step", func(context.Context) (string, error) { return in, nil }); err != nil {
				return "", err
			}
		}
		return in, nil
	})
}

// A node is a node of Perdure in this process, with NATS inside.
type node struct {
	*perdure.Node
	stop  context.CancelFunc
	ended chan error
}

// open returns a node that takes work.
func open(ctx context.Context, e env, kinds ...*runtime.Kind) (*node, error) {
	return openWith(ctx, e, nil, kinds...)
}

// openWith returns a node with more options.
func openWith(ctx context.Context, e env, opts []perdure.Option, kinds ...*runtime.Kind) (*node, error) {
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	opts = append([]perdure.Option{perdure.Dir(e.dir), perdure.WithDurability(e.durability), perdure.Logger(log), perdure.Host(kinds...)}, opts...)
	n, err := perdure.Open(ctx, opts...)
	if err != nil {
		return nil, err
	}
	run, stop := context.WithCancel(ctx)
	out := &node{Node: n, stop: stop, ended: make(chan error, 1)}
	go func() {
		defer close(out.ended)
		out.ended <- n.Run(run)
	}()
	select {
	case <-n.Ready():
		return out, nil
	case err := <-out.ended:
		stop()
		return nil, errors.Join(errors.New("the node ended before it took work"), err)
	}
}

// close stops the node. A second time it does nothing.
func (n *node) close() error {
	n.stop()
	return <-n.ended
}

// call runs the workflow of ten steps once.
func (n *node) call(ctx context.Context, key string) error { return callTen(ctx, n.Client(), key) }

func callTen(ctx context.Context, client *perdure.Client, key string) error {
	out, err := perdure.Call(ctx, client, tenSteps.At(key), text)
	if err == nil && out != text {
		err = fmt.Errorf("the result of %s is not its input", key)
	}
	return err
}
