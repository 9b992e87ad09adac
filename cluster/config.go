package cluster

import (
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/perdure/perdure/schemas"
	"github.com/perdure/perdure/schemas/elapsed"
)

// Defaults of a [Config].
const (
	DefaultPool     = "default"
	DefaultCapacity = 100
	DefaultLeaseTTL = 3 * time.Second
)

// Config says who joins which pool.
type Config struct {
	// Pool is the group of nodes that share the partitions: they host the same
	// kinds. Letters, digits, '-' and '_'; empty means "default".
	Pool string
	// Node is the node's name, unique in the namespace: any UTF-8.
	Node string
	// Nonce names this incarnation of the process: fresh at every start, the
	// same for every pool that the process joins. nil: one is made.
	Nonce []byte
	// Partitions is the number of partitions of the namespace.
	Partitions uint32
	// Kinds are what the node hosts. A member without kinds is seen by the
	// others and owns nothing.
	Kinds []string
	// Builds are the names of the code of the kinds: of the build that begins runs,
	// empty where it has none, and of the older ones that only continue them. Since is
	// set by [Join].
	Builds []*schemas.Build
	// Embedded says that the NATS server with the cluster's keys runs in this
	// process. Its directory belongs to one process at a time, so another
	// member that says the same is dead, and is not waited for.
	Embedded bool
	// Capacity is how much this node takes beside the others of its pool: one of twice
	// the capacity has twice the partitions. 0 means 100.
	Capacity uint32
	// Version of the build, for people.
	Version string
	// Durability is what the NATS server inside the node makes an acknowledged write
	// survive, for people; empty where none is.
	Durability string
	// LeaseTTL is how long a member that is not heard of is taken for alive;
	// whole seconds, 0 means 3 s. It renews its lease three times as often.
	// It is the same for all members of a pool.
	LeaseTTL time.Duration
	// Log receives who came, went and was found dead; nil means slog.Default().
	Log *slog.Logger
	// Store holds the keys; see [NewStore].
	Store Store

	clock func() time.Duration // elapsed time, suspension included; a test has its own
}

// How often a member looks, and how long it waits. Detection of a killed
// process takes at most probeEvery + probeAgain and a few requests.
const (
	probeEvery    = 150 * time.Millisecond
	probeAgain    = 100 * time.Millisecond // between the two probes that must agree
	probeWait     = 100 * time.Millisecond // a node that takes longer is not known to be dead
	lookEvery     = 50 * time.Millisecond  // for a new connection
	clockEvery    = 10 * time.Second       // measured against the broker's
	maxSkew       = time.Second            // P25
	retryWait     = 50 * time.Millisecond
	retryMax      = 500 * time.Millisecond
	rejoinGrace   = 500 * time.Millisecond // for others whose lease ended in the same outage
	quickAgain    = 5 * time.Second        // a lease that is begun again sooner waits
	farewell      = time.Second            // for the last write of a member whose context has ended
	writesAtATime = 128
)

// tryFor is how long one try to read or write a key may take, after so many
// that failed: less than a lease, so that a lost answer does not cost it.
// While a stream has no leader requests are lost, so tries after the first
// are short, to notice its end, and every third is long, for a slow server.
func (c *Config) tryFor(failed int) time.Duration {
	if failed == 0 {
		return c.LeaseTTL / 2
	}
	return c.LeaseTTL / 2 >> (2 - (failed-1)%3)
}

func (c *Config) validate() error {
	if c.Pool == "" {
		c.Pool = DefaultPool
	}
	if err := schemas.Kind(c.Pool).Validate(); err != nil {
		return fmt.Errorf("pool: %w", err)
	}
	if err := validNode(c.Node); err != nil {
		return err
	}
	if c.Nonce == nil {
		c.Nonce = []byte(rand.Text())
	}
	if len(c.Nonce) == 0 {
		return errors.New("the nonce is empty; leave it nil to have one made")
	}
	if c.Partitions == 0 {
		return errors.New("the number of partitions is 0; take it from the broker")
	}
	if c.Capacity == 0 {
		c.Capacity = DefaultCapacity
	}
	if c.LeaseTTL == 0 {
		c.LeaseTTL = DefaultLeaseTTL
	}
	if c.LeaseTTL < time.Second || c.LeaseTTL%time.Second != 0 {
		return fmt.Errorf("lease of %v: NATS keeps keys for whole seconds; use 1s or more", c.LeaseTTL)
	}
	if c.Store == nil {
		return errors.New("no store is set; use cluster.NewStore with a broker")
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	if c.clock == nil {
		c.clock = elapsed.Now
	}
	return nil
}
