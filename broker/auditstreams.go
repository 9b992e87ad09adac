package broker

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/perdure/perdure/schemas"
)

// A StreamFault says in what a stream is not as this version needs it.
type StreamFault struct {
	Stream string
	What   string // for people, behind the stream's name
	Absent bool   // there is no such stream
	Shared bool   // it is of all pools
}

// Streams compares the streams of the namespace, and of its pools, with what this
// version needs.
func (a *Audit) Streams(ctx context.Context) (faults []StreamFault, err error) {
	compare := func(want jetstream.StreamConfig, shared bool, subjects []string) error {
		var have streamFound
		err := a.b.pub.request(ctx, "$JS.API.STREAM.INFO."+want.Name, struct{}{}, &have)
		switch {
		case errors.Is(err, ErrNoNamespace):
			faults = append(faults, StreamFault{want.Name, "is not there", true, shared})
		case err != nil:
			return fmt.Errorf("look up stream %s: %w", want.Name, err)
		default:
			lacks := slices.DeleteFunc(subjects, func(s string) bool { return slices.Contains(have.Config.Subjects, s) })
			what := differs(have.Config, want, &a.b.cfg)
			if what == "" && len(lacks) > 0 {
				what = fmt.Sprintf("does not take the subjects %v of the kinds of its pool", lacks)
			}
			if what != "" {
				faults = append(faults, StreamFault{want.Name, what, false, shared})
			}
		}
		return nil
	}
	for _, want := range a.b.names.streams(&a.b.cfg) {
		if err := compare(want, true, nil); err != nil {
			return nil, err
		}
	}
	kinds, err := a.Kinds(ctx)
	if err != nil {
		return nil, err
	}
	owner := pools(kinds)
	for _, p := range a.pools {
		inbox, timers := p.names.inbox(&a.b.cfg), p.names.timers(&a.b.cfg)
		inbox.Subjects, timers.Subjects = nil, nil
		var tasks, wakes []string
		for _, k := range kinds[p.names.pool] {
			if len(owner[k]) == 1 { // of one in two pools the server lets one stream have it
				tasks, wakes = append(tasks, p.names.inboxSubjects(k)...), append(wakes, p.names.timersSubjects(k)...)
			}
		}
		if p.inbox == nil && len(tasks) == 0 {
			continue // it was never made: another pool has its kinds
		}
		if err := errors.Join(compare(timers, false, wakes), compare(inbox, false, tasks)); err != nil {
			return nil, err
		}
	}
	return faults, nil
}

// pools turns kinds by pool into pools by kind.
func pools(kinds map[string][]schemas.Kind) map[schemas.Kind][]string {
	of := map[schemas.Kind][]string{}
	for pool, ks := range kinds {
		for _, k := range ks {
			of[k] = append(of[k], pool)
		}
	}
	return of
}

// Kinds returns the kinds that each pool has in its record.
func (a *Audit) Kinds(ctx context.Context) (map[string][]schemas.Kind, error) {
	leases, err := a.b.Leases().List(ctx, kindsKey)
	if err != nil {
		return nil, fmt.Errorf("list the kinds of the pools: %w", err)
	}
	all := map[string][]schemas.Kind{}
	for _, l := range leases {
		pool := strings.TrimPrefix(l.Key, kindsKey)
		var kinds []schemas.Kind
		if err := json.Unmarshal(l.Value, &kinds); err != nil {
			return nil, fmt.Errorf("read the kinds of pool %s: %w: %w", pool, ErrIncompatible, err)
		}
		all[pool] = kinds
	}
	return all, nil
}

// ForgetKind removes a kind from the record of a pool whose inbox does not take it. It
// is an error if it does.
func (a *Audit) ForgetKind(ctx context.Context, pool string, kind schemas.Kind) error {
	has, err := a.b.Inbox().PoolOf(ctx, kind)
	if err == nil && has == pool {
		err = fmt.Errorf("the inbox of pool %s takes it", pool)
	}
	if err == nil || errors.Is(err, ErrUnknownKind) {
		p := &provisioner{publisher: a.b.pub, cfg: &a.b.cfg}
		names := a.b.names
		names.pool = pool
		_, err = p.changeKinds(ctx, names, func(have []schemas.Kind) []schemas.Kind {
			return slices.DeleteFunc(have, func(k schemas.Kind) bool { return k == kind })
		})
	}
	if err != nil {
		return fmt.Errorf("remove kind %s from the record of pool %s: %w", kind, pool, err)
	}
	return nil
}

// WaitingFor returns how many messages of a kind a pool has that are not acknowledged,
// wake-ups included.
func (a *Audit) WaitingFor(ctx context.Context, pool string, kind schemas.Kind) (n uint64, err error) {
	for _, p := range a.pools {
		if p.names.pool != pool {
			continue
		}
		for r, filter := range map[*reader]string{p.inbox: p.names.kindFilter(kind), p.timers: p.names.ns + ".wake.*." + string(kind) + ".*"} {
			if r == nil {
				continue
			}
			k, err := r.count(ctx, filter)
			if err != nil {
				return 0, fmt.Errorf("count the messages of kind %s: %w", kind, err)
			}
			n += k
		}
	}
	return n, nil
}

// count returns how many messages match a filter. It holds a page of subjects at once.
func (r *reader) count(ctx context.Context, filter string) (n uint64, err error) {
	for offset := 0; ; {
		var v struct {
			Total int `json:"total"`
			State struct {
				Subjects map[string]uint64 `json:"subjects"`
			} `json:"state"`
		}
		if err := r.request(ctx, "$JS.API.STREAM.INFO."+r.stream, map[string]any{"subjects_filter": filter, "offset": offset}, &v); err != nil {
			return 0, err
		}
		for _, k := range v.State.Subjects {
			n += k
		}
		if offset += len(v.State.Subjects); len(v.State.Subjects) == 0 || offset >= v.Total {
			return n, nil
		}
	}
}

// A Consumer is the consumer of a partition's epoch in one of a pool's streams.
type Consumer struct {
	Pool      string
	Stream    string
	Name      string
	Partition schemas.Partition
	Epoch     uint64
}

// Consumers returns the consumers of partitions, of all pools, in their order; those of
// others, which are of no concern, are not among them.
func (a *Audit) Consumers(ctx context.Context) (all []Consumer, err error) {
	for _, p := range a.pools {
		for _, r := range []*reader{p.inbox, p.timers} {
			if r == nil {
				continue
			}
			names, err := r.consumers(ctx)
			if err != nil {
				return nil, fmt.Errorf("list the consumers of %s: %w", r.stream, err)
			}
			for _, name := range names {
				if partition, epoch, ok := p.names.parseConsumer(name); ok {
					all = append(all, Consumer{p.names.pool, r.stream, name, partition, epoch})
				}
			}
		}
	}
	slices.SortFunc(all, func(a, b Consumer) int {
		return cmp.Or(cmp.Compare(a.Stream, b.Stream), cmp.Compare(a.Partition, b.Partition), cmp.Compare(a.Epoch, b.Epoch))
	})
	return all, nil
}

// RemoveConsumer removes a consumer; one that is gone is not an error.
func (a *Audit) RemoveConsumer(ctx context.Context, c Consumer) error {
	r := &reader{publisher: a.b.pub, stream: c.Stream}
	return r.removeConsumer(ctx, c.Name)
}
