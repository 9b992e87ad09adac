//go:build unix

package perdure_test

import (
	"encoding/json"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"github.com/perdure/perdure/broker/brokertest"
	"github.com/perdure/perdure/schemas"
)

// TestZombieChangesNothing stops a node by SIGSTOP between a step and the
// append of its result. Another takes over by the lease and finishes the run.
// Continued, the first calls nothing any more, its append is refused, and what
// is stored stays as in an undisturbed run.
func TestZombieChangesNothing(t *testing.T) {
	t.Parallel()
	sc := shopScenario(nodeConfig{Lease: time.Second}, 20*time.Millisecond)
	calm := undisturbed(t, sc)

	external := brokertest.Server(t)
	far := newFarSide(t)
	sc.node.Far, sc.node.URL = far.URL, external.URL()
	sc.node.Name = "first"
	// The journal has the claim, then the start of the step that is not
	// repeated; the third append is that of its result.
	sc.node.Nth = 3
	var subject string
	for _, p := range calm.points {
		if p.op == "append" && strings.HasSuffix(p.subject, ".shop.corner.pen") {
			subject = p.subject
		}
	}
	sc.node.Block = point{"append", "before", subject}.String()
	first := startNode(t, sc.node)
	s := openStore(t, external.URL())
	if err := sc.start(soon(t, patience), s.client); err != nil {
		t.Fatal(err)
	}
	first.run().await(lineBlocked)
	first.signal(syscall.SIGSTOP)
	called := far.by("first")
	if len(called) != 1 {
		t.Errorf("the first node executed %d steps before it was stopped, want the one that it was to record", len(called))
	}

	sc.node.Name, sc.node.Block = "second", ""
	recorded := s.recorded()
	startNode(t, sc.node).run()
	s.settled()
	compare(t, where("a pause"), s, far, recorded, calm)
	history := sequences(s.journal())

	refusals := tap(t, s, subject)
	first.proceed()
	first.signal(syscall.SIGCONT)
	var refusal pubAck
	select {
	case refusal = <-refusals:
	case <-time.After(patience):
		t.Fatalf("the zombie did not append what it was about to; it was at\n%v", first.visited())
	}
	if refusal.Error.ErrCode != wrongLastSequence {
		t.Errorf("the zombie's append was answered by %+v, want a refusal with code %d", refusal, wrongLastSequence)
	}
	first.leave() // in good order: from here on it can do nothing more
	if diff := cmp.Diff(called, far.by("first")); diff != "" {
		t.Errorf("the zombie called the far side after SIGCONT (-before +after):\n%s", diff)
	}
	s.settled()
	compare(t, where("a zombie"), s, far, recorded, calm)
	if diff := cmp.Diff(history, sequences(s.journal())); diff != "" {
		t.Errorf("the journal changed after SIGCONT (-before +after):\n%s", diff)
	}
}

// where says where a disturbance was.
type where string

func (w where) String() string { return string(w) }

func sequences(journal []schemas.Stored) (seqs []uint64) {
	for _, e := range journal {
		seqs = append(seqs, e.Seq)
	}
	return seqs
}

// A pubAck is the server's answer to a publish.
type pubAck struct {
	Error struct {
		ErrCode int `json:"err_code"`
	} `json:"error"`
	Seq uint64 `json:"seq"`
}

const wrongLastSequence = 10071

// tap returns the server's answers to what is published on a subject from now
// on.
func tap(t *testing.T, s *store, subject string) <-chan pubAck {
	t.Helper()
	nc, err := nats.Connect(s.b.Conn().ConnectedUrl())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	var mu sync.Mutex
	published, answered := map[string]bool{}, map[string][]byte{} // by the answer's subject
	answers := make(chan pubAck, 16)
	if _, err := nc.Subscribe(">", func(m *nats.Msg) {
		mu.Lock()
		defer mu.Unlock()
		reply := m.Subject
		if m.Subject == subject {
			reply = m.Reply
			published[reply] = true
		} else {
			answered[reply] = m.Data // the server may pass it on before what it answers
		}
		var a pubAck
		if published[reply] && json.Unmarshal(answered[reply], &a) == nil {
			answers <- a
		}
	}); err != nil {
		t.Fatal(err)
	}
	if err := nc.FlushWithContext(soon(t, patience)); err != nil {
		t.Fatal(err)
	}
	return answers
}
