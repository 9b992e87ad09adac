package runtime

import (
	"context"
	"log/slog"
	"time"

	"github.com/perdure/perdure/schemas"
)

// A run is one execution of a run in memory: what its code has asked for, and
// what has happened to it. It is moved by [run.apply] alone, event by event,
// from the journal and live in the same way.
type run struct {
	ref     schemas.Ref
	info    Info
	base    *slog.Logger
	log     *slog.Logger // made of base when the code first says something; see logger
	loud    bool         // it does not replay
	sched   *scheduler
	root    *scope
	chain   []string          // identities that wait for this run
	trace   map[string]string // for what it sends
	ctx     context.Context   // of its steps
	endSpan func(error)       // nil without a tracer

	kind     *Kind
	started  *schemas.Started
	now      time.Time
	state    *schemas.Payload // as the run found it
	newState *schemas.Payload // nil: as it was

	futures     map[string]*Future // by path
	issued      []*Future          // not looked at by the executor yet, in order
	issues      int
	completions int

	finished bool
	result   *schemas.Payload
	err      error

	cancelled   map[string]bool          // message IDs of the requests
	cancelledBy *schemas.CancelRequested // the last of them
	signals     signals
	paused      bool
	pausedBy    *schemas.Paused
	joined      []*schemas.Reply
	suspended   bool
	wakes       map[string]time.Time // wake-ups that may stand, and when they are due
	parked      *schemas.Parked
	gen         generation
	fork        *origin           // nil: the run is none
	held        []*schemas.Hold   // limits that were asked for, in order
	charged     []*schemas.Charge // budgets that were
	superseded  string            // the run that took this one's place
	interrupts  string            // the run that interrupted this one
	undo        []compensation    // in the order registered
	versions    map[string]int64  // by change
	aside       []*schemas.Event  // that follow from what the code did, and are to be recorded
	updates     updates
	conditions  []*Future       // waited for, in the order issued
	looking     bool            // one of them is looked at
	withdrawn   map[string]bool // questions, by path; in the journal
	shown       shown
	attrs       attributes
	replays     bool  // entries follow in which something happens
	coded       bool  // its own code has begun: it has the permits of its limits
	before      int   // issues, by then
	payloadCap  int64 // of the answer to an update; 0: none
	applied     int   // events
	wrong       error // why the code that is deployed cannot go on
	timeline    timeline
}

// silent is where a run's code logs while it replays.
var silent = slog.New(slog.DiscardHandler)

func newRun(ref schemas.Ref, kind *Kind, namespace string, state *schemas.Payload, log *slog.Logger) *run {
	r := &run{
		ref: ref, kind: kind, state: state,
		info:    Info{Namespace: namespace, Kind: string(ref.Kind), Key: ref.Key, ID: string(ref.ID)},
		sched:   newScheduler(),
		root:    newScope(nil),
		futures: map[string]*Future{}, cancelled: map[string]bool{}, wakes: map[string]time.Time{}, versions: map[string]int64{},
		base: log,
		ctx:  context.Background(),
	}
	return r
}

// logger returns where the code says something now, which was said already where it
// replays.
func (r *run) logger() *slog.Logger {
	if !r.loud {
		return silent
	}
	if r.log == nil {
		r.log = r.base.With("run", r.ref.String())
	}
	return r.log
}

// begin starts the handler. It blocks at its first verb when begin returns.
func (r *run) begin(s *schemas.Started) {
	r.started = s
	r.info.Method, r.info.Parent, r.info.From, r.info.Started = s.GetMethod(), s.GetParent(), s.GetFrom(), r.now
	if r.fork != nil {
		r.info.Started = r.fork.begin(r.now)
	}
	if r.gen.number > 0 {
		r.info.Started, r.info.Generation = r.gen.begun, int(r.gen.number)
	}
	r.chain = s.GetChain()
	if r.trace == nil {
		r.trace = s.GetTrace()
	}
	end := func(p *schemas.Payload, err error) {
		if !r.finished {
			r.finished, r.result, r.err = true, p, err
		}
	}
	kind, err := r.kind.build(s.GetBuild())
	if err != nil {
		r.wrong = err
		return
	}
	m, err := kind.Method(s.GetMethod())
	if err == nil && m.Check != nil {
		if err = m.Validate(s.GetInput()); err != nil {
			err = Errorf(ErrInvalid.Code, "input of %s: %v", r.ref, err)
		}
	}
	if err != nil {
		end(nil, err)
		return
	}
	h := func(c *Context, in *schemas.Payload) (*schemas.Payload, error) {
		if err := c.beginsCopy(); err != nil {
			return nil, err
		}
		r.coded, r.before = true, r.issues
		return m.Handler(c, in)
	}
	switch {
	case len(s.GetHolds()) == 0:
	case r.gen.number > 0 && r.fork == nil: // it has what it took when it was new
		r.held = s.GetHolds()
	default:
		h = admitted(s.GetHolds(), h)
	}
	c := &Context{run: r, scope: r.root, line: new(line)}
	c.co = r.sched.spawn(func() { end(c.handle(h, s.GetInput())) }, func(e *Error) { end(nil, e) })
}

// drop ends the code of a run that goes on elsewhere, or is over.
func (r *run) drop() {
	r.finishSpan(ErrFenced)
	r.stopSteps()
	r.sched.unwind()
}

// stopSteps tells the steps that run to stop.
func (r *run) stopSteps() {
	for _, f := range r.futures {
		f.stopStep()
	}
}
