package actors

import (
	"encoding/json"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/perdure/perdure/runtime"
	"github.com/perdure/perdure/schemas"
)

// What runs say is published in windows, so that a token is no message, and is kept for
// whoever comes late, within bounds.
const (
	// liveWindow is how long text waits for more of it.
	liveWindow = 30 * time.Millisecond
	// maxLiveText is how much one attempt at a message is heard of, in bytes. What is
	// beyond it is told once the step is recorded.
	maxLiveText = 512 << 10
	// maxLiveBytes is how much a node keeps of what its runs say, of all of them.
	maxLiveBytes = 64 << 20
	// maxLiveQueue is how much of one run waits to be published.
	maxLiveQueue = 256 << 10
	// liveKept is how long what was recorded is kept: the journal of a run that ends goes.
	liveKept = time.Minute
)

// live hears what the runs of a host say, and tells it to whoever watches. It is bounded,
// and nothing waits for it: who misses something asks for it.
type live struct {
	publish func(schemas.Ref, []byte) error
	log     *slog.Logger

	mu     sync.Mutex
	runs   map[schemas.Ref]*liveRun
	bytes  int    // of texts and of what is kept
	kept   []kept // of all runs, the oldest first
	sweep  *time.Timer
	closed bool
	wg     sync.WaitGroup // of what is being published
}

var _ runtime.Listener = (*live)(nil)

// A liveRun is what is known of one run.
type liveRun struct {
	ref   schemas.Ref
	owner uint32      // of this process, that executes it; 0: none does
	steps []*liveStep // that run, in the order in which they began
	kept  []kept      // the oldest first

	queue    []LiveEvent // to be published
	queued   int         // bytes of it
	timer    *time.Timer // until it is; nil: none was needed yet
	due      time.Time   // when the timer fires; zero: it does not
	last     time.Time   // when something was published
	flushing bool
}

// kept is what was said in a step that was recorded.
type kept struct {
	run    *liveRun
	until  time.Time
	n      uint64 // how many steps were recorded with it
	size   int
	events []LiveEvent
}

func newLive(publish func(schemas.Ref, []byte) error, log *slog.Logger) *live {
	return &live{publish: publish, log: log, runs: map[schemas.Ref]*liveRun{}}
}

// close ends the timers, and waits for what is being published.
func (l *live) close() {
	l.mu.Lock()
	l.closed = true
	for _, r := range l.runs {
		if r.timer != nil {
			r.timer.Stop()
		}
	}
	if l.sweep != nil {
		l.sweep.Stop()
	}
	l.mu.Unlock()
	l.wg.Wait()
}

// run returns a run that is executed by an owner, nil for one that is not any more.
func (l *live) run(ref schemas.Ref, owner int) *liveRun {
	r := l.runs[ref]
	if r == nil {
		r = &liveRun{ref: ref}
		l.runs[ref] = r
		l.sweeps()
	}
	switch o := uint32(owner); {
	case o < r.owner:
		return nil
	case o > r.owner:
		l.drop(r)
		r.owner = o
	}
	return r
}

// drop forgets the steps of a run that are not recorded.
func (l *live) drop(r *liveRun) {
	for _, s := range r.steps {
		s.forget()
	}
	r.steps = nil
}

// Begins implements [runtime.Listener].
func (l *live) Begins(ref schemas.Ref, owner int, path, name string) runtime.Speaker {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := &liveStep{live: l, path: path, name: name, attempt: 1, fresh: true}
	if r := l.run(ref, owner); r != nil && !l.closed {
		s.run = r
		r.steps = append(r.steps, s)
		for _, e := range s.said(LiveSaid{}) {
			r.tell(e)
		}
		l.wake(r, true)
	}
	return s
}

// Recorded implements [runtime.Listener].
func (l *live) Recorded(ref schemas.Ref, owner int, before uint64, steps []*schemas.StepCompleted) {
	l.mu.Lock()
	defer l.mu.Unlock()
	r := l.run(ref, owner)
	if r == nil || l.closed {
		return
	}
	for i, c := range steps {
		end := LiveEvent{
			Type: LiveEnd, Step: c.GetPath(), Name: c.GetName(), Kind: "step", Owner: uint32(owner), Attempt: c.GetAttempts(),
			Recorded: before + uint64(i) + 1, Error: c.GetError().GetCode(),
		}
		end.SetResult(c.GetResult())
		k := kept{run: r, until: time.Now().Add(liveKept), n: end.Recorded}
		if at := slices.IndexFunc(r.steps, func(s *liveStep) bool { return s.path == c.GetPath() }); at >= 0 {
			k.events = r.steps[at].said(LiveSaid{})
			if air := r.steps[at].air; air != nil {
				end.Offset = air.text
			}
			r.steps[at].forget()
			r.steps = slices.Delete(r.steps, at, at+1)
		}
		k.events = append(k.events, end)
		for _, e := range k.events {
			k.size += eventSize(e)
		}
		if l.room(k.size) {
			l.bytes += k.size
			l.kept, r.kept = append(l.kept, k), append(r.kept, k)
			l.sweeps()
		}
		r.tell(end)
	}
	l.wake(r, true)
}

// Moved implements [runtime.Listener].
func (l *live) Moved(ref schemas.Ref, owner int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if r := l.run(ref, owner); r != nil && !l.closed {
		r.tell(LiveEvent{Type: LiveMore})
		l.wake(r, true)
	}
}

// Left implements [runtime.Listener].
func (l *live) Left(ref schemas.Ref, owner int, rec *schemas.Record) {
	l.mu.Lock()
	defer l.mu.Unlock()
	r := l.run(ref, owner)
	if r == nil || l.closed {
		return
	}
	l.drop(r)
	if rec != nil {
		d := DoneOf(ref, rec)
		if len(d.Result) > maxLiveResult {
			d.Result, d.Truncated = nil, true
		}
		r.tell(LiveEvent{Type: LiveDone, Done: &d})
		l.wake(r, true)
	}
	l.forget(r)
}

// forget lets go of a run that nothing is known of any more. It is executed elsewhere, or
// again by a later owner.
func (l *live) forget(r *liveRun) {
	if l.runs[r.ref] == r && len(r.steps) == 0 && len(r.kept) == 0 && len(r.queue) == 0 && !r.flushing {
		delete(l.runs, r.ref)
	}
}

// room reports whether more may be kept, for which what is oldest goes.
func (l *live) room(size int) bool {
	for l.bytes+size > maxLiveBytes && len(l.kept) > 0 {
		l.expire()
	}
	return l.bytes+size <= maxLiveBytes
}

// expire drops what is kept the longest.
func (l *live) expire() {
	k := l.kept[0]
	l.kept, k.run.kept = l.kept[1:], k.run.kept[1:]
	l.bytes -= k.size
	l.forget(k.run)
}

// sweeps sees that what is kept goes when its time is over.
func (l *live) sweeps() {
	if l.closed || len(l.kept) == 0 {
		return
	}
	if l.sweep == nil {
		l.sweep = time.AfterFunc(time.Until(l.kept[0].until), func() {
			l.mu.Lock()
			defer l.mu.Unlock()
			for now := time.Now(); len(l.kept) > 0 && !l.kept[0].until.After(now); {
				l.expire()
			}
			l.sweep = nil
			l.sweeps()
		})
	}
}

func eventSize(e LiveEvent) int { return 128 + len(e.Text) + len(e.Result) + len(e.Reason) }

// tell queues an event, or adds to the last one. What nobody takes is dropped: who
// watches sees that something is missing, and asks for it.
func (r *liveRun) tell(e LiveEvent) {
	if r.queued += eventSize(e); r.queued > maxLiveQueue {
		r.queue, r.queued = []LiveEvent{{Type: LiveMore}}, 0
		return
	}
	if n := len(r.queue); n > 0 && (e.Type == LiveText || e.Type == LiveReasoning) {
		last := &r.queue[n-1]
		if last.Type == e.Type && last.Step == e.Step && last.Attempt == e.Attempt && last.Offset+len(last.Text) == e.Offset && len(last.Text)+len(e.Text) <= LivePiece {
			last.Text += e.Text
			return
		}
	}
	r.queue = append(r.queue, e)
}

// wake has what is queued published: soon, or now.
func (l *live) wake(r *liveRun, now bool) {
	if l.closed || r.flushing || len(r.queue) == 0 { // who flushes looks again
		return
	}
	at := time.Now()
	if !now && at.Before(r.last.Add(liveWindow)) {
		at = r.last.Add(liveWindow)
	}
	if !r.due.IsZero() && !at.Before(r.due) {
		return
	}
	r.due = at
	if r.timer == nil {
		r.timer = time.AfterFunc(time.Until(at), func() { l.flush(r) })
	} else {
		r.timer.Reset(time.Until(at))
	}
}

// flush publishes what is queued. It alone waits for the connection.
func (l *live) flush(r *liveRun) {
	l.mu.Lock()
	if l.closed || r.flushing {
		l.mu.Unlock()
		return
	}
	l.wg.Add(1)
	defer l.wg.Done()
	queue := r.queue
	r.queue, r.queued, r.due, r.flushing, r.last = nil, 0, time.Time{}, true, time.Now()
	l.mu.Unlock()
	for _, e := range queue {
		body, err := json.Marshal(e)
		if err == nil {
			err = l.publish(r.ref, body)
		}
		if err != nil {
			l.log.Debug("who watches a run was not told what it says", "run", r.ref.String(), "error", err)
			break // they see that something is missing
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	r.flushing = false
	l.wake(r, len(r.queue) > 0 && r.queue[len(r.queue)-1].Type != LiveText)
	l.forget(r)
}
