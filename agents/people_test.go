package agents_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/perdure/perdure/agents"
	"github.com/perdure/perdure/agents/agentstest"
	"github.com/perdure/perdure/agents/models/scripted"
	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/durable/durabletest"
)

type refund struct {
	Order string `json:"order"`
	Cents int    `json:"cents"`
}

// bank counts what it paid, by idempotency key.
type bank struct {
	mu   sync.Mutex
	paid map[string]int
	said []string
}

func (b *bank) pay(ctx context.Context, r refund) (string, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.paid == nil {
		b.paid = map[string]int{}
	}
	b.paid[r.Order+" "+durable.IdempotencyKey(ctx)]++
	b.said = append(b.said, r.Order)
	return "paid " + r.Order, nil
}

func (b *bank) orders() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.said)
}

func over50(r refund) bool { return r.Cents > 5000 }

// results is a model that makes calls, and then says what came of them.
func results(cs ...scripted.Call) scripted.Script {
	return script(func(r *scripted.Request) scripted.Reply {
		if r.Rounds() == 0 {
			return calls(cs...)
		}
		var all []string
		for _, m := range r.Results() {
			all = append(all, m.Content)
		}
		return scripted.Reply{Text: strings.Join(all, "\n")}
	})
}

// support is an agent that may refund.
func support(m agents.Model, b *bank, opts []agents.Option, asks ...agents.AskOption) *durable.Kind {
	return agents.New(weather, append(opts, agents.UseModel(m),
		agents.Tools(agents.Func("refund", "Give money back", b.pay, agents.NeedsApproval(over50, asks...))))...)
}

// start starts a run in a world.
func start(t *testing.T, w *durabletest.World, text string) *durabletest.Run[string] {
	t.Helper()
	run, err := durabletest.Start(w, weather.At("w"), text)
	if err != nil {
		t.Fatal(err)
	}
	return run
}

func answer(t *testing.T, run *durabletest.Run[string], parts ...string) {
	t.Helper()
	got, err := run.Result()
	if err != nil {
		t.Fatal(err)
	}
	contains(t, got, parts...)
}

func TestApproval(t *testing.T) {
	m := agentstest.InMemory(t, results(call("refund", `{"order":"o-1","cents":9900}`)))
	var b bank
	var decision durable.Decision
	var want []string
	paid := 0
	kind := support(m, &b, nil)
	play := func(name string, d durable.Decision, n int, parts ...string) {
		decision, want, paid = d, parts, n
		t.Run(name, func(t *testing.T) {
			b = bank{}
			durabletest.Play(t, func(t *testing.T, w *durabletest.World) {
				run := start(t, w, "refund o-1")
				<-time.After(20 * time.Hour)
				if asks := durabletest.Questions(w, run.Ref()); !slices.Equal(asks, []string{"refund"}) || len(b.orders()) > 0 {
					t.Fatalf("it asks %q, and paid %q", asks, b.orders())
				}
				durabletest.Approve(w, run.Ref(), "refund", decision)
				answer(t, run, want...)
				if n := len(b.orders()); n != paid {
					t.Errorf("%d were paid, want %d", n, paid)
				}
			}, kind)
		})
	}
	play("approved", durable.Decision{Approved: true, By: "anna"}, 1, "paid o-1")
	play("denied", durable.Decision{By: "anna", Reason: "it was delivered"}, 0, `"not_approved"`, "anna denied it: it was delivered")
	play("denied by nobody in particular", durable.Decision{}, 0, "somebody denied it")
}

// TestApproval_IsAskedForWhereThePredicateSaysSo has three calls at once, of which one is
// small, and one malformed: people decide about the third alone.
func TestApproval_IsAskedForWhereThePredicateSaysSo(t *testing.T) {
	m := agentstest.InMemory(t, results(call("refund", `{"order":"small","cents":1}`), call("refund", `{"order":"large","cents":9900}`), call("refund", `{"sum":9900}`)))
	var b bank
	durabletest.Play(t, func(t *testing.T, w *durabletest.World) {
		run := start(t, w, "refund all")
		<-time.After(time.Hour)
		if asks := durabletest.Questions(w, run.Ref()); len(asks) != 1 {
			t.Fatalf("it asks %q", asks)
		}
		if got := b.orders(); !slices.Equal(got, []string{"small"}) {
			t.Errorf("paid %q", got)
		}
		durabletest.Approve(w, run.Ref(), "refund", durable.Decision{})
		answer(t, run, "paid small", "not_approved", "bad_arguments")
	}, support(m, &b, nil))
}

// TestApproval_SeveralAreDecidedInAnyOrder decides about the second of two calls first.
func TestApproval_SeveralAreDecidedInAnyOrder(t *testing.T) {
	m := agentstest.InMemory(t, results(call("refund", `{"order":"first","cents":9900}`), call("refund", `{"order":"second","cents":9900}`)))
	var b bank
	durabletest.CrashSweep(t, func(t *testing.T, w *durabletest.World) {
		b = bank{}
		run := start(t, w, "refund both")
		<-time.After(time.Hour)
		durabletest.Approve(w, run.Ref(), "3.1", durable.Decision{Approved: true, By: "anna"})
		<-time.After(time.Hour)
		if got := b.orders(); len(got) == 0 || slices.Contains(got, "first") {
			t.Errorf("after the second was approved, paid are %q", got)
		}
		durabletest.Approve(w, run.Ref(), "2.1", durable.Decision{By: "bob"})
		got, err := run.Result()
		if lines := strings.Split(got, "\n"); err != nil || len(lines) != 2 || !strings.Contains(lines[0], "bob denied it") || lines[1] != "paid second" {
			t.Errorf("the answer is %q, %v", got, err)
		}
		if len(b.paid) != 1 {
			t.Errorf("paid %v", b.paid)
		}
	}, support(m, &b, nil))
}

func TestApproval_OfAnotherHashIsNone(t *testing.T) {
	m := agentstest.InMemory(t, results(call("refund", `{"order":"o-1","cents":9900}`)))
	var b bank
	var asked agents.Pending
	kind := support(m, &b, []agents.Option{agents.OnQuestion(func(_ context.Context, p agents.Pending) error { asked = p; return nil })})
	durabletest.Play(t, func(t *testing.T, w *durabletest.World) {
		run := start(t, w, "refund o-1")
		<-time.After(time.Hour)
		func() {
			defer func() {
				if p := fmt.Sprint(recover()); !strings.Contains(p, "something else") || !strings.Contains(p, asked.Hash) {
					t.Errorf("it is refused with %s", p)
				}
			}()
			durabletest.Approve(w, run.Ref(), "refund", durable.Decision{Approved: true, Hash: "5f2a"})
		}()
		durabletest.Approve(w, run.Ref(), "refund", durable.Decision{Approved: true, Hash: asked.Hash})
		answer(t, run, "paid o-1")
		var p agents.Proposal
		if err := json.Unmarshal(asked.Question, &p); err != nil || p.Agent != "weather" || p.Run != run.Ref() || p.Tool != "refund" || string(p.Arguments) != `{"order":"o-1","cents":9900}` || len(asked.Hash) != 64 {
			t.Errorf("people are shown %+v, %v, hash %q", p, err, asked.Hash)
		}
	}, kind)
}

func TestApproval_Deadlines(t *testing.T) {
	for _, c := range []struct {
		then  agents.Deadline
		paid  int
		parts []string
		code  string
	}{
		{agents.ThenDeny, 0, []string{`"not_approved"`, "within 48h0m0s"}, ""},
		{agents.ThenApprove, 1, []string{"paid o-1"}, ""},
		{agents.ThenFail, 0, nil, agents.ErrNotApproved.Code},
	} {
		t.Run(string(c.then), func(t *testing.T) {
			m := agentstest.InMemory(t, results(call("refund", `{"order":"o-1","cents":9900}`)))
			var b bank
			durabletest.Play(t, func(t *testing.T, w *durabletest.World) {
				began := time.Now()
				run := start(t, w, "refund o-1")
				got, err := run.Result()
				if waited := time.Since(began); waited < 48*time.Hour || waited > 49*time.Hour {
					t.Errorf("it waited %s", waited)
				}
				if c.code != "" && !durable.IsCode(err, c.code) || c.code == "" && err != nil {
					t.Errorf("the error is %v", err)
				}
				contains(t, got, c.parts...)
				if n := len(b.orders()); n != c.paid {
					t.Errorf("%d were paid, want %d", n, c.paid)
				}
				if asks := durabletest.Questions(w, run.Ref()); len(asks) > 0 {
					t.Errorf("it still asks %q", asks)
				}
			}, support(m, &b, nil, agents.Within(48*time.Hour, c.then)))
		})
	}
}

// TestApproval_Escalates has people told at once, after 4 and after 24 hours, and not
// after somebody has decided.
func TestApproval_Escalates(t *testing.T) {
	m := agentstest.InMemory(t, results(call("refund", `{"order":"o-1","cents":9900}`)))
	var b bank
	var told []string
	var began time.Time
	kind := support(m, &b, []agents.Option{agents.OnQuestion(func(_ context.Context, p agents.Pending) error {
		told = append(told, fmt.Sprintf("%s %s %v", time.Since(began).Round(time.Hour), strings.Join(p.To, "+"), p.Escalated))
		return nil
	})}, agents.AskTo("support"), agents.EscalateTo(24*time.Hour, "managers"), agents.EscalateTo(4*time.Hour, "leads"), agents.EscalateTo(100*time.Hour, "board"))
	durabletest.Play(t, func(t *testing.T, w *durabletest.World) {
		began = time.Now()
		run := start(t, w, "refund o-1")
		<-time.After(30 * time.Hour)
		durabletest.Approve(w, run.Ref(), "refund", durable.Decision{Approved: true})
		answer(t, run, "paid o-1")
		<-time.After(100 * time.Hour)
		if want := []string{"0s support false", "4h0m0s support+leads true", "24h0m0s support+leads+managers true"}; !slices.Equal(told, want) {
			t.Errorf("told were %q, want %q", told, want)
		}
	}, kind)
}

// TestApproval_ADeployChangesNothingInFlight has a run wait with one predicate and go on
// with another, in both directions.
func TestApproval_ADeployChangesNothingInFlight(t *testing.T) {
	for name, c := range map[string]struct {
		before, after agents.ToolOption
		asks          bool
	}{
		"asked, and no longer needed": {agents.NeedsApproval(agents.Always, agents.Within(time.Hour, agents.ThenFail)), nil, true},
		"not asked, and needed now":   {nil, agents.NeedsApproval(agents.Always), false},
	} {
		t.Run(name, func(t *testing.T) {
			m := agentstest.Model(t, results(call("hold", `{}`), call("refund", `{"order":"o-1","cents":1}`)))
			var bk bank
			tools := func(o agents.ToolOption) agents.Option {
				var opts []agents.ToolOption
				if o != nil {
					opts = append(opts, o)
				}
				return agents.Tools(agents.Func("refund", "", bk.pay, opts...))
			}
			reached := make(chan struct{})
			holds := agents.Func("hold", "", func(ctx context.Context, _ struct{}) (string, error) {
				close(reached)
				<-ctx.Done() // its process is killed
				return "", ctx.Err()
			})
			b := setup(t, agents.New(weather, agents.UseModel(m), tools(c.before), agents.Tools(holds)))
			p := b.Start()
			r := ref("weather", "w", "1")
			b.Task(r, "", payload(t, "refund"))
			<-reached
			if !c.asks {
				if err := b.Until(b.ctx, func() bool { return len(bk.orders()) == 1 }); err != nil {
					t.Fatal(err)
				}
			}
			p.Kill()
			b.Deploy(agents.New(weather, agents.UseModel(m), tools(c.after), agents.Tools(agents.Func("hold", "", func(context.Context, struct{}) (string, error) { return "held", nil }))))
			b.Start()
			if c.asks {
				b.Signal(r, "decision 3.2", "answer:3.2", payload(t, durable.Decision{By: "anna"}))
			}
			rec, err := b.Result(b.ctx, r)
			if err != nil {
				t.Fatal(err)
			}
			got, err := outcome[string](t, rec)
			if err != nil {
				t.Fatal(err)
			}
			if want := map[bool]string{true: "anna denied it", false: "paid o-1"}[c.asks]; !strings.Contains(got, want) {
				t.Errorf("the answer is %q, want %q", got, want)
			}
		})
	}
}

func TestApproval_OfWhatIsDelegated(t *testing.T) {
	ship := durable.DeclareWorkflow[string, string]("ship")
	m := agentstest.InMemory(t, results(call("ship", `{"key":"o-1","input":"by air"}`)))
	delegate := agents.Delegate(ship, "Ship an order").With(agents.NeedsApproval(agents.Always))
	durabletest.Play(t, func(t *testing.T, w *durabletest.World) {
		run := start(t, w, "ship o-1")
		durabletest.Approve(w, run.Ref(), "ship", durable.Decision{Approved: true})
		answer(t, run, "shipped by air")
	}, agents.New(weather, agents.UseModel(m), agents.Tools(delegate)),
		durable.Workflow(ship, func(_ durable.Context, how string) (string, error) { return "shipped " + how, nil }))
}

func TestApproval_WrongOptionsAreReported(t *testing.T) {
	m := agentstest.InMemory(t, script(nil))
	var b bank
	for _, c := range []struct {
		tool  agents.Tool
		parts []string
	}{
		{agents.Func("refund", "", b.pay, agents.NeedsApproval(func(place) bool { return true })), []string{"agents_test.place", "agents_test.refund"}},
		{agents.Func("refund", "", b.pay, agents.NeedsApproval(over50, agents.Within(-1, agents.ThenDeny))), []string{"Within(-1ns)"}},
		{agents.Func("refund", "", b.pay, agents.NeedsApproval(over50, agents.Within(time.Hour, "perhaps"))), []string{"ThenDeny"}},
		{agents.Func("refund", "", b.pay, agents.NeedsApproval(over50, agents.AskTo("a b"))), []string{`group "a b"`}},
		{agents.Func("refund", "", b.pay, agents.NeedsApproval(over50, agents.EscalateTo(0, "a"))), []string{"EscalateTo"}},
		{agents.Func("refund", "", b.pay).With(agents.Once()), []string{"With takes NeedsApproval"}},
		{agents.AskUser(agents.Within(time.Hour, agents.ThenApprove)), []string{"ThenApprove"}},
	} {
		err := errors.Join(agents.New(weather, agents.UseModel(m), agents.Tools(c.tool)).Errs...)
		if !errors.Is(err, durable.ErrInvalid) {
			t.Errorf("%q: %v", c.parts, err)
			continue
		}
		contains(t, err.Error(), c.parts...)
	}
}

// TestApproval_OfServedTools has all tools of a server need an approval, and one of them
// say for itself that it needs none.
func TestApproval_OfServedTools(t *testing.T) {
	s := &toolbox{tools: map[string]agents.Tool{}}
	for name, opts := range map[string][]agents.ToolOption{
		"drop": nil,
		"look": {agents.NeedsApproval(func(json.RawMessage) bool { return false })},
	} {
		s.tools[name] = agents.Raw(agents.ToolSpec{Name: name, Parameters: json.RawMessage(`{"type":"object"}`)}, func(context.Context, json.RawMessage) (json.RawMessage, error) {
			return json.RawMessage(`"did ` + name + `"`), nil
		}, opts...)
	}
	m := agentstest.InMemory(t, results(call("look", `{}`), call("drop", `{"table":"orders"}`)))
	durabletest.Play(t, func(t *testing.T, w *durabletest.World) {
		run := start(t, w, "clean up")
		<-time.After(time.Hour)
		if asks := durabletest.Questions(w, run.Ref()); !slices.Equal(asks, []string{"drop"}) {
			t.Errorf("it asks %q", asks)
		}
		durabletest.Approve(w, run.Ref(), "drop", durable.Decision{By: "anna"})
		answer(t, run, "did look", "anna denied it")
	}, agents.New(weather, agents.UseModel(m), agents.Tools(agents.Served(s).With(agents.NeedsApproval(agents.Always)))))
}

// A toolbox is a server that needs no opening.
type toolbox struct{ tools map[string]agents.Tool }

func (s *toolbox) Open(context.Context) error { return nil }
func (s *toolbox) Close() error               { return nil }

func (s *toolbox) Tools(context.Context) (all []agents.Tool, err error) {
	for _, name := range slices.Sorted(maps.Keys(s.tools)) {
		all = append(all, s.tools[name])
	}
	return all, nil
}

func (s *toolbox) Tool(name string) (agents.Tool, bool) {
	t, ok := s.tools[name]
	return t, ok
}
