package agents

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/runtime"
)

// Fallback is another model for when those before it cannot answer, with options of its own:
//
//	agents.UseModel(openai.New("gpt-5"), agents.Retry(3, time.Second), agents.Breaker(agents.Trip{}),
//		agents.Fallback(anthropic.New("claude-sonnet-5"), agents.Breaker(agents.Trip{})),
//		agents.Fallback(gemini.New("gemini-3-pro"), agents.On(agents.TooLong)))
//
// It is asked when the one before has used its attempts up, or may not be asked now: its
// [Breaker] is open, its [RateLimit] or its provider asks for more than [Patience]. Which
// failures it is asked for is said by [On]. Every model call begins with the first model
// again; a breaker keeps it from being tried in vain. Which model answered is recorded with
// the answer, so that it is not asked again, whatever becomes of the others. What a model of
// another provider thought is not sent to it.
func Fallback(m Model, opts ...ModelOption) ModelOption {
	return modelOption(func(c *modelConfig) {
		cfg := defaultModelConfig
		for _, o := range opts {
			o.applyModel(&cfg)
		}
		if m == nil {
			c.errs = append(c.errs, durable.Fail(durable.ErrInvalid.Code, "Fallback: the model is nil"))
			return
		}
		if cfg.wait >= 0 {
			c.errs = append(c.errs, durable.Fail(durable.ErrInvalid.Code, "Fallback of %s: WaitUpTo is of all models together; give it to UseModel", m.Name()))
		}
		further := cfg.fallbacks
		cfg.fallbacks = nil
		c.fallbacks = append(append(c.fallbacks, newMember(m, cfg)), further...)
	})
}

// On says for which failures of the models before it a [Fallback] is asked. The default is
// what another model of another provider mends: [Unavailable], [Throttled] and [TimedOut].
// [TooLong] is for one that has more in view, [Filtered] for one with another filter.
func On(classes ...Class) ModelOption {
	return modelOption(func(c *modelConfig) {
		for _, class := range classes {
			if !class.valid() {
				c.errs = append(c.errs, durable.Fail(durable.ErrInvalid.Code, "On(%q): there is no such class; use one of this package, such as agents.TooLong", string(class)))
			}
		}
		c.on = classes
	})
}

// A member is a model of a chain.
type member struct {
	Model
	modelConfig
	name string // of its provider and itself
}

func newMember(m Model, c modelConfig) member { return member{m, c, modelName(m)} }

// modelName names a model to those who share a limit or a breaker of it. A model says who
// its provider is by a method Provider() string.
func modelName(m Model) string {
	if p := providerOf(m); p != "" {
		return p + "/" + m.Name()
	}
	return m.Name()
}

// takes reports whether a member is asked after a failure of a class.
func (m *member) takes(c Class) bool {
	if m.on == nil {
		return c.passes()
	}
	return slices.Contains(m.on, c)
}

// chain returns the models of an agent, the first one first.
func (a *agent) chain() []member {
	return append([]member{newMember(a.model, a.call)}, a.call.fallbacks...)
}

// checkModels returns what is wrong with the models and their options.
func (a *agent) checkModels() (errs []error) {
	if a.model == nil {
		return []error{durable.Fail(durable.ErrInvalid.Code, "it has no model; give it one with UseModel")}
	}
	for _, m := range a.chain() {
		errs = append(append(errs, m.errs...), errOf(m.Model))
	}
	return slices.DeleteFunc(errs, func(err error) bool { return err == nil })
}

// An asking is a model call under way: what its attempts know of each other. Each attempt
// is one request to one model; the step of the call counts them.
type asking struct {
	chain   []member
	longest time.Duration // that the run waits until a model can be asked
	waited  time.Duration // of that
	cheap   bool          // a budget has gone on with a cheaper model
	paid    bool          // there is a budget: what may have been charged for ends the step

	mu       sync.Mutex
	attempts int // so many have begun or ended: one that the engine has left behind says nothing more
	at       int // which is asked
	tally    tally
	over     []passedOver
	hold     *hold // nobody can be asked before
	ended    bool  // for good
	bill     bill  // of the answer
	failure  Class // of the last request
	breakers *breakers
}

// A passedOver is a model that another one is asked in place of.
type passedOver struct {
	name string
	why  string
	hold time.Duration // 0: it failed
}

// A hold is why, and for how long, a model may not be asked.
type hold struct {
	class Class
	wait  time.Duration
	why   string
}

// A postponement is what is recorded of a model call that is to be made later.
type postponement struct {
	Wait time.Duration `json:"wait"` // nanoseconds
	Why  string        `json:"why"`
}

// asking returns what a model call begins with.
func (v *conversation) asking() *asking {
	k := &asking{chain: v.candidates(), longest: v.call.longestWait(), waited: v.waited, tally: tally{}, paid: v.purse != nil, cheap: v.purse != nil && v.purse.cheap}
	if v.behind < len(k.chain) {
		k.at = v.behind
	}
	return k
}

// lead makes the model of a request the first one, which settings may have changed since the
// last call. A cheaper one that a budget has gone on with stays.
func (k *asking) lead(m Model) {
	if k.cheap {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.chain[0] = newMember(m, k.chain[0].modelConfig)
}

// passed returns the model that is asked after a call of which is not known what it cost,
// which has to be settled first; 0 for the first one again.
func (k *asking) passed() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return max(k.following(k.failure), 0)
}

// stepOptions are those of the step of the call.
func (k *asking) stepOptions() []durable.StepOption {
	// An attempt bounds its parts itself; the engine's timeout is for one that does not
	// return.
	longest := 10 * time.Second
	for i := range k.chain {
		longest += 2 * k.patient(i)
	}
	timeout := slices.MaxFunc(k.chain, func(a, b member) int { return cmp.Compare(a.timeout, b.timeout) }).timeout
	return []durable.StepOption{durable.RetryBy(k.again), durable.Timeout(timeout + longest)}
}

func (k *asking) patient(i int) time.Duration {
	return k.chain[i].patient(i == len(k.chain)-1)
}

// attempt makes one request to the model whose turn it is. Where none can be asked now, the
// call is postponed.
func (k *asking) attempt(ctx context.Context, req *Request) (*Response, *postponement, error) {
	k.mu.Lock()
	k.attempts++
	mine := k.attempts
	k.mu.Unlock()
	for {
		turn, ok := k.turn(ctx)
		if !ok {
			return k.postpone(ctx)
		}
		m := turn.member
		b := bill{asked: m.Name()}
		r, h, err := m.request(turn.ctx, req, turn.last, turn.filtered, &b)
		if err != nil {
			k.failed(ClassOf(err))
		}
		switch {
		case !k.listens(mine):
			return nil, nil, errors.New("the attempt was left behind")
		case err != nil && len(k.chain) > 1:
			return nil, nil, fmt.Errorf("model %s: %w", m.Name(), err)
		case err != nil:
			return nil, nil, err
		case h == nil:
			k.annotate(ctx)
			k.bills(b)
			return r, nil, nil
		}
		k.held(ctx, h)
	}
}

// bills notes what an answer came to beside its usage.
func (k *asking) bills(b bill) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.bill = b
}

func (k *asking) billed() bill {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.bill
}

func (k *asking) failed(c Class) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.failure = c
}

// A turn is a model's that is to be asked.
type turn struct {
	*member
	ctx      context.Context
	last     bool // there is no other model behind it
	filtered bool // an answer that is withheld is a failure
}

// turn returns whose turn it is; ok is false if nobody can be asked now.
func (k *asking) turn(ctx context.Context) (_ turn, ok bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.hold != nil {
		return turn{}, false
	}
	m := &k.chain[k.at]
	if k.at > 0 {
		// Another model's answer is another thing than the first one's.
		ctx = durable.WithKey(ctx, fmt.Sprintf("model%d", k.at+1))
	}
	if m.trip != nil {
		k.breakers = breakersOf(commonsOf(ctx))
	}
	return turn{m, ctx, k.at == len(k.chain)-1, k.mends(Filtered)}, true
}

// listens reports whether the engine has not given an attempt up.
func (k *asking) listens(attempt int) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.attempts == attempt
}

// request makes one request to a model, or says why it may not. filtered means that an
// answer which is withheld is a failure.
func (m *member) request(ctx context.Context, req *Request, last, filtered bool, bl *bill) (*Response, *hold, error) {
	patience := m.patient(last)
	commons := commonsOf(ctx)
	var p *pass
	if m.trip != nil {
		b := breakersOf(commons).get(ctx, m.breaker())
		admitted, wait, err := b.admit(ctx, m.trip, patience)
		if err != nil {
			return nil, nil, err
		}
		if p = admitted; p == nil {
			return nil, &hold{Unavailable, wait, "its breaker is open"}, nil
		}
	}
	var permit *permit
	if m.rate != nil {
		taken, wait, err := rateOf(commons, m.name, m.rate.window).take(ctx, *m.rate, req, patience)
		if err != nil || taken == nil {
			p.leave(ctx)
		}
		switch {
		case err != nil:
			return nil, nil, err
		case taken == nil:
			return nil, &hold{Throttled, wait, "its rate limit is used up"}, nil
		}
		permit = taken
	}
	r, err := m.generate(ctx, req, bl)
	if err == nil && r.FinishReason == "content_filter" && filtered {
		err = Classify(durable.Fail(ErrRefused.Code, "the provider's filter withheld the answer; change the message or the instructions"), Filtered)
		unsay(ctx, err)
	}
	p.end(ctx, err)
	if err != nil {
		modelFailed(ctx, m.name, ClassOf(err))
		return nil, nil, err
	}
	permit.settle(ctx, r.Usage)
	used(ctx, m.name, r.Usage)
	return r, nil, nil
}

func (m *member) breaker() string {
	if m.trip.Name != "" {
		return m.trip.Name
	}
	return m.name
}

// spare lets a second request of a race through, if there is room for it at once.
func (m *member) spare(ctx context.Context, req *Request) bool {
	if m.rate == nil {
		return true
	}
	p, _, err := rateOf(commonsOf(ctx), m.name, m.rate.window).take(ctx, *m.rate, req, 0)
	return err == nil && p != nil
}

// generate makes one request to a model, within its timeout.
func (m *member) generate(ctx context.Context, req *Request, b *bill) (*Response, error) {
	callCtx, cancel := context.WithTimeout(ctx, m.timeout)
	defer cancel()
	r, err := hedged(callCtx, m, req, func() bool { return m.spare(callCtx, req) }, b)
	if err != nil {
		if ctx.Err() == nil && callCtx.Err() != nil && !errors.Is(err, ErrModel) {
			return nil, &durable.Error{Code: durable.ErrTimeout.Code, Message: "the model did not answer within " + m.timeout.String()}
		}
		return nil, err
	}
	if r == nil {
		return nil, errors.New("the model returned neither a response nor an error")
	}
	copied := *r
	if !r.Usage.counts() {
		b.none, copied.Usage = true, Usage{}
	}
	return &copied, nil
}

// mends reports whether another attempt, or another model, is made for a failure of a class.
func (k *asking) mends(c Class) bool {
	if _, own := k.chain[k.at].retry.classes[c]; own {
		return true
	}
	return k.following(c) >= 0
}

// following returns which model is asked after a failure of a class, -1 for none.
func (k *asking) following(c Class) int {
	for i := k.at + 1; i < len(k.chain); i++ {
		if k.chain[i].takes(c) {
			return i
		}
	}
	return -1
}

// next goes on to the model that is asked after a failure of a class, if there is one.
func (k *asking) next(ctx context.Context, c Class, why string, wait time.Duration) bool {
	i := k.following(c)
	if i < 0 {
		return false
	}
	fellBack(ctx, k.chain[k.at].name, k.chain[i].name, c)
	k.over = append(k.over, passedOver{k.chain[k.at].Name(), why, wait})
	k.at, k.tally = i, tally{}
	return true
}

// held goes on from a model that may not be asked now.
func (k *asking) held(ctx context.Context, h *hold) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.next(ctx, h.class, h.why, h.wait) {
		k.hold = k.soonest(h)
	}
}

// soonest returns which of the models that may not be asked now may be first.
func (k *asking) soonest(h *hold) *hold {
	first := *h
	for _, p := range k.over {
		if p.hold > 0 && p.hold < first.wait {
			first.wait = p.hold
		}
	}
	return &first
}

// again is the retry policy of the step.
func (k *asking) again(_ int, err error) (time.Duration, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.attempts++; k.ended || k.paid && mayBeCharged(err) && !isUnused(err) {
		return 0, false
	}
	ctx := context.Background() // of metrics alone
	m, c, asks := &k.chain[k.at], ClassOf(err), retryAfterOf(err)
	patience := k.patient(k.at)
	why := fmt.Sprintf("%s: %.200s", c, err)
	wait, again := m.retry.next(k.tally, c)
	switch {
	case again && (asks <= patience || k.following(c) < 0 && k.longest == 0):
		retried(ctx, m.name, c)
		return wait + min(asks, patience), true
	case k.next(ctx, c, why, asks):
		return 0, true
	case again:
		k.hold = k.soonest(&hold{c, asks, why})
		return 0, true
	case !c.passes() || k.longest == 0:
		return 0, false
	}
	// The run has used up its attempts. It waits where others would, that come now.
	var open time.Duration
	for _, p := range k.over {
		if p.hold > 0 && (open == 0 || p.hold < open) {
			open = p.hold
		}
	}
	if m.trip != nil && k.breakers != nil {
		if left := k.breakers.breaker(m.breaker()).open(); left > 0 && (open == 0 || left < open) {
			open = left
		}
	}
	if open == 0 {
		return 0, false
	}
	k.hold = &hold{c, open, why}
	return 0, true
}

// shortest is how long a run waits at least, until a model can be asked.
const shortest = 100 * time.Millisecond

// postpone has the run wait, or ends the call.
func (k *asking) postpone(ctx context.Context) (*Response, *postponement, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	h := k.hold
	k.hold = nil
	wait := max(h.wait, shortest)
	var why []string
	for _, p := range k.over {
		why = append(why, p.name+": "+p.why)
	}
	text := strings.Join(append(why, k.chain[k.at].Name()+": "+h.why), "; ")
	if k.waited+wait > k.longest {
		k.ended = true
		return nil, nil, &uncharged{&durable.Error{Code: ErrModelUnavailable.Code, Message: fmt.Sprintf("no model can be asked: %s; the first may be in %s, and the run has waited %s of the %s that WaitUpTo lets it", text, round(wait), round(k.waited), k.longest)}}
	}
	durable.Annotate(ctx, "postponed", text)
	durable.Annotate(ctx, "postponed_for", round(wait).String())
	postponed(ctx, k.chain[0].name)
	return nil, &postponement{wait, text}, nil
}

func round(d time.Duration) time.Duration { return d.Round(time.Millisecond) }

// annotate says which models did not answer before the one that did.
func (k *asking) annotate(ctx context.Context) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.over) == 0 {
		return
	}
	var all []string
	for _, p := range k.over {
		all = append(all, p.name+": "+p.why)
	}
	durable.Annotate(ctx, "fallback_from", strings.Join(all, "; "))
}

// sleep waits for what a model call was postponed by, and makes it again.
func (v *conversation) sleep(p *postponement) error {
	v.waited += p.Wait
	return durable.Sleep(v.ctx, p.Wait)
}

// commonsOf returns what the kinds of the node share whose step ctx is of.
func commonsOf(ctx context.Context) *runtime.Commons {
	if s, ok := runtime.StepFrom(ctx); ok {
		return s.Commons()
	}
	return nil
}
