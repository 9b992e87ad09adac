package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/nats-io/jsm.go/natscontext"
	"github.com/perdure/perdure"
	"github.com/perdure/perdure/config"
	"github.com/spf13/cobra"
)

// connection is what says which NATS server and which namespace, and as whom to connect.
type connection struct {
	source    *config.Source
	server    string
	context   string
	output    string
	unchecked bool // streams may differ from what this version needs
}

func (c *connection) flags(cmd *cobra.Command) {
	own := flag.NewFlagSet(cmd.Name(), flag.ContinueOnError)
	c.source = config.ClientFlags(own)
	f := cmd.Flags()
	f.AddGoFlagSet(own)
	own.VisitAll(func(one *flag.Flag) { // a dozen, which 'perdure node' describes
		f.Lookup(one.Name).Hidden = strings.HasPrefix(one.Name, "credentials-") || strings.HasPrefix(one.Name, "tls-")
	})
	f.Lookup("config").Usage = "YAML `FILE` of a node: where its NATS is, namespace, credentials, TLS; $PERDURE_... are stronger, and --credentials-..., --tls-... are those of 'perdure node'"
	c.serverFlags(cmd)
	outputFlag(cmd, &c.output)
}

// serverFlags are those that say where to connect to this time.
func (c *connection) serverFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVarP(&c.server, "server", "s", "", "NATS server, host:port or URL, whatever is configured (default $PERDURE_URL, what --config says, or $NATS_URL)")
	f.StringVar(&c.context, "context", "", "context of the nats CLI that names the server (default $NATS_CONTEXT, or the selected one)")
}

// outputFlag adds --output, which is text or json.
func outputFlag(cmd *cobra.Command, output *string) {
	cmd.Flags().StringVarP(output, "output", "o", "text", "output: text or json")
	cmd.PreRunE = func(*cobra.Command, []string) error {
		if *output != "text" && *output != "json" {
			return usageError{fmt.Errorf("output %q is unknown; use text or json", *output)}
		}
		return nil
	}
}

// defaultServer is where `perdure dev` listens.
const defaultServer = "nats://127.0.0.1:4222"

// connectError is a failure to reach NATS, or a namespace on it.
type connectError struct{ error }

func (e connectError) Unwrap() error { return e.error }

// configured returns the configuration of a client, with the server as its URL, and
// options of a context of the nats CLI.
func (c *connection) configured() (cfg *config.Config, opts []perdure.Option, err error) {
	if cfg, err = c.source.Load(); err != nil {
		return nil, nil, err
	}
	if at := cfg.ClientURL(); at != "" && c.server == "" && c.context == "" {
		cfg.URL = at
		return cfg, nil, nil
	}
	if file := c.source.File; file != "" && c.server == "" && c.context == "" && (cfg.Dir != "" || cfg.Listen != "" || cfg.Clustered()) {
		return nil, nil, usageError{fmt.Errorf("the node that %s describes takes no clients at an address that is known: set its listen to HOST:PORT, or say by --server where it is", file)}
	}
	cfg.URL, opts, err = c.resolve()
	return cfg, opts, err
}

// resolve returns the server that the flags name, or that of a context of the nats
// CLI, with the options of that. Without flags the environment says, then the selected
// context; and then it is the local development node.
func (c *connection) resolve() (url string, opts []perdure.Option, err error) {
	url, name := c.server, c.context
	if url == "" && name == "" {
		url, name = os.Getenv("NATS_URL"), os.Getenv("NATS_CONTEXT")
	}
	if url == "" {
		nc, err := natscontext.New(name, true)
		switch {
		case err == nil && nc.ServerURL() != "":
			url = nc.ServerURL()
			natsOpts, err := nc.NATSOptions()
			if err != nil {
				return "", nil, usageError{fmt.Errorf("context %q of the nats CLI: %w", nc.Name, err)}
			}
			opts = append(opts, perdure.NATSOptions(natsOpts...))
		case err != nil && name != "":
			return "", nil, usageError{fmt.Errorf("context %q of the nats CLI: %w", name, err)}
		default:
			url = defaultServer
		}
	}
	if !strings.Contains(url, "://") {
		url = "nats://" + url
	}
	return url, opts, nil
}

// dialWait is how long a command waits for a server that does not refuse it: longer than
// a cluster takes to choose a leader, which [perdure.Dial] sits out.
const dialWait = 20 * time.Second

// dial connects as the flags say.
func (c *connection) dial(ctx context.Context) (*perdure.Client, error) {
	cfg, opts, err := c.configured()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, dialWait)
	defer cancel()
	if c.unchecked {
		opts = append(opts, perdure.Unchecked())
	}
	client, err := perdure.DialConfig(ctx, cfg, opts...)
	if err != nil {
		return nil, connectError{err}
	}
	return client, nil
}

// with connects, calls fn and disconnects.
func (c *connection) with(cmd *cobra.Command, fn func(context.Context, *perdure.Client) error) (err error) {
	client, err := c.dial(cmd.Context())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, client.Close()) }()
	return fn(cmd.Context(), client)
}

func printJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}
