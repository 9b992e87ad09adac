package config

import (
	"time"

	"github.com/perdure/perdure/broker"
	"github.com/perdure/perdure/durable"
)

// A Config says how a node runs. The zero value of a field is its default. It is made
// by [Source.Load], or as a literal; perdure.OpenConfig opens a node by it.
type Config struct {
	// Namespace isolates streams and subjects. Empty means "perdure".
	Namespace string
	// Name is what people call the node. Empty means a random one.
	Name string
	// Pool is the group of nodes with the same kinds. Empty means "default".
	Pool string

	// ProgramVersion is what 'perdure nodes' calls the program. Empty means what it was
	// built of.
	ProgramVersion string

	// Durability is what an acknowledged write survives; the zero value is
	// broker.Disk.
	Durability broker.Durability
	// SyncAlways makes an embedded server fsync each message by itself.
	SyncAlways bool

	// Dir is the data directory of the embedded NATS server, which runs where URL is
	// empty.
	Dir string
	// Listen is where the embedded server takes clients, HOST:PORT. Empty: nowhere.
	Listen string
	// URL is of the NATS servers to connect to, separated by commas.
	URL string
	// Credentials and TLS are for URL.
	Credentials Credentials
	TLS         TLS
	// Replicas of each stream; 0 means 1, or 3 for a cluster or durability quorum.
	Replicas int
	// Cluster makes the embedded server one of a cluster, if it says where to listen.
	Cluster Cluster

	// Retention is how long the record of a run is kept. 0 means 24 hours.
	Retention time.Duration
	// Keep is how long runs that ended so can be looked at.
	Keep map[durable.Outcome]time.Duration
	// Grace is how long steps in flight may run on when the node stops. 0 means 10 s.
	Grace time.Duration
	// SuspendAfter is how long a run that waits stays in memory. 0 means 30 s.
	SuspendAfter time.Duration
	// MaxRuns is how many runs the node executes at once. 0 means 4,096.
	MaxRuns int
	// MaxWaiting is how many messages may wait in the pool's inbox. 0 means what the
	// pool has.
	MaxWaiting int
	// PayloadCap is the largest input, result or state in bytes. 0 means 64 MiB.
	PayloadCap int64
	// MaxCrashes is how often in a row processes may end with a run before it is
	// parked. 0 means 5, less than 0 no bound.
	MaxCrashes int

	// Capacity is how much of its pool's work the node takes beside the others. 0 means
	// 100.
	Capacity int

	// Health is where the node answers by HTTP whether it lives and is ready, HOST:PORT.
	// Empty: nowhere.
	Health string

	// Log is where and how the node logs.
	Log Log

	origins map[string]string // of each setting that somebody has set, by key: where
	notes   []string
}

// Credentials are by which a node says to NATS who it is: one of a file, a user with a
// password, a token and an nkey.
type Credentials struct {
	File         string // of a JWT and its seed, as nsc makes it
	User         string
	Password     string
	PasswordFile string // that holds the password, read at each connection
	Token        string
	TokenFile    string // that holds the token, read at each connection
	NKeyFile     string // that holds the seed of an nkey
}

// TLS are the files of certificates, as PEM.
type TLS struct {
	CA   string // of who signed the others' certificates; empty: those of the system
	Cert string // our own
	Key  string // of Cert
}

// A Cluster says how the embedded servers of several nodes find each other.
type Cluster struct {
	// Name is that of the cluster. Empty means the namespace.
	Name string
	// Listen is where the other servers reach this one, HOST:PORT. Empty: there is no
	// cluster.
	Listen string
	// Advertise is what the others are told, HOST:PORT, if it is not Listen.
	Advertise string
	// Routes are where all servers listen, this one included.
	Routes []string
	// User, and Password or what PasswordFile holds, are what the servers say to
	// each other.
	User         string
	Password     string
	PasswordFile string
	// TLS secures what they say.
	TLS TLS
}

// Log says what a node logs, on standard error.
type Log struct {
	Level  string // debug, info, warn or error. Empty means info
	Format string // text or json. Empty means text
}

// Clustered reports whether the embedded server is one of a cluster.
func (c *Config) Clustered() bool { return c.Cluster.Listen != "" }

// Notes are what is not wrong and was perhaps not meant: an environment variable that
// is named like a setting's and is none.
func (c *Config) Notes() []string { return c.notes }
