package runtime

import (
	"context"
	"iter"
	"log/slog"
	"sync"
	"time"

	"github.com/perdure/perdure/schemas"
)

// Keys are small values that all nodes of a namespace know: each under a key of tokens
// joined by dots, and with a time to live. Nothing that a run needs may be in them: what is
// lost of them is found out anew.
type Keys interface {
	// Get returns a key's value and revision; ok is false when there is none.
	Get(ctx context.Context, key string) (value []byte, rev uint64, ok bool, err error)
	// Put stores a key if its revision is after; 0 means that there is none. Values name
	// who wrote them: one that is equal to a stored one counts as the same write. An error
	// means that the outcome is unknown.
	Put(ctx context.Context, key string, value []byte, after uint64, ttl time.Duration) (schemas.Outcome, error)
	// Delete removes a key if its revision is after. One of another revision stays, without
	// an error.
	Delete(ctx context.Context, key string, after uint64) error
	// Watch yields the keys below prefix, then a change without a key, then every change.
	Watch(ctx context.Context, prefix string) iter.Seq2[KeyChange, error]
}

// A KeyChange is a key that was stored, or is gone.
type KeyChange struct {
	Key   string // empty: all that there was has been yielded
	Value []byte // nil: it is gone
	Rev   uint64
	Age   time.Duration // since it was stored, as far as that is known
}

// Commons is what the kinds of a node share, and through Keys with those of other nodes.
// It is safe for concurrent use.
type Commons struct {
	keys Keys // nil: there are no other nodes
	node string
	log  *slog.Logger

	ctx    context.Context // until Close
	cancel context.CancelFunc
	works  sync.WaitGroup

	mu     sync.Mutex
	values map[any]any
	closed bool
}

// NewCommons returns what the kinds of a node share; node names its process, unlike any
// other. keys nil: there are no other nodes.
func NewCommons(keys Keys, node string, log *slog.Logger) *Commons {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	c := &Commons{keys: keys, node: node, log: log, values: map[any]any{}}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	return c
}

// Keys returns what the nodes share; nil if there are no other nodes.
func (c *Commons) Keys() Keys { return c.keys }

// Node names the node's process.
func (c *Commons) Node() string { return c.node }

// Log returns the node's logger, for what is of no run.
func (c *Commons) Log() *slog.Logger { return c.log }

// Value returns what is under a key of a type of the caller's own, which make makes once,
// without asking for others.
func (c *Commons) Value(key any, make func() any) any {
	c.mu.Lock()
	defer c.mu.Unlock()
	v, ok := c.values[key]
	if !ok {
		v = make()
		c.values[key] = v
	}
	return v
}

// Go calls fn with a context that ends with the node, which waits until it has returned.
// After that it is not called.
func (c *Commons) Go(fn func(ctx context.Context)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closed {
		c.works.Go(func() { fn(c.ctx) })
	}
}

// Close ends what Go has begun. It may be called again.
func (c *Commons) Close() {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.cancel()
	c.works.Wait()
}

// commons returns Commons, or those of this process alone, which begin nothing that would
// have to end.
func (c *Config) commons() *Commons {
	if c.Commons != nil {
		return c.Commons
	}
	c.alone.once.Do(func() { c.alone.Commons = NewCommons(nil, c.Node, c.Log) })
	return c.alone.Commons
}
