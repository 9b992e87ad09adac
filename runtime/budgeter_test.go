package runtime

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/perdure/perdure/schemas"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"
)

// A budgetWorld is a budget, and runs that are charged to it, as its messages see them:
// they come again and late, since whoever takes them in dies before it acknowledges them.
type budgetWorld struct {
	t       *rapid.T
	id      schemas.Identity
	state   *schemas.Payload
	now     time.Time
	limit   int64
	inbox   []Task // in order
	past    []Task // taken in
	runs    []*budgetedRun
	spent   int64 // by calls whose cost is known
	worst   int64 // by the others
	maybe   int64 // by those of which it is not known whether they count
	under   int64 // by how much calls in all came to more than was reserved
	refused int
}

type budgetedRun struct {
	ref                       string
	call                      uint64
	waits, stays, holds, over bool
	reserved                  int64
}

func newBudgetWorld(t *rapid.T) *budgetWorld {
	w := &budgetWorld{t: t, id: schemas.Identity{Kind: BudgetsKind(""), Key: "b"}, now: time.Unix(1e9, 0), limit: rapid.Int64Range(1, 100).Draw(t, "limit")}
	for i := range rapid.IntRange(1, 4).Draw(t, "runs") {
		w.runs = append(w.runs, &budgetedRun{ref: fmt.Sprintf("k/%d/r", i)})
	}
	return w
}

func (w *budgetWorld) send(method string, ask *schemas.BudgetAsk) {
	ask.Charge = &schemas.Charge{Budget: w.id.String(), Name: "b", Limit: &schemas.Amount{Tokens: w.limit}, Declared: 1}
	w.inbox = append(w.inbox, Task{From: schemas.LocalDomain, Envelope: &schemas.Envelope{Type: schemas.Envelope_TASK, Method: method, Budget: ask}})
}

// take makes the budget take in the first n messages of its inbox, or some that it has
// taken in before and those behind them.
func (w *budgetWorld) take(again, n int) {
	again = min(again, len(w.past))
	tasks := append(slices.Clone(w.past[len(w.past)-again:]), w.inbox[:n]...)
	w.past, w.inbox = append(w.past, w.inbox[:n]...), w.inbox[n:]
	if len(tasks) == 0 {
		return
	}
	state, out, err := budgeter{}.Apply("ns", w.id, w.state, tasks, w.now)
	if err != nil {
		w.t.Fatal(err)
	}
	w.state = state
	for _, env := range out {
		w.deliver(env)
	}
}

// deliver gives a run an answer, as its engine does: what it does not wait for is dropped,
// and what is granted to a run that is over is given back.
func (w *budgetWorld) deliver(env *schemas.Envelope) {
	ref, _ := schemas.ParseRef(env.GetTo() + "/" + env.GetRun())
	i := slices.IndexFunc(w.runs, func(r *budgetedRun) bool { return r.ref == ref.String() })
	r := w.runs[i]
	if r.over {
		if back := GiveBack("ns", ref, env); back != nil {
			w.inbox = append(w.inbox, Task{From: schemas.LocalDomain, Envelope: back})
		}
		return
	}
	if !r.waits || env.GetPath() != fmt.Sprint(r.call) {
		return
	}
	a := &schemas.BudgetAnswer{}
	if err := proto.Unmarshal(env.GetPayload().GetData(), a); err != nil {
		w.t.Fatal(err)
	}
	r.waits = false
	if r.holds = a.GetGranted(); !r.holds {
		w.refused++
		if w.known()+w.maybe+r.reserved <= w.limit {
			w.t.Fatalf("a run that asks for %d was refused; %d of %d are spent", r.reserved, w.known(), w.limit)
		}
	}
}

func (w *budgetWorld) known() int64 { return w.spent + w.worst }

func (w *budgetWorld) check() {
	s, err := BudgetOf(w.state, w.now)
	if err != nil {
		w.t.Fatal(err)
	}
	c := s.GetCounter()
	if got, most := c.GetSpent().GetTokens()+c.GetReserved().GetTokens(), w.limit+c.GetRaised().GetTokens()+w.under; got > most {
		w.t.Fatalf("%d are spent or reserved of %d, of which calls came to %d more than was reserved: %v", got, w.limit+c.GetRaised().GetTokens(), w.under, s)
	}
}

// TestBudget_NoOrderOfMessagesChargesTwiceOrTooMuch plays runs that reserve, settle, die in
// the middle of a call and are terminated, with messages that come again.
func TestBudget_NoOrderOfMessagesChargesTwiceOrTooMuch(t *testing.T) {
	refused := 0
	rapid.Check(t, func(t *rapid.T) {
		w := newBudgetWorld(t)
		pick := func() *budgetedRun { return rapid.SampledFrom(w.runs).Draw(t, "run") }
		end := func(r *budgetedRun) {
			switch terminated := rapid.Bool().Draw(t, "terminated"); {
			case r.holds: // in the middle of a call, or before it: it counts
				w.worst += r.reserved
			case r.waits && terminated: // it counts if it was granted, which the run did not see
				w.maybe += r.reserved
			case r.waits:
				w.send("settle", &schemas.BudgetAsk{Run: r.ref, Call: r.call})
			}
			r.over, r.waits, r.holds = true, false, false
			w.send("end", &schemas.BudgetAsk{Run: r.ref})
		}
		t.Repeat(map[string]func(*rapid.T){
			"reserve": func(t *rapid.T) {
				if r := pick(); !r.over && !r.waits && !r.holds {
					r.call++
					r.waits, r.reserved = true, rapid.Int64Range(1, 60).Draw(t, "amount")
					r.stays = rapid.Bool().Draw(t, "stays")
					w.send("reserve", &schemas.BudgetAsk{Run: r.ref, Path: fmt.Sprint(r.call), Call: r.call, Amount: &schemas.Amount{Tokens: r.reserved}, Stays: r.stays})
				}
			},
			"settle": func(t *rapid.T) {
				if r := pick(); r.holds {
					r.holds = false
					amount := rapid.Int64Range(0, 80).Draw(t, "cost")
					w.spent += amount
					w.under += max(amount-r.reserved, 0)
					w.send("settle", &schemas.BudgetAsk{Run: r.ref, Call: r.call, Amount: &schemas.Amount{Tokens: amount}})
				}
			},
			"die in a call": func(t *rapid.T) {
				if r := pick(); r.holds {
					r.holds = false
					w.worst += r.reserved
					w.send("settle", &schemas.BudgetAsk{Run: r.ref, Call: r.call, Amount: &schemas.Amount{Tokens: 1000}, Unknown: true})
				}
			},
			"give up waiting": func(t *rapid.T) { // as a run does whose question is answered
				if r := pick(); r.waits {
					r.waits = false
					w.send("settle", &schemas.BudgetAsk{Run: r.ref, Call: r.call})
				}
			},
			"end": func(t *rapid.T) {
				if r := pick(); !r.over {
					end(r)
				}
			},
			"raise": func(t *rapid.T) {
				w.send("raise", &schemas.BudgetAsk{Run: "ann", Id: fmt.Sprint(rapid.IntRange(0, 2).Draw(t, "id")), Amount: &schemas.Amount{Tokens: 7}})
			},
			"take": func(t *rapid.T) { w.take(0, rapid.IntRange(0, len(w.inbox)).Draw(t, "n")) },
			"die": func(t *rapid.T) {
				w.take(rapid.IntRange(0, 6).Draw(t, "again"), rapid.IntRange(0, len(w.inbox)).Draw(t, "n"))
			},
			"": func(*rapid.T) { w.check() },
		})
		refused += w.refused
		w.drain(end)
		s, err := BudgetOf(w.state, w.now)
		if err != nil {
			t.Fatal(err)
		}
		c := s.GetCounter()
		more := c.GetSpent().GetTokens() - w.known()
		if more < 0 || more > w.maybe || c.GetEstimated().GetTokens() != w.worst+more || c.GetReserved().GetTokens() != 0 || len(s.GetRuns())+len(s.GetWaiting()) != 0 {
			t.Fatalf("all runs are over, %d are spent, of which %d are estimated; the budget says %v", w.known(), w.worst, s)
		}
	})
	if refused == 0 {
		t.Error("no run was ever refused: the test does not come to the limit")
	}
}

// drain ends all runs: the ones that wait are cancelled.
func (w *budgetWorld) drain(end func(*budgetedRun)) {
	for _, r := range w.runs {
		if !r.over {
			end(r)
		}
	}
	for len(w.inbox) > 0 {
		w.take(rand.N(3), len(w.inbox))
	}
}

// TestBudget_BeginsAnewAtTheEndOfItsWindow settles a call in the window behind the one in
// which it was reserved.
func TestBudget_BeginsAnewAtTheEndOfItsWindow(t *testing.T) {
	var state *schemas.Payload
	charge := &schemas.Charge{Name: "b", Limit: &schemas.Amount{Tokens: 10}, Window: schemas.Charge_MONTH, Declared: 1}
	say := func(at time.Time, method string, ask *schemas.BudgetAsk) (granted, refused int) {
		t.Helper()
		ask.Charge, ask.Path = charge, "1"
		task := Task{From: schemas.LocalDomain, Envelope: &schemas.Envelope{Type: schemas.Envelope_TASK, Method: method, Budget: ask}}
		next, out, err := budgeter{}.Apply("ns", schemas.Identity{Kind: budgetsKind, Key: "b"}, state, []Task{task}, at)
		if err != nil {
			t.Fatal(err)
		}
		state = next
		for _, env := range out {
			if env.GetLimit() != "" {
				granted++
			} else {
				refused++
			}
		}
		return granted, refused
	}
	amount := func(n int64) *schemas.Amount { return &schemas.Amount{Tokens: n} }
	january, february := time.Date(2026, 1, 31, 23, 59, 0, 0, time.UTC), time.Date(2026, 2, 1, 0, 0, 0, 0, time.UTC)
	if g, _ := say(january, "reserve", &schemas.BudgetAsk{Run: "k/a/r", Call: 1, Amount: amount(6)}); g != 1 {
		t.Fatal("6 of 10 were not granted")
	}
	say(january, "settle", &schemas.BudgetAsk{Run: "k/a/r", Call: 1, Amount: amount(6)})
	if g, _ := say(january, "reserve", &schemas.BudgetAsk{Run: "k/b/r", Call: 1, Amount: amount(3)}); g != 1 {
		t.Fatal("3 more of 10 were not granted")
	}
	if g, r := say(january, "reserve", &schemas.BudgetAsk{Run: "k/c/r", Call: 1, Amount: amount(5)}); g != 0 || r != 1 {
		t.Errorf("5 more of 10, of which 6 are spent: %d granted, %d refused", g, r)
	}
	if g, r := say(january, "reserve", &schemas.BudgetAsk{Run: "k/c/r", Call: 2, Amount: amount(7), Stays: true}); g+r != 0 {
		t.Error("who stays was answered")
	}
	if g, _ := say(february, "settle", &schemas.BudgetAsk{Run: "k/b/r", Call: 1, Amount: amount(2)}); g != 1 {
		t.Error("in the new window who stays was not granted 7 of 10, of which 2 are spent")
	}
	s, err := BudgetOf(state, february)
	if err != nil || s.GetCounter().GetSpent().GetTokens() != 2 || s.GetCounter().GetReserved().GetTokens() != 7 || s.GetCounter().GetEnds() != time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC).UnixNano() {
		t.Errorf("%v, %v", s, err)
	}
	if s, err := BudgetOf(state, february.AddDate(0, 2, 0)); err != nil || s.GetCounter().GetSpent().GetTokens() != 0 {
		t.Errorf("two months later: %v, %v", s, err)
	}
	if (budgeter{}).Idle(state, february) {
		t.Error("it is idle while a run is charged")
	}
}
