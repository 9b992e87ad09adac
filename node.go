package perdure

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/perdure/perdure/actors"
	"github.com/perdure/perdure/broker"
	"github.com/perdure/perdure/config"
	"github.com/perdure/perdure/runtime"
	"github.com/perdure/perdure/schemas"
)

// A Node hosts kinds: it takes the tasks of the partitions that it owns and
// runs them.
type Node struct {
	b         *broker.Broker
	host      *actors.Host
	api       *api
	client    *Client
	log       *slog.Logger
	telemetry func(context.Context) error // flushes and ends it
	ctx       context.Context             // of what the node does besides its host
	cancel    context.CancelFunc
	health    *health // nil for none
	running   atomic.Bool
	draining  atomic.Bool    // what Run was given has ended
	closes    []func() error // what its kinds have opened
	settings  *settings      // of its kinds; nil before they are followed
	closing   sync.Once
	closeErr  error
}

// Open returns a node with a NATS server inside the process, which keeps its
// data in [Dir]. It returns everything that is wrong with the kinds and
// options at once. The node takes work once Run is called.
func Open(ctx context.Context, opts ...Option) (*Node, error) {
	o, err := apply(opts)
	if err != nil {
		return nil, fmt.Errorf("open node: %w", err)
	}
	if o.broker.Conn != nil {
		return nil, errors.New("open node: NATSConn is for a NATS server that runs; use Connect")
	}
	return open(ctx, o)
}

// Connect returns a node on a NATS server, or cluster, that runs: url is one
// address or more, separated by commas; it may be empty with [NATSConn]. The
// error matches [durable.ErrUnavailable] if no server answers there: try again;
// and [durable.ErrInvalid] if an address is none. Once there is a connection the node keeps it, however long NATS is away.
func Connect(ctx context.Context, url string, opts ...Option) (*Node, error) {
	o, err := apply(opts)
	if err != nil {
		return nil, fmt.Errorf("connect node: %w", err)
	}
	if url != "" || o.broker.Conn == nil {
		if err := config.CheckAddress(url); err != nil {
			return nil, fmt.Errorf("connect node: %w", err)
		}
	}
	o.broker.URL = url
	return open(ctx, o)
}

func open(ctx context.Context, o *options) (_ *Node, err error) {
	n := &Node{log: o.host.Log, telemetry: func(context.Context) error { return nil }}
	if n.log == nil {
		n.log = slog.Default()
	}
	n.ctx, n.cancel = context.WithCancel(context.WithoutCancel(ctx))
	defer func() {
		if err != nil {
			err = errors.Join(err, n.Close())
		}
	}()
	if len(o.host.Kinds) == 0 {
		return nil, errors.New("open node: it hosts no kind; add perdure.Host(...), or use Dial for a process that only calls")
	}
	if o.host.Tracer, n.telemetry, err = telemetry(ctx, o); err != nil {
		return nil, fmt.Errorf("open node: telemetry: %w", err)
	}
	if o.health != "" { // before what may take long
		if n.health, err = serveHealth(ctx, o.health, n.log); err != nil {
			return nil, fmt.Errorf("open node: %w", err)
		}
	}
	o.host.Prepare()
	if n.b, err = broker.Open(ctx, o.broker); err != nil {
		return nil, fmt.Errorf("open node: %w", opened(err))
	}
	o.host.Broker = n.b
	if o.host.Version == "" {
		o.host.Version = programVersion()
	}
	if n.host, err = actors.NewHost(o.host); err != nil {
		return nil, fmt.Errorf("open node: %w", err)
	}
	if err := n.openKinds(runtime.WithDirectory(ctx, n.directory), o.host.Kinds); err != nil {
		return nil, fmt.Errorf("open node: %w", err)
	}
	if n.settings, err = followSettings(ctx, n); err != nil {
		return nil, fmt.Errorf("open node: settings of agents: %w", err)
	}
	n.client = &Client{b: n.b, from: schemas.LocalDomain, propagate: o.host.Tracer != nil}
	meaning := n.b.Durability().Meaning()
	if !n.b.Embedded() && n.b.Durability() != Quorum {
		meaning = "what the NATS server is configured for: see its sync_interval"
	}
	n.log.Info("durability", "level", n.b.Durability().String(), "meaning", meaning, "sync_always", o.broker.SyncAlways)
	if n.health != nil {
		n.health.node.Store(n)
	}
	return n, nil
}

// openKinds opens what kinds need, those of older builds included. Whatever it has opened is
// closed with the node.
func (n *Node) openKinds(ctx context.Context, kinds []*runtime.Kind) error {
	ctx = runtime.WithMessenger(ctx, Services(n.b.Conn()))
	var errs []error
	for _, k := range kinds {
		for _, build := range append([]*runtime.Kind{k}, k.Older...) {
			if build.Open == nil {
				continue
			}
			closes, err := build.Open(ctx)
			if err != nil {
				errs = append(errs, fmt.Errorf("%s %q: %w", k.Type, string(k.Name), err))
				continue
			}
			n.closes = append(n.closes, closes)
		}
	}
	return errors.Join(errs...)
}

// Run takes work until ctx ends, and answers the node's API. Then it leaves: it
// lets steps in flight end within the grace time, hands over what it owns, and
// closes the node.
func (n *Node) Run(ctx context.Context) error {
	if n.running.Swap(true) {
		return errors.New("run node: it runs, or has run, already; open another one")
	}
	defer context.AfterFunc(ctx, func() { n.draining.Store(true) })()
	if err := n.host.Join(ctx); err != nil {
		return errors.Join(err, n.Close())
	}
	var err error
	if n.api, err = serveAPI(n.ctx, n); err != nil {
		return errors.Join(fmt.Errorf("serve the API: %w", err), n.host.Leave(), n.Close())
	}
	err = n.host.Run(ctx)
	return errors.Join(err, n.Close())
}

// Ready is closed once the node takes work, and answers the API: before that,
// queries, [Client.Get] and the like fail with [durable.ErrUnavailable] where no
// other node answers. [Start] and [Call] need not wait for it.
func (n *Node) Ready() <-chan struct{} { return n.host.Ready() }

// Client returns a client on the node's own connection. It ends with the node.
// What it asks of the API is answered once the node is ready: see Ready.
func (n *Node) Client() *Client { return n.client }

// URL returns where other processes reach the node's NATS server; empty for an
// embedded server without [Listen].
func (n *Node) URL() string { return n.b.ClientURL() }

// Durability returns the level that is in force.
func (n *Node) Durability() Durability { return n.b.Durability() }

// Close ends a node that does not run, or whose Run has returned, at once: runs
// go on from their journals when a node is opened again. It may be called again.
func (n *Node) Close() error {
	n.closing.Do(func() {
		n.cancel()
		if n.api != nil {
			n.closeErr = n.api.stop()
		}
		if n.b != nil {
			n.closeErr = errors.Join(n.closeErr, n.b.Close())
		}
		if n.settings != nil {
			<-n.settings.done
		}
		for _, closes := range n.closes {
			n.closeErr = errors.Join(n.closeErr, closes())
		}
		n.closeErr = errors.Join(n.closeErr, n.telemetry(context.Background()))
		if n.health != nil {
			n.closeErr = errors.Join(n.closeErr, n.health.close())
		}
	})
	return n.closeErr
}
