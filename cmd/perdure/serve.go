package main

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"runtime/debug"
	"strings"
	"time"

	"github.com/perdure/perdure"
	"github.com/perdure/perdure/examples/hello/greeting"
	"github.com/perdure/perdure/examples/inventory/counting"
	"github.com/perdure/perdure/examples/refunds/desk"
	"github.com/perdure/perdure/examples/stock/warehouse"
	"github.com/perdure/perdure/examples/weather/forecast"
	"github.com/perdure/perdure/runtime"
	"github.com/spf13/cobra"
)

// exampleKinds are those that this program's nodes host.
func exampleKinds(ctx context.Context) ([]*runtime.Kind, error) {
	model, err := forecast.Model(ctx)
	if err != nil {
		return nil, err
	}
	refunds, err := desk.Model(ctx)
	if err != nil {
		return nil, err
	}
	bank := func(context.Context, desk.Refund, string) error { return nil } // there is none: it would be given each refund once
	return append([]*runtime.Kind{greeting.Kind(), warehouse.Kind(), forecast.Kind(model), desk.Kind(refunds, bank)}, counting.Kinds()...), nil
}

// serve runs a node until the command's context ends, and says when it is ready.
func serve(cmd *cobra.Command, node *perdure.Node, kinds []*runtime.Kind) error {
	ended := make(chan error, 1)
	go func() { ended <- node.Run(cmd.Context()) }()
	select {
	case err := <-ended:
		return err
	case <-node.Ready():
	}
	var names []string
	for _, k := range kinds {
		names = append(names, string(k.Name))
	}
	fmt.Fprintf(cmd.OutOrStdout(), "ready %s durability=%s kinds=%s\n", cmp.Or(node.URL(), "in-process"), node.Durability(), strings.Join(names, ","))
	start := time.NewTimer(startEnds)
	defer start.Stop()
	for {
		select {
		case err := <-ended:
			return err
		case <-start.C:
			debug.FreeOSMemory() // a start needs more than what follows: a third of the heap
		}
	}
}

// startEnds is how long after a node is ready its start counts as over.
const startEnds = time.Second

// hostName names a node: host and process, so that two on one machine differ.
func hostName() string {
	host, err := os.Hostname()
	if err != nil {
		host = "node"
	}
	return fmt.Sprintf("%s-%d-%d", host, os.Getpid(), time.Now().Unix()%1000)
}
