package broker

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/perdure/perdure/schemas"
)

// Schedules are stored wake-ups: messages that the server itself puts into
// its stream when they are due, to the tick (250 ms) that follows. They live in
// the stream of timers, on subjects that no consumer sees (P14), and become
// messages that a [Feed] delivers as it does those of the inbox.
type Schedules struct {
	b *Broker
}

// Schedules returns the schedules of the namespace.
func (b *Broker) Schedules() *Schedules { return &Schedules{b} }

// Set stores env to be delivered to an identity at a time of the broker's
// clock; a time that has passed means now. timer is made by [TimerID]; the
// message that fires has it as its ID. A timer that is set already stays as
// it is, which is success. An error means that ctx ended, with the outcome
// unknown, or that it cannot be stored.
func (s *Schedules) Set(ctx context.Context, id schemas.Identity, timer string, at time.Time, env *schemas.Envelope) error {
	if err := s.set(ctx, id, timer, at, env); err != nil {
		return fmt.Errorf("set timer %s of %v: %w", timer, id, err)
	}
	return nil
}

func (s *Schedules) set(ctx context.Context, id schemas.Identity, timer string, at time.Time, env *schemas.Envelope) error {
	if _, _, err := ParseTimerID(timer); err != nil {
		return err
	}
	if err := id.Validate(); err != nil {
		return err
	}
	msg, err := s.b.envelope(s.b.names.TimerSubject(id, timer), env)
	if err != nil {
		return err
	}
	msg.Header[hdrExpectedSeq] = []string{"0"}
	msg.Header[hdrSchedule] = []string{"@at " + at.UTC().Format(time.RFC3339Nano)}
	msg.Header[hdrScheduleTarget] = []string{s.b.names.WakeSubject(id)}
	s.b.before(opSchedule, msg.Subject)
	pause := retryWait
	for {
		_, err := s.b.pub.publish(ctx, msg)
		r := refused(err)
		switch {
		case err == nil:
			s.b.after(opSchedule, msg.Subject)
			return nil
		case r == nil:
			return err
		case r.fenced():
			// Refused at R3 while the same is in flight, too: only what the
			// leader has counts.
			if _, ok, gerr := s.b.timers.get(ctx, query{LastBy: msg.Subject}); gerr != nil {
				return gerr
			} else if ok {
				return s.b.pub.durable(ctx, s.b.timers.stream)
			}
		case !r.inFlight():
			return err
		}
		if err := s.b.link.pause(ctx, jitter(pause)); err != nil {
			return unknown(msg.Subject, err)
		}
		pause = min(2*pause, retryWaitMax)
	}
}

// Cancel removes timers of an identity that have not fired: one, when prefix
// is a whole timer of [TimerID]; all of a run, when it is the part of it
// before the dot; all of the identity, when it is empty. A timer that has
// fired is a message, which stays.
func (s *Schedules) Cancel(ctx context.Context, id schemas.Identity, prefix string) error {
	filter := s.b.names.timerPrefix(id)
	switch dots := strings.Count(prefix, "."); {
	case prefix == "":
		filter += ">"
	case dots == 0:
		filter += prefix + ".*"
	case dots == 1:
		filter += prefix
	default:
		return fmt.Errorf("cancel timers %s of %v: %w: it is not a timer, or what is before its dot", prefix, id, schemas.ErrInvalidName)
	}
	s.b.before(opCancelSchedule, filter)
	if err := s.b.pub.request(ctx, "$JS.API.STREAM.PURGE."+s.b.timers.stream, map[string]any{"filter": filter}, nil); err != nil {
		return fmt.Errorf("cancel timers %q of %v: %w", prefix, id, err)
	}
	s.b.after(opCancelSchedule, filter)
	return nil
}

// CancelRun removes the timers of a run that have not fired.
func (s *Schedules) CancelRun(ctx context.Context, ref schemas.Ref) error {
	return s.Cancel(ctx, ref.Identity, schemas.EncodeToken(string(ref.ID)))
}

// Pending returns the timers of an identity that have not fired, sorted.
func (s *Schedules) Pending(ctx context.Context, id schemas.Identity) ([]string, error) {
	prefix := s.b.names.timerPrefix(id)
	info, err := s.b.timers.info(ctx, prefix+">")
	if err != nil {
		return nil, fmt.Errorf("list the timers of %v: %w", id, err)
	}
	timers := make([]string, 0, len(info.State.Subjects))
	for subject := range info.State.Subjects {
		timers = append(timers, strings.TrimPrefix(subject, prefix))
	}
	slices.Sort(timers)
	return timers, nil
}

// Fired returns the timers of an identity that have fired and whose wake-ups
// are not acknowledged, in their order.
func (s *Schedules) Fired(ctx context.Context, id schemas.Identity) ([]string, error) {
	var timers []string
	for m, err := range s.b.timers.scan(ctx, s.b.names.WakeSubject(id), 0) {
		if err != nil {
			return nil, fmt.Errorf("list the wake-ups of %v: %w", id, err)
		}
		timers = append(timers, strings.TrimPrefix(m.header.Get(hdrScheduler), s.b.names.timerPrefix(id)))
	}
	return timers, nil
}
