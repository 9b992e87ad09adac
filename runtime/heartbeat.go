package runtime

import (
	"context"
	"time"

	"github.com/perdure/perdure/schemas"
)

// maxProgress is the size of what a step says of its progress, in bytes: it is
// kept in memory, and written again and again.
const maxProgress = 16 << 10

// Heartbeat says that the step is alive, and how far it is: p is given to its
// next attempt, in whichever process, and shown to whoever looks at the run. What
// is said first is recorded at once, then the latest after a second, and after
// ever longer, up to an eighth of the time that the step has run. The error
// matches [ErrTooLarge] for more than 16 KiB, and [ErrCancelled] for an attempt
// that is over.
func (s *StepContext) Heartbeat(p *schemas.Payload) error {
	if n := len(p.GetData()); n > maxProgress {
		return Errorf(ErrTooLarge.Code, "the progress of step %s %q has %d bytes; it may have %d: say how far the step is, and keep the rest elsewhere", s.Path, s.Name, n, maxProgress)
	}
	said := s.said
	said.mu.Lock()
	if said.by != s {
		said.mu.Unlock()
		return Errorf(ErrCancelled.Code, "this attempt of step %s %q is over, and what it says is not listened to: return", s.Path, s.Name)
	}
	said.progress = p
	now := time.Now()
	if said.mail != nil && !now.Before(said.due) {
		said.due = now.Add(max(time.Second, now.Sub(said.began)/8))
		said.mail.putStep(stepDone{future: said.future, progress: p}) // before the step's end, which waits for mu
	}
	said.mu.Unlock()
	select {
	case s.alive <- struct{}{}:
	default:
	}
	return nil
}

// Progress returns what the step said last, in an earlier attempt or in a process
// that has ended: there it is what was recorded last. It is nil for nothing.
func (s *StepContext) Progress() *schemas.Payload {
	s.said.mu.Lock()
	defer s.said.mu.Unlock()
	return s.said.progress
}

// watch ends an attempt whose body has not said that it is alive for limit, by
// the cause of its context. It returns when ctx ends.
func (s *StepContext) watch(ctx context.Context, limit time.Duration, end context.CancelCauseFunc) {
	t := time.NewTimer(limit)
	defer t.Stop()
	for {
		select {
		case <-s.alive:
			t.Reset(limit)
		case <-t.C:
			end(&Error{Code: ErrTimeout.Code, Message: "the step did not say that it is alive within " + limit.String()})
			return
		case <-ctx.Done():
			return
		}
	}
}
