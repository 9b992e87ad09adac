package perdure_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/perdure/perdure/actors"
	"github.com/perdure/perdure/agents"
	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/durable/schedules"
)

// The workflows whose journals are frozen in testdata/compat. Never change what
// one of them asks for: a journal of it would not agree any more, and that is
// what its users would see. Add another one, under another name. The bodies of
// steps are not replayed, and may change.

var (
	compatFinish  = durable.DeclareSignal[string]("finish")
	compatGo      = durable.DeclareSignal[int]("go")
	compatSteps   = durable.DeclareWorkflow[int, string]("compat-steps")
	compatFanOut  = durable.DeclareWorkflow[int, string]("compat-fan-out")
	compatWaits   = durable.DeclareWorkflow[int, string]("compat-waits")
	compatCalls   = durable.DeclareWorkflow[int, string]("compat-calls")
	compatChild   = durable.DeclareWorkflow[int, int]("compat-child")
	compatJoined  = durable.DeclareWorkflow[int, string]("compat-joined")
	compatParent  = durable.DeclareWorkflow[string, string]("compat-parent")
	compatSaga    = durable.DeclareWorkflow[int, string]("compat-saga")
	compatCancel  = durable.DeclareWorkflow[int, string]("compat-cancelled")
	compatVersion = durable.DeclareWorkflow[int, string]("compat-versions")
	compatMoved   = durable.DeclareWorkflow[int, string]("compat-taken-over")
	compatParked  = durable.DeclareWorkflow[int, string]("compat-parked")
	compatFill    = durable.Declare[int, int]("compat-shelf.fill")
	compatTake    = durable.Declare[int, int]("compat-shelf.take")
	compatCount   = durable.Declare[int, string]("compat-shelf.count")
	compatAgent   = durable.Declare[string, string]("compat-agent")
)

// A compatPhase is which build of the kinds a node has while journals are made:
// the last one is the code that they are replayed against, for ever.
type compatPhase int

const (
	compatFirst  compatPhase = iota // before versions are made
	compatBroken                    // compat-parked asks for something else
	compatNow
)

func compatKinds(phase compatPhase) []*durable.Kind {
	return slices.Concat(compatFirstKinds(phase), compatLongKinds())
}

// compatReplayed are the kinds that journals are replayed with: those that every
// node hosts are among them.
func compatReplayed() []*durable.Kind { return append(compatKinds(compatNow), schedules.Kind("")) }

func compatFirstKinds(phase compatPhase) []*durable.Kind {
	return []*durable.Kind{
		durable.Workflow(compatSteps, frozenSteps),
		durable.Workflow(compatFanOut, frozenFanOut),
		durable.Workflow(compatWaits, frozenWaits),
		durable.Workflow(compatCalls, frozenCalls),
		durable.Workflow(compatChild, func(ctx durable.Context, n int) (int, error) {
			if n < 0 {
				return 0, durable.Fail("negative", "asked for %d", n)
			}
			return n + 1, durable.Sleep(ctx, time.Millisecond)
		}),
		durable.Workflow(compatJoined, func(ctx durable.Context, _ int) (string, error) { return durable.Await(ctx, compatFinish) }),
		durable.Workflow(compatParent, func(ctx durable.Context, key string) (string, error) {
			return durable.Call(ctx, compatJoined.At(key), 1)
		}),
		durable.Workflow(compatSaga, frozenSaga),
		durable.Workflow(compatCancel, frozenCancel),
		durable.Workflow(compatVersion, func(ctx durable.Context, n int) (string, error) { return frozenVersions(ctx, phase) }),
		durable.Workflow(compatMoved, frozenTakenOver),
		durable.Workflow(compatParked, func(ctx durable.Context, n int) (string, error) {
			name := "pack"
			if phase == compatBroken {
				name = "wrap"
			}
			if err := compatDo(ctx, name); err != nil {
				return "", err
			}
			return durable.Await(ctx, compatFinish)
		}),
		actors.New(actors.Handlers[frozenShelf]{
			actors.On(compatFill, func(_ durable.Context, s *frozenShelf, n int) (int, error) {
				s.Left += n
				return s.Left, nil
			}),
			actors.On(compatTake, func(ctx durable.Context, s *frozenShelf, n int) (int, error) {
				if s.Left < n {
					return 0, durable.Fail("sold_out", "asked for %d of %d", n, s.Left)
				}
				s.Left -= n
				return s.Left, compatDo(ctx, "take")
			}),
			actors.On(compatCount, func(ctx durable.Context, s *frozenShelf, n int) (string, error) {
				for i := range s.Left { // the state that the run found
					if err := compatDo(ctx, fmt.Sprintf("count %d of %d", i+1, s.Left)); err != nil {
						return "", err
					}
				}
				s.Left += n
				return durable.Await(ctx, compatFinish)
			}),
		}),
		agents.New(compatAgent,
			agents.Instructions("Answer."),
			agents.UseModel(frozenModel{}),
			agents.Tools(
				agents.Func("look", "Looks something up", func(_ context.Context, in frozenQuery) (string, error) { return "seen: " + in.What, nil }),
				agents.Func("once", "Does something once", func(_ context.Context, in frozenQuery) (string, error) { return "done: " + in.What, nil }, agents.Once()),
				agents.Delegate(compatJoined, "Waits for somebody"),
			)),
	}
}

func compatDo(ctx durable.Context, name string) error {
	_, err := durable.Step(ctx, name, func(context.Context) (string, error) { return name, nil })
	return err
}

// compatAttempts counts attempts of steps that fail at first.
var compatAttempts sync.Map

func frozenSteps(ctx durable.Context, n int) (string, error) {
	// Derived values are part of what is frozen: they name steps.
	if err := compatDo(ctx, fmt.Sprintf("lot %d of %s", durable.Rand(ctx).IntN(1_000_000), durable.NewID(ctx))); err != nil {
		return "", err
	}
	if err := compatDo(ctx, fmt.Sprint("at ", durable.Now(ctx).UnixNano())); err != nil {
		return "", err
	}
	third, err := durable.Step(ctx, "third time", func(ctx context.Context) (int, error) {
		v, _ := compatAttempts.LoadOrStore(durable.IdempotencyKey(ctx), new(int))
		attempt := v.(*int)
		if *attempt++; *attempt < 3 {
			return 0, fmt.Errorf("attempt %d", *attempt)
		}
		durable.Annotate(ctx, "attempt", fmt.Sprint(*attempt))
		return *attempt, nil
	}, durable.Retry(5, time.Millisecond), durable.Timeout(time.Minute))
	if err != nil {
		return "", err
	}
	_, err = durable.Step(ctx, "in vain", func(context.Context) (int, error) { return 0, fmt.Errorf("no") }, durable.Retry(2, time.Millisecond))
	if err == nil {
		return "", durable.Fail("odd", "in vain succeeded")
	}
	_, final := durable.Step(ctx, "final", func(context.Context) (int, error) { return 0, durable.Fail("broken", "for good") }, durable.RetryFor(time.Minute))
	_, unworthy := durable.Step(ctx, "not worth it", func(context.Context) (int, error) { return 0, fmt.Errorf("no") }, durable.RetryIf(func(error) bool { return false }))
	if !durable.IsCode(final, "broken") || unworthy == nil {
		return "", durable.Fail("odd", "%v, %v", final, unworthy)
	}
	_, err = durable.Step(ctx, "panics", func(context.Context) (int, error) { panic("boo") }, durable.Retry(1, 0))
	if err := compatDo(ctx, fmt.Sprint("after a panic: ", durable.IsCode(err, durable.ErrPanic.Code))); err != nil {
		return "", err
	}
	once, err := durable.Step(ctx, "once", func(context.Context) (int, error) { return third + n, nil }, durable.Once())
	if err != nil {
		return "", err
	}
	verified, err := durable.Step(ctx, "once or verified", func(context.Context) (int, error) { return once + 1, nil },
		durable.OnceOrVerify(func(context.Context) (int, error) { return 0, fmt.Errorf("unknown") }))
	if err != nil {
		return "", err
	}
	for i := range verified { // a loop whose bound was recorded
		if err := compatDo(ctx, fmt.Sprint("loop ", i)); err != nil {
			return "", err
		}
	}
	return durable.Await(ctx, compatFinish)
}

func frozenFanOut(ctx durable.Context, n int) (string, error) {
	squares, err := durable.Map(ctx, "square", []int{1, 2, 3, 4, 5}, 2, func(_ context.Context, n int) (int, error) { return n * n, nil })
	if err != nil {
		return "", err
	}
	_, err = durable.Map(ctx, "odd fails", squares, 0, func(_ context.Context, n int) (int, error) {
		if n%2 == 1 {
			return 0, durable.Fail("odd", "%d", n)
		}
		return n, nil
	})
	if !durable.IsCode(err, "odd") {
		return "", durable.Fail("odd", "%v", err)
	}
	step := func(name string, err error) *durable.Future[string] {
		return durable.StepAsync(ctx, name, func(context.Context) (string, error) { return name, err }, durable.Retry(1, 0))
	}
	all, err := durable.All(ctx, step("a", nil), step("b", nil), step("c", nil))
	if err != nil {
		return "", err
	}
	won, err := durable.Any(ctx, step("loses", durable.Fail("lost", "by design")), step("wins", nil))
	if err != nil {
		return "", err
	}
	late := durable.After(ctx, time.Hour)
	first, err := durable.Select(ctx, late, step("soon", nil))
	if err != nil {
		return "", err
	}
	branch := func(name string, turns int) *durable.Future[int] {
		return durable.Go(ctx, name, func(ctx durable.Context) (int, error) {
			for i := range turns {
				if err := compatDo(ctx, fmt.Sprint(name, " ", i)); err != nil {
					return 0, err
				}
				inner := durable.Go(ctx, "inner", func(ctx durable.Context) (int, error) { return i, durable.Sleep(ctx, time.Millisecond) })
				if _, err := inner.Result(ctx); err != nil {
					return 0, err
				}
			}
			return durable.Rand(ctx).IntN(3), nil
		})
	}
	rolls, err := durable.All(ctx, branch("left", 2), branch("right", 3))
	if err != nil {
		return "", err
	}
	if err := compatDo(ctx, fmt.Sprint("joined ", len(all), won, first, rolls)); err != nil {
		return "", err
	}
	return durable.Await(ctx, compatFinish)
}

func frozenWaits(ctx durable.Context, n int) (string, error) {
	if err := durable.SetStatus(ctx, "early"); err != nil {
		return "", err
	}
	early, err := durable.Await(ctx, compatGo) // sent before its run
	if err != nil {
		return "", err
	}
	if err := durable.Sleep(ctx, time.Duration(early)*time.Millisecond); err != nil {
		return "", err
	}
	_, err = durable.Await(ctx, durable.DeclareSignal[int]("never"), durable.Timeout(time.Millisecond))
	if !durable.IsCode(err, durable.ErrTimeout.Code) {
		return "", durable.Fail("odd", "%v", err)
	}
	limited, cancel := durable.WithTimeout(ctx, time.Hour)
	f := durable.Go(limited, "cancelled", func(ctx durable.Context) (int, error) { return 0, durable.Sleep(ctx, 100*365*24*time.Hour) })
	if err := durable.Sleep(ctx, time.Millisecond); err != nil {
		return "", err
	}
	cancel()
	if _, err := f.Result(ctx); err == nil {
		return "", durable.Fail("odd", "a cancelled branch succeeded")
	}
	second, err := durable.AwaitAsync(ctx, compatGo)
	if err != nil {
		return "", err
	}
	if err := durable.SetStatus(ctx, map[string]int{"waiting": n}); err != nil {
		return "", err
	}
	if which, err := durable.Select(ctx, durable.After(ctx, 24*time.Hour), second); err != nil || which != 1 {
		return "", durable.Fail("odd", "%d, %v", which, err)
	}
	if err := compatDo(ctx, "after a signal that was awaited out of memory"); err != nil {
		return "", err
	}
	return "", durable.Sleep(ctx, 100*365*24*time.Hour)
}

func frozenCalls(ctx durable.Context, n int) (string, error) {
	left, err := durable.Call(ctx, compatTake.At("other"), 1)
	if !durable.IsCode(err, "sold_out") {
		return "", durable.Fail("odd", "%d, %v", left, err)
	}
	if _, err := durable.Call(ctx, compatFill.At("other"), n, durable.MessageID("fill")); err != nil {
		return "", err
	}
	asked, err := durable.CallAsync(ctx, compatTake.At("other"), 2)
	if err != nil {
		return "", err
	}
	child, err := durable.Start(ctx, compatChild.At("good"), 1)
	if err != nil {
		return "", err
	}
	if left, err = asked.Result(ctx); err != nil {
		return "", err
	}
	next, err := child.Result(ctx)
	if err != nil {
		return "", err
	}
	_, failed := durable.Call(ctx, compatChild.At("bad"), -1)
	if !durable.IsCode(failed, "negative") {
		return "", durable.Fail("odd", "%v", failed)
	}
	sent, err := durable.Send(ctx, compatFill.At("other"), next)
	if err != nil {
		return "", err
	}
	_, err = durable.Call(ctx, compatJoined.At("late"), 1, durable.Timeout(time.Millisecond))
	if !durable.IsCode(err, durable.ErrTimeout.Code) {
		return "", durable.Fail("odd", "%v", err)
	}
	if err := compatDo(ctx, fmt.Sprint("left ", left, ", started ", child.Ref(), ", sent ", sent)); err != nil {
		return "", err
	}
	return durable.Await(ctx, compatFinish)
}

func frozenSaga(ctx durable.Context, n int) (string, error) {
	for i := range 3 {
		if err := compatDo(ctx, fmt.Sprint("book ", i)); err != nil {
			return "", err
		}
		durable.OnFailure(ctx, fmt.Sprint("unbook ", i), func(ctx context.Context) error {
			switch i {
			case 0: // holds the run open, so that it can be exported
				<-ctx.Done()
				return ctx.Err()
			case 1:
				return durable.Fail("gone", "cannot be undone")
			}
			return nil
		})
	}
	return "", durable.Fail("full", "no room for %d", n)
}

func frozenCancel(ctx durable.Context, n int) (string, error) {
	durable.OnFailure(ctx, "never undone while it is open", func(context.Context) error { return nil })
	err := durable.Sleep(ctx, 100*365*24*time.Hour)
	if !durable.IsCode(err, durable.ErrCancelled.Code) {
		return "", durable.Fail("odd", "%v", err)
	}
	ctx = durable.WithoutCancel(ctx)
	if err := compatDo(ctx, "clean up"); err != nil {
		return "", err
	}
	return durable.Await(ctx, compatFinish)
}

// frozenVersions is begun before its second change was made.
func frozenVersions(ctx durable.Context, phase compatPhase) (string, error) {
	if err := compatDo(ctx, fmt.Sprint("begun at version ", durable.Version(ctx, "first change", 0, 2))); err != nil {
		return "", err
	}
	if phase >= compatNow && durable.Version(ctx, "second change", 0, 1) == 1 {
		if err := compatDo(ctx, "only new runs do"); err != nil {
			return "", err
		}
	}
	if err := compatDo(ctx, "both do"); err != nil {
		return "", err
	}
	return durable.Await(ctx, compatFinish)
}

func frozenTakenOver(ctx durable.Context, n int) (string, error) {
	if err := compatDo(ctx, "by the first owner"); err != nil {
		return "", err
	}
	if _, err := durable.Await(ctx, compatGo); err != nil {
		return "", err
	}
	if err := compatDo(ctx, "by the second"); err != nil {
		return "", err
	}
	return durable.Await(ctx, compatFinish)
}

// A frozenShelf is the state of compat-shelf.
type frozenShelf struct {
	Left int `json:"left"`
}

// A frozenQuery is the arguments of the agent's tools.
type frozenQuery struct {
	What string `json:"what"`
}

// frozenModel asks for three tools, one of which waits, and remembers what was
// said: the first turn is over when the second begins.
type frozenModel struct{}

func (frozenModel) Name() string { return "frozen" }

func (frozenModel) Generate(_ context.Context, req *agents.Request) (*agents.Response, error) {
	last := req.Messages[len(req.Messages)-1]
	reply := agents.Message{Role: agents.RoleAssistant}
	switch {
	case last.Role == agents.RoleTool:
		reply.ToolCalls = []agents.ToolCall{{ID: "w", Name: "compat-joined", Arguments: `{"key":"agent","input":1}`}}
	case len(req.Messages) == 1:
		reply.Content = "hello"
	default:
		what, err := json.Marshal(frozenQuery{fmt.Sprintf("%d messages", len(req.Messages))})
		if err != nil {
			return nil, err
		}
		reply.ToolCalls = []agents.ToolCall{{ID: "l", Name: "look", Arguments: string(what)}, {ID: "o", Name: "once", Arguments: string(what)}}
	}
	return &agents.Response{Message: reply, Usage: agents.Usage{InputTokens: 1, OutputTokens: 1}}, nil
}
