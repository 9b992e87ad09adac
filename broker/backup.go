package broker

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

// DefaultPause is how long nodes may stand still at most for a backup, unless it says
// otherwise.
const DefaultPause = time.Minute

// MaxPause is how long a node stands still for a backup at most, whatever is asked.
const MaxPause = 10 * time.Minute

// ErrUnsettled is matched by the error of a backup during which the namespace has
// changed, or whose nodes did not stand still: nothing of it may be used. Take another
// one.
var ErrUnsettled = errors.New("the namespace did not stand still")

// A BackupConfig says how a backup is taken.
type BackupConfig struct {
	// Pause is how long nodes may stand still at most, up to [MaxPause]; 0 means
	// [DefaultPause].
	Pause time.Duration
	// Node returns the node that a key of the cluster's bucket is of, if it is of a
	// member.
	Node func(key string) (node string, ok bool)
	// Keep returns what is kept of another key; nil is nothing.
	Keep func(key string, value []byte) (kept []byte, err error)
	// At, if not nil, is called before each stream is read, for tests.
	At func(stream string)
}

// A Backup says what was written.
type Backup struct {
	Nodes    int           // that stood still
	Streams  int           // that were read
	Messages uint64        // of all of them
	Paused   time.Duration // how long the nodes stood still
}

// Backup writes everything of the namespace to w, as it is at one moment: when all of
// its nodes stand still, so that a namespace that is restored from it is one whose
// processes were all killed at once. Tasks are accepted meanwhile of processes without a
// node, and are not done; what goes through a node's process waits.
// Each node goes on as soon as the last stream is read, or five seconds after nothing
// more is heard of the backup. That nothing has changed is looked at in the streams
// themselves, so that nothing rests on nodes that do as they are asked: the error then
// matches [ErrUnsettled].
func (b *Broker) Backup(ctx context.Context, w io.Writer, cfg BackupConfig) (Backup, error) {
	if cfg.Pause <= 0 {
		cfg.Pause = DefaultPause
	}
	if cfg.Pause > MaxPause {
		return Backup{}, fmt.Errorf("back namespace %s up: nodes may stand still for %v at most, and %v is asked for", b.names.ns, MaxPause, cfg.Pause)
	}
	made, err := b.backup(ctx, w, cfg)
	if err != nil {
		return made, fmt.Errorf("back namespace %s up: %w", b.names.ns, err)
	}
	return made, nil
}

func (b *Broker) backup(ctx context.Context, w io.Writer, cfg BackupConfig) (made Backup, err error) {
	streams, err := b.backedUp(ctx)
	if err != nil {
		return made, err
	}
	out, err := newBackupWriter(w)
	if err != nil {
		return made, err
	}
	defer out.abandon()
	held, ctx, err := b.holdNodes(ctx, cfg)
	if err != nil {
		return made, err
	}
	began := time.Now()
	made.Nodes = len(held.nodes)
	err = b.readAll(ctx, out, streams, cfg)
	if cause := context.Cause(ctx); err != nil && cause != nil {
		err = cause
	}
	// All of them must say that they have not gone on meanwhile.
	err = errors.Join(err, held.release())
	made.Streams, made.Messages, made.Paused = out.totals.Streams, out.totals.Messages, time.Since(began)
	if err != nil {
		return made, err
	}
	return made, out.close()
}

// backedUp returns the streams of the namespace in the order in which they are read.
//
// While nodes stand still the journals do not change, which is looked at. What may
// change all the same is caused by processes that do not: those that nobody knows of
// (they have been paused, and wake up) finish what they have stored before, and send
// messages, remove wake-ups and dead letters after those are stored elsewhere. So what
// is removed is read before what was put elsewhere first: timers and dead letters
// before inboxes, from which nothing may be removed at all; and a client stores a large
// payload before it sends the task that names it, so blobs are read last.
func (b *Broker) backedUp(ctx context.Context) ([]*reader, error) {
	pools, err := b.Inbox().Pools(ctx)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, pool := range pools {
		names = append(names, b.names.ns+timersInfix+pool)
	}
	names = append(names, b.names.DeadStream(), "KV_"+b.names.StateBucket(), b.names.ArchiveStream(), b.names.RunsStream())
	for _, pool := range pools {
		names = append(names, b.names.ns+inboxInfix+pool)
	}
	var all []*reader
	for _, name := range append(names, b.names.BlobsStream()) {
		r := &reader{publisher: b.pub, stream: name}
		info, err := r.info(ctx, "")
		if err != nil {
			return nil, fmt.Errorf("look up stream %s: %w", name, err)
		}
		r.direct = info.Config.Replicas == 1
		all = append(all, r)
	}
	return all, nil
}

// A looked is what a stream was at a moment.
type looked struct {
	Config  map[string]json.RawMessage `json:"config"`
	Created time.Time                  `json:"created"`
	State   struct {
		Messages uint64 `json:"messages"`
		First    uint64 `json:"first_seq"`
		Last     uint64 `json:"last_seq"`
	} `json:"state"`
}

func (r *reader) look(ctx context.Context) (l looked, err error) {
	if err = r.request(ctx, "$JS.API.STREAM.INFO."+r.stream, struct{}{}, &l); err != nil {
		return l, fmt.Errorf("look at stream %s: %w", r.stream, err)
	}
	return l, nil
}

// removalsEnd is how long an inbox goes without that anything is removed before what
// was acknowledged counts as removed: the server does so some time after it says so.
const removalsEnd = 50 * time.Millisecond

// lookAtRest looks at a stream; at an inbox, once what was acknowledged is removed.
func (b *Broker) lookAtRest(ctx context.Context, r *reader) (looked, error) {
	last, err := r.look(ctx)
	for err == nil && b.names.isInbox(r.stream) {
		if err := b.link.pause(ctx, removalsEnd); err != nil {
			return last, err
		}
		before := last.State
		if last, err = r.look(ctx); last.State.Last-before.Last == last.State.Messages-before.Messages {
			break
		}
	}
	return last, err
}

// readAll reads the streams while the nodes stand still, and looks whether they did.
func (b *Broker) readAll(ctx context.Context, out *backupWriter, streams []*reader, cfg BackupConfig) error {
	before, read := make([]looked, len(streams)), make([]uint64, len(streams))
	for i, r := range streams {
		var err error
		if before[i], err = b.lookAtRest(ctx, r); err != nil {
			return err
		}
	}
	if err := b.writeManifest(ctx, out, cfg); err != nil {
		return err
	}
	for i, r := range streams {
		var err error
		if read[i], err = b.readStream(ctx, out, r, cfg.At); err != nil {
			return fmt.Errorf("read stream %s: %w", r.stream, err)
		}
		was, n := before[i].State.Messages, read[i]
		if r.stream == b.names.RunsStream() && n != was || b.names.isInbox(r.stream) && n < was {
			return fmt.Errorf("%w: of %d messages of stream %s %d were read; try again", ErrUnsettled, was, r.stream, n)
		}
	}
	if cfg.At != nil {
		cfg.At("")
	}
	for i, r := range streams {
		after, err := r.look(ctx)
		if err != nil {
			return err
		}
		was, is := before[i].State, after.State
		switch {
		case r.stream == b.names.RunsStream() && was != is:
			return fmt.Errorf("%w: the journals went from entry %d to %d while they were read, so some process executes runs that did not stand still; try again", ErrUnsettled, was.Last, is.Last)
		case b.names.isInbox(r.stream) && is.Last-was.Last != is.Messages-was.Messages:
			return fmt.Errorf("%w: messages of %s were acknowledged while it was read, so some process executes runs that did not stand still; try again", ErrUnsettled, r.stream)
		case was == is && read[i] != was.Messages:
			return fmt.Errorf("%w: stream %s has stood still with %d messages, and %d were read; try again", ErrUnsettled, r.stream, was.Messages, read[i])
		}
	}
	return nil
}

// writeManifest writes what the backup is of.
func (b *Broker) writeManifest(ctx context.Context, out *backupWriter, cfg BackupConfig) error {
	p := &provisioner{publisher: b.pub, cfg: &b.cfg}
	record, _, err := p.readRecord(ctx, b.names)
	if err != nil {
		return err
	}
	keys, err := b.Leases().List(ctx, "")
	if err != nil {
		return err
	}
	m := Manifest{
		Namespace: b.names.ns, Layout: record.GetVersion(), Partitions: record.GetPartitions(), Created: record.GetCreated(),
		Taken: time.Now().UTC(),
	}
	for _, k := range keys {
		if _, member := cfg.Node(k.Key); member || k.Key == namespaceKey {
			continue
		}
		value, err := cfg.Keep(k.Key, k.Value)
		if err != nil {
			return err
		}
		if value != nil {
			m.Keys = append(m.Keys, ManifestKey{k.Key, value})
		}
	}
	return out.json(frameManifest, m)
}

// readStream writes a stream, and returns how many messages it has.
func (b *Broker) readStream(ctx context.Context, out *backupWriter, r *reader, at func(string)) (n uint64, err error) {
	l, err := r.look(ctx)
	if err != nil {
		return 0, err
	}
	if at != nil {
		at(r.stream)
	}
	if b.names.isInbox(r.stream) {
		rememberBegan(l.Config, l.Created)
	}
	if err := out.begin(backupStream{r.stream, l.Config, l.Created, l.State.First, l.State.Last}); err != nil {
		return 0, err
	}
	// What a schedule becomes is stored behind all others, and a follower that is
	// behind may have neither: so what has come since is read, until nothing has. Part
	// of a large payload that is stored again is behind all others, too, and no longer
	// where it was: so what has come since is read, until nothing was removed meanwhile.
	// Of other streams it does not matter what has come since, and it may be without
	// end.
	next := uint64(0)
	for more := true; more; {
		more = false
		for m, err := range r.scan(ctx, allSubjects, next) {
			if err != nil {
				return n, err
			}
			if !b.names.isTimers(r.stream) && m.seq > l.State.Last {
				break
			}
			if err := out.message(m.raw()); err != nil {
				return n, err
			}
			n, next, more = n+1, m.seq+1, b.names.isTimers(r.stream)
		}
		if r.stream != b.names.BlobsStream() {
			continue
		}
		was := l.State
		if l, err = r.look(ctx); err != nil {
			return n, err
		}
		if more = was.Last-was.Messages != l.State.Last-l.State.Messages; more {
			next = max(next, was.Last+1)
		}
	}
	return n, out.end()
}

// raw returns a message that a scan has read as it is stored.
func (m *message) raw() rawMessage {
	for _, h := range []string{"Nats-Stream", "Nats-Subject", "Nats-Sequence", "Nats-Time-Stamp", "Nats-Num-Pending", "Nats-Last-Sequence"} {
		delete(m.header, h) // they are the answer's
	}
	return rawMessage{seq: m.seq, time: m.time.UnixNano(), subject: m.subject, header: wireHeader(m.header), data: m.data}
}

// wireHeader returns headers as they are on the wire; none are none.
func wireHeader(h nats.Header) []byte {
	if len(h) == 0 {
		return nil
	}
	b := []byte("NATS/1.0\r\n")
	for _, k := range slices.Sorted(maps.Keys(h)) {
		for _, v := range h[k] {
			b = append(append(append(append(b, k...), ": "...), v...), "\r\n"...)
		}
	}
	return append(b, "\r\n"...)
}

func (n Names) isInbox(stream string) bool  { return hasPool(stream, n.ns+inboxInfix) }
func (n Names) isTimers(stream string) bool { return hasPool(stream, n.ns+timersInfix) }

func hasPool(stream, prefix string) bool {
	return len(stream) > len(prefix) && stream[:len(prefix)] == prefix
}

// beganKey is in the metadata of an inbox that was restored: when the stream that it
// was made from began, in Unix nanoseconds. IDs are made of it (P21).
const beganKey = "perdure-began"

// rememberBegan puts into the description of an inbox when it began.
func rememberBegan(config map[string]json.RawMessage, created time.Time) {
	metadata := map[string]string{}
	_ = json.Unmarshal(config["metadata"], &metadata) // there may be none
	if metadata[beganKey] == "" {
		metadata[beganKey] = strconv.FormatInt(created.UnixNano(), 10)
	}
	config["metadata"], _ = json.Marshal(metadata) // of strings
}

// began returns when an inbox began, also where it was restored.
func began(s streamFound) time.Time {
	if at, err := strconv.ParseInt(s.Config.Metadata[beganKey], 10, 64); err == nil {
		return time.Unix(0, at)
	}
	return s.Created
}

// heldNodes are those that stand still.
type heldNodes struct {
	b     *Broker
	id    string
	nodes []string
	end   context.CancelCauseFunc
	done  chan struct{} // closed when nobody is asked any more
}

// holdNodes makes all nodes of the namespace stand still, and keeps them so until it
// is released; the context ends, with why, when one of them does not any more, or that
// takes too long.
func (b *Broker) holdNodes(ctx context.Context, cfg BackupConfig) (h *heldNodes, held context.Context, err error) {
	keys, err := b.Leases().List(ctx, "")
	if err != nil {
		return nil, nil, err
	}
	h = &heldNodes{b: b, id: rand.Text(), done: make(chan struct{})}
	for _, k := range keys {
		if node, ok := cfg.Node(k.Key); ok {
			h.nodes = append(h.nodes, node)
		}
	}
	held, h.end = context.WithCancelCause(ctx)
	if err := h.ask(held, holdRequest{ID: h.id}); err != nil {
		h.end(err)
		drop, cancel := context.WithTimeout(b.link.life, holdFor)
		defer cancel()
		_ = h.ask(drop, holdRequest{ID: h.id, Release: true}) // they go on by themselves
		return nil, nil, err
	}
	go h.keep(held, cfg.Pause)
	return h, held, nil
}

// keep asks the nodes again and again.
func (h *heldNodes) keep(ctx context.Context, pause time.Duration) {
	defer close(h.done)
	most := time.NewTimer(pause)
	defer most.Stop()
	again := time.NewTicker(holdEvery)
	defer again.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-most.C:
			h.end(fmt.Errorf("%w for as long as it took: nodes have stood still for %v, which is the most that they may; allow more, or have less in it", ErrUnsettled, pause))
		case <-again.C:
			if err := h.ask(ctx, holdRequest{ID: h.id, Again: true}); err != nil && ctx.Err() == nil {
				h.end(err)
			}
		}
	}
}

// release lets the nodes go; the error says which of them had gone on before.
func (h *heldNodes) release() error {
	h.end(nil)
	<-h.done
	ctx, cancel := context.WithTimeout(h.b.link.life, holdFor)
	defer cancel()
	return h.ask(ctx, holdRequest{ID: h.id, Again: true, Release: true})
}

// ask asks all nodes at once. One that is gone is dead, and stands still; what it has
// stored before it died counts.
func (h *heldNodes) ask(ctx context.Context, req holdRequest) error {
	errs := make([]error, len(h.nodes))
	var wg sync.WaitGroup
	for i, node := range h.nodes {
		wg.Go(func() { errs[i] = h.askNode(ctx, node, req) })
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("%w: %w", ErrUnsettled, err)
	}
	return nil
}

func (h *heldNodes) askNode(ctx context.Context, node string, req holdRequest) error {
	alive, err := h.b.askHold(ctx, node, req)
	if err != nil || alive {
		return err
	}
	if _, alive, err = h.b.Probe(ctx, node); err != nil || alive && !req.Release {
		return errors.Join(err, fmt.Errorf("node %s lives, and does not know backups, or is just starting or stopping; upgrade it, or try again", node))
	}
	return nil
}
