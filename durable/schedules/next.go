package schedules

import (
	"time"
	_ "time/tzdata" // a bare machine knows the time zones, too
)

// A rule says when one of a spec's expressions comes: a cron expression in a
// zone, or an interval.
type rule struct {
	zone    *time.Location
	without map[string]bool // dates without a time

	cron          *cron // nil: an interval
	every, offset time.Duration
}

// next returns the first time after t, with a precision of a second.
//
// Where clocks are changed, a time of day (an expression that names its hours) is
// once each day: if it does not exist the time is the moment at which the clocks
// were changed, and if it comes twice the first of both. A rhythm (its hours are
// *) is at each moment at which the clock shows it: of an hour that comes twice
// both, and nothing of one that does not exist.
func (r *rule) next(t time.Time) (time.Time, bool) {
	t = time.Unix(t.Unix(), 0)
	switch {
	case r.cron == nil:
		return r.interval(t)
	case r.cron.clock:
		return r.rhythm(t)
	}
	for wall := wallOf(t, r.zone); ; {
		w, ok := r.cron.next(wall, r.without)
		if !ok {
			return time.Time{}, false
		}
		if at := instantOf(w, r.zone); at.After(t) {
			return at, true
		}
		wall = w.Add(time.Second)
	}
}

// rhythm looks through the times between two changes of the clock.
func (r *rule) rhythm(t time.Time) (time.Time, bool) {
	for from, end := t.Add(time.Second), t.AddDate(years, 0, 0); from.Before(end); {
		offset, until := offsetAt(from, r.zone)
		w, ok := r.cron.next(wallOf(from, r.zone), r.without)
		if !ok {
			return time.Time{}, false
		}
		at := time.Unix(w.Unix()-offset, 0)
		if until.IsZero() || at.Before(until) {
			return at, true
		}
		from = until
	}
	return time.Time{}, false
}

// interval counts from the epoch, so that what one time does moves no other.
func (r *rule) interval(t time.Time) (time.Time, bool) {
	every, offset := int64(r.every/time.Second), int64(r.offset/time.Second)
	n := t.Unix() - offset
	k := n / every
	if n%every < 0 {
		k--
	}
	at := time.Unix((k+1)*every+offset, 0)
	for end := t.AddDate(years, 0, 0); at.Before(end); {
		if !excluded(r.without, wallOf(at, r.zone)) {
			return at, true
		}
		// the first one of the day that follows
		w := wallOf(at, r.zone)
		day := instantOf(time.Date(w.Year(), w.Month(), w.Day()+1, 0, 0, 0, 0, time.UTC), r.zone)
		at = at.Add(max(day.Sub(at).Truncate(r.every), r.every))
	}
	return time.Time{}, false
}

// wallOf returns what a clock in the zone shows at t, written as if in UTC.
func wallOf(t time.Time, zone *time.Location) time.Time {
	offset, _ := offsetAt(t, zone)
	return time.Unix(t.Unix()+offset, 0).UTC()
}

// offsetAt returns how many seconds a clock in the zone is ahead of UTC at t, and
// until when at least; zero for always.
func offsetAt(t time.Time, zone *time.Location) (offset int64, until time.Time) {
	local := t.In(zone)
	_, seconds := local.Zone()
	_, until = local.ZoneBounds()
	if !until.IsZero() && !until.After(t) {
		until = t.Add(time.Hour) // time believes that leap years from 2040 on end a day early
	}
	return int64(seconds), until
}

// instantOf returns when a clock in the zone shows wall: the first time if it
// does twice, and the moment at which it was put forward if it never does.
func instantOf(wall time.Time, zone *time.Location) time.Time {
	for t := time.Unix(wall.Unix(), 0).Add(-48 * time.Hour); ; {
		offset, until := offsetAt(t, zone)
		at := time.Unix(wall.Unix()-offset, 0)
		switch {
		case at.Before(t):
			return t
		case until.IsZero() || at.Before(until):
			return at
		}
		t = until
	}
}
