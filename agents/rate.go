package agents

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/runtime"
	"github.com/perdure/perdure/schemas"
)

// A Rate is what a provider lets through of a model: [PerMinute] or [PerSecond].
type Rate interface{ rule() rateRule }

// PerMinute is a rate in any 60 seconds. 0 is no limit.
type PerMinute struct {
	Requests int64
	Tokens   int64 // of requests and answers
}

func (p PerMinute) rule() rateRule { return rateRule{p.Requests, p.Tokens, time.Minute} }

// PerSecond is a rate in any second, as [PerMinute] is one in any minute.
type PerSecond struct{ Requests, Tokens int64 }

func (p PerSecond) rule() rateRule { return rateRule{p.Requests, p.Tokens, time.Second} }

// A rateRule is a limit of what is let through in any time of a window's length.
type rateRule struct {
	requests, tokens int64
	window           time.Duration
}

// RateLimit keeps the requests to a model, from all nodes of the namespace together, within
// what the provider allows. A request waits for its turn, in the order in which they came,
// within [Patience], and while it waits it is no attempt; who would have to wait longer asks
// the next [Fallback], or waits as [WaitUpTo] says. It costs a message to NATS for a request.
//
// How many tokens a request takes is not known before it is answered: it is estimated by its
// length, and by what recent answers of the model took, and put right afterwards by what the
// provider says. A failed request has taken what was estimated.
func RateLimit(r Rate) ModelOption {
	return modelOption(func(c *modelConfig) {
		if r == nil {
			r = PerMinute{}
		}
		rule := r.rule()
		if rule.requests < 0 || rule.tokens < 0 || rule.requests+rule.tokens == 0 {
			c.errs = append(c.errs, durable.Fail(durable.ErrInvalid.Code, "RateLimit: %d requests and %d tokens in %s; give at least one of them, above 0", rule.requests, rule.tokens, rule.window))
		}
		c.rate = &rule
	})
}

// spanOf is what is counted as one moment. The nodes' clocks may differ by as much.
func spanOf(window time.Duration) time.Duration { return max(window/60, 50*time.Millisecond) }

// A span is what was let through in one of the spans of a window.
type span struct {
	At       int64 `json:"at"` // its number, since 1970
	Requests int64 `json:"requests"`
	Tokens   int64 `json:"tokens"`
}

// A place is where a node stands in the queue: by the time at which its first came.
type place struct {
	By    string `json:"by"`
	Since int64  `json:"since"` // in milliseconds
	Seen  int64  `json:"seen"`  // likewise: the node is there
}

// spent is what the nodes have let through of late, as it is stored.
type spent struct {
	By    string  `json:"by"` // names the write
	Spans []span  `json:"spans"`
	Queue []place `json:"queue,omitempty"`
}

// A rateLimit is one of a node.
type rateLimit struct {
	commons *runtime.Commons
	name    string
	key     string
	window  time.Duration
	turn    chan struct{} // holds a token while one takes; others wait in their order

	// Of who has the turn:
	spent spent
	rev   uint64
	known bool
	write uint64

	waits atomic.Int64 // how long the last one waited, in nanoseconds

	mu       sync.Mutex
	owed     map[int64]int64 // tokens by span that were not estimated, and are not stored
	perByte  float64         // tokens of a request
	perReply float64         // tokens of an answer
}

type rateKey struct {
	name   string
	window time.Duration
}

// ratePrefix is below what the keys of rate limits are.
const ratePrefix = "rate"

func rateOf(c *runtime.Commons, name string, window time.Duration) *rateLimit {
	r, _ := c.Value(rateKey{name, window}, func() any {
		return &rateLimit{
			commons: c, name: name, key: ratePrefix + "." + schemas.EncodeToken(name) + "." + window.String(), window: window, turn: make(chan struct{}, 1),
			owed: map[int64]int64{}, perByte: 0.3, perReply: 300,
		}
	}).(*rateLimit)
	return r
}

// A permit is what a request was let through with.
type permit struct {
	r      *rateLimit
	limit  rateRule
	at     int64 // span
	tokens int64 // that were estimated
	bytes  int64
}

// take returns a permit, or how long there is none yet, if that is longer than patience.
func (r *rateLimit) take(ctx context.Context, limit rateRule, req *Request, patience time.Duration) (_ *permit, hold time.Duration, err error) {
	p := &permit{r: r, limit: limit, bytes: size(req)}
	p.tokens = r.estimate(p.bytes)
	if limit.tokens > 0 && p.tokens > limit.tokens {
		return nil, 0, Classify(durable.Fail(ErrModel.Code, "the request takes about %d tokens, and RateLimit lets %d through in %s; make it shorter, or raise the limit", p.tokens, limit.tokens, limit.window), TooLong)
	}
	since := time.Now()
	defer func() { rateWaited(ctx, r.name, time.Since(since)) }()
	if ok, err := r.begin(ctx, patience); err != nil || !ok {
		return nil, max(time.Duration(r.waits.Load()), patience, spanOf(r.window)), err
	}
	defer r.end()
	for fresh := r.known; ; fresh = false {
		if !fresh {
			if err := r.load(ctx); err != nil {
				return nil, 0, err
			}
		}
		now := time.Now()
		wait := r.room(now, limit, p.tokens)
		r.waits.Store(int64(wait))
		behind := r.behind(now, since)
		left := patience - now.Sub(since)
		switch {
		case wait == 0 && !behind:
			p.at = now.UnixNano() / int64(spanOf(r.window))
			r.add(p.at, 1, p.tokens)
			r.leave()
			if ok, err := r.store(ctx); err != nil {
				return nil, 0, err
			} else if !ok {
				continue
			}
			return p, 0, nil
		case wait > left || left <= 0:
			r.giveUp(ctx)
			return nil, max(wait, spanOf(r.window)), nil
		}
		if r.stand(now, since) {
			if ok, err := r.store(ctx); err != nil || !ok {
				if err != nil {
					return nil, 0, err
				}
				continue
			}
		}
		// Others may give back what they did not need, or go before.
		again := time.NewTimer(max(min(cmp.Or(wait, spanOf(r.window)/4), left, spanOf(r.window)), time.Millisecond))
		select {
		case <-again.C:
		case <-ctx.Done():
			again.Stop()
			r.giveUp(context.WithoutCancel(ctx))
			return nil, 0, ctx.Err()
		}
	}
}

// begin waits, within patience, until nobody else of this node takes, and reports whether
// that came to be; who came first is first. end is called after it.
func (r *rateLimit) begin(ctx context.Context, patience time.Duration) (bool, error) {
	select {
	case r.turn <- struct{}{}: // also by who has no patience
		return true, nil
	default:
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case r.turn <- struct{}{}:
		return true, nil
	case <-timer.C:
		return false, nil
	case <-ctx.Done():
		return false, ctx.Err()
	}
}

func (r *rateLimit) end() { <-r.turn }

// load reads what the nodes have let through.
func (r *rateLimit) load(ctx context.Context) error {
	r.known = true
	keys := r.commons.Keys()
	if keys == nil {
		return nil
	}
	value, rev, ok, err := keys.Get(ctx, r.key)
	if err != nil {
		r.known = false
		return fmt.Errorf("read what the rate limit of all nodes has left: %w", err)
	}
	r.spent, r.rev = spent{}, 0
	if ok && json.Unmarshal(value, &r.spent) == nil {
		r.rev = rev
	} else if ok {
		r.spent, r.rev = spent{}, rev
	}
	return nil
}

// store writes what they have, and reports whether nobody else has meanwhile.
func (r *rateLimit) store(ctx context.Context) (bool, error) {
	r.mu.Lock()
	owed := maps.Clone(r.owed)
	r.mu.Unlock()
	for at, tokens := range owed {
		r.correct(at, tokens)
	}
	keys := r.commons.Keys()
	if keys == nil {
		r.paid(owed)
		return true, nil
	}
	r.write++
	r.spent.By = r.commons.Node() + " " + strconv.FormatUint(r.write, 10)
	value, err := json.Marshal(r.spent)
	if err != nil {
		return false, err
	}
	out, err := keys.Put(ctx, r.key, value, r.rev, 3*r.window)
	switch {
	case err != nil:
		r.known = false
		return false, fmt.Errorf("take from the rate limit of all nodes: %w", err)
	case out.Fenced:
		return false, nil
	}
	r.rev = out.Seq
	r.paid(owed)
	return true, nil
}

// paid takes what is stored off what is owed.
func (r *rateLimit) paid(owed map[int64]int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for at, tokens := range owed {
		if r.owed[at] -= tokens; r.owed[at] == 0 {
			delete(r.owed, at)
		}
	}
}

// expires is when what was let through in a span counts no more: a window behind its end,
// and a span more, since clocks differ.
func (r *rateLimit) expires(at int64) time.Time {
	return time.Unix(0, (at+2)*int64(spanOf(r.window))).Add(r.window)
}

// room returns how long there is no room yet for a request of so many tokens.
func (r *rateLimit) room(now time.Time, limit rateRule, tokens int64) time.Duration {
	r.spent.Spans = slices.DeleteFunc(r.spent.Spans, func(s span) bool { return !now.Before(r.expires(s.At)) })
	requests := int64(1)
	for _, s := range r.spent.Spans {
		requests += s.Requests
		tokens += s.Tokens
	}
	r.mu.Lock()
	for at, n := range r.owed {
		if slices.ContainsFunc(r.spent.Spans, func(s span) bool { return s.At == at }) {
			tokens += n
		}
	}
	r.mu.Unlock()
	fits := func() bool {
		return (limit.requests == 0 || requests <= limit.requests) && (limit.tokens == 0 || tokens <= limit.tokens)
	}
	if fits() {
		return 0
	}
	for _, s := range r.spent.Spans {
		requests -= s.Requests
		tokens -= s.Tokens
		if fits() {
			return r.expires(s.At).Sub(now)
		}
	}
	return r.window
}

// add notes what is let through.
func (r *rateLimit) add(at, requests, tokens int64) {
	i, ok := slices.BinarySearchFunc(r.spent.Spans, at, func(s span, at int64) int { return int(s.At - at) })
	if !ok {
		r.spent.Spans = slices.Insert(r.spent.Spans, i, span{At: at})
	}
	r.spent.Spans[i].Requests += requests
	r.spent.Spans[i].Tokens += tokens
}

// correct adds tokens to a span that still counts.
func (r *rateLimit) correct(at, tokens int64) {
	for i := range r.spent.Spans {
		if s := &r.spent.Spans[i]; s.At == at {
			s.Tokens = max(s.Tokens+tokens, 0)
		}
	}
}

// absent is how long ago a node may have been seen in the queue that is there still.
func (r *rateLimit) absent() int64 { return max(r.window.Milliseconds()/6, 500) }

// behind reports whether another node's first came before ours.
func (r *rateLimit) behind(now, since time.Time) bool {
	own := place{By: r.commons.Node(), Since: since.UnixMilli()}
	return slices.ContainsFunc(r.spent.Queue, func(p place) bool {
		before := p.Since < own.Since || p.Since == own.Since && p.By < own.By
		return p.By != own.By && before && now.UnixMilli()-p.Seen < r.absent()
	})
}

// stand puts the node into the queue, or says that it is there still; it reports whether
// that is to be stored.
func (r *rateLimit) stand(now, since time.Time) bool {
	own := place{r.commons.Node(), since.UnixMilli(), now.UnixMilli()}
	for _, p := range r.spent.Queue {
		if p.By == own.By && p.Since == own.Since && own.Seen-p.Seen < r.absent()/3 {
			return false
		}
	}
	r.leave()
	r.spent.Queue = append(slices.DeleteFunc(r.spent.Queue, func(p place) bool { return own.Seen-p.Seen >= r.absent() }), own)
	return true
}

// leave takes the node out of the queue, and reports whether it was there.
func (r *rateLimit) leave() bool {
	n := len(r.spent.Queue)
	r.spent.Queue = slices.DeleteFunc(r.spent.Queue, func(p place) bool { return p.By == r.commons.Node() })
	return len(r.spent.Queue) < n
}

// giveUp leaves the queue. Who cannot say so is forgotten by the others in a while.
func (r *rateLimit) giveUp(ctx context.Context) {
	if !r.leave() {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	if ok, err := r.store(ctx); err != nil || !ok {
		r.known = false
	}
}

// settle puts right what was estimated, once it is known what the request took.
func (p *permit) settle(ctx context.Context, u Usage) {
	if p == nil || u.InputTokens+u.OutputTokens == 0 {
		return
	}
	r := p.r
	r.learn(p.bytes, u)
	more := u.InputTokens + u.OutputTokens - p.tokens
	if p.limit.tokens == 0 || more == 0 {
		return
	}
	r.mu.Lock()
	r.owed[p.at] += more
	much := abs(r.owed[p.at]) >= p.limit.tokens/50
	r.mu.Unlock()
	// What is little goes with the next request, and with that of who has the turn; what is
	// much is of use to others at once.
	if !much {
		return
	}
	if ok, err := r.begin(ctx, 0); !ok || err != nil {
		return
	}
	defer r.end()
	if !r.known {
		return
	}
	for range 3 {
		ok, err := r.store(ctx)
		if err == nil && !ok {
			err = r.load(ctx)
		}
		if ok || err != nil {
			return
		}
	}
}

func abs(n int64) int64 { return max(n, -n) }

// learnt is how much of what is estimated the last answer makes up.
const learnt = 0.2

// learn takes in what a request took.
func (r *rateLimit) learn(bytes int64, u Usage) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if bytes > 0 && u.InputTokens > 0 {
		r.perByte += learnt * (float64(u.InputTokens)/float64(bytes) - r.perByte)
	}
	r.perReply += learnt * (float64(u.OutputTokens) - r.perReply)
}

// estimate returns how many tokens a request of so many bytes takes, with its answer.
func (r *rateLimit) estimate(bytes int64) int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return int64(float64(bytes)*r.perByte + r.perReply)
}

// fileSize is what a file counts as, whatever its size: providers make images smaller.
const fileSize = 4000

// size returns how long a request is, in bytes.
func size(req *Request) int64 {
	n := len(req.Instructions)
	for _, m := range req.Messages {
		n += len(m.Content) + len(m.Files)*fileSize
		for _, c := range m.ToolCalls {
			n += len(c.Name) + len(c.Arguments)
		}
		if m.Reasoning != nil {
			n += len(m.Reasoning.Data)
		}
	}
	for _, t := range req.Tools {
		n += len(t.Name) + len(t.Description) + len(t.Parameters)
	}
	if req.Output != nil {
		n += len(req.Output.Schema)
	}
	return int64(n)
}
