package broker

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/perdure/perdure/schemas"
)

// Names builds and parses the subjects, streams and buckets of a namespace.
// It is the only place that knows their form:
//
//	<ns>.task.<from>.<kind>.<key>          a message, as published
//	<ns>.in.<p>.<from>.<kind>.<key>        the same, as the inbox stream stores it
//	<ns>.timer.<p>.<kind>.<key>.<run>.<n>  a schedule, in the stream of timers
//	<ns>.wake.<p>.<kind>.<key>             the wake-up that it becomes, in the same
//	<ns>.run.<p>.<kind>.<key>.<id>         a run's journal
//	<ns>.past.<p>.<kind>.<key>.<id>        that of a run that ended, moved: in the same stream
//	<ns>.kept.<stream>                     a message that a work queue keeps
//	<ns>.blob.<p>.<kind>.<key>.<id>.<part>.<n>  a chunk of a large payload
//	<ns>.archive.<p>.<kind>.<key>.<id>     a record that is kept longer
//	<ns>.archive.proof                     a message by which a node proves how files are kept
//	<ns>.dead.<kind>.<key>                 what could not be handled
//	<ns>.done.<kind>.<key>.<id>            done notices (core NATS)
//	<ns>.live.<kind>.<key>.<id>            what a run says while it does it (core NATS)
//	<ns>.node.<id>                         probes of a node (core NATS)
//	<ns>.round                             requests for a fsync, to an embedded server's process (core NATS)
//	<ns>.api.<name>                        requests (core NATS)
type Names struct {
	ns         string
	partitions uint32
	pool       string
}

// NewNames returns the names of namespace ns with a number of partitions. The
// namespace must be a token of letters, digits, '-' and '_'.
func NewNames(ns string, partitions uint32) (Names, error) {
	if err := schemas.Kind(ns).Validate(); err != nil {
		return Names{}, fmt.Errorf("namespace: %w", err)
	}
	if partitions == 0 {
		return Names{}, errors.New("a namespace has at least 1 partition, and 0 are asked for")
	}
	return Names{ns: ns, partitions: partitions, pool: DefaultPool}, nil
}

// Namespace returns the namespace.
func (n Names) Namespace() string { return n.ns }

// Partitions returns the number of partitions.
func (n Names) Partitions() uint32 { return n.partitions }

// Partition returns the partition of an identity.
func (n Names) Partition(id schemas.Identity) schemas.Partition {
	return schemas.PartitionOf(id, n.partitions)
}

// inboxInfix is between namespace and pool in the name of an inbox stream.
const inboxInfix = "_INBOX_"

// timersInfix is in the place of [inboxInfix] in the name of a stream of timers.
const timersInfix = "_TIMERS_"

// InboxStream names the stream of the pool's inbox.
func (n Names) InboxStream() string { return n.ns + inboxInfix + n.pool }

// TimersStream names the stream of the pool's schedules and of the wake-ups that
// they become.
func (n Names) TimersStream() string { return n.ns + timersInfix + n.pool }

// RunsStream names the stream of the journals.
func (n Names) RunsStream() string { return n.ns + "_RUNS" }

// ArchiveStream names the stream of the records that are kept longer.
func (n Names) ArchiveStream() string { return n.ns + "_ARCHIVE" }

// DeadStream names the stream of the dead letters.
func (n Names) DeadStream() string { return n.ns + "_DEAD" }

// StateBucket names the KV bucket of the identities' state.
func (n Names) StateBucket() string { return n.ns + "_state" }

// ClusterBucket names the KV bucket of members and owners.
func (n Names) ClusterBucket() string { return n.ns + "_cluster" }

// BlobsStream names the stream of large payloads.
func (n Names) BlobsStream() string { return n.ns + "_BLOBS" }

// TaskSubject is where a message to id is published by a sender of domain from.
func (n Names) TaskSubject(from string, id schemas.Identity) string {
	return n.ns + ".task." + from + "." + string(id.Kind) + "." + schemas.EncodeToken(id.Key)
}

// taskFilter matches every [Names.TaskSubject].
func (n Names) taskFilter() string { return n.ns + ".task.*.*.*" }

// taskTransform is what the inbox stream maps a [Names.TaskSubject] to.
func (n Names) taskTransform() string {
	return fmt.Sprintf("%s.in.{{partition(%d,2,3)}}.{{wildcard(1)}}.{{wildcard(2)}}.{{wildcard(3)}}", n.ns, n.partitions)
}

// InSubject is where the inbox stream stores a message to id; from may be *.
func (n Names) InSubject(from string, id schemas.Identity) string {
	return n.ns + ".in." + n.Partition(id).String() + "." + from + "." + string(id.Kind) + "." + schemas.EncodeToken(id.Key)
}

// inFilter matches the stored messages of a partition.
func (n Names) inFilter(p schemas.Partition) string { return n.ns + ".in." + p.String() + ".>" }

// kindFilter matches the stored messages of a kind, which may be *.
func (n Names) kindFilter(kind schemas.Kind) string { return n.ns + ".in.*.*." + string(kind) + ".*" }

// WakeSubject is where a schedule of id puts its wake-up when it is due.
func (n Names) WakeSubject(id schemas.Identity) string {
	return n.ns + ".wake." + n.Partition(id).String() + "." + string(id.Kind) + "." + schemas.EncodeToken(id.Key)
}

// wakeFilter matches the wake-ups of a partition.
func (n Names) wakeFilter(p schemas.Partition) string { return n.ns + ".wake." + p.String() + ".>" }

// RunSubject is where the journal of a run is.
func (n Names) RunSubject(ref schemas.Ref) string {
	return n.ns + ".run." + n.Partition(ref.Identity).String() + "." + string(ref.Kind) + "." +
		schemas.EncodeToken(ref.Key) + "." + schemas.EncodeToken(string(ref.ID))
}

// FenceFilter matches every run of an identity: the subject of the condition of
// appends (P01). Every writer uses this literal string, or the run's own subject.
func (n Names) FenceFilter(id schemas.Identity) string {
	return n.ns + ".run." + n.Partition(id).String() + "." + string(id.Kind) + "." + schemas.EncodeToken(id.Key) + ".*"
}

// fenced returns the subject of the journal of a run, and that of the condition of what
// is appended to it.
func (n Names) fenced(ref schemas.Ref) (subject, filter string) {
	id := schemas.EncodeToken(string(ref.ID))
	filter = n.FenceFilter(ref.Identity)
	return filter[:len(filter)-len("*")] + id, filter
}

// runFilter matches the journals of a partition.
func (n Names) runFilter(p schemas.Partition) string { return n.ns + ".run." + p.String() + ".>" }

// runsFilter matches every journal.
func (n Names) runsFilter() string { return n.ns + ".run.>" }

// past turns a subject or filter of journals into that of the runs of them that were
// moved.
func (n Names) past(of string) string { return n.ns + ".past" + strings.TrimPrefix(of, n.ns+".run") }

// isPast reports whether a subject of the journals' stream is of a run that was moved.
func (n Names) isPast(subject string) bool { return strings.HasPrefix(subject, n.ns+".past.") }

// TimerID names a timer of a run: two subject tokens, so that all timers of
// a run are found below one prefix (P14). name is unique within the run.
func TimerID(run schemas.RunID, name string) string {
	return schemas.EncodeToken(string(run)) + "." + schemas.EncodeToken(name)
}

// ParseTimerID is the inverse of [TimerID].
func ParseTimerID(timer string) (run schemas.RunID, name string, err error) {
	a, b, ok := strings.Cut(timer, ".")
	if !ok || a == "" || b == "" {
		return "", "", fmt.Errorf("%w: timer %q is not <run>.<name>; make it with TimerID", schemas.ErrInvalidName, timer)
	}
	r, err := schemas.DecodeToken(a)
	if err != nil {
		return "", "", fmt.Errorf("run of timer %q: %w", timer, err)
	}
	if name, err = schemas.DecodeToken(b); err != nil {
		return "", "", fmt.Errorf("name of timer %q: %w", timer, err)
	}
	return schemas.RunID(r), name, nil
}

// timerPrefix is below what all timers of an identity are, with its last dot.
func (n Names) timerPrefix(id schemas.Identity) string {
	return n.ns + ".timer." + n.Partition(id).String() + "." + string(id.Kind) + "." + schemas.EncodeToken(id.Key) + "."
}

// TimerSubject is where a schedule is stored; timer is made by [TimerID].
func (n Names) TimerSubject(id schemas.Identity, timer string) string {
	return n.timerPrefix(id) + timer
}

// timerFilter matches the schedules of a partition.
func (n Names) timerFilter(p schemas.Partition) string { return n.ns + ".timer." + p.String() + ".>" }

// archiveSubject is where the record of a run is kept longer.
func (n Names) archiveSubject(ref schemas.Ref) string {
	return n.ns + ".archive" + strings.TrimPrefix(n.RunSubject(ref), n.ns+".run")
}

// archiveFilter matches what is kept longer of an identity.
func (n Names) archiveFilter(id schemas.Identity) string {
	return n.ns + ".archive" + strings.TrimPrefix(n.FenceFilter(id), n.ns+".run")
}

// archivedFilter matches everything that is kept longer.
func (n Names) archivedFilter() string { return n.ns + ".archive.>" }

// deadSubject is where dead letters of the tokens of a kind and a key go.
func (n Names) deadSubject(kind, key string) string { return n.ns + ".dead." + kind + "." + key }

func (n Names) deadFilter() string { return n.ns + ".dead.*.*" }

func (n Names) ref(what string, ref schemas.Ref) string {
	return n.ns + what + string(ref.Kind) + "." + schemas.EncodeToken(ref.Key) + "." + schemas.EncodeToken(string(ref.ID))
}

// Done is where the done notice of a run goes.
func (n Names) Done(ref schemas.Ref) string { return n.ref(".done.", ref) }

// doneFilter matches the done notices of all runs of a kind.
func (n Names) doneFilter(kind schemas.Kind) string { return n.ns + ".done." + string(kind) + ".*.*" }

// Live is where it is told what a run says while it does it.
func (n Names) Live(ref schemas.Ref) string { return n.ref(".live.", ref) }

// Node is where a node answers probes.
func (n Names) Node(id string) string { return n.ns + ".node." + schemas.EncodeToken(id) }

// NodeAsk is the subject on which a node is asked for something by other nodes.
func (n Names) NodeAsk(id string) string { return n.Node(id) + ".ask" }

// nodeHold is where a node is asked to stand still for a backup.
func (n Names) nodeHold(id string) string { return n.Node(id) + ".hold" }

// nodeLive is where a node is asked what the runs say that it executes.
func (n Names) nodeLive(id string) string { return n.Node(id) + ".live" }

// API is where requests of this name go, e.g. "runs.get".
func (n Names) API(name string) string { return n.ns + ".api." + name }

// proofSubject is of a message by which a node with an embedded server proves how that
// keeps its files; it is in the archive's stream, and goes at once.
func (n Names) proofSubject() string { return n.ns + ".archive.proof" }

// roundSubject is where the process that embeds the server of a namespace is asked to
// make durable what is stored: core NATS, an empty answer.
func roundSubject(ns string) string { return ns + ".round" }

// stateSubject is where the state of an identity is.
func (n Names) stateSubject(id schemas.Identity) string {
	return "$KV." + n.ns + "_state." + string(id.Kind) + "." + schemas.EncodeToken(id.Key)
}

// clusterPrefix is below what every cluster key is, with its last dot.
func (n Names) clusterPrefix() string { return "$KV." + n.ns + "_cluster." }

// consumer names the consumer of a partition's epoch (P08).
func (n Names) consumer(p schemas.Partition, epoch uint64) string {
	return "p" + p.String() + "-e" + strconv.FormatUint(epoch, 10)
}

// parseConsumer is the inverse of consumer; ok is false for other names.
func (n Names) parseConsumer(s string) (p schemas.Partition, epoch uint64, ok bool) {
	a, b, found := strings.Cut(s, "-e")
	if !found || !strings.HasPrefix(a, "p") {
		return 0, 0, false
	}
	p, err := schemas.ParsePartition(a[1:])
	if err != nil {
		return 0, 0, false
	}
	epoch, err = strconv.ParseUint(b, 10, 64)
	return p, epoch, err == nil && n.consumer(p, epoch) == s
}

// split cuts a subject below prefix into exactly want tokens.
func (n Names) split(subject, what string, want int) ([]string, error) {
	rest, ok := strings.CutPrefix(subject, n.ns+what)
	if !ok {
		return nil, fmt.Errorf("%w: subject %q does not begin with %q", schemas.ErrInvalidName, subject, n.ns+what)
	}
	tokens := strings.SplitN(rest, ".", want+1)
	if len(tokens) != want {
		return nil, fmt.Errorf("%w: subject %q does not have %d tokens after %q", schemas.ErrInvalidName, subject, want, n.ns+what)
	}
	return tokens, nil
}

// ParseRun reads what [Names.RunSubject] builds.
func (n Names) ParseRun(subject string) (schemas.Ref, error) { return n.parseRun(subject, ".run.") }

func (n Names) parsePast(subject string) (schemas.Ref, error) {
	return n.parseRun(subject, ".past.")
}

func (n Names) parseArchived(subject string) (schemas.Ref, error) {
	return n.parseRun(subject, ".archive.")
}

func (n Names) parseRun(subject, what string) (schemas.Ref, error) {
	t, err := n.split(subject, what, 4)
	if err != nil {
		return schemas.Ref{}, err
	}
	id, err := n.identity(subject, t[0], t[1], t[2])
	if err != nil {
		return schemas.Ref{}, err
	}
	run, err := schemas.DecodeToken(t[3])
	if err != nil {
		return schemas.Ref{}, fmt.Errorf("run of subject %q: %w", subject, err)
	}
	return id.Run(schemas.RunID(run)), schemas.RunID(run).Validate()
}

// identity decodes the tokens of partition, kind and key, and checks that
// they belong together.
func (n Names) identity(subject, partition, kind, key string) (schemas.Identity, error) {
	k, err := schemas.DecodeToken(key)
	if err != nil {
		return schemas.Identity{}, fmt.Errorf("key of subject %q: %w", subject, err)
	}
	id := schemas.Identity{Kind: schemas.Kind(kind), Key: k}
	if err := id.Validate(); err != nil {
		return schemas.Identity{}, fmt.Errorf("subject %q: %w", subject, err)
	}
	p, err := schemas.ParsePartition(partition)
	if err != nil {
		return schemas.Identity{}, fmt.Errorf("partition of subject %q: %w", subject, err)
	}
	if want := n.Partition(id); p != want {
		return schemas.Identity{}, fmt.Errorf("%w: subject %q has partition %v; %v belongs to %v", schemas.ErrInvalidName, subject, p, id, want)
	}
	return id, nil
}

// inTokens are the parts of a stored message's subject, undecoded.
type inTokens struct{ partition, from, kind, key string }

// parseIn cuts what [Names.InSubject] and [Names.WakeSubject] build. The parts
// may be invalid: a foreign publisher chose them.
func (n Names) parseIn(subject string) (inTokens, error) {
	if strings.HasPrefix(subject, n.ns+".wake.") {
		t, err := n.split(subject, ".wake.", 3)
		if err != nil {
			return inTokens{}, err
		}
		return inTokens{t[0], schemas.LocalDomain, t[1], t[2]}, nil
	}
	t, err := n.split(subject, ".in.", 4)
	if err != nil {
		return inTokens{}, err
	}
	return inTokens{t[0], t[1], t[2], t[3]}, nil
}

// ParseTimer reads what [Names.TimerSubject] builds.
func (n Names) ParseTimer(subject string) (id schemas.Identity, timer string, err error) {
	t, err := n.split(subject, ".timer.", 5)
	if err != nil {
		return id, "", err
	}
	if id, err = n.identity(subject, t[0], t[1], t[2]); err != nil {
		return id, "", err
	}
	timer = t[3] + "." + t[4]
	_, _, err = ParseTimerID(timer)
	return id, timer, err
}
