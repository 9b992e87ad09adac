package runtime

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/perdure/perdure/schemas"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// NewLimitKind returns the built-in kind of the limits of a pool.
func NewLimitKind(pool string) *Kind {
	return &Kind{Name: LimitKind(pool), Type: "limit", Ledger: limiter{}, Queries: map[string]QueryFunc{"show": showLimit}}
}

// showLimit tells who holds a limit and who waits, as JSON.
func showLimit(_ context.Context, state, _ *schemas.Payload) (*schemas.Payload, error) {
	s := &schemas.LimitState{}
	if err := proto.Unmarshal(state.GetData(), s); err != nil {
		return nil, Errorf(ErrInvalid.Code, "the state of the limit cannot be read: %v", err)
	}
	data, err := protojson.Marshal(s)
	if err != nil {
		return nil, Errorf(ErrInvalid.Code, "the state of the limit cannot be shown: %v", err)
	}
	return &schemas.Payload{Data: data}, nil
}

// Waits says for people what a run waits for that has asked a limit of this
// state; empty if it does not wait there.
func Waits(limit schemas.Identity, state *schemas.Payload, run schemas.Ref) string {
	if IsBudget(limit.Kind) {
		return waitsForBudget(limit, state, run)
	}
	s := &schemas.LimitState{}
	if proto.Unmarshal(state.GetData(), s) != nil {
		return ""
	}
	i := of(s.GetWaiting(), run.String())
	switch {
	case i < 0:
		return ""
	case s.GetHold().GetRule() == schemas.Hold_SINGLETON:
		return fmt.Sprintf("waits for the result of %s, which the singleton %s lets go", runsOf(s.GetHolders()), limit.Key)
	case s.GetHold().GetRule() == schemas.Hold_DEBOUNCE:
		return fmt.Sprintf("waits until the debounce %s has been quiet for %s", limit.Key, time.Duration(s.GetHold().GetInterval()))
	}
	return fmt.Sprintf("waits for a permit of the limit %s: %d of %d are taken, %d came before it", limit.Key, len(s.GetHolders()), s.GetHold().GetMax(), i)
}

func runsOf(ws []*schemas.Waiter) string {
	var runs []string
	for _, w := range ws {
		runs = append(runs, w.GetRun())
	}
	return strings.Join(runs, ", ")
}

// A limiter grants permits. Its messages are idempotent by the run that they are
// of: who asks twice has one permit, and gives one back. A time of a rate is no such
// permit, and is not remembered: who asks twice is given two, and one of them is
// lost.
type limiter struct{}

// Apply takes in what runs ask for and give back.
func (limiter) Apply(namespace string, id schemas.Identity, state *schemas.Payload, tasks []Task, now time.Time) (*schemas.Payload, []*schemas.Envelope, error) {
	l := &limit{namespace: namespace, id: id, now: now, LimitState: &schemas.LimitState{}}
	if state != nil {
		if err := proto.Unmarshal(state.GetData(), l.LimitState); err != nil {
			return nil, nil, Errorf(ErrInvalid.Code, "the state of the limit %s cannot be read: %v", id.Key, err)
		}
	}
	for _, t := range tasks {
		ask := decodeAsk(t)
		if ask == nil {
			continue // nobody of ours
		}
		if h := ask.GetHold(); h != nil && h.GetDeclared() >= l.GetHold().GetDeclared() {
			l.Hold = h
		}
		switch t.Envelope.GetMethod() {
		case "acquire":
			l.acquire(ask)
		case "confirm":
			l.confirm(ask)
		case "release":
			l.release(ask)
		}
		l.grant()
	}
	l.tidy()
	p := encodePermit(l.LimitState)
	if slices.Equal(p.GetData(), state.GetData()) {
		p = state
	}
	return p, l.out, nil
}

// decodeAsk reads what a run, or an operator, asks for; nil is nobody of this
// namespace.
func decodeAsk(t Task) *schemas.Ask {
	ask, p := &schemas.Ask{}, t.Envelope.GetPayload()
	decode := func(data []byte) error { return proto.Unmarshal(data, ask) }
	if p.GetCodec() != permitCodec {
		decode = func(data []byte) error { return protojson.Unmarshal(data, ask) }
	}
	if t.From != schemas.LocalDomain || decode(p.GetData()) != nil || ask.GetRun() == "" {
		return nil
	}
	return ask
}

// Idle reports whether nobody holds or waits, and no time is to be kept.
func (limiter) Idle(state *schemas.Payload, now time.Time) bool {
	s := &schemas.LimitState{}
	if proto.Unmarshal(state.GetData(), s) != nil {
		return false
	}
	if s.GetHold().GetRule() == schemas.Hold_TREE {
		return treeIdle(s, now)
	}
	return len(s.GetHolders())+len(s.GetWaiting()) == 0 && s.GetNext() <= now.UnixNano()
}

// A limit is the state of a limit, while messages are taken in.
type limit struct {
	*schemas.LimitState
	namespace string
	id        schemas.Identity
	now       time.Time
	out       []*schemas.Envelope
}

func (l *limit) acquire(ask *schemas.Ask) {
	h := ask.GetHold()
	w := &schemas.Waiter{Run: ask.GetRun(), Path: ask.GetPath(), Tenant: h.GetTenant(), Priority: h.GetPriority(), Since: l.now.UnixNano(), Attach: h.GetAttach()}
	if of(l.Holders, w.GetRun()) >= 0 {
		l.answer(w, &schemas.Permit{}, nil) // the first answer may be lost
		return
	}
	waits := of(l.Waiting, w.GetRun())
	switch h.GetRule() {
	case schemas.Hold_TREE:
		l.tree(ask, w)
	case schemas.Hold_RATE:
		l.answer(w, &schemas.Permit{At: l.slot(h)}, nil)
	case schemas.Hold_DEBOUNCE:
		if len(l.Waiting) == 0 {
			l.Since = l.now.UnixNano()
		}
		if waits < 0 {
			l.Waiting = append(l.Waiting, w)
		} else {
			w = l.Waiting[waits]
		}
		at := w.GetSince() + h.GetInterval()
		if longest := h.GetLongest(); longest > 0 {
			at = min(at, l.GetSince()+longest)
		}
		l.answer(w, &schemas.Permit{At: at}, nil)
	case schemas.Hold_SINGLETON:
		switch {
		case len(l.Holders) == 0:
			if waits < 0 {
				l.Waiting = append(l.Waiting, w)
			}
		case slices.Contains(ask.GetChain(), identityOf(l.Holders[0])):
			l.answer(w, nil, Errorf(ErrDeadlock.Code, "%s waits for this run, and is the one that the singleton %s lets go: neither could ever end; call another key", l.Holders[0].GetRun(), l.id.Key))
		case !h.GetAttach():
			l.answer(w, nil, Errorf(ErrBusy.Code, "%s is open, and the singleton %s lets one run go at a time; start it again when that has ended, under another ID", l.Holders[0].GetRun(), l.id.Key))
		case waits < 0:
			l.Waiting = append(l.Waiting, w)
		}
	default:
		if l.deadlocked(ask) {
			l.answer(w, nil, Errorf(ErrDeadlock.Code, "every run that has a permit of the limit %s waits for this run: none could ever end; give what it calls a limit of its own, or none", l.id.Key))
			return
		}
		if waits < 0 {
			l.Waiting = append(l.Waiting, w)
		}
	}
}

// confirm is asked by a debounced run when its quiet time is over: it goes on if
// no other has come.
func (l *limit) confirm(ask *schemas.Ask) {
	w := &schemas.Waiter{Run: ask.GetRun(), Path: ask.GetPath()}
	switch i := of(l.Waiting, w.GetRun()); {
	case i >= 0 && i < len(l.Waiting)-1:
		l.answer(w, &schemas.Permit{Instead: l.Waiting[len(l.Waiting)-1].GetRun()}, nil)
		l.Waiting = slices.Delete(l.Waiting, i, i+1)
	case i < 0 && l.Instead != "" && l.Instead != w.GetRun():
		l.answer(w, &schemas.Permit{Instead: l.Instead}, nil)
	default:
		l.Waiting, l.Instead = nil, w.GetRun()
		// others of the burst ask a quiet time after they came, at the latest
		l.Next = l.now.UnixNano() + 2*max(l.GetHold().GetInterval(), int64(time.Hour))
		l.answer(w, &schemas.Permit{}, nil)
	}
}

func (l *limit) release(ask *schemas.Ask) {
	is := func(w *schemas.Waiter) bool { return w.GetRun() == ask.GetRun() }
	if l.GetHold().GetRule() == schemas.Hold_TREE {
		if ask.GetRun() != l.GetHold().GetRoot() {
			return // it stays counted
		}
		l.treeOver()
	}
	held := slices.ContainsFunc(l.Holders, is)
	l.Holders = slices.DeleteFunc(l.Holders, is)
	l.Waiting = slices.DeleteFunc(l.Waiting, is)
	if !held || ask.GetHold().GetRule() != schemas.Hold_SINGLETON {
		return
	}
	for _, w := range l.Waiting { // they take the result of the run that was let go
		if w.GetAttach() {
			l.answer(w, &schemas.Permit{Instead: ask.GetRun(), Result: ask.GetResult(), Error: ask.GetError()}, nil)
		}
	}
	l.Waiting = slices.DeleteFunc(l.Waiting, (*schemas.Waiter).GetAttach)
}

// slot is the time of the next run of a rate: that of a leaky bucket which holds
// the burst.
func (l *limit) slot(h *schemas.Hold) int64 {
	now := l.now.UnixNano()
	next := max(l.Next, now)
	l.Next = next + h.GetInterval()
	return max(now, next-int64(max(h.GetBurst(), 1)-1)*h.GetInterval())
}

// room is how many permits there are.
func (l *limit) room() int {
	switch l.GetHold().GetRule() {
	case schemas.Hold_SINGLETON:
		return 1
	case schemas.Hold_CONCURRENCY:
		return int(l.GetHold().GetMax())
	}
	return 0
}

// grant gives permits to those whose turn it is, while there is room.
func (l *limit) grant() {
	for len(l.Waiting) > 0 && len(l.Holders) < l.room() {
		i := l.next()
		w := l.Waiting[i]
		l.Waiting = slices.Delete(l.Waiting, i, i+1)
		w.Since = l.now.UnixNano()
		l.Holders = append(l.Holders, w)
		l.answer(w, &schemas.Permit{}, nil)
		if l.Served == nil {
			l.Served = map[string]uint64{}
		}
		l.Served[w.GetTenant()] = l.Count
	}
}

// next returns whose turn it is: of the tenant that holds the fewest, and among
// those of the one that was served longest ago; of that, who has the highest
// priority, and among those who came first.
func (l *limit) next() int {
	holds := map[string]int{}
	for _, w := range l.Holders {
		holds[w.GetTenant()]++
	}
	best := 0
	for i, w := range l.Waiting {
		b := l.Waiting[best]
		if cmp.Or(
			cmp.Compare(holds[w.GetTenant()], holds[b.GetTenant()]),
			cmp.Compare(l.Served[w.GetTenant()], l.Served[b.GetTenant()]),
			cmp.Compare(b.GetPriority(), w.GetPriority()),
		) < 0 {
			best = i
		}
	}
	return best
}

// deadlocked reports whether every permit is held by a run that waits for the
// one that asks.
func (l *limit) deadlocked(ask *schemas.Ask) bool {
	if len(l.Holders) < l.room() || len(l.Holders) == 0 {
		return false
	}
	return !slices.ContainsFunc(l.Holders, func(w *schemas.Waiter) bool { return !slices.Contains(ask.GetChain(), identityOf(w)) })
}

// identityOf returns the identity of a waiter's run.
func identityOf(w *schemas.Waiter) string {
	ref, err := schemas.ParseRef(w.GetRun())
	if err != nil {
		return ""
	}
	return ref.Identity.String()
}

// tidy forgets tenants that neither hold nor wait.
func (l *limit) tidy() {
	maps.DeleteFunc(l.Served, func(tenant string, _ uint64) bool {
		is := func(w *schemas.Waiter) bool { return w.GetTenant() == tenant }
		return !slices.ContainsFunc(l.Holders, is) && !slices.ContainsFunc(l.Waiting, is)
	})
}

// answer answers who asked. Each answer has a message ID of its own: a permit that
// is granted once more, to a run that is over, must arrive to be given back.
func (l *limit) answer(w *schemas.Waiter, permit *schemas.Permit, err *Error) {
	ref, perr := schemas.ParseRef(w.GetRun())
	if perr != nil {
		return
	}
	l.Count++
	env := &schemas.Envelope{
		Type: schemas.Envelope_RESULT, Id: DeriveID(l.namespace, LedgerRef(l.id), "permit", w.GetRun()+" "+w.GetPath()+" "+strconv.FormatUint(l.Count, 10)),
		To: ref.Identity.String(), Run: string(ref.ID), Path: w.GetPath(),
	}
	if err != nil {
		env.Error = EncodeError(err)
	} else {
		env.Payload = encodePermit(permit)
		if of(l.Holders, w.GetRun()) >= 0 {
			env.Limit = l.id.String()
		}
	}
	l.out = append(l.out, env)
}

// of returns where a run is among waiters, -1 for nowhere.
func of(ws []*schemas.Waiter, run string) int {
	return slices.IndexFunc(ws, func(w *schemas.Waiter) bool { return w.GetRun() == run })
}
