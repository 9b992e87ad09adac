package runtime

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/perdure/perdure/schemas"
	"github.com/perdure/perdure/schemas/elapsed"
)

// Config is what the executors of a node share.
type Config struct {
	Namespace string
	Node      string // its name, for people
	Nonce     []byte // of this process's incarnation
	Journal   Journal
	States    States
	Outbox    Outbox
	Wakes     Wakes
	Clock     Clock  // nil: that of this machine
	Tracer    Tracer // nil: off
	Places    Places // for runs that are resumed; whoever begins one has its place. nil: no bound
	Crew      *Crew  // executes the runs; nil: a goroutine for each, and for each step
	Log       *slog.Logger
	Limits    schemas.Kind // of this process's pool; empty: that of the default pool
	Budgets   schemas.Kind // likewise
	// Retention is how long the record of a finished run is kept. Whoever has
	// heard nothing from the store for half of it acts no more (P05).
	Retention time.Duration
	// SuspendAfter is how long a run waits in memory before it leaves it; also
	// the nearest due time that is worth a stored wake-up.
	SuspendAfter time.Duration
	// MaxTaken is how many messages a run takes before it leaves memory at its next
	// wait, however short: they are acknowledged then. 0: as many as come.
	MaxTaken int
	// PayloadCap is the largest result of a step or a run, in bytes; 0: no cap.
	PayloadCap int64
	// Crowd is how many runs an identity that is no workflow has in the journals before
	// those that have ended are moved; default 256.
	Crowd int
	// LongJournal is from how many events on a run's journal is called long in the
	// log; 0 or less: never.
	LongJournal int

	// MaxCrashes is how often in a row processes may end while they execute a run,
	// with nothing recorded of it in between, before it is parked as poisoned. From
	// the third on it is executed alone, after a pause that grows. 0: a run is never
	// parked so.
	MaxCrashes int

	// Commons is what the kinds of the node share; nil: of this process alone.
	Commons *Commons

	// Deployed is what other nodes have; nil: there are none.
	Deployed Deployed

	// Listener hears what runs of kinds that are Live do while they do it; nil: nobody does.
	Listener Listener

	// Answered, if not nil, is told the answers to updates, once they are recorded,
	// and those that are refused. It may be called again with the same.
	Answered func(ref schemas.Ref, answer *schemas.UpdateCompleted)

	quarantine quarantine
	alone      struct { // in place of Commons
		once sync.Once
		*Commons
	}
	// entries numbers what the process appends: with the nonce it names one
	// write (P04), whichever executor made it.
	entries atomic.Uint64
}

// An EndingKind says how an execution ended.
type EndingKind int

const (
	// Finished: the run's record is stored and its effects are confirmed.
	Finished EndingKind = iota
	// Suspended: a stored wake-up carries the run; its messages may be acknowledged.
	Suspended
	// Continued: the run is to be resumed, it begins again. Its messages may be
	// acknowledged but for one, which brings it back: its task, a wake-up, or else
	// the newest.
	Continued
	// admittedFork: the run has its permits, and is to copy what it begins with. No
	// host sees it.
	admittedFork
	// Parked: the code that is deployed cannot go on; the run's messages stay.
	Parked
	// Behind: another run of the identity is open and goes first.
	Behind
	// Elsewhere: the run goes on, or begins, with a build of the kind's code that
	// another node has, and this one has not. Its messages stay.
	Elsewhere
	// Restart: the activation begins again from what is stored.
	Restart
	// Lost: the partition is, or may be, somebody else's; it is dropped.
	Lost
	// Stopped: the identity's state was changed by somebody else; nothing of it
	// runs until an operator has looked, and resumes one of its runs.
	Stopped
)

// An Ending is how an execution ended.
type Ending struct {
	Kind   EndingKind
	Record *schemas.Record // Finished
	Found  bool            // Finished: the record was there before, nothing was executed
	Open   schemas.Ref     // Behind: the run that goes first
	Asleep bool            // Behind: it is suspended, and waits for a message
	Next   bool            // Behind: it has not begun, and interrupted the last one
	Idle   bool            // Continued: its code ran no step, sent nothing and waited for nothing
	Build  string          // Elsewhere, and Parked for want of it: which
	Hash   []byte          // Finished, Suspended, Continued: of the run's input
	Due    time.Time       // Suspended: when the first of its timers is due, zero for none
	Err    error           // why, for people; nil for Finished, Suspended and Continued
	// Left, if not nil, returns once the steps have ended that nobody waits for any
	// more: Finished alone leaves them, for the host to wait for. They are told to
	// stop, and are given a while.
	Left func()
}

func ending(kind EndingKind, err error) *Ending { return &Ending{Kind: kind, Err: err} }

// An Executor runs the runs of one identity, one at a time, under one lease of
// its partition. It is the identity's only writer in this process, and is used
// by one goroutine at a time.
type Executor struct {
	cfg   *Config
	id    schemas.Identity
	kind  *Kind
	lease Lease

	known   bool        // head and state were read, or written, by this executor
	head    uint64      // sequence of the identity's last entry, 0 for none
	claimed bool        // Claimed was appended under this lease
	follows bool        // see Follows
	open    schemas.Ref // the identity's open run, the zero value for none
	asleep  bool        // open is suspended
	aside   bool        // the head is not open's, but a refusal
	stored  stored
	state   *schemas.State
	rev     uint64
	crowd   crowd
	contact atomic.Int64 // when the store, or a message, last spoke to us, by elapsed
}

// NewExecutor returns an executor that knows nothing yet.
func NewExecutor(cfg *Config, id schemas.Identity, kind *Kind, lease Lease) *Executor {
	x := &Executor{cfg: cfg, id: id, kind: kind, lease: lease}
	x.Received()
	return x
}

// Follows says that whatever executed something of the identity under this lease
// before was of this process, and that nothing of it is under way: each append of it
// was stored or refused. A run that it suspended is then claimed still, and is resumed
// without another claim: its last entry is what fences those of lower epochs.
func (x *Executor) Follows() { x.follows = true }

// Received notes that a message for the identity was just received. Any
// goroutine may call it.
func (x *Executor) Received() { x.contact.Store(int64(elapsed.Now())) }

// Open reads the identity's head, settles it if it is a record, and says which
// run is open (P03): nil is none, any ending but Behind says why the executor
// may not go on.
func (x *Executor) Open(ctx context.Context) *Ending {
	head, found, err := x.cfg.Journal.Head(ctx, x.id)
	if err != nil {
		return ending(Restart, fmt.Errorf("read the head of %s: %w", x.id, err))
	}
	x.Received()
	if head.Entry.GetEpoch() > x.lease.Epoch() {
		return ending(Lost, Errorf(ErrFenced.Code, "%s belongs to epoch %d, this node has epoch %d", x.id, head.Entry.GetEpoch(), x.lease.Epoch()))
	}
	x.head, x.open, x.asleep, x.aside = head.Seq, schemas.Ref{}, false, false
	if err := x.readState(ctx); err != nil {
		return ending(Restart, err)
	}
	x.known = true
	x.crowd.read(head.Entry)
	if !found {
		return nil
	}
	rec := head.Entry.GetRecord()
	if x.kind.Ledger != nil {
		x.state = &schemas.State{Value: rec.GetState()}
	}
	if rec == nil {
		x.open, x.asleep = head.Ref, suspends(head.Entry)
		if x.follows && x.asleep && head.Entry.GetEpoch() == x.lease.Epoch() && bytes.Equal(head.Entry.GetNonce(), x.cfg.Nonce) {
			x.claimed = true
		}
		return &Ending{Kind: Behind, Open: x.open, Asleep: x.asleep}
	}
	if end := x.settle(ctx, head.Ref, rec, head.Seq); end != nil {
		return end
	}
	if open := rec.GetOpen(); open != "" {
		return x.behindRefusal(ctx, open)
	}
	if by := rec.GetSupersededBy(); by != "" {
		return x.comesNext(ctx, by)
	}
	return nil
}

// Known reports whether the executor has read or written the identity's head.
func (x *Executor) Known() bool { return x.known }

// Find looks a run up that is not open: Finished if it has a record, which is
// settled; nil if there is none; Restart if the identity has moved on without
// this executor, so that the record may not be settled (P16).
func (x *Executor) Find(ctx context.Context, ref schemas.Ref) *Ending {
	look := x.cfg.Journal.Last
	if !x.crowd.moved {
		look = x.cfg.Journal.Unmoved
	}
	last, ok, err := look(ctx, ref)
	switch {
	case err != nil:
		return ending(Restart, fmt.Errorf("look up %s: %w", ref, err))
	case !ok:
		return nil
	}
	x.Received()
	rec := last.Entry.GetRecord()
	switch {
	case last.Seq > x.head:
		return ending(Restart, Errorf(ErrFenced.Code, "%s has an entry %d that this activation does not know", x.id, last.Seq))
	case rec == nil:
		return &Ending{Kind: Behind, Open: ref}
	}
	return &Ending{Kind: Finished, Found: true, Record: rec, Hash: rec.GetInputHash()}
}

func (x *Executor) readState(ctx context.Context) error {
	if !x.kind.Stateful {
		return nil
	}
	v, rev, err := x.cfg.States.Get(ctx, x.id)
	if err != nil {
		return fmt.Errorf("read the state of %s: %w", x.id, err)
	}
	x.state, x.rev = v, rev
	return nil
}

// outdated is the check of P05: nothing is appended when the last word from the
// store is older than half the retention.
func (x *Executor) outdated() *Ending {
	if age := elapsed.Now() - time.Duration(x.contact.Load()); age > x.cfg.Retention/2 {
		return ending(Lost, Errorf(ErrFenced.Code, "%s: nothing was heard from the store for %s, more than half the retention of %s", x.id, age, x.cfg.Retention))
	}
	return nil
}

// stale is the check before anything begins or leaves: as outdated, and the
// lease must hold (P06); it waits while it is not known whether it does. An append
// needs no lease, it is fenced: what a step did is recorded by whoever did it if
// nobody has gone on since.
func (x *Executor) stale(ctx context.Context) *Ending {
	switch held := x.lease.Hold(ctx); {
	case held:
		return x.outdated()
	case ctx.Err() != nil:
		return ending(Restart, context.Cause(ctx))
	}
	return ending(Lost, Errorf(ErrFenced.Code, "%s: its partition is another's now", x.id))
}

// append stores an entry behind the identity's head, the only way in which
// anything of it is stored. The ending is nil if it is.
func (x *Executor) append(ctx context.Context, ref schemas.Ref, e *schemas.Entry) *Ending {
	if end := x.outdated(); end != nil {
		return end
	}
	e.Epoch, e.Nonce, e.Counter = x.lease.Epoch(), x.cfg.Nonce, x.cfg.entries.Add(1)
	x.crowds(ref, e)
	out, err := x.cfg.Journal.Append(ctx, ref, x.head, e, x.behindClaim(ref)...)
	switch {
	case errors.Is(err, ErrTooLarge):
		return ending(Stopped, err)
	case err != nil:
		return ending(Restart, fmt.Errorf("append to %s: %w", ref, err))
	case out.Fenced:
		return x.fenced(out.Head)
	}
	x.Received()
	x.head, x.aside = out.Seq, false
	x.stored.add(ref, out.Seq, e)
	x.crowd.moved = e.Moved
	return nil
}

// behindClaim returns the entries of an open run that this executor has claimed, if
// they are known and the head is the last of them. Nobody appends to another run of
// the identity then without having claimed this one, so that the run's own last entry
// fences as well as the identity's does.
func (x *Executor) behindClaim(ref schemas.Ref) []uint64 {
	if !x.claimed || x.open != ref {
		return nil
	}
	if all := x.stored.of(ref); len(all) > 0 && all[len(all)-1] == x.head {
		return all
	}
	return nil
}

// stored are the entries of the run that was loaded, or appended to, last: what an
// entry of it that replaces others takes the place of.
type stored struct {
	ref schemas.Ref
	seq []uint64
}

// load takes in a run's journal.
func (s *stored) load(ref schemas.Ref, entries []schemas.Stored) {
	s.ref, s.seq = ref, s.seq[:0]
	for _, e := range entries {
		s.seq = append(s.seq, e.Seq)
	}
}

// of returns the entries of a run, none if it is not known which there are.
func (s *stored) of(ref schemas.Ref) []uint64 {
	if s.ref != ref {
		return nil
	}
	return s.seq
}

// add takes in an entry. A refusal, which is the record of another run beside the open
// one, changes nothing of what is known of that.
func (s *stored) add(ref schemas.Ref, seq uint64, e *schemas.Entry) {
	switch {
	case s.ref == ref && !e.Replaces():
	case s.ref == ref || begins(e):
		s.ref, s.seq = ref, s.seq[:0]
	case e.Replaces():
		return
	default: // the run has others, which are not known
		s.ref = schemas.Ref{}
		return
	}
	s.seq = append(s.seq, seq)
}

// begins reports whether an entry is the first of its run.
func begins(e *schemas.Entry) bool {
	return slices.ContainsFunc(e.GetEvents(), func(ev *schemas.Event) bool { return ev.GetStarted() != nil })
}

// fenced is the ending where the head is not the entry that this executor
// wrote, or read, last (P04).
func (x *Executor) fenced(head schemas.Stored) *Ending {
	switch epoch := head.Entry.GetEpoch(); {
	case epoch > x.lease.Epoch():
		return ending(Lost, Errorf(ErrFenced.Code, "%s was taken over in epoch %d", x.id, epoch))
	case head.Seq < x.head:
		// the head moved back: records were removed, by their owner; are we it?
		return ending(Lost, Errorf(ErrFenced.Code, "the last entry of %s was removed while this node held it", x.id))
	}
	return ending(Restart, Errorf(ErrFenced.Code, "%s has an entry %d that this activation did not write", x.id, head.Seq))
}

// applyEntry makes what was just appended, or loaded, happen to a run.
func applyEntry(r *run, seq uint64, e *schemas.Entry) error {
	if r.finished && !onlyClaims([]schemas.Stored{{Entry: e}}) {
		// when this entry was written the code had not returned
		return goesOn(e)
	}
	if r.fork != nil {
		r.fork.copied = e.GetCopied()
	}
	for _, ev := range e.GetEvents() {
		if err := r.apply(seq, e.GetAt(), ev); err != nil {
			return err
		}
	}
	return nil
}

// timerID names a wake-up: no other wait of the run, in whichever attempt, had
// the same head.
func (x *Executor) timerID() string {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], x.head)
	return idEncoding.EncodeToString(b[:])
}
