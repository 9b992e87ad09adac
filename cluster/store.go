package cluster

import (
	"context"
	"fmt"
	"iter"
	"strings"
	"time"

	"github.com/perdure/perdure/broker"
	"github.com/perdure/perdure/schemas"
)

// A Store is what a cluster needs of NATS: keys with conditions and a time to
// live, and probes of nodes. [NewStore] makes one of a [broker.Broker].
type Store interface {
	// Get returns a key as the leader has it. ok is false when there is none,
	// or it was deleted or has expired.
	Get(ctx context.Context, key string) (value []byte, rev uint64, ok bool, err error)
	// Put stores a key if its revision is after; 0 means that there is none.
	// A key with a ttl other than 0 expires when it is not stored again. An
	// error means that the outcome is unknown.
	Put(ctx context.Context, key string, value []byte, after uint64, ttl time.Duration) (schemas.Outcome, error)
	// Delete removes a key if its revision is after. One of another revision
	// stays, without an error.
	Delete(ctx context.Context, key string, after uint64) error
	// Watch yields the keys below prefix, then the mark that it has caught up,
	// then every change, in the order of the revisions.
	Watch(ctx context.Context, prefix string) iter.Seq2[broker.LeaseChange, error]
	// Answer answers probes of a node with what reply returns.
	Answer(ctx context.Context, node string, reply func() []byte) (stop func(), err error)
	// Probe asks a node. alive is false only when nobody answers for it for
	// sure: its connection is gone. An error means that nothing is known.
	Probe(ctx context.Context, node string) (answer []byte, alive bool, err error)
	// ClockSkew returns the store's clock minus ours.
	ClockSkew(ctx context.Context) (time.Duration, error)
	// Session numbers the connection, from 1: another number is another
	// connection. It is 0 while there is none.
	Session() uint64
}

// NewStore returns the cluster's keys of a broker, and its probes.
func NewStore(b *broker.Broker) Store { return onBroker{b, b.Leases()} }

type onBroker struct {
	*broker.Broker
	*broker.Leases
}

func (s onBroker) Session() uint64 {
	nc := s.Conn()
	if !nc.IsConnected() {
		return 0
	}
	return nc.Stats().Reconnects + 1
}

const (
	memberPrefix = "member."
	ownerPrefix  = "owner."
	buildPrefix  = "build."
)

// SharedPrefix is below what the keys are that are not of the cluster, but of the kinds of
// all its nodes; with its last dot.
const SharedPrefix = "shared."

// keys names the keys of a pool.
type keys struct{ members, owners, builds string } // prefixes, with their last dots

func keysOf(pool string) keys {
	return keys{memberPrefix + pool + ".", ownerPrefix + pool + ".", buildPrefix + pool + "."}
}

func (k keys) member(node string) string        { return k.members + schemas.EncodeToken(node) }
func (k keys) build(kind string) string         { return k.builds + kind }
func (k keys) owner(p schemas.Partition) string { return k.owners + p.String() }
func (k keys) parseMember(key string) (node string, ok bool) {
	token, ok := strings.CutPrefix(key, k.members)
	if !ok {
		return "", false
	}
	node, err := schemas.DecodeToken(token)
	return node, err == nil
}

func (k keys) parseOwner(key string) (p schemas.Partition, ok bool) {
	token, ok := strings.CutPrefix(key, k.owners)
	if !ok {
		return 0, false
	}
	p, err := schemas.ParsePartition(token)
	return p, err == nil
}

// validNode returns an error unless a node's name fits one token.
func validNode(node string) error {
	if err := (schemas.Identity{Kind: "node", Key: node}).Validate(); err != nil {
		return fmt.Errorf("node name %q: %w", node, err)
	}
	return nil
}
