//go:build unix

package perdure_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/perdure/perdure"
	"github.com/perdure/perdure/broker"
	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/runtime"
	"github.com/perdure/perdure/schemas"
)

// A store is what a test sees of a node's NATS from outside.
type store struct {
	t      testing.TB
	client *perdure.Client
	b      *broker.Broker
	js     jetstream.JetStream

	mu    sync.Mutex
	audit map[string]int // requests of JetStream's API that change something, by verb
	gone  uint64         // messages that purges removed
}

// openStore looks at the NATS server of url until the test ends.
func openStore(t testing.TB, url string) *store {
	t.Helper()
	c, err := perdure.Dial(soon(t, patience), url, perdure.Logger(quiet))
	if err != nil {
		t.Fatal(err)
	}
	s := &store{t: t, client: c, b: c.Broker(), audit: map[string]int{}}
	t.Cleanup(func() { _ = c.Close() })
	if s.js, err = jetstream.New(s.b.Conn()); err != nil {
		t.Fatal(err)
	}
	return s
}

// auditing counts what is asked of the server from now on.
func (s *store) auditing() {
	s.t.Helper()
	_, err := s.b.Conn().Subscribe("$JS.EVENT.ADVISORY.API", func(m *nats.Msg) {
		var a struct {
			Subject  string `json:"subject"`
			Request  string `json:"request"`
			Response string `json:"response"`
		}
		if err := json.Unmarshal(m.Data, &a); err != nil {
			return
		}
		words := strings.Split(strings.TrimPrefix(a.Subject, "$JS.API."), ".")
		s.mu.Lock()
		defer s.mu.Unlock()
		switch verb := strings.Join(words[:min(len(words), 2)], "."); verb {
		case "STREAM.PURGE":
			if strings.Contains(a.Request, ".kept.") {
				return
			}
			var r struct {
				Purged uint64 `json:"purged"`
			}
			_ = json.Unmarshal([]byte(a.Response), &r)
			s.gone += r.Purged
			s.audit[verb]++
		case "STREAM.MSG":
			if words[2] == "DELETE" {
				s.audit["STREAM.MSG.DELETE"]++
			}
		case "STREAM.DELETE", "STREAM.UPDATE", "STREAM.CREATE":
			s.audit[verb]++
		}
	})
	if err != nil {
		s.t.Fatal(err)
	}
	if err := s.b.Conn().FlushWithContext(soon(s.t, patience)); err != nil {
		s.t.Fatal(err)
	}
}

func (s *store) stream(name string) *jetstream.StreamInfo {
	s.t.Helper()
	info, err := s.streamInfo(soon(s.t, patience), name)
	if err != nil {
		s.t.Fatal(err)
	}
	return info
}

func (s *store) streamInfo(ctx context.Context, name string) (*jetstream.StreamInfo, error) {
	stream, err := s.js.Stream(ctx, name)
	if err != nil {
		return nil, err
	}
	return stream.Info(ctx, jetstream.WithSubjectFilter(">"))
}

func (s *store) inbox() *jetstream.StreamInfo {
	s.t.Helper()
	n := s.b.Names()
	return s.stream(n.InboxStream())
}

// keptSubject is of the message that one of [store.inboxes] keeps.
func keptSubject(n broker.Names, stream string) string { return n.Namespace() + ".kept." + stream }

// consumers returns those of the inbox and of its timers.
func (s *store) consumers() (all []*jetstream.ConsumerInfo) {
	s.t.Helper()
	ctx := soon(s.t, patience)
	for _, name := range s.inboxes() {
		stream, err := s.js.Stream(ctx, name)
		if err != nil {
			s.t.Fatal(err)
		}
		list := stream.ListConsumers(ctx)
		for info := range list.Info() {
			all = append(all, info)
		}
		if err := list.Err(); err != nil {
			s.t.Fatal(err)
		}
	}
	return all
}

// inboxes names the streams of messages to identities.
func (s *store) inboxes() []string {
	return []string{s.b.Names().InboxStream(), s.b.Names().TimersStream()}
}

// journal returns the entries of all runs, in the order of their sequences.
func (s *store) journal() []schemas.Stored {
	s.t.Helper()
	all, err := s.readJournal(soon(s.t, patience))
	if err != nil {
		s.t.Fatal(err)
	}
	return all
}

func (s *store) readJournal(ctx context.Context) (all []schemas.Stored, err error) {
	for p := range s.b.Partitions() {
		for e, err := range s.b.Journal().Walk(ctx, schemas.Partition(p), 0) {
			if err != nil {
				return nil, err
			}
			all = append(all, e)
		}
	}
	slices.SortFunc(all, func(a, b schemas.Stored) int { return int(a.Seq) - int(b.Seq) })
	return all, nil
}

// records returns the records by reference.
func (s *store) records() map[string]*schemas.Record {
	s.t.Helper()
	records := map[string]*schemas.Record{}
	for _, e := range s.journal() {
		if r := e.Entry.GetRecord(); r != nil {
			records[e.Ref.String()] = r
		}
	}
	return records
}

// recorded returns the idempotency keys of the steps whose results are stored.
func (s *store) recorded() map[string]bool {
	s.t.Helper()
	keys := map[string]bool{}
	add := func(ref schemas.Ref, path string) {
		keys[runtime.DeriveID(s.b.Namespace(), ref, "step", path)] = true
	}
	for _, e := range s.journal() {
		for _, ev := range e.Entry.GetEvents() {
			if c := ev.GetStepCompleted(); c != nil {
				add(e.Ref, c.GetPath())
			}
		}
		for _, st := range e.Entry.GetRecord().GetSteps() {
			if st.GetKind() == "step" {
				add(e.Ref, st.GetPath())
			}
		}
	}
	return keys
}

// begun returns the idempotency keys of the steps of which it is stored that they began.
func (s *store) begun() map[string]bool {
	s.t.Helper()
	keys := map[string]bool{}
	for _, e := range s.journal() {
		for _, ev := range e.Entry.GetEvents() {
			if b := ev.GetStepStarted(); b != nil {
				keys[runtime.DeriveID(s.b.Namespace(), e.Ref, "step", b.GetPath())] = true
			}
		}
	}
	return keys
}

// states returns the stored states by identity, as JSON.
func (s *store) states() map[string]string {
	s.t.Helper()
	states := map[string]string{}
	bucket := s.b.Names().StateBucket()
	for subject := range s.stream("KV_" + bucket).State.Subjects {
		kind, key, _ := strings.Cut(strings.TrimPrefix(subject, "$KV."+bucket+"."), ".")
		key, err := schemas.DecodeToken(key)
		if err != nil {
			s.t.Fatal(err)
		}
		id := schemas.Identity{Kind: schemas.Kind(kind), Key: key}
		v, _, err := s.b.State().Get(soon(s.t, patience), id)
		if err != nil {
			s.t.Fatal(err)
		}
		states[id.String()] = string(v.GetValue().GetData())
	}
	return states
}

// open says what is not settled: messages that wait, wake-ups that stand, runs
// without a record.
func (s *store) open() []string {
	s.t.Helper()
	left, err := s.look(soon(s.t, patience))
	if err != nil {
		s.t.Fatal(err)
	}
	return left
}

func (s *store) look(ctx context.Context) (left []string, err error) {
	for _, name := range s.inboxes() {
		stream, err := s.streamInfo(ctx, name)
		if err != nil {
			return nil, err
		}
		for subject, n := range stream.State.Subjects {
			if subject != keptSubject(s.b.Names(), name) {
				left = append(left, fmt.Sprintf("%d of %s", n, subject))
			}
		}
	}
	journal, err := s.readJournal(ctx)
	if err != nil {
		return nil, err
	}
	ended := map[schemas.Ref]bool{}
	for _, e := range slices.Backward(journal) {
		ended[e.Ref] = ended[e.Ref] || e.Entry.GetRecord() != nil
		if !ended[e.Ref] {
			left = append(left, "journal of "+e.Ref.String())
		}
	}
	return left, nil
}

// over reports whether so many runs have ended and nothing is open. The node
// may die meanwhile: then it is false.
func (s *store) over(runs int) bool {
	ctx, cancel := context.WithTimeout(s.t.Context(), time.Second)
	defer cancel()
	if left, err := s.look(ctx); err != nil || len(left) > 0 {
		return false
	}
	journal, err := s.readJournal(ctx)
	ended := map[schemas.Ref]bool{}
	for _, e := range journal {
		ended[e.Ref] = true
	}
	return err == nil && len(ended) == runs
}

// below returns how many entries are left below records. Storing a record and
// removing what is before it are two writes of the server; a kill of the server
// between them leaves entries that nobody reads, and that go when the record
// goes (P19).
func (s *store) below() (n int) {
	ended := map[schemas.Ref]bool{}
	for _, e := range slices.Backward(s.journal()) {
		if ended[e.Ref] {
			n++
		}
		ended[e.Ref] = ended[e.Ref] || e.Entry.GetRecord() != nil
	}
	return n
}

// settled waits until nothing is left to do.
func (s *store) settled() {
	s.t.Helper()
	left := s.open()
	eventuallyElse(s.t, func() string { return "settled; left are\n" + short(left) }, func() bool {
		left = s.open()
		return len(left) == 0
	})
}

// orphans says what a settled store should not hold.
func (s *store) orphans() (found []string) {
	s.t.Helper()
	found = s.open()
	for subject, n := range s.stream(s.b.Names().DeadStream()).State.Subjects {
		found = append(found, fmt.Sprintf("%d dead letters of %s", n, subject))
	}
	for subject := range s.stream(s.b.Names().BlobsStream()).State.Subjects {
		found = append(found, "object "+subject)
	}
	consumers := map[string]int{}
	for _, c := range s.consumers() {
		partition, _, _ := strings.Cut(c.Stream+" "+c.Name, "-")
		if consumers[partition]++; consumers[partition] > 1 {
			found = append(found, "a consumer beside "+c.Name)
		}
		if c.NumAckPending+int(c.NumPending) > 0 {
			found = append(found, fmt.Sprintf("consumer %s: %d not acknowledged, %d not delivered", c.Name, c.NumAckPending, c.NumPending))
		}
	}
	return found
}

// An outcome is what is left of runs that have settled, without what differs
// from time to time.
type outcome struct {
	Results map[string]string // by reference: status, result, error
	States  map[string]string
}

func (s *store) outcome() outcome {
	s.t.Helper()
	o := outcome{Results: map[string]string{}, States: s.states()}
	for ref, r := range s.records() {
		o.Results[ref] = fmt.Sprintf("%s %s %s %s", r.GetStatus(), r.GetResult().GetData(), r.GetError().GetCode(), r.GetError().GetMessage())
	}
	return o
}

// query asks the node's API.
func query[Out any](s *store, to durable.QueryTarget[durable.None, Out]) Out {
	s.t.Helper()
	out, err := perdure.Ask(soon(s.t, patience), s.client, to, durable.None{})
	if err != nil {
		s.t.Fatal(err)
	}
	return out
}

// written is what the server counted since the namespace was made.
type written struct {
	Appends, States, Schedules, Cancels, Sends, Acks uint64
	Else                                             map[string]int
}

// counted is what the server says was written, of runs that clients started.
// In words: the journal's last sequence is the number of appends; the state
// bucket's the number of state writes. Of the messages of the inbox each is
// delivered once; of its timers each is a schedule, which is purged or makes a
// wake-up, or such a wake-up, which is delivered once.
func (s *store) counted(tasks uint64) written {
	s.t.Helper()
	n := s.b.Names()
	w := written{
		Appends: s.stream(n.RunsStream()).State.LastSeq,
		States:  s.stream("KV_" + n.StateBucket()).State.LastSeq,
		Else:    map[string]int{},
	}
	var delivered, stored uint64
	for _, name := range s.inboxes() {
		state := s.stream(name).State
		stored += state.LastSeq - state.Subjects[keptSubject(n, name)]
	}
	for _, c := range s.consumers() {
		delivered += c.Delivered.Consumer
		w.Acks += c.Delivered.Consumer - uint64(c.NumAckPending)
	}
	w.Schedules = stored - delivered
	s.mu.Lock()
	defer s.mu.Unlock()
	fired := w.Schedules - s.gone
	w.Sends = delivered - fired - tasks
	for verb, n := range s.audit {
		if verb == "STREAM.PURGE" {
			w.Cancels = uint64(n)
		} else {
			w.Else[verb] = n
		}
	}
	for _, name := range []string{n.DeadStream(), n.BlobsStream()} {
		if last := s.stream(name).State.LastSeq; last > 0 {
			w.Else[name] = int(last)
		}
	}
	return w
}

// writes leaves out the points of sends that wrote nothing: whoever finds an identity
// settles its last record, and may so put out again what was put out before.
func writes(points []point) (all []point) {
	for _, p := range points {
		if p.op != "duplicate" {
			all = append(all, p)
			continue
		}
		begun := point{"send", "before", p.subject}
		for i, q := range slices.Backward(all) {
			if q == begun {
				all = slices.Delete(all, i, i+1)
				break
			}
		}
	}
	return all
}

// pointed is the same by the fault points after a write, or before it.
func pointed(points []point, when string) written {
	w := written{Else: map[string]int{}}
	by := map[string]*uint64{
		"append": &w.Appends, "commit": &w.Appends, "state": &w.States, "schedule": &w.Schedules,
		"cancel-schedule": &w.Cancels, "send": &w.Sends, "ack": &w.Acks,
	}
	for _, p := range points {
		switch n := by[p.op]; {
		case p.when != when:
		case n == nil:
			w.Else[p.op]++
		default:
			*n++
		}
	}
	return w
}

// kindsOf counts points by op, when and kind of subject, for people.
func kindsOf(points []point) string {
	counts := map[string]int{}
	for _, p := range points {
		counts[p.op+" "+p.when]++
	}
	var b strings.Builder
	for _, k := range slices.Sorted(maps.Keys(counts)) {
		fmt.Fprintf(&b, "  %-22s %d\n", k, counts[k])
	}
	return b.String()
}

// A rawRecord is a run's last message as it is stored.
type rawRecord struct {
	Seq  uint64
	Data string
}

func (s *store) raw(ref schemas.Ref) rawRecord {
	s.t.Helper()
	ctx := soon(s.t, patience)
	stream, err := s.js.Stream(ctx, s.b.Names().RunsStream())
	if err != nil {
		s.t.Fatal(err)
	}
	m, err := stream.GetLastMsgForSubject(ctx, s.b.Names().RunSubject(ref))
	if err != nil {
		s.t.Fatal(err)
	}
	return rawRecord{m.Sequence, string(m.Data)}
}

func sorted(list []string) []string {
	slices.Sort(list)
	return list
}
