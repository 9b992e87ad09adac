package actors

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/perdure/perdure/broker"
	"github.com/perdure/perdure/cluster"
	"github.com/perdure/perdure/schemas"
)

// A borrowed is an identity that the owner of its partition has lent to this node,
// which has the code of its run: the tenure of a pump that has this one identity. It
// is given back as soon as nothing of it is left to do here.
type borrowed struct {
	*cluster.Guest
	host *Host
	loan *schemas.Loan
	pump *pump
	more chan struct{} // capacity 1

	mu    sync.Mutex
	items []*schemas.LoanItem // in order
	index map[loanItem]uint64 // of those that were delivered
	next  int
}

var _ tenure = (*borrowed)(nil)

// A loanItem is where a message is stored.
type loanItem struct {
	timer bool
	seq   uint64
}

// overKept is how long a loan that was given back is known as such.
const overKept = time.Minute

// borrow begins to execute an identity, or takes more messages of one.
func (h *Host) borrow(ctx context.Context, loan *schemas.Loan, in *schemas.LoanItems) *schemas.LoanAnswer {
	if !bytes.Equal(loan.GetBorrower(), h.engine.Nonce) {
		return &schemas.LoanAnswer{Unknown: true} // of the process that had this name before
	}
	id := schemas.Identity{Kind: schemas.Kind(loan.GetKind()), Key: loan.GetKey()}
	b, known, why := h.known(id, loan)
	switch {
	case why != "":
		return &schemas.LoanAnswer{Refused: why}
	case !known && in.GetFrom() > 0:
		return &schemas.LoanAnswer{Unknown: true}
	case !known:
		g, err := h.member.Guest(ctx, schemas.Partition(loan.GetPartition()), loan.GetNonce(), loan.GetEpoch())
		if err != nil {
			return &schemas.LoanAnswer{Refused: err.Error()}
		}
		if b, known = h.begin(id, loan, g); !known {
			g.End()
			return &schemas.LoanAnswer{Unknown: true}
		}
	case b == nil: // it was given back
		return &schemas.LoanAnswer{Unknown: true}
	}
	return &schemas.LoanAnswer{Unknown: !b.add(in)}
}

// known finds a loan: nil if it is over. why says that it cannot be.
func (h *Host) known(id schemas.Identity, loan *schemas.Loan) (b *borrowed, known bool, why string) {
	h.loans.Lock()
	defer h.loans.Unlock()
	if _, over := h.loans.over[keyOf(loan)]; over {
		return nil, true, ""
	}
	b = h.loans.borrowed[id]
	switch {
	case h.kinds[id.Kind] == nil:
		return nil, false, fmt.Sprintf("node %q has no kind %q", h.cfg.Node, loan.GetKind())
	case b == nil:
		return nil, false, ""
	case keyOf(b.loan) == keyOf(loan):
		return b, true, ""
	case loan.GetEpoch() < b.loan.GetEpoch(), loan.GetEpoch() == b.loan.GetEpoch() && loan.GetNumber() < b.loan.GetNumber():
		return nil, true, "" // a newer one replaced it
	}
	return nil, false, ""
}

// begin starts the pump of what was borrowed, behind that of an older loan of it.
func (h *Host) begin(id schemas.Identity, loan *schemas.Loan, g *cluster.Guest) (*borrowed, bool) {
	h.loans.Lock()
	defer h.loans.Unlock()
	if h.loans.closed {
		return nil, false
	}
	if _, over := h.loans.over[keyOf(loan)]; over {
		return nil, false // it was recalled meanwhile
	}
	old := h.loans.borrowed[id]
	if old != nil && keyOf(old.loan) == keyOf(loan) {
		return nil, false // asked twice at once: the owner asks again
	}
	b := &borrowed{Guest: g, host: h, loan: loan, more: make(chan struct{}, 1), index: map[loanItem]uint64{}}
	u := newPump(h.work, h, schemas.Partition(loan.GetPartition()), b)
	u.borrowed, b.pump = b, u
	if old != nil {
		old.pump.stop(errLentAgain)
		u.before = old.pump.done
	}
	h.loans.borrowed[id] = b
	h.wg.Go(func() {
		u.run()
		g.End()
		h.loans.Lock()
		defer h.loans.Unlock()
		if h.loans.borrowed[id] == b {
			delete(h.loans.borrowed, id)
		}
	})
	h.wg.Go(func() {
		select {
		case <-g.Lost():
			u.stop(errOwnerGone)
		case <-u.done:
		}
	})
	return b, true
}

var (
	errLentAgain = errors.New("the identity was lent again")
	errOwnerGone = errors.New("the node that lent the identity owns its partition no more")
)

// recall gives back what was borrowed as soon as nothing is lost by it. A loan that
// is not known will not be either, should its beginning come late.
func (h *Host) recall(loan *schemas.Loan) *schemas.LoanAnswer {
	id := schemas.Identity{Kind: schemas.Kind(loan.GetKind()), Key: loan.GetKey()}
	h.loans.Lock()
	defer h.loans.Unlock()
	b := h.loans.borrowed[id]
	if b == nil || keyOf(b.loan) != keyOf(loan) {
		h.loans.end(loan)
		return &schemas.LoanAnswer{Unknown: true}
	}
	b.Drain()
	return &schemas.LoanAnswer{}
}

// end notes that a loan is over. The lock is held.
func (l *loans) end(loan *schemas.Loan) {
	now := time.Now()
	for k, at := range l.over {
		if len(l.over) < 1000 || now.Sub(at) < overKept {
			break // enough, or not old: whichever was looked at
		}
		delete(l.over, k)
	}
	l.over[keyOf(loan)] = now
}

// add takes messages, each once. It is false where some are missing before them.
func (b *borrowed) add(in *schemas.LoanItems) bool {
	b.mu.Lock()
	has := uint64(len(b.items))
	if in.GetFrom() > has {
		b.mu.Unlock()
		return false
	}
	if skip := has - in.GetFrom(); skip < uint64(len(in.GetItems())) {
		b.items = append(b.items, in.GetItems()[skip:]...)
	}
	b.mu.Unlock()
	select {
	case b.more <- struct{}{}:
	default:
	}
	return true
}

func (b *borrowed) take(context.Context) (feed, error) { return b, nil }

// Next waits for the next message that was lent, and reads it.
func (b *borrowed) Next(ctx context.Context) (broker.Delivery, error) {
	for {
		b.mu.Lock()
		i := b.next
		var at *schemas.LoanItem
		if i < len(b.items) {
			at = b.items[i]
			b.next++
			b.index[loanItem{at.GetTimer(), at.GetSeq()}] = uint64(i)
		}
		b.mu.Unlock()
		if at == nil {
			select {
			case <-b.more:
				continue
			case <-ctx.Done():
				return broker.Delivery{}, ctx.Err()
			}
		}
		d, ok, err := b.host.cfg.Broker.Inbox().Fetch(ctx, at.GetTimer(), at.GetSeq())
		switch {
		case err != nil:
			return d, err
		case d.Bad != nil: // its owner can read it
			return d, fmt.Errorf("message %d was lent and cannot be read here: %w", at.GetSeq(), d.Bad)
		case ok:
			d.Number = uint64(i) + 1
			return d, nil
		}
		// It is settled: somebody took it out of the inbox.
		if err := b.settle(ctx, uint64(i)); err != nil {
			return d, err
		}
	}
}

// Ack has the owner acknowledge messages.
func (b *borrowed) Ack(ctx context.Context, items ...*item) error {
	if len(items) == 0 {
		return nil
	}
	indices := make([]uint64, len(items))
	b.mu.Lock()
	for n, it := range items {
		at := loanItem{it.d.Timer != "", it.d.Seq}
		i, ok := b.index[at]
		if !ok {
			b.mu.Unlock()
			return fmt.Errorf("message %d was not lent", it.d.Seq)
		}
		indices[n] = i
		delete(b.index, at)
	}
	b.mu.Unlock()
	if err := b.settle(ctx, indices...); err != nil {
		return err
	}
	for _, it := range items {
		b.pump.unhold(it)
	}
	return nil
}

func (b *borrowed) settle(ctx context.Context, indices ...uint64) error {
	return b.tell(ctx, &schemas.LoanRequest{Loan: b.loan, Ask: &schemas.LoanRequest_Acks{Acks: &schemas.LoanAcks{Items: indices}}})
}

// tell tells the owner something until it has heard it, the loan is over, or ctx is.
func (b *borrowed) tell(ctx context.Context, r *schemas.LoanRequest) error {
	for {
		err := b.host.askLoan(ctx, b.loan.GetNode(), r)
		if err == nil || errors.Is(err, errForgotten) || errors.As(err, new(errRefused)) {
			return err
		}
		t := time.NewTimer(tellAgain)
		select {
		case <-t.C:
		case <-b.Lost():
			t.Stop()
			return errOwnerGone
		case <-ctx.Done():
			t.Stop()
			return fmt.Errorf("%w (last: %w)", context.Cause(ctx), err)
		}
	}
}

// Release does nothing: the messages are the owner's.
func (b *borrowed) Release(context.Context) error { return nil }

// Stop does nothing, likewise.
func (b *borrowed) Stop() {}

// returnWait is how long a node tries to give back what it has borrowed; the owner
// finds out by itself.
const returnWait = 5 * time.Second

// handOver gives the identity back.
func (b *borrowed) handOver(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), returnWait)
	defer cancel()
	b.host.loans.Lock()
	b.host.loans.end(b.loan)
	b.host.loans.Unlock()
	err := b.tell(ctx, &schemas.LoanRequest{Loan: b.loan, Ask: &schemas.LoanRequest_Return{Return: &schemas.LoanReturn{}}})
	if errors.Is(err, errForgotten) || errors.Is(err, errOwnerGone) {
		return nil // nobody waits for it
	}
	return err
}

// drop gives it back as well: whoever owns it decides what becomes of it.
func (b *borrowed) drop(ctx context.Context) error { return b.handOver(ctx) }
