package runtimetest

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/perdure/perdure/runtime"
	"github.com/perdure/perdure/schemas"
)

// A Process is one incarnation of a node: it owns every identity until the
// next one starts, and is gone without a trace when it is killed. It is the
// [runtime.Lease] of its executors.
type Process struct {
	w        *World
	epoch    uint64
	ctx      context.Context
	cancel   context.CancelCauseFunc
	cfg      *runtime.Config
	draining chan struct{}

	// guarded by World.mu
	dead     bool
	lapsed   bool
	isDrains bool
	acts     map[schemas.Identity]*activation
}

// Epoch is the process's number, from 1.
func (p *Process) Epoch() uint64 { return p.epoch }

// Valid reports whether the process thinks that it is the owner.
func (p *Process) Valid() bool {
	if f := p.w.OnValid; f != nil {
		f(p)
	}
	p.w.mu.Lock()
	defer p.w.mu.Unlock()
	return !p.lapsed
}

// Hold is Valid: a process of a world learns at once what is the case.
func (p *Process) Hold(context.Context) bool { return p.Valid() }

// Draining is closed by [Process.Drain].
func (p *Process) Draining() <-chan struct{} { return p.draining }

// Config returns the configuration of the process, for executors of a test's own.
func (p *Process) Config() *runtime.Config { return p.cfg }

// Kill ends the process: nothing that it does from now on is stored, and it
// hears of nothing. Its goroutines end soon.
func (p *Process) Kill() {
	p.w.mu.Lock()
	defer p.w.mu.Unlock()
	p.kill()
}

func (p *Process) kill() {
	if !p.dead {
		p.dead = true
		p.cancel(errKilled)
		p.w.change()
	}
}

// Lapse makes the process know that its lease is over.
func (p *Process) Lapse() {
	p.w.mu.Lock()
	defer p.w.mu.Unlock()
	p.lapsed = true
}

// Drain asks the process to give everything up.
func (p *Process) Drain() {
	p.w.mu.Lock()
	defer p.w.mu.Unlock()
	if !p.isDrains {
		p.isDrains = true
		close(p.draining)
	}
}

// Leave is what follows [Process.Drain] when the grace time is over: steps are told
// to stop. What the process writes is still stored.
func (p *Process) Leave() { p.cancel(errLeft) }

func (p *Process) alive() bool {
	p.w.mu.Lock()
	defer p.w.mu.Unlock()
	return !p.dead && !p.isDrains
}

// deliver gives a message to its identity's activation. World.mu is held.
func (p *Process) deliver(id schemas.Identity, m *message) {
	kind := p.w.kinds[id.Kind]
	if p.dead || kind == nil {
		return
	}
	a := p.acts[id]
	if a == nil {
		a = &activation{p: p, id: id, kind: kind, notify: make(chan struct{}, 1)}
		p.acts[id] = a
		p.w.processes.Go(a.run)
	}
	a.receive(m)
}

// point is a write or an acknowledgement of a process: a place to crash at.
func (p *Process) point(id schemas.Identity, what string, do func() error) error {
	kind, _, _ := strings.Cut(what, " ")
	return p.pointOf(id, what, []string{kind}, do)
}

// pointOf is a point that is of these kinds.
func (p *Process) pointOf(id schemas.Identity, what string, kinds []string, do func() error) error {
	w := p.w
	if w.OnPoint != nil && p.ctx.Err() == nil {
		w.OnPoint(what)
	}
	w.mu.Lock()
	if p.dead {
		w.mu.Unlock()
		return errKilled
	}
	w.points, w.kindsOf = append(w.points, what), append(w.kindsOf, kinds)
	when := w.crashes[len(w.points)]
	if when == Before {
		p.crash()
		w.mu.Unlock()
		return errKilled
	}
	w.mu.Unlock()
	err := do()
	w.mu.Lock()
	defer w.mu.Unlock()
	if when == After {
		p.crash()
	}
	w.checkCarriers(id)
	w.change()
	if p.dead {
		return errKilled
	}
	return err
}

// crash kills the process and lets the next one follow. World.mu is held.
func (p *Process) crash() {
	p.kill()
	if w := p.w; w.AutoRestart && w.current == p && !w.closed {
		w.current = nil
		w.processes.Go(func() {
			w.mu.Lock()
			defer w.mu.Unlock()
			if w.current == nil && !w.closed {
				w.start()
			}
		})
	}
}

// checkCarriers notes a breach of P12: an open run without a message and
// without a wake-up. World.mu is held.
func (w *World) checkCarriers(id schemas.Identity) {
	head, ok := w.Journal.peek(id, func(stored) bool { return true })
	var err error
	if ok && head.Entry.GetRecord().GetOpen() != "" { // a refusal, behind which a run is open
		head.Ref, err = schemas.ParseRef(head.Entry.GetRecord().GetOpen())
	} else if head.Entry.GetRecord() != nil {
		return
	}
	if err != nil || !ok {
		return
	}
	for _, m := range w.inbox[id] {
		if m.ref == head.Ref {
			return
		}
	}
	for k := range w.wakes {
		if k.ref == head.Ref {
			return
		}
	}
	w.wrong = append(w.wrong, fmt.Sprintf("P12: after point %d nothing carries the open run %s", len(w.points), head.Ref))
}

type processJournal struct{ p *Process }

func (j processJournal) Head(ctx context.Context, id schemas.Identity) (s schemas.Stored, ok bool, err error) {
	err = j.p.read(func() (err error) { s, ok, err = j.p.w.Journal.Head(ctx, id); return err })
	return s, ok, err
}

func (j processJournal) Last(ctx context.Context, ref schemas.Ref) (s schemas.Stored, ok bool, err error) {
	err = j.p.read(func() (err error) { s, ok, err = j.p.w.Journal.Last(ctx, ref); return err })
	return s, ok, err
}

func (j processJournal) Unmoved(ctx context.Context, ref schemas.Ref) (schemas.Stored, bool, error) {
	return j.Last(ctx, ref)
}

func (j processJournal) Load(ctx context.Context, ref schemas.Ref) (es []schemas.Stored, err error) {
	err = j.p.read(func() (err error) { es, err = j.p.w.Journal.Load(ctx, ref); return err })
	return es, err
}

func (j processJournal) Entries(ctx context.Context, ref schemas.Ref) (es []schemas.Stored, err error) {
	err = j.p.read(func() (err error) { es, err = j.p.w.Journal.Entries(ctx, ref); return err })
	return es, err
}

func (j processJournal) Append(ctx context.Context, ref schemas.Ref, after uint64, e *schemas.Entry, before ...uint64) (out schemas.Outcome, err error) {
	what := "append "
	if e.GetRecord() != nil {
		what = "commit "
	}
	err = j.p.pointOf(ref.Identity, what+ref.String(), kindsOfEntry(e), func() (err error) {
		out, err = j.p.w.Journal.Append(ctx, ref, after, e, before...)
		j.p.w.happens(e)
		return err
	})
	return out, err
}

// kindsOfEntry names the events of an entry as the wire format does.
func kindsOfEntry(e *schemas.Entry) (kinds []string) {
	for _, ev := range e.GetEvents() {
		m := ev.ProtoReflect()
		if f := m.WhichOneof(m.Descriptor().Oneofs().ByName("kind")); f != nil {
			kinds = append(kinds, string(f.Name()))
		}
	}
	if e.GetRecord() != nil {
		kinds = append(kinds, "record")
	}
	return kinds
}

// read reads from the store, which a dead process cannot.
func (p *Process) read(do func() error) error {
	if p.ctx.Err() != nil {
		return errKilled
	}
	return do()
}

type processStates struct{ p *Process }

func (s processStates) Get(ctx context.Context, id schemas.Identity) (v *schemas.State, rev uint64, err error) {
	err = s.p.read(func() (err error) { v, rev, err = s.p.w.States.Get(ctx, id); return err })
	return v, rev, err
}

func (s processStates) Put(ctx context.Context, id schemas.Identity, after uint64, v *schemas.State) (out schemas.Outcome, err error) {
	err = s.p.point(id, "state "+id.String(), func() (err error) {
		out, err = s.p.w.States.Put(ctx, id, after, v)
		return err
	})
	return out, err
}

type processOutbox struct{ p *Process }

func (o processOutbox) Send(ctx context.Context, to schemas.Identity, env *schemas.Envelope) error {
	w := o.p.w
	w.mu.Lock()
	known := w.kinds[to.Kind] != nil
	w.mu.Unlock()
	if !known {
		return runtime.Errorf(runtime.ErrNotFound.Code, "send to %s: nothing hosts the kind %q", to, to.Kind)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return o.p.point(to, "send "+to.String(), func() error {
		w.Send(to, env)
		return nil
	})
}

type processWakes struct{ p *Process }

func (s processWakes) Set(ctx context.Context, ref schemas.Ref, timer string, at time.Time, env *schemas.Envelope) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return s.p.point(ref.Identity, "wake "+ref.String(), func() error {
		w, k := s.p.w, wakeKey{ref, timer}
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.wakes[k] != nil || w.closed {
			return nil
		}
		w.wakes[k] = &wake{at, time.AfterFunc(w.tick(at), func() {
			w.mu.Lock()
			defer w.mu.Unlock()
			if w.wakes[k] != nil && !w.closed {
				delete(w.wakes, k)
				if w.isTimer(ref, at) {
					w.happened = time.Now()
				}
				w.put(ref.Identity, env)
			}
		})}
		return nil
	})
}

// tick returns when a stored wake-up comes.
func (w *World) tick(at time.Time) time.Duration {
	if w.Alarms {
		return time.Until(at) + 250*time.Millisecond
	}
	return time.Until(at)
}

func (s processWakes) Cancel(ctx context.Context, ref schemas.Ref, timer string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return s.p.point(ref.Identity, "unwake "+ref.String(), func() error {
		w := s.p.w
		w.mu.Lock()
		defer w.mu.Unlock()
		for k, v := range w.wakes {
			if k.ref == ref && (timer == "" || timer == k.timer) {
				v.timer.Stop()
				delete(w.wakes, k)
			}
		}
		return nil
	})
}

// counter counts executions of steps. It traces nothing.
type counter struct{ p *Process }

func (c counter) Run(ctx context.Context, _ runtime.Info, _ map[string]string) (context.Context, func(error)) {
	return ctx, func(error) {}
}

func (c counter) Step(ctx context.Context, path, _ string) (context.Context, func(map[string]string, error)) {
	s, _ := runtime.StepFrom(ctx)
	ref := s.Info.Ref()
	w := c.p.w
	w.mu.Lock()
	defer w.mu.Unlock()
	if c.p.dead { // its goroutines end a little later than it
		return ctx, func(map[string]string, error) {}
	}
	name := path
	if g := s.Info.Generation; g > 0 {
		name = fmt.Sprintf("%d:%s", g, path)
	}
	w.runs[ref.String()+" "+name]++
	has := w.Journal.hasStep(ref, path)
	if has != 0 {
		w.wrong = append(w.wrong, fmt.Sprintf("step %s of %s is executed although entry %d has its result", name, ref, has))
	}
	return ctx, func(map[string]string, error) {}
}

func (c counter) Inject(context.Context) map[string]string { return nil }
