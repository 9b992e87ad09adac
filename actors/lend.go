package actors

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/perdure/perdure/runtime"
	"github.com/perdure/perdure/schemas"
)

// Where a run is of a build that another node has, the owner of the partition lends
// the identity to that node: it names the messages to it, keeps them, and
// acknowledges those that the borrower is done with. So whoever of the two dies, the
// messages are where they were, and what the borrower appends is fenced as the
// owner's own. The loan is over once the borrower says that nothing of the identity
// runs there, or once its lease is.

// A lent is an identity that this node has lent.
type lent struct {
	pump  *pump
	self  address // of the activation
	loan  *schemas.Loan
	to    string        // the borrower
	again chan struct{} // capacity 1: there are more messages, or the borrower may be gone

	back     chan struct{} // closed once the borrower has given it back
	backOnce sync.Once

	acking sync.Mutex // held while messages are acknowledged

	mu    sync.Mutex
	items []*item // in the order in which they came; nil once acknowledged
	sent  int     // the borrower has those before it, by its own account
}

const (
	// loanBatch is how many messages the borrower is told of at once.
	loanBatch = 1000
	// loanMax is after how many messages an identity is asked back, and lent anew: both
	// sides keep where each was.
	loanMax = 10_000
)

var (
	errNoBorrower = errors.New("the node that has the build does not answer")
	errGoneAway   = errors.New("the node that borrowed the identity is gone")
	errUndone     = errors.New("the node that borrowed the identity gave it back and was done with nothing")
	errForgotten  = errors.New("the node that borrowed the identity knows of no loan")
)

// repaid tells an activation that its loan is over.
type repaid struct {
	l   *lent
	err error // why, unless the borrower gave it back
}

// done tells an activation which messages its borrower is done with.
type done struct {
	l     *lent
	items []*item
}

// lend lends the identity to a node that has the build.
func (a *activation) lend(build string) {
	u := a.pump
	u.lends.Store(true)
	l := u.host.newLent(a, build)
	if l == nil { // it went just now: look again
		a.restart(errNoBorrower)
		return
	}
	for _, it := range a.items {
		it.given = false
		u.leaveLine(it)
		u.lighten(it) // the borrower reads it
	}
	l.items = slices.Clone(a.items)
	a.open, a.asleep, a.lent = nil, false, l
	a.busy = u.begin(func() {
		err := l.run(u.ctx)
		u.host.endLent(l)
		a.self.tell(repaid{l, err})
	})
	if !a.busy { // the pump ends
		a.lent = nil
		u.host.endLent(l)
	}
}

// repaid takes the identity back: what is not acknowledged is as if it had just
// been received.
func (a *activation) repaid(m repaid) {
	items := a.items
	a.busy, a.lent, a.items, a.pressed, a.first = false, nil, nil, false, ""
	a.exec = runtime.NewExecutor(a.pump.host.engine, a.id, a.kind, a.pump.lease)
	for _, it := range items {
		it.given, it.press = false, nil
		a.accept(it)
	}
	switch {
	case m.err != nil:
		a.restart(m.err)
	case m.l.worked():
		a.restarts = 0
	default:
		a.restart(errUndone)
	}
}

// worked reports whether the borrower has done anything for it.
func (l *lent) worked() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Contains(l.items, nil)
}

// add takes a message of the identity that came meanwhile.
func (l *lent) add(it *item) {
	l.mu.Lock()
	l.items = append(l.items, it)
	l.mu.Unlock()
	l.look()
}

// long reports whether the loan has seen enough.
func (l *lent) long() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.items) >= loanMax
}

// look makes the loan look for what has changed.
func (l *lent) look() {
	select {
	case l.again <- struct{}{}:
	default:
	}
}

// run lends the identity and returns when the loan is over. While the partition is
// given up it waits for what ends at the borrower, as for what ends here.
func (l *lent) run(ctx context.Context) error {
	draining := l.pump.lease.Draining()
	poll := time.NewTicker(pollEvery)
	defer poll.Stop()
	for first, recalled := true, false; ; first = false {
		switch err := l.tell(ctx, recalled); {
		case errors.Is(err, errNoBorrower) && first, errors.Is(err, errForgotten), errors.As(err, new(errRefused)):
			return err
		case err != nil && ctx.Err() == nil: // it may be there
			l.wait(ctx, tellAgain)
		}
		if !l.pump.host.member.Alive(l.to, l.loan.GetBorrower()) {
			return errGoneAway
		}
		select {
		case <-l.again:
			recalled = recalled || l.long()
		case <-poll.C: // that it was given back may have been lost
		case <-l.back:
			return nil
		case <-draining:
			draining, recalled = nil, true
		case <-ctx.Done():
			return l.last(ctx)
		}
	}
}

const (
	// tellAgain is how long a node that did not answer is left alone.
	tellAgain = 250 * time.Millisecond
	// pollEvery is how often a borrower is asked whether it knows of its loan.
	pollEvery = 10 * time.Second
)

// tell tells the borrower of the messages that it was not told of, if only that there
// are none, and that it is to stop.
func (l *lent) tell(ctx context.Context, recall bool) error {
	for {
		from, named := l.untold()
		if err := l.ask(ctx, &schemas.LoanRequest{Loan: l.loan, Ask: &schemas.LoanRequest_Items{Items: &schemas.LoanItems{From: uint64(from), Items: named}}}); err != nil {
			l.look()
			return err
		}
		l.mu.Lock()
		l.sent = max(l.sent, from+len(named))
		l.mu.Unlock()
		if len(named) < loanBatch {
			break
		}
	}
	if !recall {
		return nil
	}
	return l.ask(ctx, &schemas.LoanRequest{Loan: l.loan, Ask: &schemas.LoanRequest_Recall{Recall: &schemas.LoanRecall{}}})
}

// untold names the next messages that the borrower is not known to have.
func (l *lent) untold() (from int, named []*schemas.LoanItem) {
	l.mu.Lock()
	defer l.mu.Unlock()
	items := l.items[l.sent:min(l.sent+loanBatch, len(l.items))]
	named = make([]*schemas.LoanItem, len(items))
	for i, it := range items {
		named[i] = &schemas.LoanItem{Timer: it.d.Timer != "", Seq: it.d.Seq}
	}
	return l.sent, named
}

func (l *lent) ask(ctx context.Context, r *schemas.LoanRequest) error {
	return l.pump.host.askLoan(ctx, l.to, r)
}

// last waits for a borrower that was told to stop and did not in time, as for a step
// here that does not return.
func (l *lent) last(ctx context.Context) error {
	if !errors.Is(context.Cause(ctx), errStopped) {
		return context.Cause(ctx)
	}
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), windUp-time.Second)
	defer cancel()
	if err := l.tell(bounded, true); err != nil {
		return err
	}
	select {
	case <-l.back:
		return nil
	case <-bounded.Done():
		return errStopped
	}
}

func (l *lent) wait(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		l.look()
	case <-l.back:
	case <-ctx.Done():
	}
}

// acked acknowledges messages for the borrower. It is false where that is not known.
func (l *lent) acked(indices []uint64) bool {
	l.acking.Lock()
	defer l.acking.Unlock()
	var items []*item
	l.mu.Lock()
	for _, i := range indices {
		if i < uint64(len(l.items)) && l.items[i] != nil {
			items = append(items, l.items[i])
			l.items[i] = nil
			l.sent = max(l.sent, int(i)+1) // it was told, also where its answer was lost
		}
	}
	l.mu.Unlock()
	if l.pump.ack(items...); l.pump.ctx.Err() != nil {
		return false
	}
	l.self.tell(done{l, items})
	return true
}
