package broker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/perdure/perdure/schemas"
)

// A pool is a named group of nodes that host the same kinds. It has an inbox
// stream of its own, which takes the tasks of its kinds and no others: so
// programs with different kinds work together in one namespace, and a task for
// a kind that nobody has ever hosted is refused where it is published.

// DefaultPool is the pool of nodes that name none.
const DefaultPool = "default"

// Pool returns the pool of this node.
func (b *Broker) Pool() string { return b.names.pool }

// PayloadCap returns the largest payload in bytes.
func (b *Broker) PayloadCap() int64 { return b.cfg.PayloadCap }

// inboxSubjects are what the inbox of a pool takes for one of its kinds.
func (n Names) inboxSubjects(kind schemas.Kind) []string {
	return []string{n.ns + ".task.*." + string(kind) + ".*"}
}

// timersSubjects are what the pool's stream of timers takes for a kind.
func (n Names) timersSubjects(kind schemas.Kind) []string {
	return []string{
		n.ns + ".timer.*." + string(kind) + ".*.*.*",
		n.ns + ".wake.*." + string(kind) + ".*",
	}
}

// pool makes sure that the pool's streams take this node's kinds. Nodes
// do this at the same time, and an update of a stream replaces what another
// has just added: so the kinds of a pool are in a record, to which each adds
// its own under a condition, and whoever updates a stream compares it with
// the record until it takes them all.
func (p *provisioner) pool(ctx context.Context, names Names) error {
	for _, k := range p.cfg.Kinds {
		if err := k.Validate(); err != nil {
			return err
		}
	}
	added, err := p.changeKinds(ctx, names, func(have []schemas.Kind) []schemas.Kind {
		return append(have, p.cfg.Kinds...)
	})
	if err != nil {
		return err
	}
	// A wake-up must be taken before a task is.
	if err := p.match(ctx, names, names.timers(p.cfg), names.timersSubjects); err != nil {
		return p.kindsTaken(ctx, names, added, err)
	}
	if err := p.match(ctx, names, names.inbox(p.cfg), names.inboxSubjects); err != nil {
		return p.kindsTaken(ctx, names, added, err)
	}
	return nil
}

// kindsTaken returns err, of matching the pool's streams with their record of
// kinds. Where another pool has one of them the record is put back.
func (p *provisioner) kindsTaken(ctx context.Context, names Names, added []schemas.Kind, err error) error {
	if e := refused(err); e == nil || e.Code != codeSubjectOverlap {
		return err
	}
	// The record must not keep what the stream can never take.
	_, undo := p.changeKinds(ctx, names, func(have []schemas.Kind) []schemas.Kind {
		return slices.DeleteFunc(have, func(k schemas.Kind) bool { return slices.Contains(added, k) })
	})
	taken, lerr := p.taken(ctx, names)
	return errors.Join(fmt.Errorf("open namespace %s in pool %s: %w: %s; a kind stays in the pool whose node hosted it first: start this node in the pool that has the kind, beside nodes that host the same kinds, or rename the kind, or use another namespace: %w",
		names.ns, names.pool, ErrKindTaken, taken, err), lerr, undo)
}

// taken says which kinds of this node other pools have.
func (p *provisioner) taken(ctx context.Context, names Names) (string, error) {
	var taken []string
	for _, k := range p.cfg.Kinds {
		stream, err := p.streamOf(ctx, names, names.TaskSubject(schemas.LocalDomain, schemas.Identity{Kind: k, Key: "k"}))
		if err != nil && !errors.Is(err, ErrUnknownKind) {
			return fmt.Sprintf("one of %v", p.cfg.Kinds), err
		}
		if pool, ok := strings.CutPrefix(stream, names.ns+inboxInfix); ok && pool != names.pool {
			taken = append(taken, fmt.Sprintf("kind %q is of pool %q", string(k), pool))
		}
	}
	return strings.Join(taken, ", "), nil
}

// changeKinds changes the record of the pool's kinds, and returns those that
// it did not have before.
func (p *provisioner) changeKinds(ctx context.Context, names Names, change func([]schemas.Kind) []schemas.Kind) (added []schemas.Kind, err error) {
	for {
		have, rev, err := p.kinds(ctx, names)
		if err != nil {
			return nil, err
		}
		want := change(slices.Clone(have))
		slices.Sort(want)
		want = slices.Compact(want)
		if slices.Equal(have, want) {
			return nil, nil
		}
		data, err := json.Marshal(want)
		if err != nil {
			return nil, fmt.Errorf("encode the kinds of pool %s: %w", names.pool, err)
		}
		_, err = p.publish(ctx, &nats.Msg{
			Subject: names.clusterPrefix() + kindsKey + names.pool, Data: data,
			Header: nats.Header{hdrExpectedSeq: {strconv.FormatUint(rev, 10)}},
		})
		if e := refused(err); err != nil && (e == nil || !e.fenced() && !e.inFlight()) {
			return nil, fmt.Errorf("store the kinds of pool %s: %w", names.pool, err)
		}
		if err == nil {
			return slices.DeleteFunc(want, func(k schemas.Kind) bool { return slices.Contains(have, k) }), nil
		}
	}
}

// kindsKey begins the key of a pool's record of kinds in the cluster bucket.
const kindsKey = "kinds."

// kinds reads the record of the pool's kinds, sorted, and its revision.
func (p *provisioner) kinds(ctx context.Context, names Names) (kinds []schemas.Kind, rev uint64, err error) {
	r := &reader{publisher: p.publisher, stream: "KV_" + names.ClusterBucket()}
	m, ok, err := r.get(ctx, query{LastBy: names.clusterPrefix() + kindsKey + names.pool})
	if err != nil || !ok {
		return nil, 0, err
	}
	if err := json.Unmarshal(m.data, &kinds); err != nil {
		return nil, 0, fmt.Errorf("read the kinds of pool %s: %w: %w", names.pool, ErrIncompatible, err)
	}
	return kinds, m.seq, nil
}

// match makes a stream of the pool take the kinds of the pool's record.
func (p *provisioner) match(ctx context.Context, names Names, sc jetstream.StreamConfig, subjects func(schemas.Kind) []string) error {
	for {
		done, err := p.matchOnce(ctx, names, sc, subjects)
		if err != nil {
			return fmt.Errorf("create stream %s: %w", sc.Name, err)
		}
		if done {
			return nil
		}
	}
}

// matchOnce compares a stream of the pool with the record of its kinds. done
// says that it takes them all; otherwise it was created or changed, and is to be
// compared again.
func (p *provisioner) matchOnce(ctx context.Context, names Names, sc jetstream.StreamConfig, subjects func(schemas.Kind) []string) (done bool, err error) {
	kinds, _, err := p.kinds(ctx, names)
	if err != nil {
		return false, err
	}
	var have streamFound
	metadata := sc.Metadata
	err = p.request(ctx, "$JS.API.STREAM.INFO."+sc.Name, struct{}{}, &have)
	create := errors.Is(err, ErrNoNamespace)
	switch {
	case create:
	case err != nil:
		return false, err
	default:
		if what := differs(have.Config, sc, p.cfg); what != "" {
			return false, fmt.Errorf("%w: it %s; change it, or use another namespace", ErrIncompatible, what)
		}
		p.note(sc.Name, have)
		sc = have.Config
	}
	all := []string{names.keptSubject(sc.Name)}
	for _, k := range kinds {
		all = append(all, subjects(k)...)
	}
	missing := 0
	if mind(&sc, metadata) {
		missing++
	}
	for _, s := range all {
		if !slices.Contains(sc.Subjects, s) {
			sc.Subjects = append(sc.Subjects, s)
			missing++
		}
	}
	switch {
	case create:
		err = p.create(ctx, sc, &streamFound{})
		if e := refused(err); e != nil && e.Code == codeStreamNameInUse {
			err = nil // another node was first
		}
	case missing > 0:
		err = p.request(ctx, "$JS.API.STREAM.UPDATE."+sc.Name, sc, nil)
	default:
		return true, nil
	}
	return false, err
}

// Pools returns the pools that the namespace has, or had, sorted.
func (i *Inbox) Pools(ctx context.Context) ([]string, error) {
	all := i.b.names.ns + ".task.*.*.*"
	var answer struct {
		Streams []string `json:"streams"`
	}
	if err := i.b.pub.request(ctx, "$JS.API.STREAM.NAMES", map[string]any{"subject": all}, &answer); err != nil {
		return nil, fmt.Errorf("list the inboxes of namespace %s: %w", i.b.names.ns, err)
	}
	var pools []string
	for _, s := range answer.Streams {
		if pool, ok := strings.CutPrefix(s, i.b.names.ns+inboxInfix); ok {
			pools = append(pools, pool)
		}
	}
	slices.Sort(pools)
	return pools, nil
}

// PoolOf returns the pool that a kind belongs to. The error matches
// [ErrUnknownKind] if no node has ever hosted it.
func (i *Inbox) PoolOf(ctx context.Context, kind schemas.Kind) (string, error) {
	stream, err := i.b.streamOf(ctx, i.b.names.TaskSubject(schemas.LocalDomain, schemas.Identity{Kind: kind, Key: "k"}))
	return strings.TrimPrefix(stream, i.b.names.ns+inboxInfix), err
}

// inboxOf returns the inbox that takes the tasks of a kind, in whichever pool.
func (b *Broker) inboxOf(ctx context.Context, kind schemas.Kind) (*reader, error) {
	if slices.Contains(b.cfg.Kinds, kind) {
		return b.inbox, nil
	}
	name, err := b.streamOf(ctx, b.names.TaskSubject(schemas.LocalDomain, schemas.Identity{Kind: kind, Key: "k"}))
	if err != nil {
		return nil, err
	}
	return b.inboxNamed(ctx, name)
}

// inboxNamed returns the inbox that a stream is, in whichever pool.
func (b *Broker) inboxNamed(ctx context.Context, stream string) (*reader, error) {
	if stream == b.inbox.stream {
		return b.inbox, nil
	}
	r := &reader{publisher: b.pub, stream: stream}
	info, err := r.info(ctx, "")
	if err != nil {
		return nil, fmt.Errorf("look up stream %s: %w", stream, err)
	}
	r.direct = info.Config.Replicas == 1
	return r, nil
}

// streamOf returns the stream that takes a subject; [ErrUnknownKind] if none does.
func (b *Broker) streamOf(ctx context.Context, subject string) (string, error) {
	return b.pub.streamOf(ctx, b.names, subject)
}

func (p *publisher) streamOf(ctx context.Context, names Names, subject string) (string, error) {
	var answer struct {
		Streams []string `json:"streams"`
	}
	if err := p.request(ctx, "$JS.API.STREAM.NAMES", map[string]any{"subject": subject}, &answer); err != nil {
		return "", fmt.Errorf("look up the inbox of %s: %w", subject, err)
	}
	if len(answer.Streams) == 0 {
		return "", fmt.Errorf("%w: no node of namespace %s has ever hosted the kind of %s; start one that does, or correct the name", ErrUnknownKind, names.ns, subject)
	}
	return answer.Streams[0], nil
}
