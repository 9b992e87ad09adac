package runtimetest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/perdure/perdure/runtime"
	"github.com/perdure/perdure/schemas"
	"google.golang.org/protobuf/proto"
)

// A World hosts kinds in memory as nodes do on NATS: it has a journal, states,
// inboxes and wake-ups, which survive, and processes, which do not. Messages
// are delivered at least once, in order for each identity; those of an ending
// are acknowledged after it.
type World struct {
	Journal *Journal
	States  *States
	// Configure, if set, changes the configuration of each process.
	Configure func(*runtime.Config)
	// OnValid, if set, is called whenever an executor asks for its lease, which
	// it does before every append, every message and every step.
	OnValid func(p *Process)
	// OnPoint, if set, is called before every point, see [World.Points].
	OnPoint func(what string)
	// OnMessage, if set, is called with every message that is put into an inbox.
	OnMessage func(to schemas.Identity, env *schemas.Envelope)
	// Passivate makes an activation forget what it knows after each run.
	Passivate bool
	// Alarms makes a process wake the runs that it has suspended when they are due;
	// what is stored for them comes a moment later then.
	Alarms bool
	// AutoRestart starts the next process when a crash point ended one.
	AutoRestart bool

	mu        sync.Mutex
	kinds     map[schemas.Kind]*runtime.Kind
	inbox     map[schemas.Identity][]*message // not acknowledged, in order
	wakes     map[wakeKey]*wake
	current   *Process
	started   []*Process
	processes sync.WaitGroup
	epoch     uint64
	closed    bool
	changed   chan struct{} // closed when anything changes
	happened  time.Time     // see Idle

	points   []string   // every write and acknowledgement, as they came
	kindsOf  [][]string // of each of them
	crashes  map[int]When
	accepted map[string]bool                     // IDs of messages, with the identity
	runs     map[string]int                      // executions of steps, by reference and path
	answers  map[string]*schemas.UpdateCompleted // told, by reference and message ID
	wrong    []string
	parked   map[schemas.Ref]error
	stopped  map[schemas.Identity]error
}

// A message is in an inbox until it is acknowledged.
type message struct {
	ref schemas.Ref // of the run that it concerns
	env *schemas.Envelope
}

type wakeKey struct {
	ref   schemas.Ref
	timer string
}

type wake struct {
	due   time.Time
	timer *time.Timer
}

// When says on which side of a write a process crashes.
type When int

const (
	Before When = iota + 1 // nothing is stored
	After                  // it is stored, and nobody is told
)

var (
	errKilled = errors.New("the process was killed")
	errLeft   = errors.New("the process leaves")
)

// NewWorld returns a world in which no process runs yet.
func NewWorld(kinds ...*runtime.Kind) *World {
	w := &World{
		Journal: NewJournal(), States: NewStates(),
		kinds: map[schemas.Kind]*runtime.Kind{}, inbox: map[schemas.Identity][]*message{}, wakes: map[wakeKey]*wake{},
		changed: make(chan struct{}), crashes: map[int]When{}, accepted: map[string]bool{}, runs: map[string]int{}, answers: map[string]*schemas.UpdateCompleted{},
		parked: map[schemas.Ref]error{}, stopped: map[schemas.Identity]error{}, happened: time.Now(),
	}
	w.Deploy(kinds...)
	return w
}

// Deploy replaces kinds by others of the same names, for the processes that
// start after it.
func (w *World) Deploy(kinds ...*runtime.Kind) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, k := range kinds {
		w.kinds[k.Name] = k
		if limits := runtime.LimitKind(""); k.TakesLimits() && w.kinds[limits] == nil {
			w.kinds[limits] = runtime.NewLimitKind("")
		}
		if budgets := runtime.BudgetsKind(""); len(k.Budgets) > 0 && w.kinds[budgets] == nil {
			w.kinds[budgets] = runtime.NewBudgetKind("")
		}
	}
}

// Kind returns the kind of a name as it is deployed, nil for none.
func (w *World) Kind(name schemas.Kind) *runtime.Kind {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.kinds[name]
}

// CrashAt ends the process that makes the n-th write or acknowledgement of the
// world, counted from 1, on the given side of it.
func (w *World) CrashAt(when When, n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.crashes[n] = when
}

// Points returns the writes and acknowledgements so far, e.g. "append w/a/1".
func (w *World) Points() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.points)
}

// Kinds returns of what kinds each of [World.Points] was: of an append the kinds of
// its events, as the wire format names them, e.g. "step_completed", of a commit
// "record"; of everything else the point's first word, e.g. "wake" or "ack".
func (w *World) Kinds() [][]string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.kindsOf)
}

// Executions returns how often bodies of steps were executed, by the run's
// reference and the step's path: "shop/a/1 2.1", or "shop/a/1 3:2.1" once the
// run has continued as new three times.
func (w *World) Executions() map[string]int {
	w.mu.Lock()
	defer w.mu.Unlock()
	m := make(map[string]int, len(w.runs))
	maps.Copy(m, w.runs)
	return m
}

// Start starts a process, which is the owner of everything from then on; one
// that still runs becomes a zombie.
func (w *World) Start() *Process {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.start()
}

func (w *World) start() *Process {
	w.epoch++
	ctx, cancel := context.WithCancelCause(context.Background())
	p := &Process{
		w: w, epoch: w.epoch, ctx: ctx, cancel: cancel, draining: make(chan struct{}),
		acts: map[schemas.Identity]*activation{},
	}
	p.cfg = &runtime.Config{
		Namespace: "test", Node: fmt.Sprintf("node-%d", w.epoch), Nonce: fmt.Appendf(nil, "process-%d", w.epoch),
		Journal: processJournal{p}, States: processStates{p}, Outbox: processOutbox{p}, Wakes: processWakes{p}, Tracer: counter{p},
		Log:       slog.New(slog.NewTextHandler(io.Discard, nil)),
		Retention: 24 * time.Hour, SuspendAfter: time.Second,
		Answered: func(ref schemas.Ref, a *schemas.UpdateCompleted) {
			w.mu.Lock()
			defer w.mu.Unlock()
			if !p.dead {
				w.answers[ref.String()+" "+a.GetId()] = a
				w.change()
			}
		},
	}
	if w.Configure != nil {
		w.Configure(p.cfg)
	}
	w.current, w.started = p, append(w.started, p)
	for id, ms := range w.inbox {
		for _, m := range ms {
			p.deliver(id, m)
		}
	}
	w.change()
	return p
}

func (w *World) change() {
	close(w.changed)
	w.changed = make(chan struct{})
}

// Send puts a message into the inbox of an identity.
func (w *World) Send(to schemas.Identity, env *schemas.Envelope) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.put(to, env)
}

func (w *World) put(to schemas.Identity, env *schemas.Envelope) {
	env = proto.CloneOf(env)
	if w.OnMessage != nil {
		w.OnMessage(to, env)
	}
	if env.GetType() != schemas.Envelope_WAKE {
		w.happened = time.Now()
	}
	id := env.GetId()
	if env.GetType() != schemas.Envelope_TASK {
		id = env.GetRun()
	}
	m := &message{to.Run(schemas.RunID(id)), env}
	w.inbox[to] = append(w.inbox[to], m)
	w.accepted[to.String()+" "+env.GetId()] = true
	if w.current != nil {
		w.current.deliver(to, m)
	}
	w.change()
}

// Task starts a run as a client does, that waits for no answer.
func (w *World) Task(ref schemas.Ref, method string, input *schemas.Payload) {
	w.Send(ref.Identity, &schemas.Envelope{Type: schemas.Envelope_TASK, Id: string(ref.ID), Method: method, Payload: input})
}

// Cancel asks a run to stop.
func (w *World) Cancel(ref schemas.Ref, id string) {
	w.Send(ref.Identity, &schemas.Envelope{Type: schemas.Envelope_CANCEL, Id: id, Run: string(ref.ID)})
}

// Control sends a run what an operator asks.
func (w *World) Control(ref schemas.Ref, id string, action schemas.Control_Action) {
	w.Send(ref.Identity, &schemas.Envelope{Type: schemas.Envelope_CONTROL, Id: id, Run: string(ref.ID), Control: &schemas.Control{Action: action, By: "ops", Reason: "why"}})
}

// Signal sends a value to a run.
func (w *World) Signal(ref schemas.Ref, id, name string, value *schemas.Payload) {
	w.Send(ref.Identity, &schemas.Envelope{Type: schemas.Envelope_SIGNAL, Id: id, Run: string(ref.ID), Method: name, Payload: value})
}

// Update sends an update to a run and waits for its answer, which is nil if the
// run ended without one.
func (w *World) Update(ctx context.Context, ref schemas.Ref, id, name string, input *schemas.Payload) (a *schemas.UpdateCompleted, err error) {
	w.Send(ref.Identity, &schemas.Envelope{Type: schemas.Envelope_UPDATE, Id: id, Run: string(ref.ID), Method: name, Payload: input})
	err = w.Until(ctx, func() bool {
		ended := w.Journal.ended(ref)
		a = w.answer(ref, id) // after that: a record has the answers of its run
		return a != nil || ended
	})
	switch {
	case err != nil:
		return nil, fmt.Errorf("wait for the answer to update %s of %s: %w", id, ref, err)
	case a == nil:
		return nil, runtime.Errorf(runtime.ErrNotFound.Code, "%s ended without an answer to update %s", ref, id)
	}
	return a, nil
}

// answer returns the answer that was told, or that is in the run's journal.
func (w *World) answer(ref schemas.Ref, id string) *schemas.UpdateCompleted {
	w.mu.Lock()
	a := w.answers[ref.String()+" "+id]
	w.mu.Unlock()
	if a != nil {
		return a
	}
	entries, err := w.Journal.Load(context.Background(), ref)
	if err != nil {
		return nil
	}
	rec, _ := runtime.Timeline(entries)
	if i := slices.IndexFunc(rec.GetUpdates(), func(u *schemas.UpdateCompleted) bool { return u.GetId() == id }); i >= 0 {
		return rec.GetUpdates()[i]
	}
	return nil
}

// Do starts a run and waits for its record.
func (w *World) Do(ctx context.Context, ref schemas.Ref, method string, input *schemas.Payload) (*schemas.Record, error) {
	w.Task(ref, method, input)
	return w.Result(ctx, ref)
}

// Result waits for the record of a run.
func (w *World) Result(ctx context.Context, ref schemas.Ref) (rec *schemas.Record, err error) {
	err = w.Until(ctx, func() bool { return w.Journal.ended(ref) })
	if err != nil {
		return nil, fmt.Errorf("wait for %s: %w", ref, err)
	}
	last, _, err := w.Journal.Last(ctx, ref)
	return last.Entry.GetRecord(), err
}

// Settle waits until no message and no wake-up is left.
func (w *World) Settle(ctx context.Context) error {
	err := w.Until(ctx, func() bool {
		for range w.left() {
			return false
		}
		return true
	})
	if err != nil {
		return fmt.Errorf("%w; left over: %q", err, w.Left())
	}
	return nil
}

// Left lists what a world should not have when all its runs are over: messages
// that nobody acknowledged, wake-ups, and entries that are no record.
func (w *World) Left() (left []string) { return slices.Sorted(w.left()) }

// left is [World.Left] in any order.
func (w *World) left() iter.Seq[string] {
	return func(yield func(string) bool) {
		w.mu.Lock()
		defer w.mu.Unlock()
		for _, ms := range w.inbox {
			for _, m := range ms {
				if !yield(fmt.Sprintf("message %s %s to %s", m.env.GetType(), m.env.GetId(), m.ref)) {
					return
				}
			}
		}
		for k := range w.wakes {
			if !yield(fmt.Sprintf("wake-up %s of %s", k.timer, k.ref)) {
				return
			}
		}
		history := map[schemas.Ref]bool{} // whether the run's last entry is a record that keeps the others
		for _, s := range slices.Backward(w.Journal.All()) {
			if _, ok := history[s.Ref]; !ok {
				history[s.Ref] = s.Entry.GetRecord().GetHistory()
			}
			if s.Entry.GetRecord() == nil && !history[s.Ref] && !yield(fmt.Sprintf("entry %d of %s", s.Seq, s.Ref)) {
				return
			}
		}
	}
}

// Until waits until what is true, which it asks whenever the world has changed.
func (w *World) Until(ctx context.Context, what func() bool) error {
	for {
		w.mu.Lock()
		changed := w.changed
		w.mu.Unlock()
		if what() {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// Parked returns why a run is parked, nil if it is not.
func (w *World) Parked(ref schemas.Ref) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.parked[ref]
}

// Stopped returns why an identity is stopped, nil if it is not.
func (w *World) Stopped(id schemas.Identity) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.stopped[id]
}

// Close ends all processes and returns which rules of the protocol were seen
// to be broken; a test should expect none.
func (w *World) Close() []string {
	w.mu.Lock()
	w.closed = true
	for _, k := range w.wakes {
		k.timer.Stop()
	}
	for _, p := range w.started {
		p.kill()
	}
	w.mu.Unlock()
	w.processes.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.wrong
}

// Processes returns the processes that were started, in order.
func (w *World) Processes() []*Process {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.started)
}
