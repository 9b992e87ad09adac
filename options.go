package perdure

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/perdure/perdure/actors"
	"github.com/perdure/perdure/broker"
	"github.com/perdure/perdure/config"
	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/runtime"
	"github.com/perdure/perdure/schemas"
	"go.opentelemetry.io/otel/trace"
)

// Durability says what an acknowledged write survives.
type Durability = broker.Durability

const (
	// Disk: on disk before it counts; survives SIGKILL, a crash of the machine
	// and loss of power. The default of an embedded node.
	Disk = broker.Disk
	// Process: survives SIGKILL; loss of power may take the last second or so.
	Process = broker.Process
	// Quorum: three or more replicas on a NATS cluster; survives the loss of a
	// minority of its machines.
	Quorum = broker.Quorum
)

// ParseDurability returns the level that is called disk, process or quorum.
func ParseDurability(s string) (Durability, error) { return broker.ParseDurability(s) }

// MinRetention is the shortest time for which records may be kept: half of it
// bounds how long a paused process may still act (P05 of the protocol).
const MinRetention = config.MinRetention

// An Option configures a [Node].
type Option func(*options) error

type options struct {
	broker broker.Config
	host   actors.Config
	tracer trace.Tracer
	traced bool
	health string // where it is answered; empty for nowhere
}

// Dir sets the data directory of the embedded NATS server. It is created, and
// belongs to one process at a time.
func Dir(dir string) Option {
	return func(o *options) error { o.broker.Dir = dir; return nil }
}

// Listen lets other clients reach the embedded NATS server at HOST:PORT; port 0
// takes a free one. Without it no port is opened.
func Listen(addr string) Option {
	return func(o *options) error { o.broker.Listen = addr; return nil }
}

// ClusterConfig says how the embedded NATS servers of several nodes find each other.
type ClusterConfig = broker.Cluster

// Cluster makes the embedded NATS server one of a cluster, which it forms with the
// embedded servers of the other nodes that are named in c: three or more, each with a
// directory and a process of its own, on machines of their own. Each message is on
// three of them, and on a majority before it counts: the cluster goes on without any
// one of them. [Open] waits until a majority is there. At [Disk], the default, each
// server has fsynced before it says so; at [Quorum] it may lose the last second with
// its machine, which the others have.
func Cluster(c ClusterConfig) Option {
	return func(o *options) error { o.broker.Cluster = &c; return nil }
}

// Host adds the kinds that the node runs: workflows, virtual actors, agents.
func Host(kinds ...*runtime.Kind) Option {
	return func(o *options) error {
		for _, k := range kinds {
			if k == nil {
				return errors.New("perdure.Host: a kind is nil")
			}
			o.host.Kinds = append(o.host.Kinds, k)
			o.broker.Kinds = append(o.broker.Kinds, k.Name)
		}
		return nil
	}
}

// Namespace isolates streams and subjects from others on the same NATS. The
// default is "perdure".
func Namespace(name string) Option {
	return func(o *options) error { o.broker.Namespace = name; return nil }
}

// Pool names the group of nodes that this node belongs to: they host the same
// kinds, and take over from each other. The default is "default"; programs with
// different kinds on one NATS need different pools, or what is sent to a kind waits
// while a node without it owns its partition. A kind stays in the pool whose node
// hosted it first: a node that hosts it in another one does not open.
func Pool(name string) Option {
	return func(o *options) error { o.broker.Pool = name; return nil }
}

// Name is what people call the node. The default is random; in a [Cluster] it is where
// the others reach its server. There the name is that of the server, too: keep it for as
// long as the node is one of them, also on a new machine or with a new directory.
func Name(name string) Option {
	return func(o *options) error { o.host.Node = name; return nil }
}

// ProgramVersion is what `perdure nodes`, [Client.Nodes] and doctor call the program that
// the node is of, so that a deployment can be watched. Without it that is the revision
// that the program was built of, the version of its main module or, where neither is
// known, a hash of the executable.
func ProgramVersion(v string) Option {
	return func(o *options) error { o.host.Version = v; return nil }
}

// WithDurability sets what an acknowledged write survives.
func WithDurability(d Durability) Option {
	return func(o *options) error { o.broker.Durability = d; return nil }
}

// Replicas is on how many servers each message is, 1 to 5; streams that are there stay as
// they are. 0, the default, means 1, or 3 at [Quorum] and in a cluster, where less is
// refused: with 1 a server that is lost takes messages along, and of 2 neither goes on
// without the other.
func Replicas(n int) Option {
	return func(o *options) error { o.broker.Replicas = n; return nil }
}

// SyncAlways makes the embedded server of a node at [Disk] fsync each message by
// itself before it acknowledges it, to whatever client. Without it one fsync serves
// the messages of many runs (group commit), which is several times as fast: a run, and
// what this library or an API request has acknowledged, is on disk all the same; only
// a client that publishes a task with plain NATS may be acknowledged some milliseconds
// before it is. At another level, and with an external server, it is refused.
func SyncAlways() Option {
	return func(o *options) error { o.broker.SyncAlways = true; return nil }
}

// Logger sets where the node logs. The default is slog.Default.
func Logger(log *slog.Logger) Option {
	return func(o *options) error { o.broker.Logger, o.host.Log = log, log; return nil }
}

// Retention is how long the record of a finished run is kept, at least
// [MinRetention]: as long, the same message ID is the same run. The default is
// 24 hours.
func Retention(d time.Duration) Option {
	return func(o *options) error {
		if d < MinRetention {
			return fmt.Errorf("retention of %s: it is at least %s, half of which a paused process may still act", d, MinRetention)
		}
		o.host.Retention = d
		return nil
	}
}

// Keep is how long runs that ended so can be looked at, at least the retention time,
// which is the default: of a run that failed, say, longer than of one that completed.
// Behind the retention time their records are in an archive: they are shown and
// listed, as archived; their message IDs are not remembered, and there is nothing to
// retry. A kind may say otherwise: durable.Keep.
func Keep(outcome durable.Outcome, d time.Duration) Option {
	return func(o *options) error {
		s, err := outcome.Status()
		if err != nil {
			return err
		}
		if o.host.Keep == nil {
			o.host.Keep = map[schemas.Status]time.Duration{}
		}
		o.host.Keep[s] = d
		return nil
	}
}

// KeepDead is how long dead letters are kept, and how large all of them may be before
// the oldest go. The defaults are 30 days and 1 GiB.
func KeepDead(d time.Duration, bytes int64) Option {
	return func(o *options) error {
		if d <= 0 || bytes <= 0 {
			return fmt.Errorf("dead letters are to be kept for %s, at most %d bytes: both are more than 0", d, bytes)
		}
		o.host.DeadRetention, o.host.DeadBytes = d, bytes
		return nil
	}
}

// SuspendAfter is how long a run that waits stays in memory. The default is 30
// seconds.
func SuspendAfter(d time.Duration) Option {
	return func(o *options) error { o.host.SuspendAfter = d; return nil }
}

// Grace is how long steps in flight may run on when their partition moves to
// another node: because this one stops, or because that one joined. Meanwhile
// nothing else of the partition begins; partitions without a step in flight move
// at once. A step that takes longer is told to stop, by its context, and runs
// again on the other node. One that ignores that holds its partition for five
// seconds more. The default is 10 seconds.
func Grace(d time.Duration) Option {
	return func(o *options) error { o.host.Grace = d; return nil }
}

// AuditEvery is about how often the node looks, at each partition that it owns, for open
// runs that nothing brings back and for wake-ups that are overdue, the first time within
// a minute of a take-over. Those it sends a wake-up, these it publishes again, and the
// log says so. Nothing rests on it. The default is an hour; 0 is never.
func AuditEvery(d time.Duration) Option {
	return func(o *options) error {
		if d < 0 {
			return fmt.Errorf("an audit every %s: it is more than 0, or 0 for never", d)
		}
		o.host.AuditEvery = cmp.Or(d, -1)
		return nil
	}
}

// MaxRuns is how many runs that clients started the node executes at once; more
// wait, and the log says so: kinds take turns, and tenants of a kind, see
// [durable.Share] and [durable.FairBy]. Runs that other runs started are not
// counted: what waits for them has its place already. A run that is suspended,
// or waits behind another one of its key, has none, and takes one when it wakes up.
// The default is 4,096.
func MaxRuns(n int) Option {
	return func(o *options) error {
		if n < 1 {
			return fmt.Errorf("at most %d runs at once: it is at least 1", n)
		}
		o.host.MaxRuns = n
		return nil
	}
}

// Capacity is how much of the pool's work the node takes beside the others: one of 200
// has twice the partitions of one of 100, which is the default. It is at least 1, at
// most 10,000. While a node of a build before capacities is in the pool all are taken
// for alike.
func Capacity(n int) Option {
	return func(o *options) error {
		if n < 1 || n > 10_000 {
			return fmt.Errorf("capacity of %d: it is at least 1 and at most 10,000, and 100 where nothing is said", n)
		}
		o.host.Capacity = uint32(n)
		return nil
	}
}

// MaxWaiting is how many messages may wait in the inbox of the node's pool, those of
// runs that execute included, before [Start], [Call] and runs.start are held up: Start
// and Call wait, runs.start is refused as [durable.ErrUnavailable]. What was accepted
// is never dropped, and what runs send each other, signals, and what operators ask are
// not held up, nor is who publishes with plain NATS. Each message that waits takes
// memory of the server: some 200 bytes, which the garbage collector may double. A kind
// of which less than a quarter of the number waits is let in all the same, until the
// inbox has a quarter more. The number is the pool's: the node that opened last has said it, for all nodes and clients. The
// default is what the pool has, and 1,000,000 for a new one.
func MaxWaiting(n int) Option {
	return func(o *options) error {
		if n < 1 {
			return fmt.Errorf("at most %d messages that wait: it is at least 1", n)
		}
		o.broker.MaxWaiting = int64(n)
		return nil
	}
}

// MaxCrashes is how often in a row processes may end while they execute a run,
// with nothing recorded of it in between, before the run is parked as poisoned, with
// the evidence. After the second it is executed alone, and after pauses of a second,
// two, four and so on. A run that only waits, one that was given up in good order, and
// one whose node lost the lease and lives, does not count. The default is 5; 0 parks no
// run so.
func MaxCrashes(n int) Option {
	return func(o *options) error {
		if n < 0 {
			return fmt.Errorf("at most %d crashes: it is at least 1, or 0 for no bound", n)
		}
		o.host.MaxCrashes = cmp.Or(n, -1)
		return nil
	}
}

// LongJournal is from how many events on the log says that the journal of a run
// is long, and names durable.ContinueAsNew: whoever takes the run over replays
// all of them. The default is 10,000; 0 never says it.
func LongJournal(events int) Option {
	return func(o *options) error {
		if events < 0 {
			return fmt.Errorf("a journal is called long from %d events on: it is at least 1, or 0 for never", events)
		}
		o.host.LongJournal = cmp.Or(events, -1)
		return nil
	}
}

// PayloadCap is the largest input, result or state in bytes. The default is 64
// MiB.
func PayloadCap(bytes int64) Option {
	return func(o *options) error { o.broker.PayloadCap = bytes; return nil }
}

// NATSOptions adds options for the connection to an external NATS server:
// credentials, TLS.
func NATSOptions(opts ...nats.Option) Option {
	return func(o *options) error { o.broker.Options = append(o.broker.Options, opts...); return nil }
}

// NATSConn uses the caller's own connection, which stays the caller's. Make it
// with nats.ReconnectBufSize(-1) and nats.MaxReconnects(-1): a message that was
// buffered while the connection was away must not be sent later.
func NATSConn(nc *nats.Conn) Option {
	return func(o *options) error { o.broker.Conn = nc; return nil }
}

// Tracer makes the node emit OpenTelemetry spans with t. Without it they are
// emitted if the standard environment asks for it: OTEL_EXPORTER_OTLP_ENDPOINT
// or OTEL_EXPORTER_OTLP_TRACES_ENDPOINT is set.
func Tracer(t trace.Tracer) Option {
	return func(o *options) error { o.tracer, o.traced = t, true; return nil }
}

// faults is called before and after every write, for crash tests.
func faults(f func(op, subject string, after bool)) Option {
	return func(o *options) error {
		o.broker.Fault = func(p broker.FaultPoint) { f(p.Op, p.Subject, p.After) }
		return nil
	}
}

// apply collects options and checks the kinds, so that everything that is
// wrong with them is said at once.
func apply(opts []Option) (*options, error) {
	o := &options{}
	var errs []error
	for _, opt := range opts {
		errs = append(errs, opt(o))
	}
	for _, k := range o.host.Kinds {
		errs = append(errs, k.Validate())
	}
	for _, k := range actors.LedgerKinds(o.broker.Pool, o.host.Kinds) {
		o.host.Kinds = append(o.host.Kinds, k)
		o.broker.Kinds = append(o.broker.Kinds, k.Name)
	}
	if c := o.broker.Cluster; c != nil { // a node and its server go by one name
		c.Server = cmp.Or(c.Server, o.host.Node)
		o.host.Node = cmp.Or(c.Server, c.Advertise, c.Listen)
	}
	if len(o.host.Kinds) > 0 { // a client has none
		errs = append(errs, o.addEveryNode()...)
	}
	return o, errors.Join(errs...)
}
