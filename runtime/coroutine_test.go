package runtime

import (
	goruntime "runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/perdure/perdure/schemas"
)

func TestCoroutinesRunInTheOrderInWhichTheyBecameReady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScheduler()
		var log []string
		cos := map[string]*coroutine{}
		for _, name := range []string{"a", "b", "c"} {
			cos[name] = s.spawn(func() {
				for range 3 {
					log = append(log, name)
					cos[name].block()
				}
			}, func(e *Error) { t.Error(e) })
		}
		s.run()
		for _, name := range []string{"c", "a", "b", "a", "a", "c"} {
			cos[name].wake()
		}
		s.run()
		if want := []string{"a", "b", "c", "c", "a", "b"}; !slices.Equal(log, want) {
			t.Errorf("got %q, want %q: each once, in the order of the first wake", log, want)
		}
		s.unwind()
	})
}

func TestCoroutineThatIsDoneIsNotResumed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScheduler()
		n := 0
		co := s.spawn(func() { n++ }, func(e *Error) { t.Error(e) })
		s.run()
		co.wake()
		s.run()
		if n != 1 || !co.done {
			t.Errorf("it ran %d times, done %v", n, co.done)
		}
		s.unwind()
	})
}

func TestPanicAndGoexitOfACoroutineAreFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScheduler()
		var got []*Error
		failed := func(e *Error) { got = append(got, e) }
		s.spawn(func() { panic("boom") }, failed)
		s.spawn(func() { goruntime.Goexit() }, failed)
		s.run()
		if len(got) != 2 || got[0].Message != "panic: boom" || !strings.Contains(got[0].Details, "coroutine_test.go") || !strings.Contains(got[1].Message, "Goexit") {
			t.Errorf("got %v", got)
		}
		s.unwind()
	})
}

// TestUnwindingRunsDeferredCallsAndEndsEveryGoroutine: the bubble fails if one
// is left.
func TestUnwindingRunsDeferredCallsAndEndsEveryGoroutine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScheduler()
		var log []string
		var blocked *coroutine
		blocked = s.spawn(func() {
			defer func() { log = append(log, "deferred") }()
			defer func() { log = append(log, "recovered:"+boolean(recover() == nil)) }()
			blocked.block()
			log = append(log, "went on")
		}, func(e *Error) { t.Error(e) })
		s.run()
		s.spawn(func() { log = append(log, "never begun") }, func(e *Error) { t.Error(e) })
		s.unwind()
		if want := []string{"recovered:true", "deferred"}; !slices.Equal(log, want) {
			t.Errorf("got %q, want %q", log, want)
		}
	})
}

func boolean(b bool) string {
	if b {
		return "true"
	}
	return "false"
}

// TestVerbsInDeferredCallsOfARunThatIsDroppedDoNothing: whichever verb it is,
// the deferred call ends there, and those before it run.
func TestVerbsInDeferredCallsOfARunThatIsDroppedDoNothing(t *testing.T) {
	for name, verb := range map[string]func(c *Context){
		"step":    func(c *Context) { c.Step("x", nil, StepOptions{}) },
		"after":   func(c *Context) { c.After("x", 0) },
		"go":      func(c *Context) { c.Go("x", func(*Context) (any, error) { return nil, nil }) },
		"call":    func(c *Context) { c.Call("x", Target{Identity: warehouse}, nil) },
		"send":    func(c *Context) { c.Send("x", Target{Identity: warehouse}, nil) },
		"now":     func(c *Context) { c.Now() },
		"id":      func(c *Context) { c.NewID() },
		"rand":    func(c *Context) { c.Rand() },
		"state":   func(c *Context) { c.SetState(nil) },
		"scope":   func(c *Context) { c.WithCancel() },
		"timeout": func(c *Context) { c.WithTimeout(time.Hour) },
		"without": func(c *Context) { c.WithoutCancel() },
		"group":   func(c *Context) { c.Group() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var log []string
				h := func(c *Context, _ *schemas.Payload) (*schemas.Payload, error) {
					d, cancel := c.WithTimeout(time.Hour)
					defer func() { log = append(log, "first") }()
					defer func() {
						verb(c)
						log = append(log, "went on")
					}()
					defer cancel()
					_, err := d.Wait(d.After("sleep", time.Minute))
					return nil, err
				}
				k := &Kind{Name: "shop", Stateful: true, Methods: map[string]Method{"": {Handler: h}}}
				r := newRun(schemas.Identity{Kind: "shop", Key: "a"}.Run("1"), k, "test", nil, discard())
				if err := applyEntry(r, 1, (&Executor{cfg: &Config{}}).newEntry(&schemas.Event{Kind: &schemas.Event_Started{Started: &schemas.Started{}}})); err != nil {
					t.Fatal(err)
				}
				issued := len(r.issued)
				r.drop()
				if want := []string{"first"}; !slices.Equal(log, want) || len(r.issued) != issued || r.finished {
					t.Errorf("deferred calls: %q, want %q; %d verbs were issued, finished %v", log, want, len(r.issued)-issued, r.finished)
				}
			})
		})
	}
}

// TestScopesThatAreOverAreForgotten, so that a loop of them costs no memory.
func TestScopesThatAreOverAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := func(c *Context, _ *schemas.Payload) (*schemas.Payload, error) {
			for range 100 {
				_, cancel := c.WithTimeout(time.Hour)
				cancel()
			}
			_, err := c.Wait(c.After("sleep", time.Hour))
			return nil, err
		}
		k := &Kind{Name: "shop", Stateful: true, Methods: map[string]Method{"": {Handler: h}}}
		r := newRun(schemas.Identity{Kind: "shop", Key: "a"}.Run("1"), k, "test", nil, discard())
		defer r.drop()
		if err := applyEntry(r, 1, (&Executor{cfg: &Config{}}).newEntry(&schemas.Event{Kind: &schemas.Event_Started{Started: &schemas.Started{}}})); err != nil {
			t.Fatal(err)
		}
		if n := len(r.root.children); n != 0 {
			t.Errorf("%d scopes are kept", n)
		}
		if n := len(r.root.futures); n != 1 {
			t.Errorf("%d futures are waited for, want the sleep", n)
		}
	})
}
