package agents

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/runtime"
	"github.com/perdure/perdure/schemas"
)

// A purse is what a run pays its model calls from: the budgets that it is charged to. What
// these answer is recorded, so that a replay decides as before.
type purse struct {
	c       *runtime.Context
	charges []*schemas.Charge
	call    uint64 // reservations that were asked for
	cheap   bool   // the cheaper model goes on
	// measured is what the provider counted of the first messages, in tokens.
	measured int64
	covered  int

	answered *modelCall // the last call; nil: it failed, or was postponed
	failure  error
}

// purse returns that of a run, nil where it is charged to no budget.
func (a *agent) purse(c *runtime.Context) (*purse, error) {
	charges := c.Charges()
	if len(charges) == 0 {
		return nil, nil
	}
	for _, ch := range charges {
		if ch.GetError() != nil {
			return nil, runtime.DecodeError(ch.GetError())
		}
	}
	return &purse{c: c, charges: charges}, nil
}

// A reservation is what a budget has granted.
type reservation struct {
	charge *schemas.Charge
	call   uint64
	future *runtime.Future
}

const (
	// maxLost is how often a call is made that the provider may have charged for.
	maxLost   = 3
	lostPause = time.Second // before the second; twice as long before each other
)

// paid makes the model call of an iteration within the budgets, when a model can be asked.
func (v *conversation) paid(iteration int) (*Response, error) {
	for failed := 0; ; {
		held, err := v.reserve()
		if err != nil {
			return nil, err
		}
		t, err := v.ask(iteration)
		v.settle(held) // nothing is reserved while the run waits
		switch {
		case err == nil && t.Postponed != nil:
			if err := v.sleep(t.Postponed); err != nil {
				return nil, err
			}
			continue
		case err == nil:
			again, err := v.release(t.Held, &t.Response)
			if again {
				continue
			}
			return &t.Response, ended(err)
		case v.purse == nil || v.ctx.Err() != nil || !mayBeCharged(err) || isUnused(err):
			return nil, err
		case errors.Is(err, durable.ErrUnknownOutcome): // its process died
			continue
		case v.behind > 0: // another model is asked
			continue
		}
		if failed++; failed == maxLost {
			return nil, err
		}
		if err := durable.Sleep(v.ctx, lostPause<<(failed-1)); err != nil {
			return nil, err
		}
	}
}

// stepOptions are those of a model call. Under a budget its start is recorded, which tells
// whether a dead process may have made it.
func (v *conversation) stepOptions(k *asking) []durable.StepOption {
	opts := k.stepOptions()
	if v.purse != nil {
		opts = append(opts, durable.OnceAProcess())
	}
	return opts
}

// candidates are the models of which the next call may be, the first one first.
func (v *conversation) candidates() []member {
	if v.purse != nil && v.purse.cheap {
		alone := v.call
		alone.fallbacks = nil
		return []member{newMember(v.cheaper, alone)}
	}
	chain := v.chain()
	if m := v.models[v.served.shape.Model]; m != nil { // as settings said at the last call
		chain[0] = newMember(m, v.call)
	}
	return chain
}

// asked is the model that the next call is of.
func (v *conversation) asked() Model {
	if v.purse != nil && v.purse.cheap {
		return v.cheaper
	}
	if m := v.models[v.served.shape.Model]; m != nil {
		return m
	}
	return v.model
}

// failed is the failure of a call as it is recorded.
func (v *conversation) failed(k *asking, err error) error {
	if v.purse == nil || err == nil {
		return err
	}
	return marked(err, k.passed())
}

// annotate says in the timeline what a call cost, where the agent has prices.
func (v *conversation) annotate(ctx context.Context, b bill, r *Response) {
	if v.prices != nil {
		if n := v.costOf(cmp.Or(b.asked, v.asked().Name()), r).GetNanos(); n > 0 {
			durable.Annotate(ctx, "cost_usd", usd(n))
		}
	}
}

// done takes in how a call ended.
func (v *conversation) done(t *modelCall, err error) {
	p := v.purse
	if p == nil {
		return
	}
	p.failure, p.answered = err, nil
	if err != nil || t.Postponed != nil || t.Held != nil && t.Held.Before {
		return
	}
	if p.answered = t; t.Usage.InputTokens > 0 {
		p.measured, p.covered = t.Usage.InputTokens, len(v.messages)
	}
}

// reserve reserves a model call of each budget, one after another, and does at a limit
// what was declared.
func (v *conversation) reserve() ([]reservation, error) {
	if v.purse == nil {
		return nil, nil
	}
	for {
		amount := v.worst()
		held, refused, counter, err := v.reserveAll(amount)
		switch {
		case err != nil || refused == nil:
			return held, err
		case refused.GetAtLimit() == schemas.Charge_DOWNGRADE && v.cheaper != nil && !v.purse.cheap:
			v.purse.cheap = true
			v.ctx.Log().Info("a cheaper model goes on: the budget has not enough left", "budget", refused.GetName(), "model", v.cheaper.Name())
		case refused.GetAtLimit() == schemas.Charge_ASK:
			if err := v.askForMore(refused, counter, amount); err != nil {
				return nil, err
			}
		default:
			return nil, exceeded(refused, counter, amount, "")
		}
	}
}

// worst is what the next call costs at most: of the dearest model that it may be of, and of
// two requests where one is hedged.
func (v *conversation) worst() *schemas.Amount {
	amount := &schemas.Amount{}
	for _, m := range v.candidates() {
		input, output := v.estimate(m.Model)
		requests := int64(1)
		if m.hedge > 0 {
			requests = 2
		}
		amount.Tokens = max(amount.Tokens, requests*(input+output))
		if price, ok := v.prices.of(m.Name()); ok {
			amount.Nanos = max(amount.Nanos, requests*price.nanos(input, 0, output))
		}
	}
	return amount
}

// reserveAll asks each budget. If one of them refuses the others have back what they gave.
func (v *conversation) reserveAll(amount *schemas.Amount) (held []reservation, refused *schemas.Charge, counter *schemas.BudgetCounter, err error) {
	p := v.purse
	for _, ch := range p.charges {
		if name, is := v.priceless(); is && ch.GetLimit().GetNanos() > 0 {
			v.giveBack(held)
			return nil, nil, nil, durable.Fail(ErrBudget.Code, "the budget %s is of money, and this agent has no price of the model %q; give it one by Prices, of zero if it costs nothing", ch.GetName(), name)
		}
		p.call++
		r := reservation{ch, p.call, p.c.Reserve(ch, &schemas.BudgetAsk{Call: p.call, Amount: amount})}
		var answer *schemas.BudgetAnswer
		if _, err = p.c.Wait(r.future); err == nil {
			answer, err = runtime.BudgetAnswer(r.future)
		}
		if err != nil { // it may be granted meanwhile
			held = append(held, r)
		}
		if err != nil || !answer.GetGranted() {
			v.giveBack(held)
			return nil, ch, answer.GetCounter(), err
		}
		held = append(held, r)
	}
	return held, nil, nil, nil
}

// priceless returns a model that the next call may be of and that has no price: a run may be
// charged to a budget of money that another agent has declared.
func (v *conversation) priceless() (name string, is bool) {
	for _, m := range v.candidates() {
		if _, ok := v.prices.of(m.Name()); !ok {
			return m.Name(), true
		}
	}
	return "", false
}

// settle tells the budgets what a call came to, also where the run is cancelled.
func (v *conversation) settle(held []reservation) {
	p := v.purse
	ask := schemas.BudgetAsk{Amount: &schemas.Amount{}}
	switch {
	case p == nil:
		return
	case p.answered != nil && p.answered.Uncounted:
		ask.Unknown, ask.Amount = true, v.worst()
	case p.answered != nil:
		ask.Amount = v.cost(p.answered)
	case p.failure != nil && mayBeCharged(p.failure):
		ask.Unknown, ask.Amount = true, v.worst()
	}
	for _, r := range held {
		v.charge(r, ask.GetAmount(), ask.GetUnknown())
	}
}

// giveBack ends reservations of which no use was made.
func (v *conversation) giveBack(held []reservation) {
	for _, r := range held {
		v.charge(r, &schemas.Amount{}, false)
	}
}

func (v *conversation) charge(r reservation, amount *schemas.Amount, unknown bool) {
	c := v.purse.c
	if c.Err() != nil {
		c = c.WithoutCancel()
	}
	c.Settle(r.charge, &schemas.BudgetAsk{Call: r.call, Amount: amount, Unknown: unknown}, r.future)
}

// A budgetQuestion is what people are asked at a limit.
type budgetQuestion struct {
	Budget    string       `json:"budget"`
	Of        string       `json:"of"` // a run, an identity, a kind or a tenant
	Asked     budgetAmount `json:"asked"`
	Spent     budgetAmount `json:"spent"`
	Allowed   budgetAmount `json:"allowed"`
	Approving budgetAmount `json:"approving_adds"`
	Ends      string       `json:"begins_anew,omitempty"`
}

type budgetAmount struct {
	Tokens int64  `json:"tokens,omitempty"`
	USD    string `json:"usd,omitempty"`
}

// askForMore waits until a budget may have enough: since somebody approves, since it was
// raised otherwise, or since its window has ended.
func (v *conversation) askForMore(ch *schemas.Charge, counter *schemas.BudgetCounter, amount *schemas.Amount) error {
	p := v.purse
	limited, cancel := p.c.WithCancel()
	defer cancel()
	by := raiseBy(ch, counter, amount)
	q := budgetQuestion{
		Budget: ch.GetName(), Of: ch.GetOf(), Asked: shown(ch, amount), Spent: shown(ch, counter.GetSpent()),
		Allowed: shown(ch, allowed(ch, counter)), Approving: shown(ch, by),
	}
	if counter.GetEnds() != 0 {
		q.Ends = time.Unix(0, counter.GetEnds()).UTC().Format(time.RFC3339)
	}
	payload, err := durable.Encode(q)
	if err != nil {
		return err
	}
	p.call++
	r := reservation{ch, p.call, limited.Reserve(ch, &schemas.BudgetAsk{Call: p.call, Amount: amount, Stays: true})}
	question := limited.Ask(&schemas.Asked{Name: "budget " + ch.GetName(), Question: payload})
	waits := []*runtime.Future{question, r.future}
	if counter.GetEnds() != 0 {
		waits = append(waits, limited.After("a new window of the budget "+ch.GetName(), time.Unix(0, counter.GetEnds()).Sub(p.c.Now())))
	}
	first, err := limited.Wait(waits...)
	if err != nil {
		v.giveBack([]reservation{r})
		return err
	}
	if first == 0 {
		answer, err := question.Outcome()
		if err != nil {
			return err
		}
		d, err := durable.Decode[durable.Decision](answer)
		if err != nil {
			return durable.Fail(durable.ErrInvalid.Code, "the decision about the budget %s: %v", ch.GetName(), err)
		}
		if !d.Approved {
			return exceeded(ch, counter, amount, "; "+strings.TrimSuffix("more was denied by "+d.By+": "+d.Reason, ": "))
		}
		p.c.Raise(ch, by)
	}
	v.giveBack([]reservation{r}) // all are asked again, in their order
	return nil
}

// raiseBy is by how much an approval raises a budget: as much again, and so much that it is
// enough for the call.
func raiseBy(ch *schemas.Charge, counter *schemas.BudgetCounter, amount *schemas.Amount) *schemas.Amount {
	more := func(limit, raised, spent, asked int64) int64 {
		if limit == 0 {
			return 0
		}
		return max(limit, spent+asked-limit-raised)
	}
	limit, raised, spent := ch.GetLimit(), counter.GetRaised(), counter.GetSpent()
	return &schemas.Amount{
		Tokens: more(limit.GetTokens(), raised.GetTokens(), spent.GetTokens(), amount.GetTokens()),
		Nanos:  more(limit.GetNanos(), raised.GetNanos(), spent.GetNanos(), amount.GetNanos()),
	}
}

// exceeded is the error of a run that is at a limit.
func exceeded(ch *schemas.Charge, counter *schemas.BudgetCounter, amount *schemas.Amount, why string) error {
	return durable.Fail(ErrBudget.Code, "the budget %s of %s has not enough left: the next model call may cost %s; spent are %s of %s%s; raise the limit, or start the run again when it begins anew",
		ch.GetName(), ch.GetOf(), text(shown(ch, amount)), text(shown(ch, counter.GetSpent())), text(shown(ch, allowed(ch, counter))), why)
}

func allowed(ch *schemas.Charge, counter *schemas.BudgetCounter) *schemas.Amount {
	return &schemas.Amount{
		Tokens: ch.GetLimit().GetTokens() + counter.GetRaised().GetTokens(),
		Nanos:  ch.GetLimit().GetNanos() + counter.GetRaised().GetNanos(),
	}
}

// shown is an amount as far as a budget limits it.
func shown(ch *schemas.Charge, a *schemas.Amount) (s budgetAmount) {
	if ch.GetLimit().GetTokens() > 0 {
		s.Tokens = a.GetTokens()
	}
	if ch.GetLimit().GetNanos() > 0 {
		s.USD = usd(a.GetNanos())
	}
	return s
}

func text(a budgetAmount) string {
	switch {
	case a.USD == "":
		return fmt.Sprintf("%d tokens", a.Tokens)
	case a.Tokens == 0:
		return "$" + a.USD
	}
	return fmt.Sprintf("%d tokens and $%s", a.Tokens, a.USD)
}

// usd writes billionths of a dollar as dollars.
func usd(nanos int64) string {
	return strconv.FormatFloat(float64(nanos)/1e9, 'f', -1, 64)
}
