package perdure

import (
	"time"

	"github.com/perdure/perdure/broker"
	"github.com/perdure/perdure/runtime"
)

// Options that only tests have: they may break a bound that production needs.

// Faults calls f before and after every write of a run.
func Faults(f func(op, subject string, after bool)) Option { return faults(f) }

// ShortRetention keeps records for a time that may be below [MinRetention],
// and looks for old ones every sweep.
func ShortRetention(d, sweep time.Duration) Option {
	return func(o *options) error { o.host.Retention, o.host.SweepEvery = d, sweep; return nil }
}

// PassivateAfter is how long an idle activation stays in memory.
func PassivateAfter(d time.Duration) Option {
	return func(o *options) error { o.host.PassivateAfter = d; return nil }
}

// LeaseTTL is after what silence a node counts as dead.
func LeaseTTL(d time.Duration) Option {
	return func(o *options) error { o.host.LeaseTTL = d; return nil }
}

// Partitions is how many a new namespace has.
func Partitions(n uint32) Option {
	return func(o *options) error { o.broker.Partitions = n; return nil }
}

// DuplicateWindow is how long the inbox remembers message IDs.
func DuplicateWindow(d time.Duration) Option {
	return func(o *options) error { o.broker.DuplicateWindow = d; return nil }
}

// APIPlaces is how many requests a node answers at once.
const APIPlaces = apiPlaces

// SpoilAPI makes serving the node's API fail.
func (n *Node) SpoilAPI() { n.host.Kinds()["no name"] = &runtime.Kind{Name: "no name"} }

// Broker returns the node's broker.
func (n *Node) Broker() *broker.Broker { return n.b }

// Broker returns the client's broker.
func (c *Client) Broker() *broker.Broker { return c.b }

// BackupAt is called before each stream of a backup is read, with its name, and with
// none behind the last.
func BackupAt(f func(stream string)) BackupOption {
	return func(c *broker.BackupConfig) { c.At = f }
}
