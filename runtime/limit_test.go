package runtime_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/perdure/perdure/runtime"
	"github.com/perdure/perdure/runtime/runtimetest"
	"github.com/perdure/perdure/schemas"
	"google.golang.org/protobuf/proto"
)

// limited is a kind behind limits.
func limited(k *runtime.Kind, limits ...runtime.Limit) *runtime.Kind {
	k.Limits, k.OncePerKey = limits, true
	return k
}

// concurrency is a limit of n runs at once.
func concurrency(n int) runtime.Limit { return runtime.Limit{Rule: schemas.Hold_CONCURRENCY, Max: n} }

// firstWord is a key or a tenant: what comes before the first blank of an input.
func firstWord(p *schemas.Payload) (string, error) {
	word, _, _ := strings.Cut(string(p.GetData()), " ")
	if word == "" {
		return "", errors.New("the input is empty")
	}
	return word, nil
}

// A gauge is the far side: it counts the runs that it serves at once.
type gauge struct {
	mu    sync.Mutex
	in    map[string]bool
	most  int
	order []string
}

func (g *gauge) enter(run string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.in == nil {
		g.in = map[string]bool{}
	}
	if !g.in[run] { // a step may be executed twice
		g.in[run] = true
		g.order = append(g.order, run)
	}
	g.most = max(g.most, len(g.in))
}

func (g *gauge) leave(run string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.in, run)
}

// works is a handler that is at the far side for d.
func works(g *gauge, d time.Duration) handler {
	tell := func(f func(string), run string) runtime.StepFunc {
		return func(context.Context) (*schemas.Payload, error) { f(run); return nil, nil }
	}
	return func(c *runtime.Context, in string) (string, error) {
		clean := c.WithoutCancel()
		defer func() {
			if _, err := step(clean, "leave", tell(g.leave, in)); err != nil {
				panic(err)
			}
		}()
		if _, err := step(c, "enter", tell(g.enter, in)); err != nil {
			return "", err
		}
		_, err := result(c, c.After("work", d))
		return in, err
	}
}

// TestLimit_NeverMoreThanItSays: sixty runs behind a limit of three take twenty
// times as long as one, and never are there four.
func TestLimit_NeverMoreThanItSays(t *testing.T) {
	bubble(t, func(t *testing.T) {
		g := &gauge{}
		w := world(t, limited(kind("pack", works(g, time.Hour)), concurrency(3)))
		began := time.Now()
		for i := range 60 {
			w.Task(ref("pack", fmt.Sprint(i), "1"), "", text(fmt.Sprint(i)))
		}
		for i := range 60 {
			expect(t, w, ref("pack", fmt.Sprint(i), "1"), fmt.Sprint(i))
		}
		settle(t, w)
		if g.most != 3 {
			t.Errorf("at most %d ran at once, want 3", g.most)
		}
		if took := time.Since(began).Round(time.Minute); took != 20*time.Hour {
			t.Errorf("60 runs of an hour took %s, want 20h", took)
		}
	})
}

// limitState reads what a limit keeps.
func limitState(t *testing.T, w *runtimetest.World, key string) *schemas.LimitState {
	t.Helper()
	head, ok, err := w.Journal.Head(t.Context(), schemas.Identity{Kind: "perdure-limit", Key: key})
	s := &schemas.LimitState{}
	if err != nil || !ok || proto.Unmarshal(head.Entry.GetRecord().GetState().GetData(), s) != nil {
		t.Errorf("the limit %s keeps nothing that can be read: %v", key, err)
	}
	return s
}

// nobody checks that every permit was given back.
func nobody(t *testing.T, w *runtimetest.World, key string) {
	t.Helper()
	if s := limitState(t, w, key); len(s.GetHolders())+len(s.GetWaiting()) > 0 {
		t.Errorf("the limit %s is held by %v, %v wait; all runs are over", key, s.GetHolders(), s.GetWaiting())
	}
}

// TestLimit_ACrashAnywhereNeitherLosesAPermitNorGivesOneTooMany: a process dies
// before and after every write of three runs behind a limit of one.
func TestLimit_ACrashAnywhereNeitherLosesAPermitNorGivesOneTooMany(t *testing.T) {
	play := func(t *testing.T, when runtimetest.When, n int) (points []string) {
		bubble(t, func(t *testing.T) {
			g := &gauge{}
			w := world(t, limited(kind("pack", works(g, time.Minute)), concurrency(1)))
			if n > 0 {
				w.CrashAt(when, n)
			}
			for _, in := range []string{"a", "b", "c"} {
				w.Task(ref("pack", in, "1"), "", text(in))
			}
			for _, in := range []string{"a", "b", "c"} {
				expect(t, w, ref("pack", in, "1"), in)
			}
			settle(t, w)
			if g.most != 1 {
				t.Errorf("%d ran at once, want 1", g.most)
			}
			nobody(t, w, "pack")
			points = w.Points()
		})
		return points
	}
	points := play(t, 0, 0)
	for n, what := range points {
		for _, when := range []runtimetest.When{runtimetest.Before, runtimetest.After} {
			t.Run(fmt.Sprintf("%d %d %s", when, n+1, what), func(t *testing.T) { play(t, when, n+1) })
		}
	}
}

// TestLimit_WhoIsCancelledWhileItWaitsLeavesTheQueue, and its code never begins.
func TestLimit_WhoIsCancelledWhileItWaitsLeavesTheQueue(t *testing.T) {
	bubble(t, func(t *testing.T) {
		g := &gauge{}
		w := world(t, limited(kind("pack", works(g, 10*time.Hour)), concurrency(1)))
		a, b, c := ref("pack", "a", "1"), ref("pack", "b", "1"), ref("pack", "c", "1")
		w.Task(a, "", text("a"))
		synctest.Wait()
		w.Task(b, "", text("b"))
		synctest.Wait()
		w.Task(c, "", text("c"))
		<-time.After(time.Hour) // both have left memory
		w.Cancel(b, "x")
		expect(t, w, b, "error cancelled")
		expect(t, w, c, "c")
		expect(t, w, a, "a")
		settle(t, w)
		if want := []string{"a", "c"}; !slices.Equal(g.order, want) {
			t.Errorf("%q ran, want %q", g.order, want)
		}
		nobody(t, w, "pack")
	})
}

// TestLimit_KeysHaveLimitsOfTheirOwn, below one that is common to all.
func TestLimit_KeysHaveLimitsOfTheirOwn(t *testing.T) {
	bubble(t, func(t *testing.T) {
		g := &gauge{}
		perKey := concurrency(1)
		perKey.Name, perKey.By = "region", firstWord
		w := world(t, limited(kind("pack", works(g, time.Hour)), concurrency(2), perKey))
		began := time.Now()
		inputs := []string{"eu 1", "eu 2", "eu 3", "us 1", "us 2", "us 3", "as 1"}
		for _, in := range inputs {
			w.Task(ref("pack", in, "1"), "", text(in))
		}
		for _, in := range inputs {
			expect(t, w, ref("pack", in, "1"), in)
		}
		settle(t, w)
		if took := time.Since(began).Round(time.Minute); g.most != 2 || took > 5*time.Hour {
			t.Errorf("%d at once, in %s; want 2, and no permit of all idle while its holder waits for its key", g.most, took)
		}
		for _, key := range []string{"pack", "region:eu", "region:us", "region:as"} {
			nobody(t, w, key)
		}
		expect(t, w, start(w, ref("pack", "empty", "1"), " "), "error invalid")
	})
}

// start starts a run and returns its reference.
func start(w *runtimetest.World, r schemas.Ref, in string) schemas.Ref {
	w.Task(r, "", text(in))
	return r
}

// TestLimit_PriorityOrdersTheQueue, and who came first among equals.
func TestLimit_PriorityOrdersTheQueue(t *testing.T) {
	bubble(t, func(t *testing.T) {
		g := &gauge{}
		w := world(t, limited(kind("pack", works(g, time.Hour)), concurrency(1)))
		for i, p := range []int32{0, 0, 5, -1, 9, 5} {
			in := fmt.Sprintf("%d/%d", i, p)
			w.Send(schemas.Identity{Kind: "pack", Key: fmt.Sprint(i)}, &schemas.Envelope{Type: schemas.Envelope_TASK, Id: "1", Priority: p, Payload: text(in)})
			synctest.Wait()
		}
		expect(t, w, ref("pack", "3", "1"), "3/-1")
		settle(t, w)
		if want := []string{"0/0", "4/9", "2/5", "5/5", "1/0", "3/-1"}; !slices.Equal(g.order, want) {
			t.Errorf("the order is %q, want %q", g.order, want)
		}
	})
}

// TestLimit_GoesRoundTheTenants: one who sends a hundred does not hold up one who
// sends two.
func TestLimit_GoesRoundTheTenants(t *testing.T) {
	bubble(t, func(t *testing.T) {
		g := &gauge{}
		fair := concurrency(2)
		fair.Tenant = firstWord
		w := world(t, limited(kind("pack", works(g, time.Hour)), fair))
		var last schemas.Ref
		for i := range 20 {
			last = start(w, ref("pack", fmt.Sprint("big", i), "1"), fmt.Sprint("big ", i))
			synctest.Wait()
		}
		for i := range 2 {
			start(w, ref("pack", fmt.Sprint("small", i), "1"), fmt.Sprint("small ", i))
			synctest.Wait()
		}
		expect(t, w, last, "big 19")
		settle(t, w)
		if i := slices.Index(g.order, "small 0"); i < 0 || i > 3 {
			t.Errorf("the small tenant's first ran as number %d of %q, want it among the next two", i+1, g.order)
		}
		if i := slices.Index(g.order, "small 1"); i < 0 || i > 5 {
			t.Errorf("the small tenant's second ran as number %d of %q, want it in the next turn", i+1, g.order)
		}
		if g.most != 2 {
			t.Errorf("%d at once, want 2", g.most)
		}
	})
}

// TestLimit_ARateSpreadsRuns: a burst at once, and then one an interval.
func TestLimit_ARateSpreadsRuns(t *testing.T) {
	bubble(t, func(t *testing.T) {
		began := time.Now()
		var mu sync.Mutex
		var at []time.Duration
		h := func(c *runtime.Context, in string) (string, error) {
			return step(c, "begin", func(context.Context) (*schemas.Payload, error) {
				mu.Lock()
				defer mu.Unlock()
				at = append(at, time.Since(began).Round(time.Second))
				return nil, nil
			})
		}
		w := world(t, limited(kind("mail", h), runtime.Limit{Rule: schemas.Hold_RATE, Interval: time.Minute, Burst: 3}))
		for i := range 6 {
			w.Task(ref("mail", fmt.Sprint(i), "1"), "", text(""))
			synctest.Wait()
		}
		settle(t, w)
		if want := []time.Duration{0, 0, 0, time.Minute, 2 * time.Minute, 3 * time.Minute}; !slices.Equal(at, want) {
			t.Errorf("the runs began after %v, want %v", at, want)
		}
		<-time.After(time.Hour)
		for i := range 4 { // the burst is there again
			w.Task(ref("mail", fmt.Sprint("later", i), "1"), "", text(""))
			synctest.Wait()
		}
		settle(t, w)
		first := at[6]
		if want := []time.Duration{first, first, first, first + time.Minute}; !slices.Equal(at[6:], want) {
			t.Errorf("an hour later the runs began after %v, want %v", at[6:], want)
		}
	})
}

// TestLimit_WhoIsCancelledBeforeItsTurnDoesNotBegin: of a rate, as of a permit.
func TestLimit_WhoIsCancelledBeforeItsTurnDoesNotBegin(t *testing.T) {
	bubble(t, func(t *testing.T) {
		g := &gauge{}
		w := world(t, limited(kind("mail", works(g, time.Second)), runtime.Limit{Rule: schemas.Hold_RATE, Interval: time.Hour, Burst: 1}))
		a := start(w, ref("mail", "a", "1"), "a")
		synctest.Wait()
		b := start(w, ref("mail", "b", "1"), "b")
		<-time.After(time.Minute)
		w.Cancel(b, "x")
		expect(t, w, b, "error cancelled")
		expect(t, w, a, "a")
		settle(t, w)
		if !slices.Equal(g.order, []string{"a"}) {
			t.Errorf("%q ran, want a", g.order)
		}
	})
}

// TestLimit_ADeploymentChangesIt: a smaller one lets nobody go before enough have
// ended, a larger one grants with what is asked next.
func TestLimit_ADeploymentChangesIt(t *testing.T) {
	bubble(t, func(t *testing.T) {
		g := &gauge{}
		h := works(g, time.Hour)
		w := world(t, limited(kind("pack", h), concurrency(3)))
		deploy := func(n int) {
			w.Processes()[len(w.Processes())-1].Drain()
			w.Deploy(limited(kind("pack", h), concurrency(n)))
			w.Start()
			<-time.After(time.Minute)
			g.mu.Lock()
			defer g.mu.Unlock()
			g.most = len(g.in)
		}
		for i := range 9 {
			start(w, ref("pack", fmt.Sprint(i), "1"), fmt.Sprint(i))
		}
		<-time.After(time.Minute)
		deploy(1)
		start(w, ref("pack", "9", "1"), "9")
		<-time.After(90 * time.Minute) // the three of before have ended, one went on
		g.mu.Lock()
		if len(g.order) != 4 || len(g.in) != 1 {
			t.Errorf("after a deployment of a limit of 1: %d have begun, %d go on; want 4 and 1", len(g.order), len(g.in))
		}
		g.mu.Unlock()
		deploy(5)
		start(w, ref("pack", "10", "1"), "10")
		<-time.After(time.Minute)
		g.mu.Lock()
		if len(g.in) != 5 {
			t.Errorf("after a deployment of a limit of 5 %d go on, want 5", len(g.in))
		}
		g.mu.Unlock()
		settle(t, w)
		if len(g.order) != 11 || g.most != 5 {
			t.Errorf("%d runs ran, at most %d at once; want 11 and 5", len(g.order), g.most)
		}
	})
}

// TestLimit_ARunThatEveryHolderWaitsForIsADeadlock, and said.
func TestLimit_ARunThatEveryHolderWaitsForIsADeadlock(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := func(c *runtime.Context, in string) (string, error) {
			if in == "" {
				return "", nil
			}
			return result(c, c.Call("deeper", to("tree", in[1:]+"."), text(in[1:])))
		}
		w := world(t, limited(kind("tree", h), concurrency(2)))
		expect(t, w, start(w, ref("tree", "root", "1"), "x"), "")
		expect(t, w, start(w, ref("tree", "top", "1"), "xx"), "error deadlock")
		settle(t, w)
		nobody(t, w, "tree")
	})
}

// TestLimit_APermitForARunThatIsOverIsGivenBack: a message that a dead process
// had sent comes late.
func TestLimit_APermitForARunThatIsOverIsGivenBack(t *testing.T) {
	bubble(t, func(t *testing.T) {
		g := &gauge{}
		w := world(t, limited(kind("pack", works(g, time.Minute)), concurrency(1)))
		var late *schemas.Envelope
		w.OnMessage = func(to schemas.Identity, env *schemas.Envelope) {
			if env.GetMethod() == "acquire" && late == nil {
				late = env
			}
		}
		expect(t, w, start(w, ref("pack", "a", "1"), "a"), "a")
		settle(t, w)
		w.Send(schemas.Identity{Kind: "perdure-limit", Key: "pack"}, late)
		settle(t, w)
		nobody(t, w, "pack")
		expect(t, w, start(w, ref("pack", "b", "1"), "b"), "b")
	})
}

// TestLimit_ASingletonRefusesOrAttaches a run that finds it taken.
func TestLimit_ASingletonRefusesOrAttaches(t *testing.T) {
	for _, attach := range []bool{false, true} {
		bubble(t, func(t *testing.T) {
			g := &gauge{}
			one := runtime.Limit{Rule: schemas.Hold_SINGLETON, By: firstWord, Attach: attach}
			w := world(t, limited(kind("report", works(g, time.Hour)), one))
			a := start(w, ref("report", "a", "1"), "eu a")
			synctest.Wait()
			b := start(w, ref("report", "b", "1"), "eu b")
			other := start(w, ref("report", "c", "1"), "us c")
			want := "error busy"
			if attach {
				want = "eu a"
			}
			rec := expect(t, w, b, want)
			if !attach {
				if f, err := runtime.FailedStep(b, journalOf(t, w, b)); code(err) != "conflict" || !strings.Contains(err.Error(), "a limit of its kind refused it before its code ran (report/a/1 is open") {
					t.Errorf("what a limit refused is retried by %v, %v", f, err)
				}
			}
			if attach && rec.GetSupersededBy() != a.String() {
				t.Errorf("the record of %s says that %q took its place, want %s", b, rec.GetSupersededBy(), a)
			}
			expect(t, w, a, "eu a")
			expect(t, w, other, "us c")
			settle(t, w)
			expect(t, w, start(w, ref("report", "d", "1"), "eu d"), "eu d")
			settle(t, w)
			nobody(t, w, "report-singleton:eu")
		})
	}
}

// TestLimit_ADebounceLetsTheLastOfABurstGo, once it is quiet, or when the first
// has waited for long.
func TestLimit_ADebounceLetsTheLastOfABurstGo(t *testing.T) {
	bubble(t, func(t *testing.T) {
		g := &gauge{}
		quiet := runtime.Limit{Rule: schemas.Hold_DEBOUNCE, By: firstWord, Interval: time.Minute, Longest: 5 * time.Minute}
		w := world(t, limited(kind("index", works(g, time.Second)), quiet))
		var refs []schemas.Ref
		for i := range 4 {
			refs = append(refs, start(w, ref("index", fmt.Sprint(i), "1"), fmt.Sprint("doc ", i)))
			<-time.After(30 * time.Second)
		}
		for i, r := range refs[:3] {
			rec := expect(t, w, r, "error superseded")
			if by, err := schemas.ParseRef(rec.GetSupersededBy()); err != nil || by.Key <= r.Key || rec.GetStatus() != schemas.Status_CANCELLED {
				t.Errorf("run %d is %s, superseded by %q; want cancelled, by a later one", i, rec.GetStatus(), rec.GetSupersededBy())
			}
		}
		expect(t, w, refs[3], "doc 3")
		for i := range 20 { // they never stop coming
			start(w, ref("index", fmt.Sprint("b", i), "1"), fmt.Sprint("doc b", i))
			<-time.After(30 * time.Second)
		}
		settle(t, w)
		if n := len(g.order); n < 3 || n > 4 {
			t.Errorf("%q ran, want one every five minutes", g.order)
		}
		nobody(t, w, "index-debounce:doc")
	})
}

// TestLimit_ARunThatContinuesAsNewKeepsItsPermit, and gives it back in the end.
func TestLimit_ARunThatContinuesAsNewKeepsItsPermit(t *testing.T) {
	bubble(t, func(t *testing.T) {
		g := &gauge{}
		work := works(g, time.Hour)
		h := func(c *runtime.Context, in string) (string, error) {
			out, err := work(c, in)
			if n := len(in); err == nil && n < 4 && in[0] == 'x' {
				return "", c.ContinueAsNew(text(in + "x"))
			}
			return out, err
		}
		w := world(t, limited(kind("pack", h), concurrency(1), runtime.Limit{Rule: schemas.Hold_RATE, Interval: time.Minute, Burst: 1}))
		a := start(w, ref("pack", "a", "1"), "x")
		synctest.Wait()
		b := start(w, ref("pack", "b", "1"), "b")
		expect(t, w, a, "xxxx")
		expect(t, w, b, "b")
		settle(t, w)
		if want := []string{"x", "xx", "xxx", "xxxx", "b"}; !slices.Equal(g.order, want) || g.most != 1 {
			t.Errorf("%q ran, at most %d at once; want %q, one at a time", g.order, g.most, want)
		}
		nobody(t, w, "pack")
	})
}

// TestLimit_ARateHoldsAfterAnOutage: runs whose times went by while no process was
// there do not begin all at once; they ask for other times.
func TestLimit_ARateHoldsAfterAnOutage(t *testing.T) {
	bubble(t, func(t *testing.T) {
		began := time.Now()
		var mu sync.Mutex
		var at []time.Duration
		h := func(c *runtime.Context, in string) (string, error) {
			return step(c, "begin", func(context.Context) (*schemas.Payload, error) {
				mu.Lock()
				defer mu.Unlock()
				at = append(at, time.Since(began).Round(time.Second))
				return nil, nil
			})
		}
		w := world(t, limited(kind("mail", h), runtime.Limit{Rule: schemas.Hold_RATE, Interval: time.Minute, Burst: 1}))
		for i := range 8 {
			w.Task(ref("mail", fmt.Sprint(i), "1"), "", text(""))
			synctest.Wait()
		}
		<-time.After(90 * time.Second)
		w.AutoRestart = false
		w.Processes()[0].Kill()
		<-time.After(4 * time.Minute)
		w.Start()
		settle(t, w)
		if len(at) != 8 {
			t.Fatalf("%d runs began, want 8", len(at))
		}
		for i := 2; i < len(at); i++ {
			if at[i]-at[i-2] < time.Minute {
				t.Errorf("the runs began after %v: three within a minute", at)
				break
			}
		}
	})
}
