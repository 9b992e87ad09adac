package broker

import (
	"context"
	"fmt"
	"iter"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/perdure/perdure/schemas"
)

// A Standing is a schedule that stands: a wake-up that has not fired.
type Standing struct {
	Ref     schemas.Ref // the run that it wakes
	Due     time.Time   // by the broker's clock; zero if it says no time
	Subject string

	seq    uint64
	header nats.Header
	data   []byte
	timers *reader
}

// Schedules yields the schedules of a partition. What is on their subjects and is none of
// ours, or of another partition, is yielded with an error, and Schedules goes on; with an
// error and no subject it ends.
func (a *Audit) Schedules(ctx context.Context, p schemas.Partition) iter.Seq2[Standing, error] {
	return func(yield func(Standing, error) bool) {
		for _, pool := range a.pools {
			if pool.timers == nil {
				continue
			}
			for m, err := range pool.timers.scan(ctx, a.b.names.timerFilter(p), 0) {
				if err != nil {
					yield(Standing{}, fmt.Errorf("list the schedules of partition %v: %w", p, err))
					return
				}
				id, timer, err := a.b.names.ParseTimer(m.subject)
				var run schemas.RunID
				if err == nil {
					run, _, err = ParseTimerID(timer)
				}
				if err != nil {
					if !yield(Standing{Subject: m.subject}, err) {
						return
					}
					continue
				}
				s := Standing{Ref: id.Run(run), Subject: m.subject, seq: m.seq, header: m.header, data: m.data, timers: pool.timers}
				if at, ok := strings.CutPrefix(m.header.Get(hdrSchedule), "@at "); ok {
					s.Due, _ = time.Parse(time.RFC3339Nano, at) // zero, as it is said
				}
				if !yield(s, nil) {
					return
				}
			}
		}
	}
}

// Scheduled reports whether a wake-up of a run stands.
func (a *Audit) Scheduled(ctx context.Context, ref schemas.Ref) (bool, error) {
	filter := a.b.names.timerPrefix(ref.Identity) + schemas.EncodeToken(string(ref.ID)) + ".*"
	for _, pool := range a.pools {
		if pool.timers == nil {
			continue
		}
		if _, ok, err := pool.timers.get(ctx, query{LastBy: filter}); err != nil || ok {
			if err != nil {
				err = fmt.Errorf("look for a schedule of %v: %w", ref, err)
			}
			return ok, err
		}
	}
	return false, nil
}

// Stands reports whether a schedule is there as it was.
func (a *Audit) Stands(ctx context.Context, s Standing) (bool, error) {
	m, ok, err := s.timers.get(ctx, query{LastBy: s.Subject})
	if err != nil {
		return false, fmt.Errorf("look at schedule %s: %w", s.Subject, err)
	}
	return ok && m.seq == s.seq, nil
}

// Republish stores a schedule in its own place again, which the server then looks at
// anew (P13): one that is overdue fires at once. One that has fired, or was replaced,
// meanwhile stays as it is. due, unless zero, is its new time.
func (a *Audit) Republish(ctx context.Context, s Standing, due time.Time) error {
	h := nats.Header{hdrExpectedSeq: {strconv.FormatUint(s.seq, 10)}, hdrRollup: {"sub"}}
	for k, v := range s.header {
		if !strings.HasPrefix(k, "Nats-") || k == hdrSchedule || k == hdrScheduleTarget {
			h[k] = v
		}
	}
	if !due.IsZero() {
		h[hdrSchedule] = []string{"@at " + due.UTC().Format(time.RFC3339Nano)}
	}
	_, err := a.b.publishRetrying(ctx, &nats.Msg{Subject: s.Subject, Header: h, Data: s.data}, nil)
	if r := refused(err); err != nil && (r == nil || !r.fenced()) {
		return fmt.Errorf("publish schedule %s again: %w", s.Subject, err)
	}
	return nil
}

// Unschedule removes a schedule.
func (a *Audit) Unschedule(ctx context.Context, s Standing) error {
	if err := s.timers.deleteMessage(ctx, s.seq); err != nil {
		return fmt.Errorf("remove schedule %s: %w", s.Subject, err)
	}
	return nil
}
