package perdure_test

import (
	"context"
	"fmt"
	"os"
	"sync"

	"github.com/perdure/perdure"
	"github.com/perdure/perdure/durable"
)

var (
	drawPoster = durable.DeclareWorkflow[string, string]("draw-poster") // where there is a GPU
	payArtist  = durable.DeclareWorkflow[int, string]("pay-artist")     // where the bank's key is
	sellPoster = durable.DeclareWorkflow[string, string]("sell-poster") // anywhere
)

// artist's machine has the GPU.
type artist struct{ gpu string }

func (a artist) draw(ctx durable.Context, of string) (string, error) {
	return durable.Step(ctx, "draw", func(context.Context) (string, error) { return of + " drawn with " + a.gpu, nil })
}

// cashier's machine has the key.
type cashier struct{ key string }

func (c cashier) pay(ctx durable.Context, cents int) (string, error) {
	return durable.Step(ctx, "pay", func(context.Context) (string, error) {
		if c.key == "" {
			return "", durable.Fail("no_key", "this process has no key of the bank")
		}
		return fmt.Sprintf("%d cents paid", cents), nil
	})
}

// sell has neither.
func sell(ctx durable.Context, of string) (string, error) {
	poster, err := durable.Call(ctx, drawPoster.At("poster-"+of), of)
	if err != nil {
		return "", err
	}
	paid, err := durable.Call(ctx, payArtist.At("artist-"+of), 500)
	return poster + ", " + paid, err
}

func artists(ctx context.Context, servers string) (*perdure.Node, error) {
	return perdure.Connect(ctx, servers, perdure.Logger(silent), perdure.Pool("gpu"),
		perdure.Host(durable.Workflow(drawPoster, artist{gpu: "gpu-0"}.draw)))
}

func bank(ctx context.Context, servers string) (*perdure.Node, error) {
	return perdure.Connect(ctx, servers, perdure.Logger(silent), perdure.Pool("vault"),
		perdure.Host(durable.Workflow(payArtist, cashier{key: "secret"}.pay)))
}

func ExamplePool() {
	dir, err := os.MkdirTemp("", "perdure")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = os.RemoveAll(dir) }()
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	defer running.Wait()
	defer stop()
	shop, err := perdure.Open(ctx, perdure.Dir(dir), perdure.Listen("127.0.0.1:0"), perdure.Logger(silent), perdure.Host(durable.Workflow(sellPoster, sell)))
	if err != nil {
		fmt.Println(err)
		return
	}
	run := func(n *perdure.Node, err error) {
		if err != nil {
			fmt.Println(err)
			return
		}
		running.Go(func() {
			if err := n.Run(ctx); err != nil {
				fmt.Println(err)
			}
		})
	}
	run(shop, nil)
	run(artists(ctx, shop.URL())) // a process on the machine with the GPU
	run(bank(ctx, shop.URL()))    // and one on that with the key
	sold, err := perdure.Call(ctx, shop.Client(), sellPoster.At("moon"), "moon")
	fmt.Println(sold, err)
	// Output: moon drawn with gpu-0, 500 cents paid <nil>
}
