package runtime

import (
	"cmp"
	"encoding/hex"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/perdure/perdure/schemas"
	"google.golang.org/protobuf/proto"
)

// A BudgetScope says whose model calls are counted together.
type BudgetScope string

// The scopes of budgets.
const (
	BudgetRun      BudgetScope = "run" // and of everything that it starts
	BudgetIdentity BudgetScope = "identity"
	BudgetKind     BudgetScope = "kind" // or of all kinds that name the budget
	BudgetTenant   BudgetScope = "tenant"
)

// A Budget bounds what model calls of runs of a kind cost, and those of the runs that
// they start. Each is counted by an identity of a built-in kind.
type Budget struct {
	// Name is the budget's own, by default the kind's: kinds that name the same one
	// share its counters.
	Name string
	Per  BudgetScope
	// Tenant names the tenant by the key of the identity; nil: the sender's trust
	// domain is it.
	Tenant func(key string) string
	// Tokens and Nanos, billionths of a US dollar, are how much there is; 0: unlimited.
	Tokens, Nanos int64
	Window        schemas.Charge_Window
	AtLimit       schemas.Charge_AtLimit
}

// BudgetsKind names the kind of the budgets of a pool of nodes, as [LimitKind] does.
func BudgetsKind(pool string) schemas.Kind {
	if pool == "" || pool == "default" {
		return budgetsKind
	}
	return budgetsKind + "-" + schemas.Kind(pool)
}

const budgetsKind = "perdure-budget"

// IsBudget reports whether a kind is that of the budgets of some pool.
func IsBudget(k schemas.Kind) bool {
	return k == budgetsKind || strings.HasPrefix(string(k), budgetsKind+"-")
}

// budgets is the kind of this process's pool.
func (c *Config) budgets() schemas.Kind { return cmp.Or(c.Budgets, BudgetsKind("")) }

// budgetErrors returns what is wrong with the budgets of a kind.
func (k *Kind) budgetErrors() (errs []error) {
	seen := map[string]bool{}
	for _, b := range k.Budgets {
		name := cmp.Or(b.Name, string(k.Name))
		id := name + " per " + string(b.Per)
		switch {
		case b.Tokens < 0 || b.Nanos < 0:
			errs = append(errs, fmt.Errorf("the budget %s is negative; give how many tokens or dollars there are", id))
		case b.Tokens == 0 && b.Nanos == 0:
			errs = append(errs, fmt.Errorf("the budget %s has no limit; give how many tokens or dollars there are", id))
		case b.Per == BudgetRun && b.Window != schemas.Charge_ALL_TIME:
			errs = append(errs, fmt.Errorf("the budget %s begins anew every %s; a run has one budget: leave the window out", id, windowName(b.Window)))
		case seen[id]:
			errs = append(errs, fmt.Errorf("two budgets %s; name one of them", id))
		}
		if err := schemas.Kind(name).Validate(); err != nil {
			errs = append(errs, fmt.Errorf("the budget %s: %w", id, err))
		}
		seen[id] = true
	}
	return errs
}

// charges returns what a run is charged to: what its sender is, and what its kind
// declares. They are asked in this order by all runs, so that no two wait for each
// other's reservations.
func (x *Executor) charges(t Task) []*schemas.Charge {
	var all []*schemas.Charge
	if t.From == schemas.LocalDomain {
		all = slices.Clone(t.Envelope.GetCharges())
	}
	if t.Envelope.GetFork() == nil { // which goes on with those of the run that it copies
		for _, b := range x.kind.Budgets {
			all = append(all, x.charge(b, t))
		}
	}
	slices.SortStableFunc(all, func(a, b *schemas.Charge) int { return cmp.Compare(a.GetBudget(), b.GetBudget()) })
	return slices.CompactFunc(all, func(a, b *schemas.Charge) bool {
		return a.GetBudget() == b.GetBudget() && a.GetError() == nil && b.GetError() == nil
	})
}

// charge returns one of them.
func (x *Executor) charge(b Budget, t Task) *schemas.Charge {
	c := &schemas.Charge{
		Name: cmp.Or(b.Name, string(x.kind.Name)), Limit: &schemas.Amount{Tokens: b.Tokens, Nanos: b.Nanos},
		Window: b.Window, AtLimit: b.AtLimit, Declared: x.cfg.now().UnixNano(), Tree: b.Per == BudgetRun,
	}
	switch b.Per {
	case BudgetRun:
		c.Of = t.Ref.String()
	case BudgetIdentity:
		c.Of = t.Ref.Identity.String()
	case BudgetKind:
		c.Of = c.Name
	case BudgetTenant:
		c.Of = t.From
		if b.Tenant != nil {
			var err error
			if c.Of, err = tenantOf(b.Tenant, t.Ref.Key); err != nil {
				c.Error = EncodeError(Errorf(ErrInvalid.Code, "whose the budget %s of kind %q is cannot be told from the key: %v", c.Name, string(x.kind.Name), err))
				return c
			}
		}
	}
	id := schemas.Identity{Kind: x.cfg.budgets(), Key: c.Name + ":" + string(b.Per) + ":" + c.Of}
	if id.Validate() != nil { // of a long reference
		d := digest(c.Of)
		id.Key = c.Name + ":" + string(b.Per) + ":" + hex.EncodeToString(d[:16])
	}
	c.Of = recordable(c.Of, maxName)
	c.Budget = id.String()
	return c
}

// tenantOf asks a user's function, whose panic is an error.
func tenantOf(f func(string) string, key string) (s string, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = panicError(v, debug.Stack())
		}
	}()
	if s = f(key); s == "" {
		return "", errors.New("the tenant of key " + key + " is empty; name one")
	}
	return s, nil
}

// Charges returns the budgets that the run is charged to, as they were when it was
// started, in the order in which they are to be asked.
func (c *Context) Charges() []*schemas.Charge { return c.run.started.GetCharges() }

// Reserve asks a budget for a model call of the run, of which ask says how much it
// costs at most, and waits for the answer, which [BudgetAnswer] reads. Calls are
// numbered from 1, and each is settled before the next is asked for. The amount may be
// another on a replay: what was answered counts.
func (c *Context) Reserve(ch *schemas.Charge, ask *schemas.BudgetAsk) *Future {
	c.check()
	r := c.run
	if !slices.Contains(r.charged, ch) {
		r.charged = append(r.charged, ch)
	}
	path := c.next()
	ask.Path = r.global(path)
	return c.askBudget(&Future{run: r, kind: kindCall, path: path, scope: c.scope}, "reserve", ch, ask)
}

// Settle tells a budget what a call came to that reserved has reserved. Nobody waits
// for it.
func (c *Context) Settle(ch *schemas.Charge, ask *schemas.BudgetAsk, reserved *Future) {
	c.check()
	if c.run.fork != nil {
		_, ask.Copied = c.run.fork.messages[reserved.path]
	}
	c.askBudget(&Future{run: c.run, kind: kindSend, path: c.next(), scope: c.scope}, "settle", ch, ask)
}

// Raise gives a budget more, beside its limit.
func (c *Context) Raise(ch *schemas.Charge, by *schemas.Amount) {
	c.check()
	path := c.next()
	ask := &schemas.BudgetAsk{Amount: by, Id: c.run.derive("raise", path)}
	c.askBudget(&Future{run: c.run, kind: kindSend, path: path, scope: c.scope}, "raise", ch, ask)
}

func (c *Context) askBudget(f *Future, method string, ch *schemas.Charge, ask *schemas.BudgetAsk) *Future {
	r := c.run
	f.name = "budget " + ch.GetName()
	to, err := schemas.ParseIdentity(ch.GetBudget())
	if err != nil {
		return failed(f, Errorf(ErrInvalid.Code, "the budget %q: %v", ch.GetBudget(), err))
	}
	f.msg.to = to.Run(schemas.RunID(r.derive(method, f.path)))
	ask.Run, ask.Charge = r.ref.String(), ch
	f.msg.env = &schemas.Envelope{Type: schemas.Envelope_TASK, Id: string(f.msg.to.ID), Method: method, Budget: ask, Parent: r.ref.String(), Trace: r.trace}
	if f.kind == kindSend {
		return c.send(f)
	}
	return c.issue(f)
}

// BudgetAnswer returns what a budget has answered to a reservation.
func BudgetAnswer(f *Future) (*schemas.BudgetAnswer, error) {
	p, err := f.Outcome()
	if err != nil {
		return nil, err
	}
	a := &schemas.BudgetAnswer{}
	if err := proto.Unmarshal(p.GetData(), a); err != nil {
		return nil, Errorf(ErrInvalid.Code, "the answer of a budget cannot be read: %v", err)
	}
	return a, nil
}

// endCharges returns the messages by which a run that is over ends what it has reserved.
func endCharges(namespace string, ref schemas.Ref, charges []*schemas.Charge) []*schemas.Envelope {
	var out []*schemas.Envelope
	for _, c := range charges {
		if c.GetError() == nil {
			out = append(out, &schemas.Envelope{
				Type: schemas.Envelope_TASK, Id: DeriveID(namespace, ref, "end", c.GetBudget()), Method: "end",
				To: c.GetBudget(), Budget: &schemas.BudgetAsk{Run: ref.String()}, Parent: ref.String(),
			})
		}
	}
	return out
}

// windowEnd returns when the window of a time ends, 0 for never.
func windowEnd(w schemas.Charge_Window, now time.Time) int64 {
	y, m, d := now.UTC().Date()
	switch w {
	case schemas.Charge_DAY:
		return time.Date(y, m, d+1, 0, 0, 0, 0, time.UTC).UnixNano()
	case schemas.Charge_MONTH:
		return time.Date(y, m+1, 1, 0, 0, 0, 0, time.UTC).UnixNano()
	}
	return 0
}

// windowName is what people call a window; empty for all time.
func windowName(w schemas.Charge_Window) string {
	switch w {
	case schemas.Charge_DAY:
		return "day"
	case schemas.Charge_MONTH:
		return "month"
	}
	return ""
}
