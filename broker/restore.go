package broker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/perdure/perdure/schemas"
	"google.golang.org/protobuf/proto"
)

// ErrNotEmpty is matched by the error of a restore onto a NATS that has the namespace,
// or streams of its names.
var ErrNotEmpty = errors.New("the namespace is there already")

// Restore makes a namespace from a backup, on the NATS that cfg names: an embedded
// server's directory, or a server or cluster without that namespace. It has the name
// and the number of partitions of the one that the backup is of, which cfg may leave
// out. No node opens it before all of it is there. A restore that was interrupted is
// begun again by another one. The error matches [ErrBackup] if the backup is damaged,
// or of a version that this program does not know, [ErrPartitions], and [ErrNotEmpty].
func Restore(ctx context.Context, cfg Config, r io.Reader) (Manifest, error) {
	in, err := readBackup(r)
	if err != nil {
		return Manifest{}, fmt.Errorf("restore: %w", err)
	}
	m := in.manifest
	if cfg.Namespace != "" && cfg.Namespace != m.Namespace {
		return m, fmt.Errorf("restore: %w: it is of namespace %s, and %s is asked for; a namespace keeps its name: restore it as %[2]s, on a NATS that has none of that name", ErrBackup, m.Namespace, cfg.Namespace)
	}
	if cfg.Partitions != 0 && cfg.Partitions != m.Partitions {
		return m, fmt.Errorf("restore: %w: the backup has %d, which never changes, and %d are asked for", ErrPartitions, m.Partitions, cfg.Partitions)
	}
	cfg.Namespace, cfg.Kinds, cfg.ClientOnly = m.Namespace, nil, false
	if err := cfg.validate(); err != nil {
		return m, fmt.Errorf("restore: %w", err)
	}
	if err := restore(ctx, cfg, in); err != nil {
		return m, fmt.Errorf("restore namespace %s: %w", m.Namespace, err)
	}
	return m, nil
}

func restore(ctx context.Context, cfg Config, in *backupReader) error {
	t, err := dialTarget(ctx, cfg, in.names)
	if err != nil {
		return err
	}
	err = t.fill(ctx, in)
	if err == nil && cfg.embedded() {
		// What the server has restored is on disk once it has stopped, and all of its
		// files were fsynced: only then may the namespace be opened.
		cfg.lock, t.b.embedded.lock = t.b.embedded.lock, nil
		if err = t.b.Close(); err != nil {
			return errors.Join(err, cfg.lock.release())
		}
		marked, made := t.marked, t.made
		if t, err = dialTarget(ctx, cfg, in.names); err != nil {
			return err
		}
		t.marked, t.made = marked, made
	}
	if err == nil {
		err = t.finish(ctx, in.manifest)
	}
	return errors.Join(err, t.b.Close())
}

// A target is what a backup is restored onto.
type target struct {
	b      *Broker
	p      *provisioner
	names  Names
	marked uint64   // the revision of the record by which this restore keeps nodes away
	made   []string // the streams that it has restored
}

func dialTarget(ctx context.Context, cfg Config, names Names) (*target, error) {
	t := &target{b: &Broker{cfg: cfg}, names: names}
	err := t.b.dial(ctx, cfg.groups())
	if err == nil {
		t.p = &provisioner{publisher: t.b.pub, cfg: &t.b.cfg}
		err = t.p.jetstream(ctx)
	}
	if err == nil && !restores(t.b.link.nc.ConnectedServerVersion()) {
		err = fmt.Errorf("%w: the server has version %s; restoring needs 2.15 or later", ErrIncompatible, t.b.link.nc.ConnectedServerVersion())
	}
	if err != nil {
		return nil, errors.Join(err, t.b.Close())
	}
	return t, nil
}

// restores reports whether a server of a version can restore messages that we name.
func restores(version string) bool {
	major, rest, _ := strings.Cut(strings.TrimPrefix(version, "v"), ".")
	minor, _, _ := strings.Cut(rest, ".")
	a, err := strconv.Atoi(major)
	b, berr := strconv.Atoi(minor)
	return err == nil && berr == nil && (a > 2 || a == 2 && b >= 15)
}

// fill restores all of a backup but for the namespace's record, which says meanwhile
// that it is being restored.
func (t *target) fill(ctx context.Context, in *backupReader) error {
	if err := t.mark(ctx, in.manifest); err != nil {
		return err
	}
	for {
		s, ok, err := in.stream()
		if err != nil {
			return t.halfway(err)
		}
		if !ok {
			break
		}
		if err := t.stream(ctx, in, s); err != nil {
			return t.halfway(fmt.Errorf("stream %s: %w", s.Name, err))
		}
		t.made = append(t.made, s.Name)
	}
	for _, k := range in.manifest.Keys {
		if _, err := t.b.pub.publish(ctx, &nats.Msg{Subject: t.names.clusterPrefix() + k.Key, Data: k.Value}); err != nil {
			return t.halfway(fmt.Errorf("store key %s: %w", k.Key, err))
		}
	}
	return nil
}

// halfway is an error after which what is there is not opened by any node.
func (t *target) halfway(err error) error {
	return fmt.Errorf("%w; what is there of namespace %s is not complete, and no node opens it: restore a whole backup, which begins anew", err, t.names.ns)
}

// mark stores the record that keeps nodes away, and then removes what an interrupted
// restore has left. It is stored anew each time: a restore that is still at work so
// finds another revision than its own, and does not let nodes in. Anything else that
// has the namespace's names is refused.
func (t *target) mark(ctx context.Context, m Manifest) error {
	bucket := "KV_" + t.names.ClusterBucket()
	there, err := t.streams(ctx)
	if err != nil {
		return err
	}
	record, seen := &schemas.Namespace{}, uint64(0)
	if slices.Contains(there, bucket) {
		if record, seen, err = t.p.readRecord(ctx, t.names); err != nil {
			return err
		}
	}
	// One that was killed before its first record has left an empty bucket; a node
	// that makes a namespace just now finds our record in it, or we find its.
	bare := seen == 0 && slices.Equal(there, []string{bucket})
	if len(there) > 0 && !bare && record.GetVersion() != layoutRestoring {
		return fmt.Errorf("%w: there is a stream %s; restore onto a NATS, or into a directory, that has no namespace %s", ErrNotEmpty, there[0], t.names.ns)
	}
	if len(there) == 0 {
		if err := t.p.stream(ctx, t.names.streams(t.p.cfg)[0]); err != nil {
			return err
		}
	}
	t.marked, err = t.putRecord(ctx, &schemas.Namespace{Version: layoutRestoring, Partitions: m.Partitions, Created: m.Created}, seen)
	if e := refused(err); e != nil && e.fenced() {
		return fmt.Errorf("%w: a node has just made it, or another restore has just begun; stop it", ErrNotEmpty)
	}
	if err != nil {
		return err
	}
	if err := t.b.pub.request(ctx, "$JS.API.STREAM.PURGE."+bucket, map[string]any{"seq": t.marked}, nil); err != nil {
		return fmt.Errorf("remove the keys that an interrupted restore has left: %w", err)
	}
	for _, name := range there {
		if name == bucket {
			continue
		}
		if err := t.b.pub.request(ctx, "$JS.API.STREAM.DELETE."+name, struct{}{}, nil); err != nil && !errors.Is(err, ErrNoNamespace) {
			return fmt.Errorf("remove stream %s, which an interrupted restore has left: %w", name, err)
		}
	}
	return nil
}

// streams returns the streams of the namespace that are there.
func (t *target) streams(ctx context.Context) (there []string, err error) {
	for offset := 0; ; {
		var answer struct {
			Total   int      `json:"total"`
			Streams []string `json:"streams"`
		}
		if err := t.b.pub.request(ctx, "$JS.API.STREAM.NAMES", map[string]any{"offset": offset}, &answer); err != nil {
			return nil, fmt.Errorf("list the streams: %w", err)
		}
		for _, name := range answer.Streams {
			if t.names.holds(name) || name == "KV_"+t.names.ClusterBucket() {
				there = append(there, name)
			}
		}
		if offset += len(answer.Streams); len(answer.Streams) == 0 || offset >= answer.Total {
			return there, nil
		}
	}
}

// putRecord stores the namespace's record where its revision is still after, and
// returns the new one.
func (t *target) putRecord(ctx context.Context, record *schemas.Namespace, after uint64) (uint64, error) {
	data, err := proto.Marshal(record)
	if err != nil {
		return 0, fmt.Errorf("encode the record of namespace %s: %w", t.names.ns, err)
	}
	msg := &nats.Msg{Subject: t.names.clusterPrefix() + namespaceKey, Data: data, Header: nats.Header{hdrExpectedSeq: {strconv.FormatUint(after, 10)}}}
	out, err := t.b.pub.publish(ctx, msg)
	if err != nil {
		return 0, fmt.Errorf("store the record of namespace %s: %w", t.names.ns, err)
	}
	return out.seq, nil
}

// finish lets nodes open the namespace, once every replica has all of it, and unless
// another restore has begun meanwhile.
func (t *target) finish(ctx context.Context, m Manifest) error {
	there, err := t.streams(ctx)
	if err != nil {
		return err
	}
	for _, name := range t.made {
		if !slices.Contains(there, name) {
			return t.halfway(fmt.Errorf("stream %s is gone again: another restore removes what this one makes", name))
		}
	}
	for _, name := range there {
		if err := t.replicated(ctx, name); err != nil {
			return fmt.Errorf("wait for the replicas of stream %s: %w", name, err)
		}
	}
	_, err = t.putRecord(ctx, &schemas.Namespace{Version: m.Layout, Partitions: m.Partitions, Created: m.Created}, t.marked)
	if e := refused(err); e != nil && e.fenced() {
		return fmt.Errorf("%w: another restore of it has begun meanwhile; let one end, or stop both and begin anew", ErrNotEmpty)
	}
	return err
}

// replicaLook is how often it is looked whether replicas have all of a stream.
const replicaLook = 50 * time.Millisecond

func (t *target) replicated(ctx context.Context, stream string) error {
	for {
		var info struct {
			Cluster *struct {
				Leader   string `json:"leader"`
				Replicas []struct {
					Current bool `json:"current"`
				} `json:"replicas"`
			} `json:"cluster"`
		}
		if err := t.b.pub.request(ctx, "$JS.API.STREAM.INFO."+stream, struct{}{}, &info); err != nil {
			return err
		}
		behind := info.Cluster != nil && info.Cluster.Leader == ""
		if info.Cluster != nil {
			for _, r := range info.Cluster.Replicas {
				behind = behind || !r.Current
			}
		}
		if !behind {
			return nil
		}
		if err := t.b.link.pause(ctx, replicaLook); err != nil {
			return err
		}
	}
}

// configFor returns the description of a stream as it is on the target.
func (t *target) configFor(s backupStream) (map[string]json.RawMessage, error) {
	config := s.Config
	var metadata map[string]string
	if raw := config["metadata"]; raw != nil {
		if err := json.Unmarshal(raw, &metadata); err != nil {
			return nil, bad("the metadata of stream %s: %w", s.Name, err)
		}
		for k := range metadata {
			if strings.HasPrefix(k, "_nats.") { // the server's own
				delete(metadata, k)
			}
		}
		config["metadata"], _ = json.Marshal(metadata) // of strings
	}
	config["name"], _ = json.Marshal(s.Name) // a string
	config["num_replicas"] = json.RawMessage(strconv.Itoa(t.p.cfg.Replicas))
	delete(config, "placement") // is of the cluster that it was on
	return config, nil
}
