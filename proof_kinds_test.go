//go:build unix

package perdure_test

import (
	"context"
	"fmt"
	"syscall"
	"time"

	"github.com/perdure/perdure/actors"
	"github.com/perdure/perdure/agents"
	"github.com/perdure/perdure/agents/models/openai"
	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/runtime"
)

// The kinds of the proofs' nodes.

// An order is what the shop is asked for.
type order struct {
	Item  string        `json:"item"`
	Lines []string      `json:"lines"`
	Wait  time.Duration `json:"wait"` // how long the shop sleeps in the middle
}

// A receipt is what it answers.
type receipt struct {
	ID     string   `json:"id"`
	Charge string   `json:"charge"`
	Picked []string `json:"picked"`
	Packed []string `json:"packed"`
	Label  string   `json:"label"`
	Slip   string   `json:"slip"`
	Closed string   `json:"closed"`
	Orders int      `json:"orders"` // of this shop, this one included
}

type shopState struct {
	Orders []string `json:"orders"`
}

type storeState struct {
	Left  int      `json:"left"`
	Slips []string `json:"slips"`
}

type auditState struct {
	Notes []string `json:"notes"`
}

// A place is what the weather tool is asked for.
type place struct {
	City string `json:"city"`
}

// A report is what it answers.
type report struct {
	City    string `json:"city"`
	Celsius int    `json:"celsius"`
	Sky     string `json:"sky"`
}

// An advice is what the weather agent answers.
type advice struct {
	Answer string `json:"answer"`
	Coat   bool   `json:"coat"`
}

var (
	shopOrder    = durable.Declare[order, receipt]("shop.order")
	shopCount    = durable.Declare[string, int]("shop.count")
	shopOrders   = durable.DeclareQuery[durable.None, []string]("shop.orders")
	storeReserve = durable.Declare[int, string]("store.reserve")
	storeLeft    = durable.DeclareQuery[durable.None, int]("store.left")
	auditNote    = durable.Declare[string, int]("audit.note")
	auditNotes   = durable.DeclareQuery[durable.None, []string]("audit.notes")
	chore        = durable.DeclareWorkflow[string, string]("chore")
	press        = durable.DeclareWorkflow[string, string]("press")
	weather      = durable.Declare[string, advice]("weather")
	trip         = durable.DeclareWorkflow[int, string]("trip")
	onward       = durable.DeclareSignal[string]("onward")
	follow       = durable.DeclareWorkflow[string, string]("follow")
	tale         = durable.DeclareWorkflow[int, string]("tale")
	deadly       = durable.DeclareWorkflow[durable.None, durable.None]("deadly")
)

func proofKinds(c nodeConfig) []*runtime.Kind {
	s := shop{far: farOf(c), build: c.Build}
	return []*runtime.Kind{
		actors.New(actors.Handlers[shopState]{
			actors.On(shopOrder, s.order),
			actors.On(shopCount, s.count),
			actors.OnQuery(shopOrders, func(s shopState, _ durable.None) ([]string, error) { return s.Orders, nil }),
		}),
		actors.New(actors.Handlers[storeState]{
			actors.On(storeReserve, s.reserve),
			actors.OnQuery(storeLeft, func(s storeState, _ durable.None) (int, error) { return s.Left, nil }),
		}),
		actors.New(actors.Handlers[auditState]{
			actors.On(auditNote, s.note),
			actors.OnQuery(auditNotes, func(s auditState, _ durable.None) ([]string, error) { return s.Notes, nil }),
		}),
		durable.Workflow(chore, s.chore),
		durable.Workflow(deadly, s.deadly),
		durable.Workflow(trip, s.trip),
		durable.Workflow(follow, s.follow),
		durable.Workflow(parley, s.parley),
		durable.Workflow(tale, s.tale, durable.Build(c.Build)),
		durable.Workflow(press, s.press, durable.Concurrency(pressMax)),
		agents.New(weather,
			agents.Instructions("You answer questions about the weather."),
			agents.UseModel(openai.New("scripted", openai.BaseURL(s.far.base+"/v1"), openai.APIKey("none"))),
			agents.Tools(agents.Func("get_weather", "Current weather in a city", s.look))),
	}
}

// A shop's dependencies are its node's.
type shop struct {
	far   far
	build string
}

// step is a step that calls the tool of its name.
func (s shop) step(name, arg string) func(context.Context) (string, error) {
	return func(ctx context.Context) (string, error) { return s.far.tool(ctx, name, arg) }
}

// order uses every durable verb that moves something: a step that must not be
// repeated, parallel steps, a branch with a sleep of its own, a map, a sleep, a
// call to another actor, a message to a third, and state.
func (s shop) order(ctx durable.Context, state *shopState, o order) (receipt, error) {
	r := receipt{ID: durable.NewID(ctx)}
	var err error
	if r.Charge, err = durable.Step(ctx, "charge", s.step("charge", o.Item), durable.OnceOrVerify(func(ctx context.Context) (string, error) {
		return s.far.once(ctx, "charge", o.Item)
	})); err != nil {
		return r, err
	}
	left, right := durable.StepAsync(ctx, "left", s.step("left", o.Item)), durable.StepAsync(ctx, "right", s.step("right", o.Item))
	if r.Picked, err = durable.All(ctx, left, right); err != nil {
		return r, err
	}
	label := durable.Go(ctx, "label", func(ctx durable.Context) (string, error) {
		design, err := durable.Step(ctx, "design", s.step("design", o.Item))
		if err != nil {
			return "", err
		}
		if err := durable.Sleep(ctx, o.Wait/2); err != nil {
			return "", err
		}
		return durable.Step(ctx, "print", s.step("print", design))
	})
	if r.Packed, err = durable.Map(ctx, "pack", o.Lines, 2, func(ctx context.Context, line string) (string, error) {
		return s.far.tool(ctx, "pack", line)
	}); err != nil {
		return r, err
	}
	if err := durable.Sleep(ctx, o.Wait); err != nil {
		return r, err
	}
	if r.Slip, err = durable.Call(ctx, storeReserve.At(o.Item), len(o.Lines)); err != nil {
		return r, err
	}
	if _, err := durable.Send(ctx, auditNote.At("log"), "ordered "+o.Item); err != nil {
		return r, err
	}
	if r.Label, err = label.Result(ctx); err != nil {
		return r, err
	}
	if r.Closed, err = durable.Step(ctx, "close", s.step("close", r.Slip)); err != nil {
		return r, err
	}
	state.Orders = append(state.Orders, r.ID)
	r.Orders = len(state.Orders)
	_, err = durable.Send(ctx, auditNote.At("log"), fmt.Sprintf("closed %s for %s", r.ID, r.Slip))
	return r, err
}

// count is a short run of the shop, behind or before an order.
func (s shop) count(ctx durable.Context, state *shopState, by string) (int, error) {
	counted, err := durable.Step(ctx, "count", s.step("count", by))
	if err != nil {
		return 0, err
	}
	state.Orders = append(state.Orders, counted)
	return len(state.Orders), nil
}

func (s shop) reserve(ctx durable.Context, state *storeState, n int) (string, error) {
	if state.Slips == nil {
		state.Left = 10
	}
	slip, err := durable.Step(ctx, "fetch", s.step("fetch", fmt.Sprint(n)))
	if err != nil {
		return "", err
	}
	state.Left -= n
	state.Slips = append(state.Slips, slip)
	return fmt.Sprintf("%s, %d left", slip, state.Left), nil
}

func (s shop) note(ctx durable.Context, state *auditState, text string) (int, error) {
	written, err := durable.Step(ctx, "write", s.step("write", text))
	if err != nil {
		return 0, err
	}
	state.Notes = append(state.Notes, written)
	return len(state.Notes), nil
}

// pressMax is how many presses there are.
const pressMax = 3

// press is at the far side from one step to another.
func (s shop) press(ctx durable.Context, what string) (string, error) {
	if _, err := durable.Step(ctx, "enter", s.step("enter", what)); err != nil {
		return "", err
	}
	if err := durable.Sleep(ctx, 20*time.Millisecond); err != nil {
		return "", err
	}
	return durable.Step(ctx, "leave", s.step("leave", what))
}

// chore is one step, whose name is the build's, and a message to the log.
func (s shop) chore(ctx durable.Context, what string) (string, error) {
	if _, err := durable.Send(ctx, auditNote.At("log"), what); err != nil {
		return "", err
	}
	return durable.Step(ctx, "do"+s.build, s.step("do", what))
}

// trip walks twice, each time as a generation of its own, and waits to be sent on
// in between.
func (s shop) trip(ctx durable.Context, round int) (string, error) {
	walked, err := durable.Step(ctx, "walk", func(ctx context.Context) (string, error) {
		if err := durable.Heartbeat(ctx, round); err != nil {
			return "", err
		}
		return s.far.tool(ctx, "walk", fmt.Sprint(round))
	})
	if err != nil {
		return "", err
	}
	to, err := durable.Await(ctx, onward)
	if err != nil {
		return "", err
	}
	if _, err := durable.Send(ctx, auditNote.At("log"), walked+" to "+to); err != nil {
		return "", err
	}
	if round == 1 {
		return to, nil
	}
	return "", durable.ContinueAsNew(ctx, round+1)
}

// follow waits for the end of a trip that others make, and notes it.
func (s shop) follow(ctx durable.Context, run string) (string, error) {
	made, err := durable.Attach(ctx, trip, run)
	if err != nil {
		return "", err
	}
	to, err := made.Result(ctx)
	switch {
	case durable.IsCode(err, durable.ErrNotFound.Code):
		to = "nowhere"
	case err != nil:
		return "", err
	}
	return durable.Step(ctx, "arrive", s.step("arrive", to))
}

// tale has steps that another build would not replay, and sleeps after each.
func (s shop) tale(ctx durable.Context, chapters int) (string, error) {
	for range chapters {
		if _, err := durable.Step(ctx, s.build, s.step("write", s.build)); err != nil {
			return "", err
		}
		if err := durable.Sleep(ctx, 20*time.Millisecond); err != nil {
			return "", err
		}
	}
	return s.build, nil
}

// deadly kills its process, unless the build is a mended one.
func (s shop) deadly(ctx durable.Context, _ durable.None) (durable.None, error) {
	return durable.Step(ctx, "deadly", func(ctx context.Context) (durable.None, error) {
		if _, err := s.far.tool(ctx, "deadly", ""); err != nil || s.build != "" {
			return durable.None{}, err
		}
		return durable.None{}, syscall.Kill(syscall.Getpid(), syscall.SIGKILL)
	})
}

// look is the weather agent's tool.
func (s shop) look(ctx context.Context, p place) (report, error) {
	if _, err := s.far.tool(ctx, "weather", p.City); err != nil {
		return report{}, err
	}
	return report{City: p.City, Celsius: 7 + len(p.City), Sky: "drizzle"}, nil
}
