package runtime

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// TestBodyContext_IsLikeThoseOfPackageContext: two chains of contexts, of which one is
// of package context alone, say the same, whatever is done with both in whichever order.
func TestBodyContext_IsLikeThoseOfPackageContext(t *testing.T) {
	t.Parallel()
	for seed := range uint64(500) {
		synctest.Test(t, func(t *testing.T) { likeContexts(t, rand.New(rand.NewPCG(seed, 2)), seed) })
	}
}

// A chain is a parent, a step's context, and that of its attempt, with what derives
// from them.
type chain struct {
	all  []context.Context
	ends []func(error)
	ran  []*atomic.Bool // by AfterFunc
}

func (c *chain) add(ctx context.Context, end func(error)) {
	c.all, c.ends = append(c.all, ctx), append(c.ends, end)
}

func (c *chain) derive(how int, from context.Context) {
	end := func() {}
	switch how {
	case 0:
		from, end = context.WithCancel(from)
	case 1:
		from, end = context.WithTimeoutCause(from, 3*time.Second, errStop)
	case 2:
		from = context.WithValue(from, stepKey{}, how)
	case 3:
		from = context.WithoutCancel(from)
	case 4:
		ran := new(atomic.Bool)
		c.ran = append(c.ran, ran)
		forget := context.AfterFunc(from, func() { ran.Store(true) })
		end = func() { forget() }
	}
	c.add(from, func(error) { end() })
}

// says is what a context tells, asked in an order.
func (c *chain) says(i int, order int) (s string) {
	ctx := c.all[i]
	for k := range 4 {
		switch (k + order) % 4 {
		case 0:
			s += fmt.Sprint(" err ", ctx.Err())
		case 1:
			s += fmt.Sprint(" cause ", context.Cause(ctx))
		case 2:
			if ctx.Done() == nil {
				s += " never"
				break
			}
			select {
			case <-ctx.Done():
				s += " done"
			default:
			}
		case 3:
			d, ok := ctx.Deadline()
			s += fmt.Sprint(" until ", d, ok)
		}
	}
	for _, ran := range c.ran {
		s += fmt.Sprint(" ", ran.Load())
	}
	return s
}

func likeContexts(t *testing.T, rng *rand.Rand, seed uint64) {
	var want, got chain
	limit := time.Duration(1+rng.IntN(30)) * time.Second
	bounded := func(c *chain) context.Context {
		ctx, end := context.WithTimeoutCause(t.Context(), limit, errors.New("the parent's"))
		c.add(ctx, func(error) { end() })
		return ctx
	}
	wants, gots := bounded(&want), bounded(&got)
	for range 2 {
		ctx, end := context.WithCancelCause(wants)
		want.add(ctx, end)
		body := &bodyContext{parent: gots}
		got.add(body, body.cancel)
		wants, gots = ctx, body
	}
	for op := range 30 {
		i, what, how := rng.IntN(len(want.all)), rng.IntN(10), rng.IntN(5)
		switch what {
		case 0, 1:
			cause := fmt.Errorf("ended by %d", op)
			want.ends[i](cause)
			got.ends[i](cause)
		case 2, 3, 4:
			want.derive(how, want.all[i])
			got.derive(how, got.all[i])
		case 5:
			<-time.After(time.Second)
			synctest.Wait() // what was due is over
		default:
			synctest.Wait()
			if w, g := want.says(i, how), got.says(i, how); g != w {
				t.Errorf("seed %d, operation %d: context %d says%s; package context's says%s", seed, op, i, g, w)
			}
		}
	}
	for i := range want.all { // all of them, those that were never asked as well
		synctest.Wait()
		if w, g := want.says(i, i), got.says(i, i); g != w {
			t.Errorf("seed %d, at last: context %d says%s; package context's says%s", seed, i, g, w)
		}
	}
	for i := range want.all {
		want.ends[i](nil)
		got.ends[i](nil)
	}
}

// TestBodyContext_AtOnce: nobody who uses it at the same moment as others, or ends it,
// waits for ever, and it stays ended.
func TestBodyContext_AtOnce(t *testing.T) {
	t.Parallel()
	for range 300 {
		parent, end := context.WithCancelCause(t.Context())
		root := &bodyContext{parent: parent}
		c := &bodyContext{parent: root, step: &StepContext{}}
		var all sync.WaitGroup
		for _, do := range []func(){
			func() { c.cancel(errStop) }, func() { root.cancel(errStop) }, func() { end(errStop) },
			func() { <-c.Done() }, func() { <-root.Done() },
			func() { context.AfterFunc(c, func() {}) },
			func() {
				ctx, release := context.WithCancel(c)
				release()
				<-ctx.Done()
			},
			func() {
				ctx, release := context.WithTimeout(root, time.Hour)
				defer release()
				<-ctx.Done()
			},
			func() {
				for c.Err() == nil {
					runtime.Gosched()
				}
				if !errors.Is(context.Cause(c), errStop) || c.Err() == nil {
					t.Errorf("it has ended with %v for %v", c.Err(), context.Cause(c))
				}
			},
			func() { _ = c.String() },
		} {
			all.Go(do)
		}
		all.Wait()
	}
}
