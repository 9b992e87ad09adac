package broker_test

import (
	"fmt"
	"path/filepath"
	"testing"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/perdure/perdure/broker"
	"github.com/perdure/perdure/schemas"
)

// kept returns the sequence of the one message that a stream keeps, 0 for none.
func (r *raw) kept(stream string) uint64 {
	r.t.Helper()
	s, err := r.js.Stream(r.ctx, stream)
	must(r.t, err)
	info, err := s.Info(r.ctx, jetstream.WithSubjectFilter("*.kept.>"))
	must(r.t, err)
	subjects := info.State.Subjects
	if len(subjects) != 1 || subjects[r.n.Namespace()+".kept."+stream] != 1 {
		return 0
	}
	m, err := s.GetLastMsgForSubject(r.ctx, r.n.Namespace()+".kept."+stream)
	must(r.t, err)
	return m.Sequence
}

// TestKept_AnEmptiedInboxKeepsItsFile: a run that goes alone empties the inbox, and the
// server would make it a new file each time.
func TestKept_AnEmptiedInboxKeepsItsFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	r := embedded(t, func(c *broker.Config) { c.Dir = dir })
	inbox := r.n.InboxStream()
	id := identity("weather", "amsterdam")
	f := r.take(r.n.Partition(id), 1)
	files := func() []string {
		all, err := filepath.Glob(filepath.Join(dir, "jetstream", "$G", "streams", inbox, "msgs", "*.blk"))
		must(t, err)
		return all
	}
	if r.kept(inbox) == 0 || r.kept(r.n.TimersStream()) == 0 {
		t.Error("a stream keeps no message")
	}
	before := files()
	for _, run := range []string{"1", "2", "3"} {
		r.sent("local", id, task(run))
		d := r.next(f)
		must(t, f.Ack(r.ctx, d))
		if after := files(); len(before) != 1 || len(after) != 1 || before[0] != after[0] {
			t.Fatalf("the messages are in %q, before in %q", after, before)
		}
	}

	for _, size := range []int{0, 64 << 10} { // what it comes to in the file is mostly not the body, or the body
		first := r.kept(inbox)
		for n := range 300 {
			env := task(fmt.Sprint(size, "-", n))
			env.Payload = &schemas.Payload{Data: make([]byte, size)}
			r.sent("local", id, env)
			must(t, f.Ack(r.ctx, r.next(f)))
		}
		r.until("the kept message is among what was delivered last", func() bool { return r.kept(inbox) > first+200 })
	}
	if after := files(); len(after) != 1 {
		t.Errorf("the messages are in %q: a file is kept that has none", after)
	}
}
