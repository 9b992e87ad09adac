package perdure_test

import (
	"context"
	"fmt"
	"os"

	"github.com/perdure/perdure"
	"github.com/perdure/perdure/durable"
)

// Fetch is a workflow whose step says what it does.
var fetch = durable.DeclareWorkflow[[]string, int]("fetch")

func fetchPages(ctx durable.Context, pages []string) (int, error) {
	return durable.Step(ctx, "fetch", func(ctx context.Context) (int, error) {
		for _, page := range pages {
			if err := durable.Say(ctx, "fetching "+page+"\n"); err != nil {
				return 0, err
			}
		}
		return len(pages), nil
	})
}

// show prints what a run does, from a position on, and returns the one to go on from.
func show(ctx context.Context, run *perdure.Run[int], from string) (string, error) {
	for ev, err := range run.Stream(ctx, from) {
		if err != nil {
			return from, err
		}
		switch ev.Type {
		case perdure.StreamBegin:
			fmt.Println("begins:", ev.Name)
		case perdure.StreamText:
			fmt.Print(ev.Text)
		case perdure.StreamVoid:
			fmt.Println("forget that:", ev.Reason)
		case perdure.StreamEnd:
			fmt.Println("ends:", ev.Name, string(ev.Result))
		case perdure.StreamDone:
			fmt.Println(ev.Done.Status, string(ev.Done.Result))
		}
		from = ev.Position
	}
	return from, nil
}

// A client watches a run while it works, whichever node that is on.
func ExampleRun_Stream() {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	dir, err := os.MkdirTemp("", "perdure")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = os.RemoveAll(dir) }()
	node, err := perdure.Open(ctx, perdure.Dir(dir), perdure.Logger(silent),
		perdure.Host(durable.Workflow(fetch, fetchPages, durable.Live()))) // an agent is live without that
	if err != nil {
		fmt.Println(err)
		return
	}
	ended := make(chan error, 1)
	go func() { ended <- node.Run(ctx) }()
	run, err := perdure.Start(ctx, node.Client(), fetch.At("all"), []string{"cover", "index"})
	if err != nil {
		fmt.Println(err)
		return
	}
	if _, err := show(ctx, run, ""); err != nil {
		fmt.Println(err)
	}
	stop()
	if err := <-ended; err != nil {
		fmt.Println(err)
	}
	// Output:
	// begins: fetch
	// fetching cover
	// fetching index
	// ends: fetch 2
	// completed 2
}
