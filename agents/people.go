package agents

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"time"

	"github.com/perdure/perdure/durable"
)

// An AskOption says how people are asked, by [NeedsApproval], [AskUser] and
// [RequireApproval]: [AskTo], [EscalateTo], [Within].
type AskOption interface{ applyAsk(*askConfig) }

type askConfig struct {
	asks asks
	err  error
}

type askOption func(*askConfig)

func (o askOption) applyAsk(c *askConfig) { o(c) }

// AskTo says which groups, or people, are asked: as [durable.AskTo].
func AskTo(groups ...string) AskOption {
	return askOption(func(c *askConfig) { c.asks.To = append(c.asks.To, groups...) })
}

// EscalateTo says who is asked as well if nobody has answered within after: as
// [durable.EscalateTo]. A function of [OnQuestion] is called again then.
func EscalateTo(after time.Duration, groups ...string) AskOption {
	return askOption(func(c *askConfig) { c.asks.Escalate = append(c.asks.Escalate, escalation{after, groups}) })
}

// waitBound is the longest wait for people, ten years: beyond it a duration is a mistake.
const waitBound = 10 * 365 * 24 * time.Hour

// A Deadline says what becomes of what nobody has decided about, or answered, in time.
type Deadline string

const (
	// ThenDeny takes no answer for a no: the model is told.
	ThenDeny Deadline = "deny"
	// ThenFail ends the run: it fails with [ErrNotApproved], or with
	// [durable.ErrTimeout] for a question.
	ThenFail Deadline = "fail"
	// ThenApprove takes no answer for a yes. A question of [AskUser] has none.
	ThenApprove Deadline = "approve"
)

// Within bounds the wait for people: after d the question is withdrawn, and then says
// what becomes of it. Without it, it waits for as long as it takes.
func Within(d time.Duration, then Deadline) AskOption {
	return askOption(func(c *askConfig) {
		if d <= 0 || d > waitBound {
			c.bad("Within(%s): give a time of up to %s", d, waitBound)
		}
		if !slices.Contains([]Deadline{ThenDeny, ThenFail, ThenApprove}, then) {
			c.bad("Within(%s, %q): there are ThenDeny, ThenFail and ThenApprove", d, then)
		}
		c.asks.Within, c.asks.Then = d, then
	})
}

func (c *askConfig) bad(format string, args ...any) {
	if c.err == nil {
		c.err = durable.Fail(durable.ErrInvalid.Code, format, args...)
	}
}

// asks is how people are asked, as it is recorded where it was decided that they are.
type asks struct {
	To       []string      `json:"to,omitempty"`
	Escalate []escalation  `json:"escalate,omitempty"`
	Within   time.Duration `json:"within,omitempty"` // nanoseconds
	Then     Deadline      `json:"then,omitempty"`
	Notify   bool          `json:"notify,omitempty"` // there was a function of OnQuestion
	Reason   string        `json:"reason,omitempty"`
	// User is what a call of the tool of [AskUser] asks.
	User *userQuestion `json:"user,omitempty"`
}

type escalation struct {
	After time.Duration `json:"after"` // nanoseconds
	To    []string      `json:"to"`
}

func asksOf(opts []AskOption) (asks, error) {
	var c askConfig
	for _, o := range opts {
		o.applyAsk(&c)
	}
	slices.SortStableFunc(c.asks.Escalate, func(a, b escalation) int { return cmp.Compare(a.After, b.After) })
	if c.err == nil {
		c.err = durable.CheckAsk(c.asks.options("", "")...)
	}
	return c.asks, c.err
}

// options returns how a question is asked.
func (a *asks) options(tool, hash string) []durable.AskOption {
	opts := []durable.AskOption{durable.AskTo(a.To...), durable.BoundTo(tool, hash), durable.Timeout(a.Within)}
	for _, e := range a.Escalate {
		opts = append(opts, durable.EscalateTo(e.After, e.To...))
	}
	return opts
}

// limit returns a context in which the wait is bounded.
func (a *asks) limit(ctx durable.Context) (durable.Context, func()) {
	if a.Within > 0 {
		return durable.WithTimeout(ctx, a.Within)
	}
	return durable.WithCancel(ctx)
}

// A Pending is a question of an agent to people, for [OnQuestion].
type Pending struct {
	Run  string `json:"run"`
	Name string `json:"name"` // of the question, by which it is answered
	Ask  string `json:"ask"`  // "approval" or "question"
	Tool string `json:"tool,omitempty"`
	// Question is what people are shown: of an approval a [Proposal].
	Question json.RawMessage `json:"question"`
	Hash     string          `json:"hash,omitempty"`
	To       []string        `json:"to,omitempty"` // all who are asked by now
	// Escalated is set where nobody has answered, and further people are asked.
	Escalated bool `json:"escalated,omitempty"`
}

// OnQuestion calls fn whenever the agent asks people something, and again at each
// escalation: to tell them, by chat, mail or pager. It is a step named "notify NAME",
// recorded and retried like any other, and the question waits for an answer meanwhile;
// if it fails for good the log says so, and the question stands.
func OnQuestion(fn func(context.Context, Pending) error) Option {
	return func(a *agent) { a.onQuestion = fn }
}

// notify tells of a question, in a branch that ends with the wait for it.
func (v *conversation) notify(ctx durable.Context, a *asks, p Pending, question any, answered durable.Waitable) {
	if !a.Notify {
		return
	}
	data, err := json.Marshal(question)
	if err != nil {
		return // it was asked, and so could be encoded
	}
	p.Question = data
	durable.Go(ctx, "notify "+p.Name, func(ctx durable.Context) (durable.None, error) {
		v.tell(ctx, p)
		passed := time.Duration(0)
		for _, e := range a.Escalate {
			first, err := durable.Select(ctx, answered, durable.After(ctx, e.After-passed))
			if err != nil || first == 0 {
				return durable.None{}, err
			}
			p.To, p.Escalated, passed = append(slices.Clone(p.To), e.To...), true, e.After
			v.tell(ctx, p)
		}
		return durable.None{}, nil
	})
}

func (v *conversation) tell(ctx durable.Context, p Pending) {
	_, err := durable.Step(ctx, "notify "+p.Name, func(ctx context.Context) (durable.None, error) {
		if v.onQuestion == nil { // a deploy has taken it away
			return durable.None{}, nil
		}
		return durable.None{}, v.onQuestion(ctx, p)
	})
	if err != nil && ctx.Err() == nil {
		ctx.Log().Warn("people were not told of a question; it stands, and is in the inbox", "question", p.Name, "error", err)
	}
}
