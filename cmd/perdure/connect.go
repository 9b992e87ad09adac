package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/nats-io/jsm.go/natscontext"
	"github.com/perdure/perdure"
	"github.com/spf13/cobra"
)

// connection is the flags that say which NATS server and which namespace.
type connection struct {
	server    string
	context   string
	namespace string
	output    string
	unchecked bool // streams may differ from what this version needs
}

func (c *connection) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVarP(&c.server, "server", "s", "", "NATS server, host:port or URL (default $NATS_URL)")
	f.StringVar(&c.context, "context", "", "context of the nats CLI that names the server (default $NATS_CONTEXT, or the selected one)")
	f.StringVar(&c.namespace, "namespace", "perdure", "namespace")
	outputFlag(cmd, &c.output)
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
	url, opts, err := c.resolve()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, dialWait)
	defer cancel()
	opts = append(opts, perdure.Namespace(c.namespace))
	if c.unchecked {
		opts = append(opts, perdure.Unchecked())
	}
	client, err := perdure.Dial(ctx, url, opts...)
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
