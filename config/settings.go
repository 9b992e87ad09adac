package config

import (
	"strings"
	"time"

	"github.com/perdure/perdure/broker"
	"github.com/perdure/perdure/durable"
)

// MinRetention is the shortest time for which records may be kept.
const MinRetention = 2 * time.Hour

// defaultRetention is that of a node whose configuration says none.
const defaultRetention = 24 * time.Hour

// A setting is one thing that can be configured. From its key come the name of its
// flag and of its environment variable.
type setting struct {
	key    string // as in the file, below others with dots
	flag   string // where its flag has another name
	help   string // for people; the name of the value in back quotes
	byDef  string // what is in force if nobody sets it, for people
	secret bool   // it is not printed, and has no flag: command lines are seen by others
	client bool   // a client has it, too
	value
}

// settings are all there are, in the order in which they are printed.
var settings = []setting{
	{key: "namespace", client: true, help: "`NAME` that isolates streams and subjects", byDef: broker.DefaultNamespace, value: word(func(c *Config) *string { return &c.Namespace }, token)},
	{key: "name", help: "the node's `NAME`, for people (default a random one)", value: word(func(c *Config) *string { return &c.Name }, nil)},
	{key: "pool", help: "`NAME` of the group of nodes that host the same kinds", byDef: broker.DefaultPool, value: word(func(c *Config) *string { return &c.Pool }, token)},
	{key: "program_version", help: "`VERSION` of the program, which 'perdure nodes' shows (default what it was built of: a revision, a version of the module, or a hash)", value: word(func(c *Config) *string { return &c.ProgramVersion }, nil)},
	{key: "durability", help: "what an acknowledged write survives, a `LEVEL`: disk, process or quorum", byDef: broker.Disk.String(), value: durability(func(c *Config) *broker.Durability { return &c.Durability })},
	{key: "sync_always", help: "at durability disk, fsync each message by itself before the embedded server acknowledges it", value: boolean(func(c *Config) *bool { return &c.SyncAlways })},
	{key: "dir", help: "data `DIRECTORY` of the embedded NATS server (default " + DefaultDir + ", without --url)", value: word(func(c *Config) *string { return &c.Dir }, nil)},
	{key: "listen", client: true, help: "where the embedded NATS server takes clients, `HOST:PORT`; port 0 takes a free one (default nowhere; in a cluster 127.0.0.1:0)", value: word(func(c *Config) *string { return &c.Listen }, hostPort(0))},
	{key: "url", client: true, help: "`URL` of NATS servers to connect to, separated by commas, in place of an embedded one", value: word(func(c *Config) *string { return &c.URL }, address)},
	{key: "credentials.file", client: true, help: "`FILE` with a JWT and its seed, for --url", value: word(func(c *Config) *string { return &c.Credentials.File }, nil)},
	{key: "credentials.user", client: true, help: "user `NAME`, for --url", value: word(func(c *Config) *string { return &c.Credentials.User }, nil)},
	{key: "credentials.password", client: true, secret: true, value: word(func(c *Config) *string { return &c.Credentials.Password }, nil)},
	{key: "credentials.password_file", client: true, help: "`FILE` that holds the user's password", value: word(func(c *Config) *string { return &c.Credentials.PasswordFile }, nil)},
	{key: "credentials.token", client: true, secret: true, value: word(func(c *Config) *string { return &c.Credentials.Token }, nil)},
	{key: "credentials.token_file", client: true, help: "`FILE` that holds a token, for --url", value: word(func(c *Config) *string { return &c.Credentials.TokenFile }, nil)},
	{key: "credentials.nkey_file", client: true, help: "`FILE` that holds the seed of an nkey, for --url", value: word(func(c *Config) *string { return &c.Credentials.NKeyFile }, nil)},
	{key: "tls.ca", client: true, help: "`FILE` of the certificates that sign the servers' of --url (default the system's)", value: word(func(c *Config) *string { return &c.TLS.CA }, nil)},
	{key: "tls.cert", client: true, help: "`FILE` of the node's certificate, for --url", value: word(func(c *Config) *string { return &c.TLS.Cert }, nil)},
	{key: "tls.key", client: true, help: "`FILE` of its key", value: word(func(c *Config) *string { return &c.TLS.Key }, nil)},
	{key: "replicas", help: "`NUMBER` of replicas of each stream, 1 to 5 (default 1, or 3 in a cluster or with durability quorum)", value: whole(func(c *Config) *int { return &c.Replicas }, 1, 5, 0)},
	{key: "cluster.listen", flag: "cluster", help: "make the embedded NATS server one of a cluster: `HOST:PORT` where the other servers reach it", value: word(func(c *Config) *string { return &c.Cluster.Listen }, hostPort(1))},
	{key: "cluster.routes", flag: "routes", help: "where all servers of the cluster listen for each other, this one included: `HOST:PORT`, separated by commas", value: words(func(c *Config) *[]string { return &c.Cluster.Routes }, hostPort(1))},
	{key: "cluster.advertise", help: "where the other servers reach this one, `HOST:PORT`, if it is not --cluster", value: word(func(c *Config) *string { return &c.Cluster.Advertise }, hostPort(1))},
	{key: "cluster.name", help: "`NAME` of the cluster (default the namespace)", value: word(func(c *Config) *string { return &c.Cluster.Name }, token)},
	{key: "cluster.user", help: "`NAME` that the servers of the cluster say to each other", value: word(func(c *Config) *string { return &c.Cluster.User }, nil)},
	{key: "cluster.password", secret: true, value: word(func(c *Config) *string { return &c.Cluster.Password }, nil)},
	{key: "cluster.password_file", help: "`FILE` that holds the password that they say", value: word(func(c *Config) *string { return &c.Cluster.PasswordFile }, nil)},
	{key: "cluster.tls.ca", help: "`FILE` of the certificates that sign the cluster's", value: word(func(c *Config) *string { return &c.Cluster.TLS.CA }, nil)},
	{key: "cluster.tls.cert", help: "`FILE` of this server's certificate, for the other ones", value: word(func(c *Config) *string { return &c.Cluster.TLS.Cert }, nil)},
	{key: "cluster.tls.key", help: "`FILE` of its key", value: word(func(c *Config) *string { return &c.Cluster.TLS.Key }, nil)},
	{key: "retention", help: "how long the record of a run is kept, a `TIME` as 36h or 30d", byDef: "24h", value: span(func(c *Config) *time.Duration { return &c.Retention }, MinRetention)},
	{key: "keep", help: "how long runs that ended so can be looked at, `OUTCOME=TIME` separated by commas, as failed=30d (default the retention)", value: keep(func(c *Config) *map[durable.Outcome]time.Duration { return &c.Keep })},
	{key: "grace", help: "how long steps in flight may run on when the node stops, or hands a partition over: a `TIME`", byDef: "10s", value: span(func(c *Config) *time.Duration { return &c.Grace }, time.Millisecond)},
	{key: "suspend_after", help: "how long a run that waits stays in memory, a `TIME`", byDef: "30s", value: span(func(c *Config) *time.Duration { return &c.SuspendAfter }, time.Millisecond)},
	{key: "max_runs", help: "at most this `NUMBER` of runs at once", byDef: "4096", value: whole(func(c *Config) *int { return &c.MaxRuns }, 1, 1<<31-1, 0)},
	{key: "max_waiting", help: "at most this `NUMBER` of messages in the pool's inbox, before clients wait (default what the pool has, or 1000000)", value: whole(func(c *Config) *int { return &c.MaxWaiting }, 1, 1<<31-1, 0)},
	{key: "payload_cap", client: true, help: "the largest input, result or state, a `SIZE`", byDef: "64MiB", value: bytes(func(c *Config) *int64 { return &c.PayloadCap })},
	{key: "max_crashes", help: "park a run after so many crashes in a row with it: a `NUMBER`, 0 for never", byDef: "5", value: whole(func(c *Config) *int { return &c.MaxCrashes }, 0, 1<<31-1, -1)},
	{key: "capacity", help: "how much of its pool's work the node takes beside the others, a `NUMBER`: one of 200 takes twice as much as one of 100", byDef: "100", value: whole(func(c *Config) *int { return &c.Capacity }, 1, 10_000, 0)},
	{key: "health", help: "where the node answers GET /livez and /readyz by HTTP, for an orchestrator: `HOST:PORT` (default nowhere)", value: word(func(c *Config) *string { return &c.Health }, hostPort(1))},
	{key: "log.level", help: "log from this `LEVEL` on: debug, info, warn or error", byDef: "info", value: word(func(c *Config) *string { return &c.Log.Level }, oneOf("debug", "info", "warn", "error"))},
	{key: "log.format", help: "`FORMAT` of the log: text or json", byDef: "text", value: word(func(c *Config) *string { return &c.Log.Format }, oneOf("text", "json"))},
}

// DefaultDir is the data directory where none is set, and no server to connect to.
const DefaultDir = "perdure-data"

// envPrefix begins the names of the environment variables.
const envPrefix = "PERDURE_"

// flagName is the name of the setting's flag, without dashes; empty for none.
func (s *setting) flagName() string {
	switch {
	case s.secret:
		return ""
	case s.flag != "":
		return s.flag
	}
	return strings.NewReplacer(".", "-", "_", "-").Replace(s.key)
}

// envName is the name of the setting's environment variable.
func (s *setting) envName() string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(s.key, ".", "_"))
}

// settingOf returns the setting of a key, nil if there is none.
func settingOf(key string) *setting {
	for i := range settings {
		if settings[i].key == key {
			return &settings[i]
		}
	}
	return nil
}

// isGroup reports whether settings are below a key.
func isGroup(key string) bool {
	for _, s := range settings {
		if strings.HasPrefix(s.key, key+".") {
			return true
		}
	}
	return false
}
