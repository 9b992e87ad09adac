package cluster

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/perdure/perdure/broker"
	"github.com/perdure/perdure/schemas"
)

// A memory is a NATS server as far as a cluster sees one, for tests that play
// with time. [TestStore] holds it to what the broker does.
type memory struct {
	mu    sync.Mutex
	rev   uint64
	keys  map[string]broker.LeaseChange // what was deleted or has expired too
	conns []*conn
	skew  time.Duration // its clock minus the members'
}

func newMemory() *memory { return &memory{keys: map[string]broker.LeaseChange{}} }

// A conn is one process's connection to a memory.
type conn struct {
	*memory
	// delay is how long a request, an answer or a watched change takes, drawn
	// anew for each; nil means no time.
	delay func() time.Duration
	// loses says whether the answer to a write is lost.
	loses func() bool

	// Guarded by memory.mu.
	session uint64
	free    chan struct{} // closed while the process is not stopped
	up      chan struct{} // closed while there is a connection
	closed  bool
	follows []*follow
	answers map[string]func() []byte
}

// A follow is one watch.
type follow struct {
	prefix string
	list   []broker.LeaseChange
	more   chan struct{}
	open   chan struct{} // closed while it delivers
}

func (s *memory) connect() *conn {
	open := make(chan struct{})
	close(open)
	c := &conn{memory: s, session: 1, free: open, up: open, answers: map[string]func() []byte{}}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conns = append(s.conns, c)
	return c
}

// freeze stops the process as SIGSTOP does: nothing it asked for comes back,
// and whoever asks it gets no answer. The function that it returns thaws it.
func (c *conn) freeze() (thaw func()) { return c.shut(&c.free) }

// stall makes the present watches deliver nothing more, without an error.
func (c *conn) stall() (letGo func()) {
	gone := make(chan struct{})
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, f := range c.follows {
		f.open = gone
	}
	return sync.OnceFunc(func() { close(gone) })
}

func (c *conn) shut(gate *chan struct{}) (open func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	gone := make(chan struct{})
	*gate = gone
	return sync.OnceFunc(func() { close(gone) })
}

// cut takes the connection away; the function that it returns makes a new one.
func (c *conn) cut() (heal func()) {
	open := c.shut(&c.up)
	return sync.OnceFunc(func() {
		c.mu.Lock()
		c.session++
		c.mu.Unlock()
		open()
	})
}

// kill ends the process as SIGKILL does.
func (c *conn) kill() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	c.answers = map[string]func() []byte{}
	for _, f := range c.follows {
		poke(f.more)
	}
}

// pass waits until the process runs and is connected, and for the delay.
func (c *conn) pass(ctx context.Context) error {
	if c.delay != nil {
		select {
		case <-time.After(c.delay()):
		case <-ctx.Done():
			return fmt.Errorf("outcome unknown: %w", ctx.Err())
		}
	}
	for {
		c.mu.Lock()
		closed, free, up := c.closed, c.free, c.up
		c.mu.Unlock()
		if closed {
			return broker.ErrClosed
		}
		select {
		case <-free:
		case <-ctx.Done():
			<-free // a stopped process does not even time out
			return fmt.Errorf("outcome unknown: %w", ctx.Err())
		}
		select {
		case <-up:
			return nil
		case <-ctx.Done():
			return fmt.Errorf("outcome unknown: %w", ctx.Err())
		}
	}
}

func (c *conn) Get(ctx context.Context, key string) ([]byte, uint64, bool, error) {
	if err := c.pass(ctx); err != nil {
		return nil, 0, false, err
	}
	c.mu.Lock()
	k, ok := c.keys[key]
	c.mu.Unlock()
	if err := c.pass(ctx); err != nil {
		return nil, 0, false, err
	}
	if !ok || k.Gone {
		return nil, 0, false, nil
	}
	return k.Value, k.Rev, true, nil
}

func (c *conn) Put(ctx context.Context, key string, value []byte, after uint64, ttl time.Duration) (schemas.Outcome, error) {
	if err := c.pass(ctx); err != nil {
		return schemas.Outcome{}, err
	}
	out := c.store(key, value, after, ttl)
	if c.loses != nil && c.loses() {
		<-ctx.Done()
		return schemas.Outcome{}, fmt.Errorf("outcome unknown: %w", ctx.Err())
	}
	return out, c.pass(ctx)
}

func (s *memory) store(key string, value []byte, after uint64, ttl time.Duration) schemas.Outcome {
	s.mu.Lock()
	defer s.mu.Unlock()
	if have := s.live(key); have != after {
		return schemas.Outcome{Fenced: true, Head: schemas.Stored{Seq: have}}
	}
	rev := s.change(broker.LeaseChange{Lease: broker.Lease{Key: key, Value: value}})
	if ttl > 0 {
		time.AfterFunc(ttl, func() { s.remove(key, rev) })
	}
	return schemas.Outcome{Seq: rev}
}

// live returns a key's revision, 0 when it is gone.
func (s *memory) live(key string) uint64 {
	if k := s.keys[key]; !k.Gone {
		return k.Rev
	}
	return 0
}

func (s *memory) remove(key string, rev uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if rev != 0 && s.live(key) == rev {
		s.change(broker.LeaseChange{Lease: broker.Lease{Key: key}, Gone: true})
	}
}

func (s *memory) change(c broker.LeaseChange) uint64 {
	s.rev++
	c.Rev, c.Time = s.rev, time.Now().Add(s.skew)
	s.keys[c.Key] = c
	for _, conn := range s.conns {
		for _, f := range conn.follows {
			f.add(c)
		}
	}
	return c.Rev
}

func (c *conn) Delete(ctx context.Context, key string, after uint64) error {
	if err := c.pass(ctx); err != nil {
		return err
	}
	c.remove(key, after)
	return c.pass(ctx)
}

func (f *follow) add(c broker.LeaseChange) {
	if strings.HasPrefix(c.Key, f.prefix) {
		f.list = append(f.list, c)
		poke(f.more)
	}
}

func (c *conn) Watch(ctx context.Context, prefix string) iter.Seq2[broker.LeaseChange, error] {
	return func(yield func(broker.LeaseChange, error) bool) {
		f := &follow{prefix: prefix, more: make(chan struct{}, 1), open: make(chan struct{})}
		close(f.open)
		c.mu.Lock()
		for _, k := range c.keys {
			f.add(k)
		}
		slices.SortFunc(f.list, func(a, b broker.LeaseChange) int { return int(a.Rev) - int(b.Rev) })
		f.list = append(f.list, broker.LeaseChange{CaughtUp: true})
		c.follows = append(c.follows, f)
		c.mu.Unlock()
		defer func() {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.follows = slices.DeleteFunc(c.follows, func(g *follow) bool { return g == f })
		}()
		for {
			if err := c.pass(ctx); err != nil {
				yield(broker.LeaseChange{}, err)
				return
			}
			c.mu.Lock()
			open := f.open
			c.mu.Unlock()
			select {
			case <-open:
			case <-ctx.Done():
				yield(broker.LeaseChange{}, ctx.Err())
				return
			}
			c.mu.Lock()
			list := f.list
			f.list = nil
			c.mu.Unlock()
			for _, change := range list {
				if !yield(change, nil) {
					return
				}
			}
			if len(list) > 0 {
				continue
			}
			select {
			case <-f.more:
			case <-ctx.Done():
			}
		}
	}
}

func (c *conn) Answer(ctx context.Context, node string, reply func() []byte) (func(), error) {
	if err := c.pass(ctx); err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.answers[node] = reply
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.answers, node)
	}, nil
}

func (c *conn) Probe(ctx context.Context, node string) ([]byte, bool, error) {
	if err := c.pass(ctx); err != nil {
		return nil, false, err
	}
	var reply func() []byte
	c.mu.Lock()
	free := c.free
	for _, other := range c.conns {
		if r := other.answers[node]; r != nil && isOpen(other.up) {
			reply, free = r, other.free
		}
	}
	c.mu.Unlock()
	if reply == nil {
		return nil, false, c.pass(ctx)
	}
	select {
	case <-free:
		return reply(), true, c.pass(ctx)
	case <-ctx.Done():
		return nil, false, fmt.Errorf("no answer: %w", ctx.Err())
	}
}

func (c *conn) ClockSkew(ctx context.Context) (time.Duration, error) {
	err := c.pass(ctx)
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.skew, err
}

func (c *conn) Session() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || !isOpen(c.up) {
		return 0
	}
	return c.session
}

func isOpen(gate chan struct{}) bool {
	select {
	case <-gate:
		return true
	default:
		return false
	}
}
