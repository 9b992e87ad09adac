package durable_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/runtime/runtimetest"
	"pgregory.net/rapid"
)

// A value is what verbs return in the property test: more than JSON's own
// types.
type value struct {
	Text string
	N    int64
	Data []byte
	At   time.Time
	Next *value `json:",omitempty"`
}

// A use is one durable verb with drawn arguments.
type use struct {
	verb string
	v    value
	how  string // what becomes of what it does
	n    int
}

var hows = []string{"ok", "ok", "final", "plain", "wrapped", "panic", "slow"}

// drawUse draws the arguments of a verb.
func drawUse(t *rapid.T, verb string) use {
	v := value{
		Text: rapid.String().Draw(t, "text"), N: rapid.Int64().Draw(t, "n"), Data: rapid.SliceOfN(rapid.Byte(), 0, 5).Draw(t, "data"),
		At: time.Unix(rapid.Int64Range(0, 4e9).Draw(t, "at"), rapid.Int64Range(0, 999_999_999).Draw(t, "nano")).UTC(),
	}
	if rapid.Bool().Draw(t, "next") {
		v.Next = &value{Text: "next"}
	}
	return use{verb: verb, v: v, how: rapid.SampledFrom(hows).Draw(t, "how"), n: rapid.IntRange(1, 4).Draw(t, "count")}
}

// body does what a use says, in a step, a branch, or at the other end of a call.
func (u use) body() (value, error) {
	switch u.how {
	case "final":
		return u.v, durable.Fail("sold_out", "%s: none left", u.v.Text)
	case "plain":
		return u.v, errors.New("plain " + u.v.Text)
	case "wrapped":
		return u.v, fmt.Errorf("wrapped: %w", durable.ErrDenied)
	case "panic":
		panic("panic " + u.v.Text)
	}
	return u.v, nil
}

func (u use) step(ctx context.Context) (value, error) {
	if u.how == "slow" {
		_, err := after(time.Hour, 0)(ctx)
		return u.v, err
	}
	return u.body()
}

func (u use) opts() []durable.StepOption {
	return []durable.StepOption{durable.Retry(2, time.Millisecond), durable.Timeout(time.Minute)}
}

var echo = durable.Declare[use2, value]("echo")

// use2 is a use as it travels.
type use2 struct {
	V   value
	How string
}

func (u use) asInput() use2 { return use2{u.v, u.how} }

var verbTable = map[string]func(ctx durable.Context, u use) (any, error){
	"Step": func(ctx durable.Context, u use) (any, error) { return durable.Step(ctx, "s", u.step, u.opts()...) },
	"StepAsync": func(ctx durable.Context, u use) (any, error) {
		return durable.StepAsync(ctx, "s", u.step, u.opts()...).Result(ctx)
	},
	"Once": func(ctx durable.Context, u use) (any, error) {
		return durable.Step(ctx, "s", u.step, append(u.opts(), durable.Once())...)
	},
	"OnceOrVerify": func(ctx durable.Context, u use) (any, error) {
		return durable.Step(ctx, "s", u.step, append(u.opts(), durable.OnceOrVerify(u.step))...)
	},
	"Map": func(ctx durable.Context, u use) (any, error) {
		return durable.Map(ctx, "m", make([]int, u.n), 2, func(ctx context.Context, _ int) (value, error) { return u.step(ctx) }, u.opts()...)
	},
	"Go": func(ctx durable.Context, u use) (any, error) {
		return durable.Go(ctx, "g", func(ctx durable.Context) (value, error) {
			if _, err := durable.Step(ctx, "in", after(time.Second, 1)); err != nil {
				return value{}, err
			}
			return u.body()
		}).Result(ctx)
	},
	"All": func(ctx durable.Context, u use) (any, error) {
		var fs []*durable.Future[value]
		for range u.n {
			fs = append(fs, durable.StepAsync(ctx, "s", u.step, u.opts()...))
		}
		return durable.All(ctx, fs...)
	},
	"Any": func(ctx durable.Context, u use) (any, error) {
		return durable.Any(ctx, durable.StepAsync(ctx, "s", u.step, u.opts()...), durable.StepAsync(ctx, "late", after(time.Hour, u.v)))
	},
	"Select": func(ctx durable.Context, u use) (any, error) {
		i, err := durable.Select(ctx, durable.After(ctx, time.Duration(u.n)*time.Minute), durable.StepAsync(ctx, "s", u.step, u.opts()...))
		return i, err
	},
	"Sleep": func(ctx durable.Context, u use) (any, error) {
		return nil, durable.Sleep(ctx, time.Duration(u.n*u.n)*time.Minute)
	},
	"After": func(ctx durable.Context, u use) (any, error) {
		at, err := durable.After(ctx, time.Duration(u.n)*time.Hour).Result(ctx)
		return at.UTC(), err
	},
	"Now":   func(ctx durable.Context, _ use) (any, error) { return durable.Now(ctx), nil },
	"Rand":  func(ctx durable.Context, u use) (any, error) { return durable.Rand(ctx).Perm(u.n), nil },
	"NewID": func(ctx durable.Context, _ use) (any, error) { return durable.NewID(ctx), nil },
	"Call": func(ctx durable.Context, u use) (any, error) {
		return durable.Call(ctx, echo.At(fmt.Sprint(u.n)), u.asInput())
	},
	"Call with a timeout": func(ctx durable.Context, u use) (any, error) {
		return durable.Call(ctx, echo.At(fmt.Sprint(u.n)), u.asInput(), durable.Timeout(time.Minute))
	},
	"CallAsync": func(ctx durable.Context, u use) (any, error) {
		f, err := durable.CallAsync(ctx, echo.At(fmt.Sprint(u.n)), u.asInput())
		if err != nil {
			return nil, err
		}
		return f.Result(ctx)
	},
	"Start": func(ctx durable.Context, u use) (any, error) {
		f, err := durable.Start(ctx, echo.At(fmt.Sprint(u.n)), u.asInput())
		if err != nil {
			return nil, err
		}
		v, err := f.Result(ctx)
		return []any{v, f.Ref().String()}, err
	},
	"Send": func(ctx durable.Context, u use) (any, error) {
		return durable.Send(ctx, echo.At(fmt.Sprint(u.n)), u.asInput())
	},
	"Send to nowhere": func(ctx durable.Context, u use) (any, error) { return durable.Send(ctx, echo.At(""), u.asInput()) },
	"Call to nobody": func(ctx durable.Context, u use) (any, error) {
		return durable.Call(ctx, durable.Declare[int, int]("nobody").At("a"), u.n)
	},
	"Call to itself": func(ctx durable.Context, u use) (any, error) {
		return durable.Call(ctx, durable.Declare[int, int](ctx.Info().Kind).At(ctx.Info().Key), u.n)
	},
	"WithTimeout": func(ctx durable.Context, u use) (any, error) {
		d, cancel := durable.WithTimeout(ctx, time.Duration(u.n)*time.Minute)
		defer cancel()
		v, err := durable.Step(d, "s", u.step, durable.Retry(1, 0))
		return []any{v, code(d.Err())}, err
	},
	"WithCancel": func(ctx durable.Context, u use) (any, error) {
		d, cancel := durable.WithCancel(ctx)
		f := durable.StepAsync(d, "s", u.step, u.opts()...)
		if u.n > 2 {
			if err := durable.Sleep(ctx, time.Second); err != nil {
				return nil, err
			}
		}
		cancel()
		v, err := f.Result(d)
		return []any{v, code(durable.Sleep(d, time.Hour))}, err
	},
	"WithoutCancel": func(ctx durable.Context, u use) (any, error) {
		d, cancel := durable.WithCancel(ctx)
		cancel()
		return durable.Step(durable.WithoutCancel(d), "s", u.step, u.opts()...)
	},
	"Info": func(ctx durable.Context, _ use) (any, error) {
		i := ctx.Info()
		return fmt.Sprint(i.Ref(), i.Started, i.Method, i.Parent), nil
	},
}

func verbs() (names []string) {
	for v := range verbTable {
		names = append(names, v)
	}
	slices.Sort(names)
	return names
}

// seen is a value and an error in words that compare.
func seen(v any, err error) string {
	p, encodeErr := durable.Encode(v)
	s := fmt.Sprintf("%s %v", p.GetData(), encodeErr)
	var e *durable.Error
	if !errors.As(err, &e) {
		return fmt.Sprintf("%s, %v", s, err)
	}
	return fmt.Sprintf("%s, %s %q %q %v", s, e.Code, e.Message, e.Details, e.Final)
}

// TestEachVerbReturnsTheSameLiveAndReplayed executes all verbs in random orders
// and with random arguments, with crashes and suspensions, and compares what
// each returned in each execution with what it returned in that which saw the
// most, value and error.
func TestEachVerbReturnsTheSameLiveAndReplayed(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		var program []use
		for _, v := range rapid.Permutation(verbs()).Draw(rt, "verbs") {
			program = append(program, drawUse(rt, v))
		}
		crashes := rapid.SliceOfN(rapid.IntRange(2, 200), 0, 5).Draw(rt, "crashes")
		executions, err := observe(t, program, crashes)
		if err != nil {
			rt.Fatal(err)
		}
		if len(executions) < 2 {
			rt.Fatalf("%d executions; the crash before the commit makes at least two", len(executions))
		}
		// that of a killed process may be the last, and short
		last := slices.MaxFunc(executions, func(a, b []string) int { return len(a) - len(b) })
		if len(last) != len(program) {
			rt.Fatalf("an execution saw at most %d of %d verbs", len(last), len(program))
		}
		for i, got := range executions {
			for j := range got {
				if got[j] != last[j] {
					rt.Errorf("execution %d: %s returned %s; replayed it returned %s", i, program[j].verb, got[j], last[j])
				}
			}
		}
	})
}

// observe executes a program and returns what its verbs returned, by execution.
func observe(t *testing.T, program []use, crashes []int) (executions [][]string, err error) {
	name := durable.DeclareWorkflow[durable.None, int]("observed")
	var mu sync.Mutex
	k := durable.Workflow(name, func(ctx durable.Context, _ durable.None) (int, error) {
		mu.Lock()
		n := len(executions)
		executions = append(executions, nil)
		mu.Unlock()
		for _, u := range program {
			s := seen(verbTable[u.verb](ctx, u))
			mu.Lock()
			executions[n] = append(executions[n], s)
			mu.Unlock()
		}
		return len(program), nil
	})
	e := bind(echo, func(ctx durable.Context, in use2) (value, error) {
		if in.How == "slow" {
			return in.V, durable.Sleep(ctx, time.Hour)
		}
		return use{v: in.V, how: in.How}.body()
	})
	synctest.Test(t, func(t *testing.T) {
		w := runtimetest.NewWorld(k, e)
		w.AutoRestart = true
		for _, n := range crashes {
			w.CrashAt(runtimetest.After, n)
		}
		first := true
		w.OnPoint = func(what string) {
			mu.Lock()
			defer mu.Unlock()
			if what == "commit observed/a/a" && first {
				first = false
				w.CrashAt(runtimetest.Before, len(w.Points())+1)
			}
		}
		w.Start()
		ctx, cancel := context.WithTimeout(t.Context(), 1000*time.Hour)
		defer cancel()
		if n, e := play(ctx, w, name, "a", durable.None{}); e != nil || n != len(program) {
			err = fmt.Errorf("the run: %d, %w", n, e)
		}
		if e := w.Settle(ctx); e != nil {
			err = errors.Join(err, e)
		}
		<-time.After(2 * time.Hour)
		for _, wrong := range w.Close() {
			err = errors.Join(err, errors.New(wrong))
		}
	})
	mu.Lock()
	defer mu.Unlock()
	return executions, err
}
