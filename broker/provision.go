package broker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/perdure/perdure/schemas"
	"google.golang.org/protobuf/proto"
)

// Layout is the version of the streams and subjects; that of a namespace is in its
// record. One of version 2 becomes one of version 3 when the first run of it is moved
// (see [Journal.OpenPast]).
const (
	Layout        = 3
	layoutUnmoved = 2 // without the subjects of what was moved

	// layoutRestoring is no layout: a namespace has it while it is restored, so that no
	// program of any version opens the half of one.
	layoutRestoring = 1 << 20
)

// namespaceKey is the key of the namespace's record in the cluster bucket.
const namespaceKey = "namespace"

// deadWindow is how long the stream of dead letters remembers what it holds,
// so that a message that could not be acknowledged is not put there twice.
const deadWindow = 24 * time.Hour

// markerTTL is how long the cluster bucket keeps the mark of an expired key,
// by which a watch sees it.
const markerTTL = time.Minute

// unlimited is a limit of messages a subject that none reaches. A stream that has one
// keeps its messages in files of 4 MB in place of 8, and what was written last in memory
// in as large pieces (decision 30).
const unlimited = 1 << 40

// baseStream is what all streams of a namespace have in common.
func baseStream(cfg *Config, name, what string, subjects ...string) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name: name, Description: "Perdure: " + what, Subjects: subjects,
		Storage: jetstream.FileStorage, Replicas: cfg.Replicas,
		MaxMsgs: -1, MaxBytes: -1, MaxMsgSize: -1, MaxConsumers: -1, MaxMsgsPerSubject: -1,
		AllowRollup: true, AllowDirect: true,
	}
}

// inbox describes the inbox stream of the pool, without its subjects. It has no
// limits and no age: it would drop accepted tasks, or refuse what runs send, without
// which none ends; how many of clients' tasks wait is bounded before they are sent
// ([Inbox.Admit]). Whoever may publish a task
// may put any header on it, so it allows no roll-ups, by which one publisher
// could remove what others have waiting, and no schedules, which the server
// allows only together with roll-ups.
func (n Names) inbox(cfg *Config) jetstream.StreamConfig {
	inbox := baseStream(cfg, n.InboxStream(), "messages to identities of pool "+n.pool)
	inbox.Retention = jetstream.WorkQueuePolicy
	inbox.Duplicates = cfg.DuplicateWindow
	inbox.AllowRollup = false
	if cfg.MaxWaiting > 0 {
		inbox.Metadata = map[string]string{maxWaitingKey: strconv.FormatInt(cfg.MaxWaiting, 10)}
	}
	inbox.SubjectTransform = &jetstream.SubjectTransformConfig{Source: n.taskFilter(), Destination: n.taskTransform()}
	return inbox
}

// timers describes the stream of the pool's schedules, without its subjects, on
// which nodes alone publish. It has no limits and no age either: the server would
// refuse what a schedule becomes (P13).
func (n Names) timers(cfg *Config) jetstream.StreamConfig {
	timers := baseStream(cfg, n.TimersStream(), "schedules of identities of pool "+n.pool+", and their wake-ups")
	timers.Retention = jetstream.WorkQueuePolicy
	timers.Duplicates = DefaultDuplicateWindow // schedules carry no message IDs
	timers.AllowMsgSchedules = true
	return timers
}

// streams describes the streams that all pools share.
func (n Names) streams(cfg *Config) []jetstream.StreamConfig {
	base := func(name, what string, subjects ...string) jetstream.StreamConfig {
		return baseStream(cfg, name, what, subjects...)
	}
	runs := base(n.RunsStream(), "journals of runs", n.runsFilter(), n.past(n.runsFilter()))
	runs.Duplicates = DefaultDuplicateWindow // journals carry no message IDs
	runs.MaxMsgsPerSubject = unlimited

	blobs := base(n.BlobsStream(), "large payloads", n.blobsFilter())
	blobs.MaxMsgsPerSubject = 1 // a chunk that is sent again replaces itself

	dead := base(n.DeadStream(), "messages that could not be handled", n.deadFilter())
	dead.Duplicates = deadWindow

	archive := base(n.ArchiveStream(), "records that are kept longer, for people", n.archivedFilter())
	archive.MaxMsgsPerSubject, archive.AllowMsgTTL = 1, true

	state := base("KV_"+n.StateBucket(), "state of identities", "$KV."+n.StateBucket()+".>")
	state.MaxMsgsPerSubject, state.Discard, state.DenyDelete = 1, jetstream.DiscardNew, true

	cluster := base("KV_"+n.ClusterBucket(), "members and owners", n.clusterPrefix()+">")
	cluster.MaxMsgsPerSubject, cluster.Discard, cluster.DenyDelete = 1, jetstream.DiscardNew, true
	cluster.AllowMsgTTL, cluster.SubjectDeleteMarkerTTL = true, markerTTL
	return []jetstream.StreamConfig{cluster, runs, blobs, dead, archive, state}
}

// A provisioner creates and verifies what a namespace needs. Everything it
// does may be repeated, and done by two nodes at once.
type provisioner struct {
	*publisher
	cfg    *Config
	server *embedded // that of a cluster; otherwise nil

	mu    sync.Mutex
	found map[string]streamFound // by stream, as it was last seen
}

// A streamFound is the part of a stream's description that provisioning needs.
type streamFound struct {
	Config  jetstream.StreamConfig `json:"config"`
	Created time.Time              `json:"created"`
}

// note keeps what was found.
func (p *provisioner) note(name string, s streamFound) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.found == nil {
		p.found = map[string]streamFound{}
	}
	p.found[name] = s
}

// reader returns a reader of a stream that provisioning has found.
func (p *provisioner) reader(stream string) *reader {
	p.mu.Lock()
	defer p.mu.Unlock()
	return &reader{publisher: p.publisher, stream: stream, direct: p.found[stream].Config.Replicas == 1}
}

func (p *provisioner) names(partitions uint32) (Names, error) {
	n, err := NewNames(p.cfg.Namespace, partitions)
	n.pool = p.cfg.Pool
	return n, err
}

// provision makes sure that the namespace is there and as this version needs
// it, and returns its names.
func (p *provisioner) provision(ctx context.Context) (Names, error) {
	if err := p.jetstream(ctx); err != nil {
		return Names{}, err
	}
	want := p.cfg.Partitions
	if want == 0 {
		want = DefaultPartitions
	}
	names, err := p.names(want)
	if err != nil {
		return Names{}, err
	}
	// The cluster bucket first: its record fixes what the others depend on.
	if err := p.stream(ctx, names.streams(p.cfg)[0]); err != nil {
		return Names{}, err
	}
	record, err := p.record(ctx, names)
	if err != nil {
		return Names{}, err
	}
	if record.Version == layoutRestoring {
		return Names{}, fmt.Errorf("open namespace %s: %w: it is being restored from a backup, or that was interrupted; wait until it has ended, or restore the backup again", names.ns, ErrIncompatible)
	}
	if record.Version != Layout && record.Version != layoutUnmoved {
		return Names{}, fmt.Errorf("open namespace %s: %w: its layout is version %d, this program knows %d and %d; use the program that made it", names.ns, ErrIncompatible, record.Version, layoutUnmoved, Layout)
	}
	if p.cfg.Partitions != 0 && record.Partitions != p.cfg.Partitions {
		return Names{}, fmt.Errorf("open namespace %s: %w: it has %d, which never changes, and %d are asked for; ask for %[3]d or use another namespace", names.ns, ErrPartitions, record.Partitions, p.cfg.Partitions)
	}
	if names, err = p.names(record.Partitions); err != nil {
		return Names{}, fmt.Errorf("open namespace %s: %w: its record: %w", p.cfg.Namespace, ErrIncompatible, err)
	}
	others := names.streams(p.cfg)[1:]
	errs := make([]error, len(others))
	var wg sync.WaitGroup
	for i, sc := range others {
		wg.Go(func() { errs[i] = p.stream(ctx, sc) })
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return Names{}, err
	}
	if record.Version == Layout && !p.cfg.ClientOnly {
		if err := p.addPast(ctx, names); err != nil {
			return Names{}, err
		}
	}
	if len(p.cfg.Kinds) > 0 {
		if err := p.pool(ctx, names); err != nil {
			return Names{}, err
		}
	}
	return names, nil
}

const (
	startPatience    = 3 * time.Second  // with a server that has just started
	electionPatience = 15 * time.Second // with a cluster that chooses a leader, which takes 4 to 9 s
)

// jetstream waits for JetStream: a server that has just started takes a moment, and a
// cluster that lost one of its servers longer. Our own cluster has a majority when its
// servers have started, or waits for one.
func (p *provisioner) jetstream(ctx context.Context) error {
	for began := time.Now(); ; {
		short, cancel := context.WithTimeout(ctx, startPatience)
		err := p.request(short, "$JS.API.INFO", struct{}{}, nil)
		over := short.Err() != nil
		cancel()
		switch {
		case err == nil, errors.Is(err, ErrDenied):
			return err
		case ctx.Err() != nil && p.server != nil:
			l := p.server.look(len(p.cfg.Cluster.Routes))
			return fmt.Errorf("wait for the other servers of cluster %s, at %s: %s; connected: %s; not reached: %s: %w", p.cfg.Cluster.Name, strings.Join(p.cfg.Cluster.Routes, ", "), l.why, orNone(l.connected), orNone(l.missing), err)
		case errors.Is(err, ErrClosed) || ctx.Err() != nil || !over && !errors.Is(err, ErrNoJetStream):
			return err
		case over && p.server != nil:
			l := p.server.look(len(p.cfg.Cluster.Routes))
			p.cfg.Logger.Warn("waits for the other servers of the cluster: "+l.why, "cluster", p.cfg.Cluster.Name, "connected", orNone(l.connected), "not_reached", orNone(l.missing), "routes", strings.Join(p.cfg.Cluster.Routes, ","), "since", time.Since(began).Round(time.Second))
			continue
		case over && !errors.Is(err, errNoResponders) && time.Since(began) < electionPatience:
			continue
		case errors.Is(err, ErrNoLeader):
			return fmt.Errorf("open namespace %s at %s: %w", p.cfg.Namespace, p.link.nc.ConnectedUrlRedacted(), err)
		}
		return fmt.Errorf("open namespace %s: %w at %s: enable it in the server's configuration and for the account: %w", p.cfg.Namespace, ErrNoJetStream, p.link.nc.ConnectedUrlRedacted(), err)
	}
}

// orNone lists names for people.
func orNone(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ",")
}

// stream creates a stream or verifies the one that is there.
func (p *provisioner) stream(ctx context.Context, want jetstream.StreamConfig) error {
	var have streamFound
	look := p.cfg.ClientOnly
	if !look {
		// The answer describes the stream, also where there is one like it.
		err := p.create(ctx, want, &have)
		e := refused(err)
		if e != nil && (e.Code == codeReplicasOfOne || e.Code == codeNoPeers) {
			return fmt.Errorf("create stream %s with %d replicas: %w; it takes as many servers, in one cluster, with JetStream: add servers, or ask for replicas 1 and durability disk or process", want.Name, want.Replicas, err)
		}
		if look = e != nil && e.Code == codeStreamNameInUse; err != nil && !look {
			return fmt.Errorf("create stream %s: %w", want.Name, err)
		}
	}
	var err error
	if look {
		err = p.request(ctx, "$JS.API.STREAM.INFO."+want.Name, struct{}{}, &have)
	}
	if errors.Is(err, ErrNoNamespace) {
		if p.cfg.Unchecked && !strings.HasPrefix(want.Name, "KV_"+p.cfg.Namespace+"_cluster") {
			return nil
		}
		return fmt.Errorf("open namespace %s: %w: NATS has no stream %s; start a node of the namespace first", p.cfg.Namespace, ErrNoNamespace, want.Name)
	}
	if err != nil {
		return fmt.Errorf("look up stream %s: %w", want.Name, err)
	}
	if what := differs(have.Config, want, p.cfg); what != "" && !p.cfg.Unchecked {
		return fmt.Errorf("open namespace %s: %w: stream %s %s; change it, or use another namespace", p.cfg.Namespace, ErrIncompatible, want.Name, what)
	}
	p.note(want.Name, have)
	return nil
}

// peersWait is how long the servers of a cluster that has just started may
// take to know of each other.
const peersWait = 5 * time.Second

// create asks for a stream, and waits for a cluster to be complete; ours is once all its
// nodes have started. made is the
// server's answer.
func (p *provisioner) create(ctx context.Context, sc jetstream.StreamConfig, made *streamFound) error {
	deadline := time.Now().Add(peersWait)
	for {
		err := p.request(ctx, "$JS.API.STREAM.CREATE."+sc.Name, sc, made)
		if e := refused(err); e == nil || e.Code != codeNoPeers || p.cfg.Cluster == nil && time.Now().After(deadline) {
			return err
		}
		if perr := p.link.pause(ctx, jitter(10*retryWait)); perr != nil {
			return fmt.Errorf("%w (last: %w)", perr, err)
		}
	}
}

// differs says in what a stream fails the guarantees; empty for in nothing.
// What only an operator cares about (placement, compression, more replicas)
// may differ.
func differs(have, want jetstream.StreamConfig, cfg *Config) string {
	slices.Sort(have.Subjects)
	slices.Sort(want.Subjects)
	if without := slices.DeleteFunc(slices.Clone(want.Subjects), func(s string) bool { return strings.HasSuffix(s, pastSuffix) }); slices.Equal(have.Subjects, without) {
		want.Subjects = without // they are added when they are needed
	}
	switch {
	case want.Subjects != nil && !slices.Equal(have.Subjects, want.Subjects):
		return fmt.Sprintf("has the subjects %v in place of %v", have.Subjects, want.Subjects)
	case have.Retention != want.Retention:
		return fmt.Sprintf("has retention %v in place of %v", have.Retention, want.Retention)
	case have.Storage != want.Storage:
		return fmt.Sprintf("is stored in %v in place of %v", have.Storage, want.Storage)
	case have.PersistMode != jetstream.DefaultPersistMode:
		return fmt.Sprintf("has persist mode %v, which loses acknowledged messages", have.PersistMode)
	case have.MaxAge != 0 || have.MaxMsgs > 0 || have.MaxBytes > 0:
		return "has a limit of age, messages or bytes, which loses acknowledged messages"
	case perSubject(have) != perSubject(want):
		return fmt.Sprintf("keeps %d messages a subject in place of %d", have.MaxMsgsPerSubject, want.MaxMsgsPerSubject)
	case have.Discard != want.Discard:
		return fmt.Sprintf("discards %v in place of %v", have.Discard, want.Discard)
	case have.NoAck || have.Sealed || have.Mirror != nil || len(have.Sources) > 0:
		return "is sealed, a mirror, has sources or acknowledges nothing"
	case want.AllowMsgSchedules && !have.AllowMsgSchedules:
		return "has no message schedules (nats-server 2.12 has them)"
	case want.AllowMsgTTL && (!have.AllowMsgTTL || have.SubjectDeleteMarkerTTL == 0 && want.SubjectDeleteMarkerTTL > 0):
		return "has no message TTLs with delete markers"
	case have.AllowMsgTTL && !want.AllowMsgTTL:
		return "has message TTLs, by which accepted messages expire"
	case have.AllowRollup && !want.AllowRollup:
		return "allows roll-ups, by which any publisher removes what others have waiting"
	case want.AllowRollup && !have.AllowRollup || !have.AllowDirect:
		return "does not allow roll-ups or direct gets"
	case cfg.Durability == Quorum && have.Replicas < 3:
		return fmt.Sprintf("has %d replicas, and durability quorum needs 3", have.Replicas)
	}
	return differsTransform(have.SubjectTransform, want.SubjectTransform)
}

// perSubject is how many messages a subject keeps, -1 for all.
func perSubject(sc jetstream.StreamConfig) int64 {
	if sc.MaxMsgsPerSubject <= 0 || sc.MaxMsgsPerSubject >= unlimited {
		return -1
	}
	return sc.MaxMsgsPerSubject
}

func differsTransform(have, want *jetstream.SubjectTransformConfig) string {
	switch {
	case have == nil && want == nil:
		return ""
	case have == nil || want == nil || *have != *want:
		a, _ := json.Marshal(have)
		b, _ := json.Marshal(want)
		return fmt.Sprintf("has the subject transform %s in place of %s", a, b)
	}
	return ""
}

// record returns the namespace's record, and makes it first where there is
// none.
func (p *provisioner) record(ctx context.Context, names Names) (*schemas.Namespace, error) {
	for {
		record, _, err := p.readRecord(ctx, names)
		if err != nil || record != nil {
			return record, err
		}
		if p.cfg.ClientOnly {
			return nil, fmt.Errorf("open namespace %s: %w: it has no record; start a node of the namespace first", names.ns, ErrNoNamespace)
		}
		data, err := proto.Marshal(&schemas.Namespace{Version: Layout, Partitions: names.partitions, Created: time.Now().UnixNano()})
		if err != nil {
			return nil, fmt.Errorf("encode the record of namespace %s: %w", names.ns, err)
		}
		msg := &nats.Msg{Subject: names.clusterPrefix() + namespaceKey, Data: data, Header: nats.Header{hdrExpectedSeq: {"0"}}}
		if _, err := p.publish(ctx, msg); err != nil && (refused(err) == nil || !refused(err).fenced() && !refused(err).inFlight()) {
			return nil, fmt.Errorf("store the record of namespace %s: %w", names.ns, err)
		}
		// Stored, or another node was first: the stored one counts.
	}
}

// readRecord returns the namespace's record and its revision, nil and 0 if there is
// none.
func (p *provisioner) readRecord(ctx context.Context, names Names) (*schemas.Namespace, uint64, error) {
	r := &reader{publisher: p.publisher, stream: "KV_" + names.ClusterBucket()}
	m, ok, err := r.get(ctx, query{LastBy: names.clusterPrefix() + namespaceKey})
	if err != nil {
		return nil, 0, fmt.Errorf("read the record of namespace %s: %w", names.ns, err)
	}
	if !ok {
		return nil, 0, nil
	}
	record := &schemas.Namespace{}
	if err := proto.Unmarshal(m.data, record); err != nil {
		return nil, 0, fmt.Errorf("read the record of namespace %s: %w: %w", names.ns, ErrIncompatible, err)
	}
	return record, m.seq, nil
}
