package runtime

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/perdure/perdure/schemas"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// NewBudgetKind returns the built-in kind of the budgets of a pool.
func NewBudgetKind(pool string) *Kind {
	return &Kind{Name: BudgetsKind(pool), Type: "budget", Ledger: budgeter{}, Queries: map[string]QueryFunc{"show": showBudget}}
}

// showBudget tells how a budget stands, as JSON.
func showBudget(_ context.Context, state, _ *schemas.Payload) (*schemas.Payload, error) {
	s, err := BudgetOf(state, time.Now())
	if err != nil {
		return nil, err
	}
	data, err := protojson.Marshal(s)
	if err != nil {
		return nil, Errorf(ErrInvalid.Code, "the state of the budget cannot be shown: %v", err)
	}
	return &schemas.Payload{Data: data}, nil
}

// BudgetOf reads the state of a budget, as it is at a time: a window that is over has
// nothing spent.
func BudgetOf(state *schemas.Payload, now time.Time) (*schemas.BudgetState, error) {
	b := &budget{now: now, BudgetState: &schemas.BudgetState{}}
	if err := proto.Unmarshal(state.GetData(), b.BudgetState); err != nil {
		return nil, Errorf(ErrInvalid.Code, "the state of the budget cannot be read: %v", err)
	}
	b.roll()
	return b.BudgetState, nil
}

// waitsForBudget says for people what a run waits for that has asked a budget of this
// state; empty if it does not wait there.
func waitsForBudget(id schemas.Identity, state *schemas.Payload, run schemas.Ref) string {
	s, err := BudgetOf(state, time.Now())
	if err != nil {
		return ""
	}
	for _, w := range s.GetWaiting() {
		switch {
		case w.GetRun() != run.String():
		case w.GetStays():
			return fmt.Sprintf("waits until the budget %s has more: somebody raises it, approves, or its window ends", id.Key)
		default:
			return fmt.Sprintf("waits until model calls in flight, which have reserved the rest of the budget %s, are settled", id.Key)
		}
	}
	return ""
}

const (
	// keptRaises is how many IDs of raises a budget remembers.
	keptRaises = 64
	// keptEnded is how many runs that are over it remembers, and keptEndedFor how long:
	// messages come again where who took them in has died before it acknowledged them.
	keptEnded    = 128
	keptEndedFor = 10 * time.Minute
)

// A budgeter counts. Its messages are idempotent by the run that they are of, and the
// number of that run's call: whoever reserves twice has one reservation, and what is
// settled is settled once. A run is remembered from its first reservation to its end.
type budgeter struct{}

// Apply takes in what runs reserve, settle and end, and what people raise.
func (budgeter) Apply(namespace string, id schemas.Identity, state *schemas.Payload, tasks []Task, now time.Time) (*schemas.Payload, []*schemas.Envelope, error) {
	b := &budget{namespace: namespace, id: id, now: now, BudgetState: &schemas.BudgetState{}}
	if state != nil {
		if err := proto.Unmarshal(state.GetData(), b.BudgetState); err != nil {
			return nil, nil, Errorf(ErrInvalid.Code, "the state of the budget %s cannot be read: %v", id.Key, err)
		}
	}
	for _, t := range tasks {
		ask := t.Envelope.GetBudget()
		if t.From != schemas.LocalDomain {
			continue // nobody of ours
		}
		b.declare(ask.GetCharge())
		b.roll()
		switch method := t.Envelope.GetMethod(); {
		case method == "release": // by GiveBack
			if ask := decodeAsk(t); ask != nil {
				b.forget(ask.GetRun())
			}
		case ask.GetRun() == "" || b.ended(ask.GetRun()) >= 0:
			continue
		case method == "reserve":
			b.reserve(ask)
		case method == "settle":
			b.settle(ask)
		case method == "end":
			b.end(ask.GetRun())
		case method == "raise":
			b.raise(ask)
		}
		b.grant()
	}
	p := encodePermit(b.BudgetState)
	if slices.Equal(p.GetData(), state.GetData()) {
		return state, b.out, nil
	}
	b.Changed = now.UnixNano()
	return encodePermit(b.BudgetState), b.out, nil
}

// Idle reports whether no run is charged, and what was spent is of no consequence: of a
// window that is over, or of a run that is.
func (budgeter) Idle(state *schemas.Payload, now time.Time) bool {
	s, err := BudgetOf(state, now)
	if err != nil || len(s.GetRuns())+len(s.GetWaiting()) > 0 {
		return false
	}
	c := s.GetCounter()
	return s.GetCharge().GetTree() || isZero(c.GetSpent()) && isZero(c.GetRaised())
}

// A budget is the state of a budget, while messages are taken in.
type budget struct {
	*schemas.BudgetState
	namespace string
	id        schemas.Identity
	now       time.Time
	out       []*schemas.Envelope
}

// declare follows what was declared last.
func (b *budget) declare(c *schemas.Charge) {
	if b.Counter == nil {
		b.Counter = &schemas.BudgetCounter{Spent: &schemas.Amount{}, Estimated: &schemas.Amount{}, Reserved: &schemas.Amount{}, Raised: &schemas.Amount{}}
	}
	if c == nil || c.GetDeclared() < b.GetCharge().GetDeclared() {
		return
	}
	if b.Charge == nil || c.GetWindow() != b.GetCharge().GetWindow() {
		b.Counter.Ends = windowEnd(c.GetWindow(), b.now)
	}
	b.Charge = c
}

// roll begins a new window when one is over. What is reserved then counts in the one in
// which it is settled.
func (b *budget) roll() {
	if c := b.Counter; c != nil && c.GetEnds() != 0 && c.GetEnds() <= b.now.UnixNano() {
		c.Spent, c.Estimated, c.Raised = &schemas.Amount{}, &schemas.Amount{}, &schemas.Amount{}
		c.Ends = windowEnd(b.GetCharge().GetWindow(), b.now)
	}
}

func (b *budget) run(ref string) *schemas.BudgetRun {
	if i := slices.IndexFunc(b.Runs, func(r *schemas.BudgetRun) bool { return r.GetRun() == ref }); i >= 0 {
		return b.Runs[i]
	}
	return nil
}

// known returns what there is of a run, from now on.
func (b *budget) known(ref string) *schemas.BudgetRun {
	r := b.run(ref)
	if r == nil {
		r = &schemas.BudgetRun{Run: ref}
		b.Runs = append(b.Runs, r)
	}
	return r
}

func (b *budget) reserve(ask *schemas.BudgetAsk) {
	r := b.known(ask.GetRun())
	if ask.GetCall() <= r.GetAsked() {
		if r.GetOpen() == ask.GetCall() {
			b.answer(ask, &schemas.BudgetAnswer{Granted: true})
		}
		return // it comes again, and is answered, or waits
	}
	b.lose(r)
	r.Asked = ask.GetCall()
	b.Waiting = slices.DeleteFunc(b.Waiting, func(w *schemas.BudgetAsk) bool { return w.GetRun() == ask.GetRun() })
	b.Waiting = append(b.Waiting, &schemas.BudgetAsk{Run: ask.GetRun(), Path: ask.GetPath(), Call: ask.GetCall(), Amount: ask.GetAmount(), Stays: ask.GetStays()})
}

func (b *budget) settle(ask *schemas.BudgetAsk) {
	r := b.run(ask.GetRun())
	if r == nil && ask.GetCopied() {
		r = b.known(ask.GetRun())
	}
	if r == nil || ask.GetCall() <= r.GetSettled() {
		return // it came late
	}
	amount := ask.GetAmount()
	if ask.GetUnknown() {
		if r.GetOpen() == ask.GetCall() {
			amount = r.GetReserved()
		}
		add(b.Counter.Estimated, amount, 1)
	}
	add(b.Counter.Spent, amount, 1)
	b.free(r)
	b.Waiting = slices.DeleteFunc(b.Waiting, func(w *schemas.BudgetAsk) bool { return w.GetRun() == r.GetRun() }) // it waits no more
	r.Settled, r.Asked = ask.GetCall(), max(r.GetAsked(), ask.GetCall())
}

// lose takes in that nobody will say what a call came to that was reserved: it may have
// been made, and counts.
func (b *budget) lose(r *schemas.BudgetRun) {
	add(b.Counter.Estimated, r.GetReserved(), 1)
	add(b.Counter.Spent, r.GetReserved(), 1)
	b.free(r)
}

// free ends the reservation of a run.
func (b *budget) free(r *schemas.BudgetRun) {
	if r.GetOpen() != 0 {
		add(b.Counter.Reserved, r.GetReserved(), -1)
	}
	r.Open, r.Reserved = 0, nil
}

// end takes in that a run is over. One that ended in the middle of a call, as nobody
// asked its code, may have been charged for it.
func (b *budget) end(ref string) {
	if r := b.run(ref); r != nil {
		b.lose(r)
	}
	b.forget(ref)
	b.Ended = append(b.Ended, &schemas.BudgetEnded{Run: shortHash(ref), At: b.now.UnixNano()})
	old := func(e *schemas.BudgetEnded) bool { return b.now.UnixNano()-e.GetAt() > int64(keptEndedFor) }
	b.Ended = slices.DeleteFunc(b.Ended, old)
	b.Ended = b.Ended[max(len(b.Ended)-keptEnded, 0):]
}

// ended returns where a run is among those that are over, -1 for nowhere.
func (b *budget) ended(ref string) int {
	h := shortHash(ref)
	return slices.IndexFunc(b.Ended, func(e *schemas.BudgetEnded) bool {
		return e.GetRun() == h && b.now.UnixNano()-e.GetAt() <= int64(keptEndedFor)
	})
}

func shortHash(ref string) uint64 {
	d := digest(ref)
	return binary.BigEndian.Uint64(d[:8])
}

// forget takes in that there is no such run, whatever it has asked.
func (b *budget) forget(ref string) {
	b.Waiting = slices.DeleteFunc(b.Waiting, func(w *schemas.BudgetAsk) bool { return w.GetRun() == ref })
	if r := b.run(ref); r != nil {
		b.free(r)
		b.Runs = slices.DeleteFunc(b.Runs, func(o *schemas.BudgetRun) bool { return o == r })
	}
}

func (b *budget) raise(ask *schemas.BudgetAsk) {
	if ask.GetId() == "" || slices.Contains(b.Raises, ask.GetId()) || b.Counter == nil {
		return
	}
	b.Raises = append(b.Raises, ask.GetId())
	b.Raises = b.Raises[max(len(b.Raises)-keptRaises, 0):]
	add(b.Counter.Raised, ask.GetAmount(), 1)
}

// grant answers those whose turn it is. Whoever asks for more than is left is refused,
// or stays until there is more, and keeps nobody behind it from going on; who asks for
// no more than is left, but for what calls in flight have reserved, waits until they
// are settled, and those behind it do.
func (b *budget) grant() {
	if b.Counter == nil {
		return
	}
	waits := false
	b.Waiting = slices.DeleteFunc(b.Waiting, func(w *schemas.BudgetAsk) bool {
		switch {
		case !b.fits(w.GetAmount(), false):
			if w.GetStays() {
				return false
			}
			b.answer(w, &schemas.BudgetAnswer{Counter: proto.CloneOf(b.Counter)})
			return true
		case waits || !b.fits(w.GetAmount(), true):
			waits = true
			return false
		}
		r := b.known(w.GetRun())
		r.Open, r.Reserved = w.GetCall(), w.GetAmount()
		add(b.Counter.Reserved, r.GetReserved(), 1)
		b.answer(w, &schemas.BudgetAnswer{Granted: true})
		return true
	})
}

// fits reports whether there is so much, beside what is reserved or not.
func (b *budget) fits(a *schemas.Amount, besideReserved bool) bool {
	c, limit := b.Counter, b.GetCharge().GetLimit()
	fits := func(limit, raised, spent, reserved, more int64) bool {
		if !besideReserved {
			reserved = 0
		}
		return limit == 0 || spent+reserved+more <= limit+raised
	}
	return fits(limit.GetTokens(), c.GetRaised().GetTokens(), c.GetSpent().GetTokens(), c.GetReserved().GetTokens(), a.GetTokens()) &&
		fits(limit.GetNanos(), c.GetRaised().GetNanos(), c.GetSpent().GetNanos(), c.GetReserved().GetNanos(), a.GetNanos())
}

// answer answers who asked. Each answer has a message ID of its own: what is granted
// once more, to a run that is over, must arrive to be given back.
func (b *budget) answer(ask *schemas.BudgetAsk, a *schemas.BudgetAnswer) {
	ref, err := schemas.ParseRef(ask.GetRun())
	if err != nil {
		return
	}
	b.Count++
	env := &schemas.Envelope{
		Type: schemas.Envelope_RESULT, Id: DeriveID(b.namespace, LedgerRef(b.id), "budget", ask.GetRun()+" "+ask.GetPath()+" "+strconv.FormatUint(b.Count, 10)),
		To: ref.Identity.String(), Run: string(ref.ID), Path: ask.GetPath(), Payload: encodePermit(a),
	}
	if a.GetGranted() {
		env.Limit = b.id.String()
	}
	b.out = append(b.out, env)
}

func add(to, a *schemas.Amount, sign int64) {
	to.Tokens += sign * a.GetTokens()
	to.Nanos += sign * a.GetNanos()
}

func isZero(a *schemas.Amount) bool { return a.GetTokens() == 0 && a.GetNanos() == 0 }
