//go:build unix

package perdure_test

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/perdure/perdure/schemas"
	"google.golang.org/protobuf/proto"
)

// A chronicle is what was stored in the journals, also what records have taken the place
// of since. It is held against the invariants of docs/protocol.
type chronicle struct {
	mu      sync.Mutex
	entries map[uint64]schemas.Stored
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
		c.add(schemas.Stored{Seq: meta.Sequence.Stream, Ref: ref, Entry: e.Normal()})
	}, jetstream.ConsumeErrHandler(func(jetstream.ConsumeContext, error) {}))
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(read.Stop)
}

func (c *chronicle) add(all ...schemas.Stored) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.entries == nil {
		c.entries = map[uint64]schemas.Stored{}
	}
	for _, s := range all {
		c.entries[s.Seq] = s
	}
}

// check says what in a chronicle is against the protocol. An entry that it does not have,
// since a record came before it was read, hides something, and makes nothing up.
func (c *chronicle) check() (wrong []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	type writer struct {
		epoch uint64
		nonce []byte
	}
	var (
		epochs = map[schemas.Identity]uint64{}
		open   = map[schemas.Identity]schemas.Ref{}
		claims = map[schemas.Ref]writer{}
		ended  = map[schemas.Ref]bool{}
		steps  = map[schemas.Ref]map[string]bool{}
	)
	for _, seq := range slices.Sorted(maps.Keys(c.entries)) {
		s := c.entries[seq]
		id, ref, e := s.Ref.Identity, s.Ref, s.Entry
		say := func(form string, args ...any) {
			wrong = append(wrong, fmt.Sprintf("entry %d of %s: %s", seq, ref, fmt.Sprintf(form, args...)))
		}
		if e.GetEpoch() < epochs[id] {
			say("epoch %d comes behind epoch %d", e.GetEpoch(), epochs[id])
		}
		epochs[id] = e.GetEpoch()
		if ended[ref] {
			say("the run has its record already")
		}
		rec := e.GetRecord()
		if rec.GetOpen() != "" {
			ended[ref] = true
			continue // a refusal, beside the open run
		}
		if o, is := open[id]; is && o != ref {
			say("%s is open", o)
		}
		for _, ev := range e.GetEvents() {
			if ev.GetClaimed() != nil {
				claims[ref] = writer{e.GetEpoch(), e.GetNonce()}
			}
			if ev.GetContinued() != nil {
				delete(steps, ref)
			}
			if st := ev.GetStepCompleted(); st != nil {
				if steps[ref][st.GetPath()] {
					say("step %s is recorded twice", st.GetPath())
				}
				if steps[ref] == nil {
					steps[ref] = map[string]bool{}
				}
				steps[ref][st.GetPath()] = true
			}
		}
		if by, is := claims[ref]; is && e.GetEpoch() <= by.epoch && !bytes.Equal(e.GetNonce(), by.nonce) {
			say("who wrote it, in epoch %d, is not who claimed the run, in epoch %d", e.GetEpoch(), by.epoch)
		}
		if open[id] = ref; rec != nil {
			ended[ref] = true
			delete(open, id)
		}
	}
	return wrong
}

func TestChronicle_SaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	one, two := schemas.Identity{Kind: "k", Key: "a"}.Run("1"), schemas.Identity{Kind: "k", Key: "a"}.Run("2")
	claimed := &schemas.Event{Kind: &schemas.Event_Claimed{Claimed: &schemas.Claimed{}}}
	stepped := &schemas.Event{Kind: &schemas.Event_StepCompleted{StepCompleted: &schemas.StepCompleted{Path: "1"}}}
	entry := func(ref schemas.Ref, epoch uint64, nonce string, events ...*schemas.Event) schemas.Stored {
		return schemas.Stored{Ref: ref, Entry: &schemas.Entry{Epoch: epoch, Nonce: []byte(nonce), Events: events}}
	}
	record := func(ref schemas.Ref, epoch uint64, nonce, open string) schemas.Stored {
		return schemas.Stored{Ref: ref, Entry: &schemas.Entry{Epoch: epoch, Nonce: []byte(nonce), Record: &schemas.Record{Open: open}}}
	}
	for name, c := range map[string]struct {
		entries []schemas.Stored
		want    string
	}{
		"a run after another": {[]schemas.Stored{entry(one, 1, "a", claimed), entry(one, 1, "a", stepped), record(one, 1, "a", ""), entry(two, 1, "a", claimed)}, ""},
		"a take-over":         {[]schemas.Stored{entry(one, 1, "a", claimed), entry(one, 2, "b", claimed), record(one, 2, "b", "")}, ""},
		"a refusal":           {[]schemas.Stored{entry(one, 1, "a", claimed), record(two, 1, "a", one.String()), record(one, 1, "a", "")}, ""},
		"an older epoch":      {[]schemas.Stored{entry(one, 2, "b", claimed), entry(one, 1, "b", stepped)}, "epoch 1 comes behind epoch 2"},
		"a second record":     {[]schemas.Stored{record(one, 1, "a", ""), record(one, 1, "a", "")}, "the run has its record already"},
		"two open runs":       {[]schemas.Stored{entry(one, 1, "a", claimed), entry(two, 1, "a", claimed)}, "k/a/1 is open"},
		"a step twice":        {[]schemas.Stored{entry(one, 1, "a", claimed, stepped), entry(one, 2, "b", claimed, stepped)}, "step 1 is recorded twice"},
		"no claim":            {[]schemas.Stored{entry(one, 1, "a", claimed), entry(one, 1, "b", stepped)}, "is not who claimed the run"},
	} {
		t.Run(name, func(t *testing.T) {
			var all chronicle
			for i, s := range c.entries {
				s.Seq = uint64(i + 1)
				all.add(s)
			}
			expectComplaint(t, all.check(), c.want)
		})
	}
}
