package broker

import (
	"context"
	"errors"
	"fmt"
	"slices"

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

// kindSubjects are what the inbox of a pool takes for one of its kinds.
func (n Names) kindSubjects(kind schemas.Kind) []string {
	return []string{
		n.ns + ".task.*." + string(kind) + ".*",
		n.ns + ".timer.*." + string(kind) + ".*.*.*",
	}
}

// inbox creates the pool's inbox stream, and adds this node's kinds to it.
// Another node may add its own at the same time.
func (p *provisioner) inbox(ctx context.Context, names Names) error {
	var want []string
	for _, k := range p.cfg.Kinds {
		if err := k.Validate(); err != nil {
			return err
		}
		want = append(want, names.kindSubjects(k)...)
	}
	sc := names.inbox(p.cfg)
	for range 100 {
		var have struct {
			Config jetstream.StreamConfig `json:"config"`
		}
		err := p.request(ctx, "$JS.API.STREAM.INFO."+sc.Name, struct{}{}, &have)
		switch {
		case errors.Is(err, ErrNoNamespace):
			sc.Subjects = want
			err = p.request(ctx, "$JS.API.STREAM.CREATE."+sc.Name, sc, nil)
			if e := refused(err); e != nil && e.Code == codeStreamNameInUse {
				continue
			}
		case err != nil:
			return fmt.Errorf("look up stream %s: %w", sc.Name, err)
		default:
			if what := differs(have.Config, sc, p.cfg); what != "" {
				return fmt.Errorf("open namespace %s: %w: stream %s %s; change it, or use another namespace", names.ns, ErrIncompatible, sc.Name, what)
			}
			missing := slices.DeleteFunc(slices.Clone(want), func(s string) bool { return slices.Contains(have.Config.Subjects, s) })
			if len(missing) == 0 {
				return nil
			}
			sc = have.Config
			sc.Subjects = append(sc.Subjects, missing...)
			err = p.request(ctx, "$JS.API.STREAM.UPDATE."+sc.Name, sc, nil)
		}
		if e := refused(err); e != nil && e.Code == codeSubjectOverlap {
			return fmt.Errorf("open namespace %s: %w: pool %s; start this node in the pool that has the kind, or rename the kind: %w", names.ns, ErrKindTaken, names.pool, err)
		}
		if err != nil {
			return fmt.Errorf("create stream %s: %w", sc.Name, err)
		}
	}
	return fmt.Errorf("open namespace %s: the kinds of stream %s keep changing; start one node after another", names.ns, sc.Name)
}

// inboxOf returns the inbox that takes the tasks of a kind, in whichever pool.
func (b *Broker) inboxOf(ctx context.Context, kind schemas.Kind) (*reader, error) {
	if slices.Contains(b.cfg.Kinds, kind) {
		return b.inbox, nil
	}
	name, err := b.streamOf(ctx, b.names.TaskSubject(LocalDomain, schemas.Identity{Kind: kind, Key: "k"}))
	if err != nil {
		return nil, err
	}
	r := &reader{publisher: b.pub, stream: name}
	info, err := r.info(ctx, "")
	if err != nil {
		return nil, fmt.Errorf("look up stream %s: %w", name, err)
	}
	r.direct = info.Config.Replicas == 1
	return r, nil
}

// streamOf returns the stream that takes a subject; [ErrUnknownKind] if none does.
func (b *Broker) streamOf(ctx context.Context, subject string) (string, error) {
	var answer struct {
		Streams []string `json:"streams"`
	}
	if err := b.pub.request(ctx, "$JS.API.STREAM.NAMES", map[string]any{"subject": subject}, &answer); err != nil {
		return "", fmt.Errorf("look up the inbox of %s: %w", subject, err)
	}
	if len(answer.Streams) == 0 {
		return "", fmt.Errorf("%w: no node of namespace %s has ever hosted the kind of %s; start one that does, or correct the name", ErrUnknownKind, b.names.ns, subject)
	}
	return answer.Streams[0], nil
}
