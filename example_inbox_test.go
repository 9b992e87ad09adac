package perdure_test

import (
	"context"
	"fmt"
	"log"
	"log/slog"
	"os"

	"github.com/perdure/perdure"
	"github.com/perdure/perdure/durable"
)

var sells = durable.DeclareWorkflow[string, string]("sells")

// denyAll denies what support is asked about, of all runs.
func denyAll(ctx context.Context, c *perdure.Client) error {
	for q := (perdure.InboxQuery{Ask: perdure.AskApproval, For: "support"}); ; {
		page, err := c.Inbox(ctx, q)
		if err != nil {
			return err
		}
		for _, i := range page.Items {
			// the hash binds the decision to what is listed here
			err := c.Approve(ctx, i.Run, i.Path, durable.Decision{By: "bob", Reason: "the shop is closed", Hash: i.Hash})
			if err != nil {
				return fmt.Errorf("%s of %s: %w", i.Name, i.Run, err)
			}
		}
		if q.After = page.Next; !page.More {
			return nil
		}
	}
}

func ExampleClient_Inbox() {
	dir, err := os.MkdirTemp("", "perdure-example-")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	ctx, stop := context.WithCancel(context.Background())
	asked := make(chan struct{})
	node, err := perdure.Open(ctx, perdure.Dir(dir), perdure.Logger(slog.New(slog.DiscardHandler)),
		perdure.Host(durable.Workflow(sells, func(ctx durable.Context, what string) (string, error) {
			f, err := durable.AskApprovalAsync(ctx, "sell", what, durable.AskTo("support"))
			if err != nil {
				return "", err
			}
			if _, err := durable.Step(ctx, "tell", func(context.Context) (durable.None, error) { // by now it is recorded
				close(asked)
				return durable.None{}, nil
			}); err != nil {
				return "", err
			}
			d, err := f.Result(ctx)
			return fmt.Sprintf("%s, %v: %s says %s", what, d.Approved, d.By, d.Reason), err
		})))
	if err != nil {
		log.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- node.Run(ctx) }()
	run, err := perdure.Start(ctx, node.Client(), sells.At("lamp"), "a lamp")
	if err != nil {
		log.Fatal(err)
	}
	<-asked
	if err := denyAll(ctx, node.Client()); err != nil {
		log.Fatal(err)
	}
	fmt.Println(run.Result(ctx))
	stop()
	fmt.Println(<-ended)
	// Output:
	// a lamp, false: bob says the shop is closed <nil>
	// <nil>
}
