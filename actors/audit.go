package actors

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/perdure/perdure/broker"
	"github.com/perdure/perdure/runtime"
	"github.com/perdure/perdure/schemas"
	"golang.org/x/sync/errgroup"
)

// An Audit says how a namespace is looked through. Zero values have defaults.
type Audit struct {
	// Repair does what would repair what was found, where something would.
	Repair bool `json:"repair,omitempty"`
	// Settle is the time between the two looks at what may be so for a moment only;
	// default 5 s. It is to be longer than an append, and a take-over, takes.
	Settle time.Duration `json:"settle,omitempty"`
	// Overdue is how long after its time a schedule that stands is overdue; default
	// 30 s. Where a NATS server is down, schedules wait for an election.
	Overdue time.Duration `json:"overdue,omitempty"`
	// Age is how old objects that nothing refers to, and copies that are not whole,
	// are that are found; default 24 h. Younger ones may be on their way.
	Age time.Duration `json:"age,omitempty"`
	// Limit is how many findings there are at most; default 10,000.
	Limit int `json:"limit,omitempty"`

	// EveryNode returns the kinds that every node of a pool hosts; nil: none.
	EveryNode func(pool string) []schemas.Kind `json:"-"`
}

func (c *Audit) defaults() {
	set := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	set(&c.Settle, 5*time.Second)
	set(&c.Overdue, 30*time.Second)
	set(&c.Age, 24*time.Hour)
	if c.Limit == 0 {
		c.Limit = 10_000
	}
	if c.EveryNode == nil {
		c.EveryNode = func(string) []schemas.Kind { return nil }
	}
}

// What is found. The words are part of the interface.
const (
	FoundLostRun         = "lost_run"         // an open run that nothing brings back (P12)
	FoundOverdueSchedule = "overdue_schedule" // a wake-up that has not fired (P13)
	FoundStraySchedule   = "stray_schedule"   // a wake-up of a run that is over, or not there
	FoundStateBehind     = "state_behind"     // a state that the last run which changed it has not written (P17)
	FoundStateAhead      = "state_ahead"      // a state that no run of the journals can have written
	FoundUnsentMessage   = "unsent_message"   // a task of a record's outbox that nobody has (P16)
	FoundLeftEntries     = "left_entries"     // entries below a record that stands for them (P19)
	FoundHalfCopy        = "half_copy"        // a part of a run that was to be moved
	FoundStrayObject     = "stray_object"     // a large payload that nothing refers to (P18)
	FoundUnreadable      = "unreadable"       // what this version cannot read
	FoundDeadOwner       = "dead_owner"       // partitions whose owner is dead, and nobody has taken
	FoundStrayConsumer   = "stray_consumer"   // a consumer of an epoch that is over (P08)
	FoundUnhosted        = "unhosted"         // messages of a kind that no live node hosts
	FoundKindTwice       = "kind_twice"       // a kind that two pools claim
	FoundStream          = "stream"           // a stream that is not as this version needs it
)

// A Finding is something that is not where it should be.
type Finding struct {
	Kind    string `json:"kind"`
	Subject string `json:"subject"` // a run's reference, or the name of what it is about
	Found   string `json:"found"`   // for people
	Repair  string `json:"repair"`  // what would repair it, for people
	// Note says that it is harmless, that nothing reads it, and that the nodes remove it
	// by themselves: it is not counted by [AuditReport.Left].
	Note bool `json:"note,omitempty"`
	// Mends says that [Audit.Repair] does it.
	Mends bool `json:"mends,omitempty"`
	// Repaired says that it was repaired, and is so no more; Error why not, if it was
	// to be.
	Repaired bool   `json:"repaired,omitempty"`
	Error    string `json:"error,omitempty"`
}

// An AuditReport is what an audit has found, and how much it has looked at.
type AuditReport struct {
	Findings  []Finding `json:"findings"`
	More      bool      `json:"more,omitempty"` // the limit was reached
	Runs      uint64    `json:"runs"`           // with a journal or a record
	Open      uint64    `json:"open"`           // of them
	Schedules uint64    `json:"schedules"`
	States    uint64    `json:"states"`
	Objects   uint64    `json:"objects"`
	TookMS    float64   `json:"took_ms"`
}

// Left returns how many findings are not repaired, but for notes.
func (r *AuditReport) Left() (n int) {
	for _, f := range r.Findings {
		if !f.Repaired && !f.Note {
			n++
		}
	}
	return n
}

// Notes returns how many findings are notes.
func (r *AuditReport) Notes() (n int) {
	for _, f := range r.Findings {
		if f.Note {
			n++
		}
	}
	return n
}

// A suspect is what one look has found. What may be so for a moment only has a holds,
// which looks again.
type suspect struct {
	Finding
	holds func(context.Context) (bool, error)
	mend  func(context.Context) error // nil: nothing that a program may do repairs it
}

// An auditor looks through a namespace, a partition at a time: what it has in memory
// grows with the runs of one partition that are open or have changed a state, and with
// what it finds.
type auditor struct {
	b    *broker.Broker
	all  *broker.Audit
	cfg  Audit
	own  map[schemas.Kind]*runtime.Kind // whose open runs alone are looked at; nil: everything
	now  time.Time                      // by the broker's clock, when it began
	last uint64                         // sequence of the journals' stream, as far as it is known

	mu       sync.Mutex // guards what follows
	report   AuditReport
	suspects []suspect
}

// looksAtOnce is how many single runs, states and objects are looked at at once.
const looksAtOnce = 16

// RunAudit looks through a namespace, and repairs what it finds if it is told to. The
// error says that it could not look; what was found by then is in the report.
func RunAudit(ctx context.Context, b *broker.Broker, cfg Audit) (*AuditReport, error) {
	cfg.defaults()
	a := &auditor{b: b, cfg: cfg}
	began := time.Now()
	err := a.run(ctx)
	a.report.TookMS = float64(time.Since(began).Microseconds()) / 1000
	if a.report.Findings == nil {
		a.report.Findings = []Finding{}
	}
	if err != nil {
		err = fmt.Errorf("audit namespace %s: %w", b.Namespace(), err)
	}
	return &a.report, err
}

func (a *auditor) run(ctx context.Context) error {
	var err error
	if a.all, err = a.b.Audit(ctx); err != nil {
		return err
	}
	if err := a.begin(ctx); err != nil {
		return err
	}
	whole, err := a.streams(ctx)
	if err != nil {
		return err
	}
	if whole {
		for p := range a.b.Partitions() {
			if err := a.partition(ctx, schemas.Partition(p)); err != nil {
				return err
			}
			if err := a.objects(ctx, schemas.Partition(p)); err != nil {
				return err
			}
		}
		if err := errors.Join(a.states(ctx), a.members(ctx)); err != nil {
			return err
		}
	}
	return a.judge(ctx)
}

// begin reads the broker's clock.
func (a *auditor) begin(ctx context.Context) (err error) {
	a.now, err = a.b.Now(ctx)
	return err
}

// suspect notes what was seen, unless there is too much.
func (a *auditor) suspect(s suspect) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if s.Mends = s.mend != nil; len(a.suspects) < a.cfg.Limit {
		a.suspects = append(a.suspects, s)
	} else {
		a.report.More = true
	}
}

func (a *auditor) count(n *uint64, by uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	*n += by
}

// judge looks again at what was seen, some time later, and repairs what is so still.
func (a *auditor) judge(ctx context.Context) error {
	if len(a.suspects) == 0 {
		return nil
	}
	if err := a.pause(ctx, a.cfg.Settle); err != nil {
		return err
	}
	held := make([]bool, len(a.suspects))
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(looksAtOnce)
	for i, s := range a.suspects {
		g.Go(func() (err error) {
			held[i] = s.holds == nil
			if !held[i] {
				held[i], err = s.holds(gctx)
			}
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	for i, s := range a.suspects {
		if !held[i] {
			continue
		}
		if a.cfg.Repair && s.mend != nil {
			if s.holds != nil { // those before it may have taken their time
				if still, err := s.holds(ctx); err != nil {
					return err
				} else if !still {
					continue
				}
			}
			if err := a.repair(ctx, &s); err != nil {
				return err
			}
		}
		a.report.Findings = append(a.report.Findings, s.Finding)
	}
	return nil
}

// repair repairs what was found, and waits until it is so no more.
func (a *auditor) repair(ctx context.Context, s *suspect) error {
	if err := s.mend(ctx); err != nil {
		if ctx.Err() != nil {
			return err
		}
		s.Error = err.Error()
		return nil
	}
	const look = 50 * time.Millisecond
	for end := time.Now().Add(a.cfg.Settle); ; {
		held, err := false, error(nil)
		if s.holds != nil {
			held, err = s.holds(ctx)
		}
		switch {
		case err != nil:
			return err
		case !held:
			s.Repaired = true
			return nil
		case time.Now().After(end):
			s.Error = fmt.Sprintf("what repairs it was done, and it is still so after %s: a node of its kind does the rest; look again later", a.cfg.Settle)
			return nil
		}
		if err := a.pause(ctx, look); err != nil {
			return err
		}
	}
}

func (a *auditor) pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
