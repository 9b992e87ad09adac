package durabletest

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/runtime"
	"github.com/perdure/perdure/runtime/runtimetest"
	"github.com/perdure/perdure/schemas"
)

// forever bounds what a test waits for: no workflow sleeps longer. It is the time
// of the bubble, not of the test.
const forever = 200 * 365 * 24 * time.Hour

// inVain is after what time in which nothing happened a run is not waited for any
// more: it is looked at once a day, for good, if nobody sends what it waits for.
const inVain = 100 * 24 * time.Hour

// A World hosts kinds in memory, as nodes do on NATS: its journal, states and
// inboxes survive, its processes do not.
type World struct {
	engine *runtimetest.World
	ctx    context.Context
	stop   context.CancelFunc

	bad error // what is wrong with the kinds

	mu      sync.Mutex
	started bool
	crashes map[int]runtimetest.When
	fakes   map[schemas.Kind]*durable.Kind
	ids     int
	timers  []*time.Timer
	coming  int // signals that SignalAfter has still to send
}

// New returns a world for code that runs outside of a test, such as an Example;
// [Play] and [CrashSweep] make one of their own. Close it in the end.
func New(kinds ...*durable.Kind) *World {
	w := &World{engine: runtimetest.NewWorld(kinds...), crashes: map[int]runtimetest.When{}, fakes: map[schemas.Kind]*durable.Kind{}}
	w.engine.AutoRestart = true
	seen := map[schemas.Kind]bool{}
	for _, k := range kinds {
		w.bad = errors.Join(w.bad, k.Validate())
		if seen[k.Name] {
			w.bad = errors.Join(w.bad, durable.Fail(durable.ErrInvalid.Code, "the world is given the kind %q twice", string(k.Name)))
		}
		seen[k.Name] = true
	}
	w.ctx, w.stop = context.WithTimeout(context.Background(), forever)
	return w
}

// Close ends the world's processes. It returns what was wrong: rules of the
// engine that were seen to be broken, and runs that stand still; nil for nothing.
func (w *World) Close() error {
	w.stop()
	w.mu.Lock()
	for _, t := range w.timers {
		t.Stop()
	}
	w.mu.Unlock()
	var errs []error
	for _, wrong := range w.engine.Close() {
		errs = append(errs, errors.New(wrong))
	}
	return errors.Join(errs...)
}

// start starts the first process: fakes are known by then.
func (w *World) start() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.started {
		return
	}
	w.started = true
	for _, k := range w.fakes {
		w.engine.Deploy(k)
	}
	for n, when := range w.crashes {
		w.engine.CrashAt(when, n)
	}
	w.engine.Start()
}

// Fake binds fn to a name in the place of code that is elsewhere: it is executed
// as a step of a run of its own. It must be called before the first run is
// started, and panics otherwise.
func Fake[In, Out any](w *World, name durable.Name[In, Out], fn func(context.Context, In) (Out, error)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.started {
		panic(fmt.Sprintf("durabletest: Fake of %s after the first run was started; make fakes first", name))
	}
	k := w.fakes[name.Kind()]
	if k == nil {
		k = &durable.Kind{Name: name.Kind(), Type: "fake", OncePerKey: name.OncePerKey(), Methods: map[string]runtime.Method{}}
		w.fakes[name.Kind()] = k
	}
	k.Methods[name.Method()] = runtime.Method{
		Check: durable.CheckInput[In],
		Handler: func(c *runtime.Context, p *schemas.Payload) (*schemas.Payload, error) {
			in, err := durable.Decode[In](p)
			if err != nil {
				return nil, err
			}
			out, err := durable.Step(durable.FromEngine(c), "fake", func(ctx context.Context) (Out, error) { return fn(ctx, in) })
			if err != nil {
				return nil, err
			}
			return durable.Result(out)
		},
	}
}

// id returns a message ID for a run that has none of its own.
func (w *World) id() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ids++
	return "run-" + strconv.Itoa(w.ids)
}

// A Run is a run that a test has started.
type Run[Out any] struct {
	w   *World
	ref schemas.Ref
}

// Ref returns the run's reference kind/key/id.
func (r *Run[Out]) Ref() string { return r.ref.String() }

// Start sends in to an identity and goes on. The error is that of a name, key or
// input of a wrong form, and [durable.ErrNotFound] where the world has no code for
// the name.
func Start[In, Out any](w *World, to durable.Target[In, Out], in In) (*Run[Out], error) {
	target, err := to.Resolve("")
	if err != nil {
		return nil, err
	}
	p, err := durable.Encode(in)
	if err != nil {
		return nil, durable.Fail(durable.ErrInvalid.Code, "input of %s: %v", target.Identity, err)
	}
	if target.ID == "" {
		target.ID = schemas.RunID(w.id())
	}
	w.start()
	if err := w.has(target.Identity.Kind, target.Method); err != nil {
		return nil, err
	}
	r := &Run[Out]{w, target.Identity.Run(target.ID)}
	w.engine.Task(r.ref, target.Method, p)
	return r, nil
}

// has returns what is wrong with starting a method of a kind.
func (w *World) has(kind schemas.Kind, method string) error {
	k := w.engine.Kind(kind)
	switch {
	case w.bad != nil:
		return w.bad
	case k == nil:
		return durable.Fail(durable.ErrNotFound.Code, "the world has no kind %q; give its code to Play, CrashSweep or New, or Fake it", string(kind))
	}
	if _, ok := k.Methods[method]; !ok {
		return durable.Fail(durable.ErrNotFound.Code, "the kind %q of the world has no method %q; bind a handler to it, or Fake all of the kind", string(kind), method)
	}
	return nil
}

// Result waits for the run's result, or its failure, for as long as it takes. A
// run that stands still, since its code does not agree with its journal, is
// [durable.ErrNondeterministic]. One that waits for what nobody sends is given up
// once nothing has happened in the world for 100 days of its clock.
func (r *Run[Out]) Result() (Out, error) {
	var zero Out
	w := r.w.engine
	var rec *schemas.Record
	var still error
	vain := false
	err := w.Until(r.w.ctx, func() bool {
		last, _, err := w.Journal.Last(r.w.ctx, r.ref)
		rec = last.Entry.GetRecord()
		if still = w.Parked(r.ref); still == nil {
			still = w.Stopped(r.ref.Identity)
		}
		vain = rec == nil && r.w.idle() > inVain
		return err == nil && (rec != nil || still != nil || vain)
	})
	switch {
	case vain:
		return zero, fmt.Errorf("%s waits in vain: nothing has happened for %d days of the world's clock, and its journal ends with %s; send the signal before Result, by SignalAfter or from a goroutine, and Fake what the run calls", r.ref, int(inVain.Hours())/24, r.last())
	case err != nil:
		return zero, fmt.Errorf("wait for %s, whose journal ends with %s: %w; its code waits for something that is not durable, e.g. a channel", r.ref, r.last(), err)
	case rec == nil:
		return zero, fmt.Errorf("%s stands still: %w", r.ref, still)
	case rec.GetError() != nil:
		return zero, runtime.DecodeError(rec.GetError())
	}
	return durable.Decode[Out](rec.GetResult())
}

// idle returns for how long nothing happened in the world, and nothing is to come.
func (w *World) idle() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.coming > 0 {
		return 0
	}
	return w.engine.Idle()
}

// last names the last event of the run that is not only of its waiting.
func (r *Run[Out]) last() (last string) {
	last = "nothing"
	entries, err := r.w.engine.Journal.Load(context.Background(), r.ref) // the world's own context may be over
	if err != nil {
		return err.Error()
	}
	for _, s := range entries {
		for _, e := range s.Entry.GetEvents() {
			m := e.ProtoReflect()
			f := m.WhichOneof(m.Descriptor().Oneofs().ByName("kind"))
			if f == nil || e.GetClaimed() != nil || e.GetSuspended() != nil {
				continue
			}
			last = string(f.Name())
			if name := f.Message().Fields().ByName("name"); name != nil {
				last += fmt.Sprintf(" %q", m.Get(f).Message().Get(name).String())
			}
		}
	}
	return last
}

// Cancel asks the run to stop.
func (r *Run[Out]) Cancel() { r.w.engine.Cancel(r.ref, r.w.id()) }

// Call is [Start] and [Run.Result].
func Call[In, Out any](w *World, to durable.Target[In, Out], in In) (Out, error) {
	r, err := Start(w, to, in)
	if err != nil {
		var zero Out
		return zero, err
	}
	return r.Result()
}

// Signal sends a value to a run, by its reference kind/key/id. It panics on a
// reference, name or value of a wrong form.
func Signal[T any](w *World, run string, signal durable.Signal[T], value T) {
	ref, err := schemas.ParseRef(run)
	p, perr := durable.Encode(value)
	if err := errors.Join(err, signal.Err(), perr); err != nil {
		panic(fmt.Sprintf("durabletest: signal %s to %s: %v", signal, run, err))
	}
	w.start()
	w.engine.Signal(ref, w.id(), signal.String(), p)
}

// SignalAfter is [Signal] once d has passed; it does not wait.
func SignalAfter[T any](w *World, d time.Duration, run string, signal durable.Signal[T], value T) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.coming++
	w.timers = append(w.timers, time.AfterFunc(d, func() {
		if w.ctx.Err() == nil {
			Signal(w, run, signal, value)
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		w.coming--
	}))
}

// Update sends an update to a run, by its reference kind/key/id, and waits for the
// answer. It panics on a reference, name or input of a wrong form. The error is
// what the run answered, or the reason why it was refused; it matches
// durable.ErrNotFound if the run ended without having answered.
func Update[In, Out any](w *World, run string, name durable.UpdateName[In, Out], in In) (Out, error) {
	var zero Out
	ref, err := schemas.ParseRef(run)
	p, perr := durable.Encode(in)
	if err := errors.Join(err, name.Err(), perr); err != nil {
		panic(fmt.Sprintf("durabletest: update %s of %s: %v", name, run, err))
	}
	w.start()
	a, err := w.engine.Update(w.ctx, ref, w.id(), name.String(), p)
	if err != nil {
		return zero, err
	}
	if a.GetError() != nil {
		return zero, runtime.DecodeError(a.GetError())
	}
	return durable.Decode[Out](a.GetResult())
}

// Ask asks a virtual actor a query. It reads the state as it was last stored.
func Ask[In, Out any](w *World, to durable.QueryTarget[In, Out], in In) (Out, error) {
	var zero Out
	id, name, err := to.Resolve()
	if err != nil {
		return zero, err
	}
	k := w.engine.Kind(id.Kind)
	if k == nil {
		return zero, durable.Fail(durable.ErrNotFound.Code, "the world has no kind %q", string(id.Kind))
	}
	q, err := k.Query(name)
	if err != nil {
		return zero, err
	}
	p, err := durable.Encode(in)
	if err != nil {
		return zero, durable.Fail(durable.ErrInvalid.Code, "input of query %s: %v", name, err)
	}
	v, _, err := w.engine.States.Get(w.ctx, id)
	if err != nil {
		return zero, err
	}
	out, err := q(w.ctx, v.GetValue(), p)
	if err != nil {
		return zero, err
	}
	return durable.Decode[Out](out)
}

// Status returns what a run shows of itself ([durable.SetStatus]), by its reference
// kind/key/id: the zero value for a run that shows nothing, or is not there.
func Status[T any](w *World, run string) (T, error) {
	var zero T
	ref, err := schemas.ParseRef(run)
	if err != nil {
		return zero, durable.Fail(durable.ErrInvalid.Code, "status of %q: %v", run, err)
	}
	entries, err := w.engine.Journal.Load(w.ctx, ref)
	if err != nil {
		return zero, err
	}
	rec, _ := runtime.Timeline(entries)
	return durable.Decode[T](rec.GetCustomStatus())
}
