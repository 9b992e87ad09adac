package runtime_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/perdure/perdure/runtime"
	"github.com/perdure/perdure/runtime/runtimetest"
	"github.com/perdure/perdure/schemas"
	"pgregory.net/rapid"
)

// A verb is one thing that a random program does; kids are the verbs within it.
type verb struct {
	op   string
	n    int
	fail bool // its error ends the sequence that it is in
	kids [][]verb
}

// programs draws sequences of verbs, whose results do not depend on how long
// anything takes.
func programs(depth int) *rapid.Generator[[]verb] {
	ops := []string{
		"step", "step", "fails", "retried", "panics", "once", "async", "window", "sleep", "race",
		"call", "call", "ask", "start", "forget", "send", "send", "id", "rand", "timeout", "cancel", "told", "same", "join",
		"await", "await", "undo", "version", "status", "again", "attribute", "beats", "question", "update", "attach", "attach",
	}
	if depth > 0 {
		ops = append(ops, "branches", "branches", "scope")
	}
	return rapid.Custom(func(t *rapid.T) []verb {
		return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) verb {
			v := verb{op: rapid.SampledFrom(ops).Draw(t, "op"), n: rapid.IntRange(0, 3).Draw(t, "n"), fail: rapid.IntRange(0, 9).Draw(t, "fail") == 0}
			if v.op == "branches" || v.op == "scope" {
				v.kids = rapid.SliceOfN(programs(depth-1), 1, 3).Draw(t, "kids")
			}
			return v
		}), 0, 4).Draw(t, "verbs")
	})
}

// awaits is how many signals a program waits for.
func awaits(program []verb) (n int) {
	for _, v := range program {
		if v.op == "await" {
			n++
		}
		for _, kid := range v.kids {
			n += awaits(kid)
		}
	}
	return n
}

// effects counts what steps did, by the key that they would give to the far
// side.
type effects struct {
	mu   sync.Mutex
	done map[string]int
	sent map[schemas.Ref]bool // runs that messages were issued for
}

func (e *effects) issued(f *runtime.Future) *runtime.Future {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.sent[f.Ref()] = true
	return f
}

func (e *effects) happen(ctx context.Context) {
	if ctx.Err() != nil {
		return // the process is dead, or the step was told to stop
	}
	s, _ := runtime.StepFrom(ctx)
	e.mu.Lock()
	defer e.mu.Unlock()
	e.done[s.IdempotencyKey()]++
}

// body returns a step that takes n seconds, unless it is told to stop.
func (e *effects) body(n int, s string) runtime.StepFunc {
	return func(ctx context.Context) (*schemas.Payload, error) {
		e.happen(ctx)
		select {
		case <-time.After(time.Duration(n) * time.Second):
			return text(s), nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// run executes a sequence and returns what was seen.
func (e *effects) run(c *runtime.Context, program []verb) (string, error) {
	var seen []string
	for _, v := range program {
		got, err := e.verb(c, v)
		if err != nil {
			got = code(err)
		}
		if seen = append(seen, v.op+"="+got); err != nil && v.fail {
			return strings.Join(seen, " "), err
		}
	}
	return strings.Join(seen, " "), nil
}

func (e *effects) verb(c *runtime.Context, v verb) (string, error) {
	switch v.op {
	case "step":
		return step(c, "step", e.body(v.n, "done"))
	case "fails":
		return step(c, "fails", func(ctx context.Context) (*schemas.Payload, error) {
			e.happen(ctx)
			return nil, runtime.Errorf("no", "no")
		})
	case "retried":
		attempt := 0
		return step(c, "retried", func(context.Context) (*schemas.Payload, error) {
			if attempt++; attempt < 2+v.n {
				return nil, fmt.Errorf("attempt %d", attempt)
			}
			return text("at last"), nil
		})
	case "panics":
		return result(c, c.Step("panics", func(context.Context) (*schemas.Payload, error) { panic("boom") }, runtime.StepOptions{Retry: runtime.RetryPolicy{Attempts: 1}}))
	case "once":
		return result(c, c.Step("once", e.body(v.n, "paid"), runtime.StepOptions{Once: true, IfUnknown: give("paid")}))
	case "async", "window":
		return e.many(c, v)
	case "sleep":
		return result(c, c.After("sleep", []time.Duration{0, 500 * time.Millisecond, time.Minute, 20 * time.Hour}[v.n]))
	case "race":
		i, err := c.Wait(c.After("late", 30*time.Hour), c.Step("first", e.body(v.n, ""), runtime.StepOptions{}))
		return fmt.Sprint(i), err
	case "id":
		return c.NewID(), nil
	case "rand":
		return fmt.Sprint(c.Rand().IntN(1000)), nil
	case "branches":
		return e.branches(c, v)
	case "await":
		return result(c, c.Await("go"))
	case "undo":
		c.Compensate("undo", e.body(v.n, ""), runtime.StepOptions{})
		return "", nil
	case "beats":
		return step(c, "beats", func(ctx context.Context) (*schemas.Payload, error) {
			s, _ := runtime.StepFrom(ctx)
			for range 1 + v.n {
				if err := s.Heartbeat(text("on the way")); err != nil {
					return nil, err
				}
				if _, err := e.body(2, "")(ctx); err != nil {
					return nil, err
				}
			}
			return text("there"), nil
		})
	case "question":
		d, cancel := c.WithTimeout(time.Duration(v.n) * time.Hour)
		defer cancel()
		return result(d, d.Ask(&schemas.Asked{Name: "question", Question: text("?")}))
	case "version":
		return fmt.Sprint(c.Version(fmt.Sprint("change ", v.n), 0, 1)), nil
	case "status":
		c.SetStatus(text(fmt.Sprint(v.n)))
		return "", nil
	case "attribute":
		return "", c.SetAttribute(fmt.Sprint("of-", v.n), attr(int64(c.Rand().IntN(1000))))
	}
	if s, err, ok := e.message(c, v); ok {
		return s, err
	}
	return e.scoped(c, v)
}

// many executes steps at the same time: all at once, or two at a time.
func (e *effects) many(c *runtime.Context, v verb) (string, error) {
	limit := 10
	if v.op == "window" {
		limit, c = 2, c.Group()
	}
	var all, running []*runtime.Future
	for i := 0; i < 4 || len(running) > 0; {
		if i < 4 && len(running) < limit {
			f := c.Step("many", e.body((i+v.n)%4, fmt.Sprint(i)), runtime.StepOptions{})
			all, running = append(all, f), append(running, f)
			i++
			continue
		}
		done, err := c.Wait(running...)
		if err != nil {
			return "", err
		}
		running = slices.Delete(running, done, done+1)
	}
	var s strings.Builder
	for _, f := range all {
		p, err := f.Outcome()
		if err != nil {
			return "", err
		}
		s.WriteString(string(p.GetData()))
	}
	return s.String(), nil
}

func (e *effects) branches(c *runtime.Context, v verb) (string, error) {
	var fs []*runtime.Future
	for _, kid := range v.kids {
		fs = append(fs, c.Go("branch", func(c *runtime.Context) (any, error) {
			s, err := e.run(c, kid)
			return s, err
		}))
	}
	s, failed := "", error(nil)
	for _, f := range slices.Backward(fs) {
		if _, err := c.Wait(f); err != nil {
			return "", err
		}
		got, err := f.Value()
		s += fmt.Sprintf("(%v)", got)
		if err != nil {
			failed = err
		}
	}
	return s, failed
}

// message calls, starts or sends; to which of a few keys is the verb's.
func (e *effects) message(c *runtime.Context, v verb) (s string, err error, ok bool) {
	key := fmt.Sprint(v.n)
	switch v.op {
	case "call":
		s, err = result(c, e.issued(c.Call("count", to("counter", key), text("1"))))
	case "ask":
		s, err = result(c, e.issued(c.Call("ask", to("clerk", key), text(key))))
	case "start":
		f := e.issued(c.Start("start", to("clerk", key), text(key)))
		if _, err = result(c, c.After("meanwhile", time.Minute)); err == nil {
			s, err = result(c, f)
		}
	case "forget":
		s = string(e.issued(c.Start("forget", to("clerk", key), text(key))).Ref().Kind)
	case "update":
		s, err = result(c, e.issued(c.Call("update", to("updated", key), text(key))))
	case "again":
		s, err = result(c, e.issued(c.Call("again", to("loop", key), text(key))))
	case "same":
		target := to("counter", "same")
		target.ID = "the same for all"
		s, err = result(c, e.issued(c.Call("same", target, text("1"))))
	case "join": // two wait for one run, which is open when the second comes
		target := to("clerk", key)
		target.ID = "for both"
		f, g := e.issued(c.Start("join", target, text(key))), e.issued(c.Start("join", target, text(key)))
		if s, err = result(c, g); err == nil {
			s, err = result(c, f)
		}
	case "attach": // to a run that is open, then over, then to none
		f := e.issued(c.Start("start", to("clerk", key), text(key)))
		for _, when := range []string{"open", "over"} {
			got, failed := result(c, c.Attach(when, f.Ref()))
			s += got + " "
			if err = failed; err != nil {
				break
			}
		}
		if _, none := result(c, c.Attach("none", to("clerk", "nobody").Run(schemas.RunID(key)))); err == nil || code(err) == "busy" {
			s, err = s+code(err)+code(none), nil
		}
	case "send":
		_, err = e.issued(c.Send("send", to("counter", key), text("1"))).Outcome()
	default:
		return "", nil, false
	}
	return s, err, true
}

func (e *effects) scoped(c *runtime.Context, v verb) (string, error) {
	switch v.op {
	case "scope":
		d, cancel := c.WithTimeout(500 * time.Hour)
		defer cancel()
		return e.run(d, v.kids[0])
	case "timeout":
		d, cancel := c.WithTimeout(10 * time.Minute)
		defer cancel()
		_, err := result(d, d.Step("slow", e.body(3600, ""), runtime.StepOptions{}))
		_, err2 := result(d, d.Call("call", to("counter", "never"), text("1")))
		return fmt.Sprintf("%s %s", code(err), code(err2)), nil
	case "cancel":
		d, cancel := c.WithCancel()
		f, g := d.After("never", time.Hour), d.Step("never", e.body(3600, ""), runtime.StepOptions{})
		cancel()
		_, err := result(d, f)
		_, err2 := result(d, g)
		return fmt.Sprintf("%s %s", code(err), code(err2)), nil
	case "told":
		d, cancel := c.WithCancel()
		f := d.Step("told", e.body(3600, ""), runtime.StepOptions{})
		if _, err := result(c, c.After("meanwhile", time.Second)); err != nil {
			return "", err
		}
		cancel()
		_, err := result(d, f)
		return code(err), nil
	}
	panic(v.op)
}

// updated is a kind whose runs end when they have been updated.
func (e *effects) updated() *runtime.Kind {
	return kind("updated", func(c *runtime.Context, in string) (string, error) {
		set := ""
		c.HandleUpdate("set", runtime.UpdateHandler{Handle: func(c *runtime.Context, to *schemas.Payload) (*schemas.Payload, error) {
			s, err := step(c, "set", e.body(2, string(to.GetData())))
			set = s
			return text(s), err
		}})
		if _, err := result(c, c.Until("set", func() bool { return set != "" })); err != nil {
			return "", err
		}
		_, err := result(c, c.After("rest", time.Minute))
		return in + set, err
	})
}

// loop is a kind whose runs continue as new as often as they are asked to.
func (e *effects) loop() *runtime.Kind {
	return &runtime.Kind{Name: "loop", Type: "workflow", Methods: map[string]runtime.Method{"": {
		Handler: func(c *runtime.Context, in *schemas.Payload) (*schemas.Payload, error) {
			n := string(in.GetData())
			if _, err := step(c, "round", e.body(1, n)); err != nil {
				return nil, err
			}
			if _, err := result(c, c.After("rest", time.Minute)); err != nil {
				return nil, err
			}
			if e.issued(c.Send("send", to("counter", n), text("1"))); n == "0" {
				return text(fmt.Sprint("round ", c.Info().Generation)), nil
			}
			e.issued(c.Start("forget", to("clerk", n), text("1")))
			return nil, c.ContinueAsNew(text(string(n[0] - 1)))
		},
	}}}
}

// An outcome is what is compared between the undisturbed and the disturbed
// execution of a program.
type outcome struct {
	Results map[string]string // by run, of every run that there was
	States  map[string]string
	Wrong   []string

	points     []string
	kinds      [][]string // of each point
	executions map[string]int
	once       int // the most effects of a step that is marked so
}

// A plan is what disturbs an execution.
type plan struct {
	crashes   map[int]runtimetest.When
	passivate bool
	alarms    bool
	latency   []int         // of points, in turn, in 700 ms
	cancel    time.Duration // when a cancellation is asked for; 0: never
	pauses    []int         // what passes between a pause, its end, another pause and so on, in seconds
}

// world is one of the kinds that a program needs, which is their kind main.
func (e *effects) world(program []verb) *runtimetest.World {
	counter := kind("counter", func(c *runtime.Context, in string) (string, error) {
		c.SetState(text(string(c.State().GetData()) + in))
		return "counted", nil
	})
	main := kind("main", func(c *runtime.Context, _ string) (string, error) {
		s, err := e.run(c, program)
		c.SetState(text(s))
		return s, err
	})
	counter.Stateful, main.Stateful = true, true
	clerk := kind("clerk", func(c *runtime.Context, in string) (string, error) {
		if _, err := step(c, "think", e.body(1, "")); err != nil {
			return "", err
		}
		if in == "3" {
			return "", runtime.Errorf("busy", "no time")
		}
		return result(c, c.Call("count", to("counter", in), text("1")))
	})
	w := runtimetest.NewWorld(main, counter, clerk, e.loop(), e.updated())
	w.AutoRestart = true
	w.Configure = func(c *runtime.Config) { c.MaxTaken = len(program) % 2 * 2 } // some leave memory as soon as they can
	w.OnMessage = func(to schemas.Identity, env *schemas.Envelope) {
		if to.Kind == "updated" && env.GetType() == schemas.Envelope_TASK {
			id := env.GetId()
			go w.Send(to, &schemas.Envelope{Type: schemas.Envelope_UPDATE, Id: "set " + id, Run: id, Method: "set", Payload: text(" set")})
		}
	}
	return w
}

// execute executes a program in a world of its own.
func execute(t *testing.T, program []verb, by plan) (o outcome) {
	e := &effects{done: map[string]int{}, sent: map[schemas.Ref]bool{}}
	synctest.Test(t, func(t *testing.T) {
		w := e.world(program)
		w.Passivate, w.Alarms = by.passivate, by.alarms
		var points atomic.Int64
		w.OnPoint = func(string) {
			<-time.After(time.Duration(by.latency[int(points.Add(1))%len(by.latency)]) * 700 * time.Millisecond)
		}
		for n, when := range by.crashes {
			w.CrashAt(when, n)
		}
		w.Start()
		ctx, cancel := context.WithTimeout(t.Context(), 2000*time.Hour)
		defer cancel()
		w.Task(ref("main", "a", "1"), "", nil)
		for i := range awaits(program) {
			w.Signal(ref("main", "a", "1"), fmt.Sprint("signal ", i), "go", text("gone"))
		}
		for i, wait := range by.pauses {
			<-time.After(time.Duration(wait) * time.Second)
			w.Control(ref("main", "a", "1"), fmt.Sprint("control ", i), []schemas.Control_Action{pause, resume}[i%2])
		}
		if len(by.pauses)%2 == 1 {
			w.Control(ref("main", "a", "1"), "go on", resume)
		}
		if by.cancel > 0 {
			<-time.After(by.cancel)
			w.Cancel(ref("main", "a", "1"), "c")
		}
		if err := w.Settle(ctx); err != nil {
			o.Wrong = append(o.Wrong, err.Error())
		}
		<-time.After(2 * time.Hour) // bodies that were left behind end
		e.mu.Lock()
		done, sent := maps.Clone(e.done), maps.Clone(e.sent)
		e.mu.Unlock()
		o.Results, o.States = map[string]string{}, map[string]string{}
		for _, s := range w.Journal.All() {
			rec := s.Entry.GetRecord()
			o.Results[s.Ref.String()] = fmt.Sprintf("%v %s %s %s", rec.GetStatus(), rec.GetResult().GetData(), rec.GetError().GetCode(), shownAttributes(rec.GetAttributes()))
			st, _, err := w.States.Get(t.Context(), s.Ref.Identity)
			if err != nil {
				o.Wrong = append(o.Wrong, err.Error())
			}
			o.States[s.Ref.Identity.String()] = string(st.GetValue().GetData())
		}
		for r := range sent {
			if o.Results[r.String()] == "" && by.cancel == 0 {
				o.Wrong = append(o.Wrong, "a message was issued for "+r.String()+", which never ran")
			}
		}
		for id, state := range o.States {
			runs := 0
			for r := range o.Results {
				if strings.HasPrefix(r, id+"/") && !strings.HasPrefix(o.Results[r], schemas.Status_CANCELLED.String()) { // with its caller
					runs++
				}
			}
			if strings.HasPrefix(id, "counter/") && len(state) != runs {
				o.Wrong = append(o.Wrong, fmt.Sprintf("%s counted %d of %d runs", id, len(state), runs))
			}
		}
		completed := map[string]int{}
		for _, s := range w.Journal.History() {
			if s.Entry.Replaces() { // its numbers begin again
				maps.DeleteFunc(completed, func(k string, _ int) bool { return strings.HasPrefix(k, s.Ref.String()+" ") })
			}
			for _, ev := range s.Entry.GetEvents() {
				if c := ev.GetStepCompleted(); c != nil {
					if completed[s.Ref.String()+" "+c.GetPath()]++; completed[s.Ref.String()+" "+c.GetPath()] > 1 {
						o.Wrong = append(o.Wrong, "recorded twice: "+s.Ref.String()+" "+c.GetPath())
					}
					if c.GetName() == "once" {
						o.once = max(o.once, done[runtime.DeriveID("test", s.Ref, "step", c.GetPath())])
					}
				}
			}
		}
		o.points, o.kinds, o.executions = w.Points(), w.Kinds(), w.Executions()
		o.Wrong = append(o.Wrong, w.Close()...)
	})
	return o
}

var sides = rapid.SampledFrom([]runtimetest.When{runtimetest.Before, runtimetest.After})

// A complaint is what a comparison fails: a test, or a random one of rapid.
type complaint interface {
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
}

// undisturbed executes a program without crashes.
func undisturbed(t *testing.T, rt complaint, program []verb, by plan) outcome {
	quiet := execute(t, program, by)
	for k, n := range quiet.executions {
		if n != 1 {
			rt.Errorf("undisturbed, step %s was executed %d times", k, n)
		}
	}
	if len(quiet.Wrong) > 0 {
		rt.Fatalf("undisturbed: %q", quiet.Wrong)
	}
	return quiet
}

// disturbed executes a program with the crashes of by, and compares.
func disturbed(t *testing.T, rt complaint, program []verb, by plan, quiet outcome) outcome {
	got := execute(t, program, by)
	exported := cmp.FilterPath(func(p cmp.Path) bool {
		f, ok := p.Last().(cmp.StructField)
		return ok && f.Name()[0] >= 'a'
	}, cmp.Ignore())
	if diff := cmp.Diff(quiet, got, exported); diff != "" {
		rt.Errorf("disturbed it ends otherwise (-undisturbed +disturbed):\n%s\npoints %q", diff, got.points)
	}
	for _, k := range slices.Sorted(maps.Keys(got.executions)) {
		if n := got.executions[k]; n > 1+len(by.crashes) {
			rt.Errorf("step %s was executed %d times with %d crashes", k, n, len(by.crashes))
		}
	}
	if got.once > 1 {
		rt.Errorf("the effect of a step that is marked once happened %d times", got.once)
	}
	return got
}

// cancelled executes a program that is cancelled: what it returns is its own
// affair, but it ends, and leaves nothing.
func cancelled(t *testing.T, rt complaint, program []verb, by plan) outcome {
	o := execute(t, program, by)
	if len(o.Wrong) > 0 || o.once > 1 || o.Results["main/a/1"] == "" {
		rt.Errorf("%q, once %d, result %q\npoints %q", o.Wrong, o.once, o.Results["main/a/1"], o.points)
	}
	return o
}

// TestRandomProgramsUnderCrashes executes random programs with crashes before and
// after random writes, sends and acknowledgements: results and states are those
// of the undisturbed execution, nothing is left over, no recorded step runs again,
// and none more often than there were processes. Others are cancelled at random
// times, and those that are compared are paused and resumed at random times. It
// logs at which kinds of write the processes crashed, and fails if one
// of the kinds is not among them, on either side.
func TestRandomProgramsUnderCrashes(t *testing.T) {
	crashed := newTally()
	latency := rapid.SliceOfN(rapid.IntRange(0, 3), 1, 7)
	for i := range 6 { // a hundred programs each
		t.Run(fmt.Sprint("compared ", i), func(t *testing.T) {
			rapid.Check(t, func(rt *rapid.T) {
				program := programs(2).Draw(rt, "program")
				by := plan{passivate: rapid.Bool().Draw(rt, "passivate"), alarms: rapid.Bool().Draw(rt, "alarms"), latency: latency.Draw(rt, "latency")}
				quiet := undisturbed(t, rt, program, by)
				by.crashes = rapid.MapOfN(rapid.IntRange(1, 2*len(quiet.points)), sides, 1, 8).Draw(rt, "crashes")
				by.pauses = rapid.SliceOfN(rapid.IntRange(0, 30), 0, 4).Draw(rt, "pauses")
				crashed.add(disturbed(t, rt, program, by, quiet), by.crashes)
			})
		})
	}
	t.Run("cancelled", func(t *testing.T) {
		rapid.Check(t, func(rt *rapid.T) {
			program := programs(2).Draw(rt, "program")
			by := plan{
				passivate: rapid.Bool().Draw(rt, "passivate"),
				alarms:    rapid.Bool().Draw(rt, "alarms"),
				latency:   latency.Draw(rt, "latency"),
				crashes:   rapid.MapOfN(rapid.IntRange(1, 60), sides, 0, 8).Draw(rt, "crashes"),
				cancel:    time.Duration(rapid.IntRange(1, 40).Draw(rt, "cancel")) * 500 * time.Millisecond,
			}
			crashed.add(cancelled(t, rt, program, by), by.crashes)
		})
	})
	t.Run("rare", func(t *testing.T) { rare(t, crashed) })
	t.Logf("the processes crashed at %s", crashed)
	for _, k := range crashed.missed() {
		t.Errorf("no process crashed before and after a write of the kind %q: let a random program do it, or give a reason in never", k)
	}
}
