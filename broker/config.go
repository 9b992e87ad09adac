package broker

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/perdure/perdure/schemas"
)

// Defaults of a [Config].
const (
	DefaultNamespace       = "perdure"
	DefaultPartitions      = 64
	DefaultDuplicateWindow = 2 * time.Second
	DefaultPayloadCap      = 64 << 20 // bytes
)

// Config says which NATS to use and how. The zero value plus Dir embeds a
// server in that directory.
type Config struct {
	// Namespace isolates streams, buckets and subjects: a token of letters,
	// digits, '-' and '_'. Empty means "perdure".
	Namespace string

	// Dir is the data directory of the embedded server, which runs when
	// neither URL nor Conn is set. It is created when it does not exist, and
	// belongs to one process at a time.
	Dir string
	// Listen is where the embedded server accepts other clients, HOST:PORT;
	// port 0 chooses a free one. Empty: in-process only, no port is opened.
	Listen string

	// Cluster makes the embedded server one of a NATS cluster, which the embedded
	// servers of other nodes form with it. Then its streams have three replicas, and
	// Listen, if it is empty, means a free port of 127.0.0.1.
	Cluster *Cluster

	// URL names the external NATS servers, comma separated.
	URL string
	// Options are credentials, TLS and the like for URL.
	Options []nats.Option
	// Conn is the caller's own connection, used instead of URL. It must be
	// made with nats.ReconnectBufSize(-1) and nats.MaxReconnects(-1), and is
	// not closed by [Broker.Close].
	Conn *nats.Conn

	// Durability says what an acknowledged write survives. On an external
	// server Disk and Process mean what that server does; Quorum means at
	// least three replicas.
	Durability Durability
	// SyncAlways makes an embedded server at [Disk] fsync each message by itself,
	// before it acknowledges it to whomever. Otherwise one fsync serves the messages
	// of many runs, and a client that does not use this package may be acknowledged
	// some milliseconds before it.
	SyncAlways bool
	// Replicas of each stream; 0 means 1, or 3 for Quorum and in a Cluster, where it
	// is 3 at least.
	Replicas int
	// Partitions is fixed when the namespace is created; 0 means what the
	// namespace has, or 64 for a new one.
	Partitions uint32
	// Pool names the group of nodes that host the same kinds; empty means
	// "default". A kind belongs to one pool.
	Pool string
	// Kinds are what this node hosts; none for a client.
	Kinds []schemas.Kind
	// DuplicateWindow is how long the inbox remembers message IDs. Keep it at
	// seconds: the journal drops repeats. 0 means 2 s.
	DuplicateWindow time.Duration
	// MaxWaiting is how many messages may wait in the pool's inbox, those whose runs
	// execute included, before clients' tasks are not admitted ([Inbox.Admit]). It is
	// the pool's: what a node that opens says holds for all, clients too. 0 means what
	// the pool has, or 1,000,000 for a new one.
	MaxWaiting int64
	// PayloadCap is the largest payload in bytes, stored by reference or not;
	// 0 means 64 MiB.
	PayloadCap int64
	// Logger receives warnings of the embedded server and of the connection;
	// nil means slog.Default().
	Logger *slog.Logger
	// ClientOnly creates nothing: the namespace must exist.
	ClientOnly bool
	// Unchecked opens a namespace whose streams differ from what this version needs,
	// or are not all there, for who looks in what ([Audit.Streams]). It needs
	// ClientOnly.
	Unchecked bool
	// Fault is called before and after each write of a run, for crash tests.
	// nil in production.
	Fault func(FaultPoint)
	// lock is that of Dir, if it is held already.
	lock *dirLock
	// clock tells the time to who compares it with the servers'; a test has its own.
	clock func() time.Time
	// spoil changes how the files of an embedded server are kept, for tests.
	spoil func(*disk)
}

// validate fills in defaults and returns the first thing that is wrong.
func (c *Config) validate() error {
	if c.Namespace == "" {
		c.Namespace = DefaultNamespace
	}
	if err := schemas.Kind(c.Namespace).Validate(); err != nil {
		return fmt.Errorf("namespace: %w", err)
	}
	if c.Pool == "" {
		c.Pool = DefaultPool
	}
	if err := schemas.Kind(c.Pool).Validate(); err != nil {
		return fmt.Errorf("pool: %w", err)
	}
	if c.Durability < Disk || c.Durability > Quorum {
		return fmt.Errorf("durability %v is unknown; use Disk, Process or Quorum", c.Durability)
	}
	if c.Cluster != nil {
		if err := c.clustered(); err != nil {
			return err
		}
	}
	if c.Replicas == 0 {
		c.Replicas = 1
		if c.Durability == Quorum || c.Cluster != nil {
			c.Replicas = 3
		}
	}
	if c.Replicas < 1 || c.Replicas > 5 {
		return fmt.Errorf("replicas: %d asked for; NATS holds 1 to 5", c.Replicas)
	}
	if c.Durability == Quorum && c.Replicas < 3 {
		return fmt.Errorf("durability quorum needs at least 3 replicas, and %d are asked for", c.Replicas)
	}
	if c.SyncAlways && (!c.embedded() || c.Durability != Disk) {
		return fmt.Errorf("each message is to be fsynced by itself (perdure.SyncAlways), which is of an embedded server at durability disk, and not of %s; use that, or leave it out", c.place())
	}
	if c.embedded() {
		if c.Dir == "" {
			return fmt.Errorf("no NATS server is named; set a data directory to embed one (perdure.Dir), or connect to yours (perdure.Connect)")
		}
		if c.Replicas > 1 && c.Cluster == nil {
			return fmt.Errorf("an embedded server by itself holds 1 replica, and %d are asked for, as many as durability quorum needs; form a cluster (perdure.Cluster), connect to one (perdure.Connect), or use disk or process", c.Replicas)
		}
		if c.Cluster != nil && c.Replicas < minServers {
			return fmt.Errorf("%d replicas are asked for in a cluster of embedded servers, which holds 3 or 5: with 1 a server that is lost takes messages along, and of 2 neither goes on without the other; leave it out for 3", c.Replicas)
		}
		if c.Cluster != nil && c.Replicas > len(c.Cluster.Routes) {
			return fmt.Errorf("%d replicas are asked for, of %d servers", c.Replicas, len(c.Cluster.Routes))
		}
		if c.Listen != "" {
			if _, _, err := net.SplitHostPort(c.Listen); err != nil {
				return fmt.Errorf("listen address %q is not HOST:PORT: %w", c.Listen, err)
			}
		}
	} else if c.Dir != "" || c.Listen != "" {
		return fmt.Errorf("a data directory or a listen address is set together with an external NATS; set one or the other")
	}
	if c.URL != "" && c.Conn != nil {
		return fmt.Errorf("both a URL and a connection are set; set one")
	}
	if c.DuplicateWindow == 0 {
		c.DuplicateWindow = DefaultDuplicateWindow
	}
	if c.DuplicateWindow < 100*time.Millisecond {
		return fmt.Errorf("duplicate window %v is too short; NATS remembers 100ms and more", c.DuplicateWindow)
	}
	if c.MaxWaiting < 0 {
		return fmt.Errorf("at most %d messages may wait: it is at least 1", c.MaxWaiting)
	}
	if c.Unchecked && !c.ClientOnly {
		return fmt.Errorf("streams that are not checked are for a client that looks at them, not for a node")
	}
	if c.PayloadCap == 0 {
		c.PayloadCap = DefaultPayloadCap
	}
	if c.PayloadCap < 0 {
		return fmt.Errorf("payload cap %d is negative", c.PayloadCap)
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	return nil
}

// place says where a configuration would keep its messages, for people.
func (c *Config) place() string {
	if !c.embedded() {
		return "an external NATS, whose configuration says it (sync_interval)"
	}
	return "durability " + c.Durability.String()
}

// clustered fills in what a server of a cluster has of its own.
func (c *Config) clustered() error {
	if !c.embedded() {
		return errors.New("a cluster of embedded servers is described, together with an external NATS; set one or the other")
	}
	own := *c.Cluster
	own.Name = cmp.Or(own.Name, c.Namespace)
	c.Cluster = &own
	c.Listen = cmp.Or(c.Listen, "127.0.0.1:0")
	if c.Durability == Process {
		return errors.New("durability process is of one server; a cluster has quorum: on a majority of servers before it counts, or disk: and fsynced there")
	}
	return own.validate()
}

func (c *Config) embedded() bool { return c.URL == "" && c.Conn == nil }
