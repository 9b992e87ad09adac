//go:build unix

package perdure_test

import (
	"sync"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/perdure/perdure/runtime/runtimetest"
	"github.com/perdure/perdure/schemas"
	"google.golang.org/protobuf/proto"
)

// A chronicle is what was stored in the journals, also what records have taken the place
// of since. It is held against the invariants of docs/protocol.
type chronicle struct {
	mu  sync.Mutex
	all runtimetest.Chronicle
}

// follow takes in what is there, and what comes, until the test ends or the server does.
func (c *chronicle) follow(s *store) {
	s.t.Helper()
	ctx := soon(s.t, patience)
	consumer, err := s.js.OrderedConsumer(ctx, s.b.Names().RunsStream(), jetstream.OrderedConsumerConfig{FilterSubjects: []string{s.b.Namespace() + ".run.>"}})
	if err != nil {
		s.t.Fatal(err)
	}
	read, err := consumer.Consume(func(m jetstream.Msg) {
		meta, err := m.Metadata()
		if err != nil {
			return
		}
		ref, err := s.b.Names().ParseRun(m.Subject())
		e := &schemas.Entry{}
		if err == nil {
			err = proto.Unmarshal(m.Data(), e)
		}
		if err != nil {
			s.t.Errorf("an entry that was stored cannot be read: %v", err)
			return
		}
		c.add(schemas.Stored{Seq: meta.Sequence.Stream, Time: meta.Timestamp, Ref: ref, Entry: e.Normal()})
	}, jetstream.ConsumeErrHandler(func(jetstream.ConsumeContext, error) {}))
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(read.Stop)
}

func (c *chronicle) add(all ...schemas.Stored) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all.Add(all...)
}

func (c *chronicle) check() (wrong []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.all.Check()
}
