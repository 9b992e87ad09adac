package runtime

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"
)

var errStop = errors.New("stop")

// A step's context behaves as one of package context, whoever asks when: also what
// derives from it ends with it, by its cause.
func TestBodyContext_IsAContext(t *testing.T) {
	t.Parallel()
	type key struct{}
	for name, asked := range map[string]bool{"asked before its end": true, "never asked before": false} {
		for what, end := range map[string]func(parent context.CancelCauseFunc, c *bodyContext){
			"by itself":     func(_ context.CancelCauseFunc, c *bodyContext) { c.cancel(errStop); c.cancel(errors.New("late")) },
			"by its parent": func(parent context.CancelCauseFunc, _ *bodyContext) { parent(errStop) },
		} {
			parent, cancel := context.WithCancelCause(context.WithValue(t.Context(), key{}, "value"))
			step := &StepContext{Path: "1"}
			root := &bodyContext{parent: parent}
			c := &bodyContext{parent: root, step: step}
			child := context.WithoutCancel(c)
			if asked {
				var release context.CancelFunc
				child, release = context.WithTimeout(c, time.Hour)
				defer release()
				select {
				case <-c.Done():
					t.Errorf("%s, %s: it is done from the beginning", name, what)
				default:
				}
			}
			if c.Err() != nil || context.Cause(c) != nil {
				t.Errorf("%s, %s: it begins with %v, %v", name, what, c.Err(), context.Cause(c))
			}
			end(cancel, root)
			if !errors.Is(c.Err(), context.Canceled) || !errors.Is(context.Cause(c), errStop) {
				t.Errorf("%s, %s: it ends with %v for %v, want %v for %v", name, what, c.Err(), context.Cause(c), context.Canceled, errStop)
			}
			<-c.Done()
			if asked {
				<-child.Done()
				if !errors.Is(context.Cause(child), errStop) {
					t.Errorf("%s, %s: what derives from it ends for %v, want %v", name, what, context.Cause(child), errStop)
				}
			}
			late, release := context.WithCancel(c)
			if !errors.Is(context.Cause(late), errStop) {
				t.Errorf("%s, %s: what is derived later has ended for %v, want %v", name, what, context.Cause(late), errStop)
			}
			release()
			if s, ok := StepFrom(child); !ok || s != step || c.Value(key{}) != "value" {
				t.Errorf("%s, %s: it carries step %v, %v and value %v", name, what, s, ok, c.Value(key{}))
			}
		}
	}
}

// The end of an attempt's context is not that of its step's.
func TestBodyContext_EndsAlone(t *testing.T) {
	t.Parallel()
	root := &bodyContext{parent: t.Context()}
	c := &bodyContext{parent: root}
	c.cancel(nil)
	if !errors.Is(c.Err(), context.Canceled) || root.Err() != nil {
		t.Errorf("the attempt's has ended with %v, the step's with %v; want %v and nil", c.Err(), root.Err(), context.Canceled)
	}
	if next := (&bodyContext{parent: root}); next.Err() != nil {
		t.Errorf("the next attempt's begins with %v", next.Err())
	}
}

// Who ends it first, it or its parent, says why, also if nobody asked in between.
func TestBodyContext_EndsOnce(t *testing.T) {
	t.Parallel()
	past, release := context.WithDeadline(t.Context(), time.Now().Add(-time.Hour))
	defer release()
	parent, end := context.WithCancelCause(t.Context())
	first := &bodyContext{parent: parent}
	first.cancel(errStop)
	end(errors.New("later"))
	last := &bodyContext{parent: past}
	last.cancel(errStop)
	for name, c := range map[string]struct {
		c          *bodyContext
		err, cause error
	}{
		"before its parent": {first, context.Canceled, errStop},
		"after its parent":  {last, context.DeadlineExceeded, context.DeadlineExceeded},
	} {
		for range 2 {
			if !errors.Is(c.c.Err(), c.err) || !errors.Is(context.Cause(c.c), c.cause) {
				t.Errorf("it ended %s with %v for %v, want %v for %v", name, c.c.Err(), context.Cause(c.c), c.err, c.cause)
			}
			<-c.c.Done()
		}
	}
}

// Code that logs its arguments prints its context, whatever else happens to that.
func TestBodyContext_IsPrinted(t *testing.T) {
	t.Parallel()
	c := &bodyContext{parent: t.Context(), step: &StepContext{}}
	var wg sync.WaitGroup
	wg.Go(func() { <-c.Done() })
	wg.Go(func() { c.cancel(errStop) })
	for range 100 {
		if s := fmt.Sprintf("%v, %+v", c, context.WithoutCancel(c)); strings.Contains(s, "{") {
			t.Fatalf("it is printed as %q", s)
		}
	}
	wg.Wait()
}
