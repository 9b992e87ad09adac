package schedules

import (
	"encoding/binary"
	"hash/fnv"
	"time"
)

// A moment is a time of a schedule, and when it is due: later by its jitter.
type moment struct {
	Nominal int64 `json:"t"`           // in seconds of the Unix epoch
	Jitter  int64 `json:"j,omitempty"` // in milliseconds
}

func (m moment) nominal() time.Time { return time.Unix(m.Nominal, 0).UTC() }

func (m moment) due() time.Time {
	return m.nominal().Add(time.Duration(m.Jitter) * time.Millisecond)
}

// A plan is what comes next. It is made in a step, and so recorded: the rules of
// time zones are data of the build that made it, and may be other ones elsewhere.
type plan struct {
	Moments []moment `json:"moments,omitempty"`
	// Missed is how many times before them were due longer ago than is caught up,
	// and Until the last of them.
	Missed int   `json:"missed,omitempty"`
	Until  int64 `json:"until,omitempty"`
	// End says that none comes after them.
	End bool `json:"end,omitempty"`
}

// How much a plan holds.
const (
	maxMoments = 100
	maxMissed  = 100_000 // counted in one step
)

// plan returns up to n times after one, of which those that were due before
// oldest are missed.
func (s Spec) plan(name string, after, oldest time.Time, n int) plan {
	rules, _ := s.rules() // checked before
	var p plan
	next, ok := s.next(rules, after)
	for ok && len(p.Moments) < n && p.Missed < maxMissed {
		at := next
		next, ok = s.next(rules, at)
		m := moment{Nominal: at.Unix(), Jitter: s.jitter(name, at, next, ok).Milliseconds()}
		if m.due().Before(oldest) {
			p.Missed++
			p.Until = m.Nominal
			continue
		}
		p.Moments = append(p.Moments, m)
	}
	p.End = !ok
	return p
}

// next returns the first time of the spec after t.
func (s Spec) next(rules []rule, t time.Time) (first time.Time, ok bool) {
	if !s.Start.IsZero() && t.Before(s.Start) {
		t = s.Start.Add(-time.Nanosecond)
	}
	for _, r := range rules {
		if at, found := r.next(t); found && (!ok || at.Before(first)) {
			first, ok = at, true
		}
	}
	return first, ok && (s.End.IsZero() || !first.After(s.End))
}

// jitter is the same for the same time, and shorter than the time to the next one.
func (s Spec) jitter(name string, at, next time.Time, has bool) time.Duration {
	most := s.Jitter
	if has {
		most = min(most, next.Sub(at)-time.Millisecond)
	}
	if most <= 0 {
		return 0
	}
	h := fnv.New64a()
	h.Write([]byte(name))
	h.Write(binary.BigEndian.AppendUint64(nil, uint64(at.Unix())))
	return time.Duration(h.Sum64() >> 1 % uint64(most))
}

// Next returns up to n times of a spec after one, as they are now known, without
// jitter, and pauses aside. The error is that of [Spec.Check].
func (s Spec) Next(after time.Time, n int) ([]time.Time, error) {
	s = s.normal()
	if err := s.Check("a schedule"); err != nil {
		return nil, err
	}
	rules, _ := s.rules()
	var times []time.Time
	for len(times) < n {
		at, ok := s.next(rules, after)
		if !ok {
			break
		}
		times, after = append(times, at.UTC()), at
	}
	return times, nil
}
