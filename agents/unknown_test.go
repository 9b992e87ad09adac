package agents_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/perdure/perdure/agents"
	"github.com/perdure/perdure/agents/agentstest"
	"github.com/perdure/perdure/agents/models/scripted"
	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/runtime"
	"github.com/perdure/perdure/runtime/runtimetest"
	"github.com/perdure/perdure/schemas"
)

type payment struct {
	Cents int `json:"cents"`
}

// A bank carries payments out, and knows them by the key of their step.
type payer struct{ ledger }

func (b *payer) pay(ctx context.Context, _ payment) (string, error) {
	b.note(ctx)
	return "paid", nil
}

func (b *payer) payRaw(ctx context.Context, _ json.RawMessage) (json.RawMessage, error) {
	b.note(ctx)
	return json.RawMessage(`"paid"`), nil
}

// find says what became of a payment.
func (b *payer) find(ctx context.Context, _ payment) (string, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.keys[durable.IdempotencyKey(ctx)] == 0 {
		return "", agents.ErrNotDone
	}
	return "paid", nil
}

// A till is a server of one tool.
type till struct {
	agents.ToolServer
	tool agents.Tool
}

func (t till) Tools(context.Context) ([]agents.Tool, error) { return []agents.Tool{t.tool}, nil }
func (t till) Tool(name string) (agents.Tool, bool)         { return t.tool, name == "pay" }

var rawPayment = json.RawMessage(`{"type":"object","properties":{"cents":{"type":"integer"}}}`)

// asked returns the last question of a run that nobody has answered.
func asked(b *bundle) (q *schemas.Asked) {
	for _, s := range b.Journal.History() {
		for _, e := range s.Entry.GetEvents() {
			if a := e.GetAsked(); a != nil {
				q = a
			}
		}
	}
	return q
}

func ended(b *bundle) bool {
	for _, s := range b.Journal.History() {
		if s.Entry.GetRecord() != nil {
			return true
		}
	}
	return false
}

// paid makes a run of one payment whose process ends at the n-th write. A person who is
// asked says what the bank says.
func paid(t *testing.T, tool func(*payer) agents.Tool, when runtimetest.When, n int) (*bundle, *payer, *schemas.Record, bool) {
	t.Helper()
	far := &payer{}
	m := agentstest.Model(t, script(func(r *scripted.Request) scripted.Reply {
		if r.Rounds() == 0 {
			return calls(call("pay", `{"cents":100}`))
		}
		return scripted.Reply{Text: r.Last().Content}
	}))
	b := setup(t, agents.New(weather, agents.UseModel(m), agents.Tools(tool(far))))
	if n > 0 {
		b.CrashAt(when, n)
	}
	b.Start()
	run := ref("weather", "w", "1")
	b.Task(run, "", payload(t, "pay"))
	if err := b.Until(b.ctx, func() bool { return asked(b) != nil || ended(b) }); err != nil {
		t.Fatal(err)
	}
	q := asked(b)
	if q != nil {
		contains(t, string(q.GetQuestion().GetData()), "Was this call carried out?", `"tool":"pay"`, `\"cents\":100`, "idempotency key")
		d := durable.Decision{By: "anna", Reason: "the bank has no such payment"}
		if far.total() > 0 {
			d = durable.Decision{Approved: true, By: "anna", Reason: "paid"}
		}
		b.Signal(run, "decision", runtime.AnswerPrefix+q.GetPath(), payload(t, d))
	}
	rec, err := b.Result(b.ctx, run)
	if err != nil {
		t.Fatal(err)
	}
	return b, far, rec, q != nil
}

// TestCallsWhoseOutcomeACrashLost kills the process before and after each write of a run,
// with each policy and each way to make a tool.
func TestCallsWhoseOutcomeACrashLost(t *testing.T) {
	for policy, options := range map[string]func(*payer) []agents.ToolOption{
		"none":   func(*payer) []agents.ToolOption { return nil },
		"repeat": func(*payer) []agents.ToolOption { return []agents.ToolOption{agents.IfUnknown(agents.Repeat)} },
		"once":   func(*payer) []agents.ToolOption { return []agents.ToolOption{agents.Once()} },
		"verify": func(b *payer) []agents.ToolOption {
			return []agents.ToolOption{agents.IfUnknown(agents.Verify(b.find))}
		},
		"ask":  func(*payer) []agents.ToolOption { return []agents.ToolOption{agents.IfUnknown(agents.Ask)} },
		"fail": func(*payer) []agents.ToolOption { return []agents.ToolOption{agents.IfUnknown(agents.FailRun)} },
	} {
		for made, tool := range map[string]func(*payer) agents.Tool{
			"Func": func(b *payer) agents.Tool { return agents.Func("pay", "", b.pay, options(b)...) },
			"Raw": func(b *payer) agents.Tool {
				return agents.Raw(agents.ToolSpec{Name: "pay", Parameters: rawPayment}, b.payRaw, options(b)...)
			},
			"Served": func(b *payer) agents.Tool {
				return agents.Served(till{tool: agents.Raw(agents.ToolSpec{Name: "pay", Parameters: rawPayment}, b.payRaw, options(b)...)})
			},
		} {
			t.Run(policy+" "+made, func(t *testing.T) {
				undisturbed, far, _, was := paid(t, tool, 0, 0)
				if far.total() != 1 || was {
					t.Fatalf("undisturbed: %d payments, asked %v", far.total(), was)
				}
				if err := undisturbed.Settle(undisturbed.ctx); err != nil {
					t.Fatal(err)
				}
				lost := 0
				for n := range len(undisturbed.Points()) {
					for _, when := range []runtimetest.When{runtimetest.Before, runtimetest.After} {
						_, far, rec, was := paid(t, tool, when, n+1)
						got, err := outcome[string](t, rec)
						unknown := was || far.total() != 1 || got != "paid"
						if unknown {
							lost++
						}
						if c := far.total(); policy != "none" && policy != "repeat" && c > 1 || len(far.keys) > 1 {
							t.Errorf("point %d.%d: payments by key %v", n+1, when, far.keys)
						}
						ok := false
						switch policy {
						case "none", "repeat", "verify":
							ok = err == nil && got == "paid" && far.total() > 0
						case "once":
							ok = err == nil && (got == "paid" || strings.Contains(got, "unknown_outcome"))
						case "ask":
							ok = err == nil && (got == "paid" && far.total() == 1 || far.total() == 0 && strings.Contains(got, "not_done") && strings.Contains(got, "anna says"))
						case "fail":
							ok = got == "paid" || errors.Is(err, durable.ErrUnknownOutcome) && strings.Contains(err.Error(), "idempotency key")
						}
						if !ok {
							t.Errorf("point %d.%d: answer %q, error %v, payments %v", n+1, when, got, err, far.keys)
						}
					}
				}
				if lost == 0 && policy != "verify" {
					t.Error("no crash lost an outcome")
				}
			})
		}
	}
}

// TestToolsThatSayThatTheyDoNotKnow has a call whose answer was lost while its process
// lives on.
func TestToolsThatSayThatTheyDoNotKnow(t *testing.T) {
	lose := func(b *payer) func(context.Context, payment) (string, error) {
		return func(ctx context.Context, in payment) (string, error) {
			_, _ = b.pay(ctx, in)
			return "", durable.Fail(durable.ErrUnknownOutcome.Code, "the connection was lost (idempotency key %s)", durable.IdempotencyKey(ctx))
		}
	}
	slow := func(b *payer) func(context.Context, payment) (string, error) {
		return func(ctx context.Context, in payment) (string, error) {
			_, _ = b.pay(ctx, in)
			<-ctx.Done()
			return "", fmt.Errorf("too late, idempotency key: %w", ctx.Err())
		}
	}
	for name, c := range map[string]struct {
		tool func(*payer) agents.Tool
		want string
		code *durable.Error
	}{
		"verify": {func(b *payer) agents.Tool {
			return agents.Func("pay", "", lose(b), agents.IfUnknown(agents.Verify(b.find)))
		}, "paid", nil},
		"ask":  {func(b *payer) agents.Tool { return agents.Func("pay", "", lose(b), agents.IfUnknown(agents.Ask)) }, "paid", nil},
		"once": {func(b *payer) agents.Tool { return agents.Func("pay", "", lose(b), agents.Once()) }, "unknown_outcome", nil},
		"fail": {func(b *payer) agents.Tool {
			return agents.Func("pay", "", lose(b), agents.IfUnknown(agents.FailRun))
		}, "", durable.ErrUnknownOutcome},
		"timeout, fail": {func(b *payer) agents.Tool {
			return agents.Func("pay", "", slow(b), agents.IfUnknown(agents.FailRun), agents.Timeout(time.Millisecond))
		}, "", durable.ErrUnknownOutcome},
	} {
		t.Run(name, func(t *testing.T) {
			_, far, rec, _ := paid(t, c.tool, 0, 0)
			got, err := outcome[string](t, rec)
			if far.total() != 1 {
				t.Errorf("payments %v", far.keys)
			}
			if c.code != nil {
				wantErr(t, err, c.code, "call tool pay", "start another run")
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			contains(t, got, c.want)
		})
	}
}

func TestWrongPoliciesAreReported(t *testing.T) {
	m := agentstest.Model(t, scripted.Script{Rules: []scripted.Rule{{Reply: scripted.Reply{Text: "."}}}})
	b := &payer{}
	for want, tool := range map[string]agents.Tool{
		"IfUnknown has no policy":      agents.Func("pay", "", b.pay, agents.IfUnknown(agents.UnknownPolicy{})),
		"give both the same types":     agents.Func("pay", "", getWeather, agents.IfUnknown(agents.Verify(b.find))),
		"Raw: IfUnknown has no policy": agents.Raw(agents.ToolSpec{Name: "pay", Parameters: rawPayment}, b.payRaw, agents.IfUnknown(agents.UnknownPolicy{})),
	} {
		err := agents.New(weather, agents.UseModel(m), agents.Tools(tool)).Validate()
		wantErr(t, err, durable.ErrInvalid, strings.TrimPrefix(want, "Raw: "))
	}
}

// TestACallOfAToolThatIsGoneMayHaveBeenMade has a server whose tool is gone when the process
// that called it is followed by another one.
func TestACallOfAToolThatIsGoneMayHaveBeenMade(t *testing.T) {
	far := &payer{}
	gone, called := &atomic.Bool{}, make(chan struct{})
	m := agentstest.Model(t, script(func(r *scripted.Request) scripted.Reply {
		if r.Rounds() == 0 {
			return calls(call("pay", `{"cents":100}`))
		}
		return scripted.Reply{Text: r.Last().Content}
	}))
	tool := agents.Raw(agents.ToolSpec{Name: "pay", Parameters: rawPayment}, func(ctx context.Context, in json.RawMessage) (json.RawMessage, error) {
		_, _ = far.payRaw(ctx, in)
		close(called)
		<-ctx.Done() // its process dies
		return nil, ctx.Err()
	}, agents.Once())
	b := setup(t, agents.New(weather, agents.UseModel(m), agents.Tools(agents.Served(vanishing{till{tool: tool}, gone}))))
	p := b.Start()
	run := ref("weather", "w", "1")
	b.Task(run, "", payload(t, "pay"))
	<-called
	gone.Store(true)
	p.Kill()
	b.Start()
	rec, err := b.Result(b.ctx, run)
	if err != nil {
		t.Fatal(err)
	}
	got, err := outcome[string](t, rec)
	if err != nil || far.total() != 1 {
		t.Errorf("payments %v, error %v", far.keys, err)
	}
	contains(t, got, "unknown_outcome")
}

type vanishing struct {
	till
	gone *atomic.Bool
}

func (v vanishing) Tool(name string) (agents.Tool, bool) {
	if v.gone.Load() {
		return agents.Tool{}, false
	}
	return v.till.Tool(name)
}
