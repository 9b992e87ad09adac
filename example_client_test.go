package perdure_test

import (
	"context"
	"flag"
	"log"

	"github.com/nats-io/nats.go"
	"github.com/perdure/perdure"
	"github.com/perdure/perdure/config"
)

func configured(ctx context.Context) (*perdure.Client, error) {
	source := config.ClientFlags(flag.CommandLine)
	flag.Parse()
	cfg, err := source.Load()
	if err != nil {
		return nil, err
	}
	return perdure.DialConfig(ctx, cfg)
}

func dialled(ctx context.Context) (*perdure.Client, error) {
	return perdure.Dial(ctx, "tls://nats-1:4222,tls://nats-2:4222", perdure.Namespace("shop"),
		perdure.NATSOptions(nats.UserCredentials("client.creds"), nats.RootCAs("ca.pem")))
}

// Clients of a NATS cluster with credentials and TLS: configured as nodes and commands
// are, or in the program.
func ExampleDialConfig() {
	for _, dial := range []func(context.Context) (*perdure.Client, error){configured, dialled} {
		client, err := dial(context.Background())
		if err != nil {
			log.Fatal(err)
		}
		if err := client.Close(); err != nil {
			log.Fatal(err)
		}
	}
}
