package agents

import (
	"context"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"github.com/perdure/perdure/durable"
)

// Hedge asks a model a second time when it has not answered after so long, and takes the
// answer that comes first: of a model that streams, the one that begins first. The other
// request is cancelled. It costs a second request, and what the provider takes for one that
// is broken off, so give it a time that few requests take, such as the 95th percentile. A
// second request that the [RateLimit] has no room for at once is not made.
//
// The second request has an idempotency key of its own, made of the step's ([durable.WithKey]):
// with the same, a provider that keeps to it would make the second wait for the first. What
// both report is counted in the usage.
func Hedge(after time.Duration) ModelOption {
	return modelOption(func(c *modelConfig) {
		if c.hedge = after; after <= 0 {
			c.errs = append(c.errs, durable.Fail(durable.ErrInvalid.Code, "Hedge(%s): give the time after which a second request is made, above 0", after))
		}
	})
}

// A race is between two requests for one answer.
type race struct {
	mu      sync.Mutex
	winner  *entrant
	leading chan struct{} // closed once there is a winner
}

// An entrant is one of the requests.
type entrant struct {
	race   *race
	cancel context.CancelFunc
}

type entrantKey struct{}

// heard is told that a part of the answer has come, and reports whether this is the answer
// to listen to. An entrant that is nil runs alone.
func (e *entrant) heard() bool {
	if e == nil {
		return true
	}
	e.race.mu.Lock()
	defer e.race.mu.Unlock()
	if e.race.winner == nil {
		e.race.winner = e
		close(e.race.leading)
	}
	return e.race.winner == e
}

// entrantOf returns the request that ctx is of, nil for one that is alone.
func entrantOf(ctx context.Context) *entrant {
	e, _ := ctx.Value(entrantKey{}).(*entrant)
	return e
}

// A finish is how a request of a race ended.
type finish struct {
	by  *entrant
	r   *Response
	err error
}

// loserGrace is how long a request that is cancelled may take to end, and to say what it
// has cost.
const loserGrace = time.Second

// hedged makes a call, and a second one where the first takes longer than after; spare
// lets a second one through. What a request may have cost that does not say it is noted
// in b.
func hedged(ctx context.Context, m *member, req *Request, spare func() bool, b *bill) (*Response, error) {
	if m.hedge == 0 {
		return recovered(func() (*Response, error) { return callModel(ctx, m.Model, req) })
	}
	ctx, end := context.WithCancel(ctx)
	defer end()
	ra := &race{leading: make(chan struct{})}
	ends := make(chan finish, 2) // room for both: nobody has to wait for who lost
	var all []*entrant
	enter := func(ctx context.Context) {
		e := &entrant{race: ra}
		ctx, e.cancel = context.WithCancel(context.WithValue(ctx, entrantKey{}, e))
		all = append(all, e)
		go func() {
			defer e.cancel()
			f := finish{by: e}
			defer func() { ends <- f }()
			f.r, f.err = recovered(func() (*Response, error) { return callModel(ctx, m.Model, req) })
		}()
	}
	enter(ctx)
	timer := time.NewTimer(m.hedge)
	defer timer.Stop()
	leading := ra.leading
	var extra Usage
	var broke error // of a request that may have been charged for
	for running := 1; ; {
		select {
		case <-timer.C:
			ra.mu.Lock()
			leads := ra.winner != nil
			ra.mu.Unlock()
			if !leads && spare() {
				enter(durable.WithKey(ctx, "hedge"))
				running++
				hedgeMade(ctx, m.name)
			}
		case <-leading:
			leading = nil
			for _, e := range all {
				if e != ra.winner {
					e.cancel()
				}
			}
		case f := <-ends:
			running--
			ra.mu.Lock()
			lead := ra.winner
			ra.mu.Unlock()
			switch {
			case lead != nil && lead != f.by:
				extra = extra.plus(b.lost(f))
			case f.err != nil && lead == nil && running > 0: // the other goes on
				b.lost(f)
				if !free(f.err) {
					broke = f.err
				}
			case f.err != nil && broke != nil && free(f.err):
				return nil, broke
			case f.err != nil || f.r == nil:
				return f.r, f.err
			default:
				if len(all) > 1 {
					durable.Annotate(ctx, "hedge", map[bool]string{true: "the first answered", false: "the second answered"}[f.by == all[0]])
				}
				end()
				won := *f.r
				won.Usage = won.Usage.plus(extra).plus(b.losers(ends, running))
				return &won, nil
			}
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// losers returns what the requests that lost have cost, as far as they say it.
func (b *bill) losers(ends <-chan finish, running int) (u Usage) {
	t := time.NewTimer(loserGrace)
	defer t.Stop()
	for ; running > 0; running-- {
		select {
		case f := <-ends:
			u = u.plus(b.lost(f))
		case <-t.C:
			b.unsaid += running
			return u
		}
	}
	return u
}

// recovered calls a model, whose panic is an error.
func recovered(call func() (*Response, error)) (r *Response, err error) {
	defer func() {
		if v := recover(); v != nil {
			r, err = nil, &durable.Error{Code: durable.ErrPanic.Code, Message: fmt.Sprintf("panic: %v", v), Details: string(debug.Stack())}
		}
	}()
	return call()
}

func (u Usage) plus(o Usage) Usage {
	return Usage{
		u.InputTokens + o.InputTokens, u.OutputTokens + o.OutputTokens,
		u.CachedTokens + o.CachedTokens, u.ReasoningTokens + o.ReasoningTokens,
	}
}
