package actors

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/perdure/perdure/schemas"
	"google.golang.org/protobuf/proto"
)

// loans are what a host has lent and borrowed.
type loans struct {
	sync.Mutex
	last     uint64
	lent     map[uint64]*lent
	borrowed map[schemas.Identity]*borrowed
	over     map[loanKey]time.Time // what was borrowed and given back lately
	closed   bool                  // nothing more is borrowed
}

// close borrows nothing more.
func (l *loans) close() {
	l.Lock()
	defer l.Unlock()
	l.closed = true
}

// A loanKey names a loan.
type loanKey struct {
	nonce  string
	number uint64
}

func keyOf(l *schemas.Loan) loanKey { return loanKey{string(l.GetNonce()), l.GetNumber()} }

// newLent begins the books of a loan, nil if no node has the build.
func (h *Host) newLent(a *activation, build string) *lent {
	nodes := slices.DeleteFunc(slices.Clone(h.member.Builds().Nodes(a.id.Kind, build)), func(n string) bool { return n == h.cfg.Node })
	to, nonce := h.member.Among(nodes, a.id.String(), a.restarts)
	if to == "" {
		return nil
	}
	u := a.pump
	h.loans.Lock()
	defer h.loans.Unlock()
	h.loans.last++
	l := &lent{pump: u, self: a.self, to: to, again: make(chan struct{}, 1), back: make(chan struct{}), loan: &schemas.Loan{
		Node: h.cfg.Node, Nonce: h.engine.Nonce, Partition: uint32(u.p), Epoch: u.lease.Epoch(), Number: h.loans.last,
		Kind: string(a.id.Kind), Key: a.id.Key, Borrower: nonce,
	}}
	h.loans.lent[l.loan.GetNumber()] = l
	return l
}

func (h *Host) endLent(l *lent) {
	h.loans.Lock()
	defer h.loans.Unlock()
	delete(h.loans.lent, l.loan.GetNumber())
}

// What nodes ask of each other about a loan.

// errRefused is the answer of a node that does not do what it was asked.
type errRefused string

func (e errRefused) Error() string { return string(e) }

// askLoan asks something of another node about a loan, once.
func (h *Host) askLoan(ctx context.Context, node string, r *schemas.LoanRequest) error {
	data, err := proto.Marshal(r)
	if err != nil {
		return fmt.Errorf("encode what is asked of node %q: %w", node, err)
	}
	data, alive, err := h.cfg.Broker.Ask(ctx, node, data)
	switch {
	case err != nil:
		return err
	case !alive:
		return errNoBorrower
	}
	answer := &schemas.LoanAnswer{}
	if err := proto.Unmarshal(data, answer); err != nil {
		return fmt.Errorf("decode the answer of node %q: %w", node, err)
	}
	switch {
	case answer.GetUnknown():
		return errForgotten
	case answer.GetRefused() != "":
		return errRefused(answer.GetRefused())
	}
	return nil
}

// serveLoans answers another node.
func (h *Host) serveLoans(ctx context.Context, data []byte) []byte {
	r, answer := &schemas.LoanRequest{}, &schemas.LoanAnswer{}
	if err := proto.Unmarshal(data, r); err != nil {
		answer.Refused = fmt.Sprintf("what is asked cannot be read: %v", err)
	} else {
		answer = h.serveLoan(ctx, r)
	}
	out, err := proto.Marshal(answer)
	if err != nil {
		h.cfg.Log.Error("an answer to a node could not be encoded", "error", err)
	}
	return out
}

func (h *Host) serveLoan(ctx context.Context, r *schemas.LoanRequest) *schemas.LoanAnswer {
	switch ask := r.GetAsk().(type) {
	case *schemas.LoanRequest_Items:
		return h.borrow(ctx, r.GetLoan(), ask.Items)
	case *schemas.LoanRequest_Recall:
		return h.recall(r.GetLoan())
	}
	h.loans.Lock()
	l := h.loans.lent[r.GetLoan().GetNumber()]
	h.loans.Unlock()
	if l == nil || !bytes.Equal(l.loan.GetNonce(), r.GetLoan().GetNonce()) {
		return &schemas.LoanAnswer{Unknown: true}
	}
	switch ask := r.GetAsk().(type) {
	case *schemas.LoanRequest_Acks:
		if !l.acked(ask.Acks.GetItems()) {
			return &schemas.LoanAnswer{Unknown: true}
		}
	case *schemas.LoanRequest_Return:
		l.backOnce.Do(func() { close(l.back) })
	default:
		return &schemas.LoanAnswer{Refused: "what is asked is not known to this node; upgrade it"}
	}
	return &schemas.LoanAnswer{}
}
