package broker

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

// A Broker is a connection to NATS with everything of one namespace on it.
// Its methods may be called by many goroutines at once.
type Broker struct {
	cfg     Config
	names   Names
	created time.Time

	embedded   *embedded // nil on an external server
	link       *link
	mux        *mux
	pub        *publisher
	notices    notices
	served     servedRounds
	remains    remains
	kept       keepers
	admissions admissions
	taking     taking
	hold       hold
	clock      clock

	inbox, timers, runs, blobs, dead, archive, state, cluster *reader

	opening sync.Mutex // guards opened, and is held while it becomes true
	opened  bool       // runs may be moved (see OpenPast)

	closing  sync.Once
	closeErr error
}

// Open embeds a NATS server or connects to one, and makes sure that the
// namespace is there. It returns when reads and writes work. Its errors match
// the sentinels of this package.
func Open(ctx context.Context, cfg Config) (*Broker, error) {
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("open broker: %w", err)
	}
	b, err := open(ctx, cfg, cfg.groups())
	if errors.Is(err, errProof) {
		cfg.Logger.Warn("each message is fsynced by itself, which is slower", "why", err)
		b, err = open(ctx, cfg, false)
	}
	if err != nil {
		return nil, fmt.Errorf("open broker: %w", err)
	}
	return b, nil
}

func open(ctx context.Context, cfg Config, grouped bool) (*Broker, error) {
	b := &Broker{cfg: cfg, taking: taking{turns: make(chan struct{}, takesAtOnce)}}
	if err := b.assemble(ctx, grouped); err != nil {
		return nil, errors.Join(err, b.Close())
	}
	if len(b.cfg.Kinds) > 0 {
		b.keep(ctx)
	}
	return b, nil
}

// assemble opens everything; grouped means that one fsync serves many messages of the
// embedded server.
func (b *Broker) assemble(ctx context.Context, grouped bool) (err error) {
	if err := b.dial(ctx, grouped); err != nil {
		return err
	}
	p := &provisioner{publisher: b.pub, cfg: &b.cfg}
	if b.cfg.Cluster != nil {
		p.server = b.embedded
		short, stop, why := b.embedded.watchTwin(ctx, b.cfg.Cluster.Name)
		ctx = short
		defer func() {
			stop()
			err = why(err)
		}()
	}
	if b.names, err = p.provision(ctx); err != nil {
		return err
	}
	if p.server != nil {
		if err := p.server.catchUp(ctx, b.cfg.Logger, catchUpPatience); err != nil {
			return err
		}
	}
	for r, stream := range map[**reader]string{
		&b.inbox: b.names.InboxStream(), &b.timers: b.names.TimersStream(),
		&b.runs: b.names.RunsStream(), &b.blobs: b.names.BlobsStream(), &b.dead: b.names.DeadStream(), &b.archive: b.names.ArchiveStream(),
		&b.state: "KV_" + b.names.StateBucket(), &b.cluster: "KV_" + b.names.ClusterBucket(),
	} {
		*r = p.reader(stream)
	}
	b.created = began(p.found[b.inbox.stream])
	b.runs.places = make(chan struct{}, readsAtOnce)
	if b.embedded == nil && len(b.cfg.Kinds) > 0 {
		if err := b.allowed(ctx); err != nil {
			return fmt.Errorf("open namespace %s: %w", b.names.ns, err)
		}
	}
	if !grouped {
		return nil
	}
	if err := b.prove(ctx); err != nil {
		return err
	}
	return b.serveRounds()
}

// dial makes the connection to NATS, and to an embedded server, if there is to be one.
func (b *Broker) dial(ctx context.Context, grouped bool) (err error) {
	if b.cfg.embedded() {
		if b.embedded, err = startEmbedded(ctx, &b.cfg, grouped); err != nil {
			return err
		}
	}
	nc, err := connect(ctx, &b.cfg, b.embedded)
	if err != nil {
		return err
	}
	b.link = newLink(nc)
	if b.mux, err = newMux(b.link); err != nil {
		return err
	}
	if b.embedded == nil {
		b.mux.listen(&b.cfg)
		if err := subscribed(ctx, b.link, b.mux.sub.Subject); err != nil {
			return err
		}
	}
	b.pub = &publisher{link: b.link, mux: b.mux, gate: &gate{spared: "$KV." + b.cfg.Namespace + "_cluster.", closed: b.link.closed}}
	if b.embedded != nil {
		conn, err := b.embedded.srv.InProcessConn()
		if err != nil {
			return fmt.Errorf("connect to the embedded NATS server: %w", err)
		}
		if b.pub.lane, err = newLane(ctx, conn, b.cfg.Logger); err != nil {
			return err
		}
	}
	switch {
	case grouped:
		b.pub.commits = newCommits(b.embedded.disk.flush)
	case b.embedded == nil && b.cfg.Durability == Disk:
		b.pub.commits = newRemoteCommits(b.pub)
	}
	return nil
}

// Close ends every wait with [ErrClosed], closes the connection unless it is
// the caller's, stops an embedded server, waits until it has stopped, and
// releases its directory. It may be called again.
func (b *Broker) Close() error {
	b.closing.Do(func() { b.closeErr = b.close() })
	return b.closeErr
}

func (b *Broker) close() error {
	if b.link != nil {
		b.remains.finish(b.link, b.link.nc.IsConnected)
		b.link.close()
		if b.pub != nil {
			b.pub.lane.close()
			b.pub.commits.stop()
		}
		b.served.close()
		b.remains.workers.Wait()
		b.kept.workers.Wait()
		b.notices.close()
		if b.mux != nil {
			b.mux.close()
		}
		if b.cfg.Conn == nil {
			b.link.nc.Close()
		}
	}
	if b.embedded != nil {
		return b.embedded.stop()
	}
	return nil
}

// Namespace returns the namespace.
func (b *Broker) Namespace() string { return b.names.ns }

// Names returns the builder of the namespace's subjects.
func (b *Broker) Names() Names { return b.names }

// Partitions returns the number of partitions of the namespace.
func (b *Broker) Partitions() uint32 { return b.names.partitions }

// Embedded reports whether a NATS server runs in this process: the only one, or one of
// a cluster.
func (b *Broker) Embedded() bool { return b.cfg.embedded() }

// Alone reports whether the NATS server runs in this process, and is the only one: what
// another process had as its server is gone then.
func (b *Broker) Alone() bool { return b.cfg.embedded() && b.cfg.Cluster == nil }

// Durability returns the level that is in force.
func (b *Broker) Durability() Durability { return b.cfg.Durability }

// ClientURL returns where other programs reach the NATS server, such as
// nats://127.0.0.1:4222; empty when it takes in-process connections only.
func (b *Broker) ClientURL() string {
	if b.cfg.embedded() {
		return b.embedded.url()
	}
	return b.link.nc.ConnectedUrlRedacted()
}

// Conn returns the connection to NATS.
func (b *Broker) Conn() *nats.Conn { return b.link.nc }

// Created returns when the inbox stream was created, by the server's clock.
// Run IDs are made from it where a message has none (P21).
func (b *Broker) Created() time.Time { return b.created }

// MaxMessage returns how many bytes of one journal entry fit: half of the
// server's limit of a message (P18).
func (b *Broker) MaxMessage() int64 { return b.link.nc.MaxPayload() / 2 }
