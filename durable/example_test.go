package durable_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/runtime/runtimetest"
)

// Order, Charge and Receipt are what the examples pass around.
type (
	Order   struct{ SKU, City string }
	Charge  struct{ ID string }
	Receipt struct{ Charge, Slip string }
)

// The contract: typed names, all that a caller in another process imports.
var (
	Fulfil = durable.DeclareWorkflow[Order, Receipt]("fulfil")
	Ship   = durable.Declare[Charge, string]("ship")
	Report = durable.DeclareWorkflow[string, string]("report")
)

func fulfil(ctx durable.Context, o Order) (Receipt, error) {
	charge, err := durable.Step(ctx, "charge", func(ctx context.Context) (Charge, error) {
		return Charge{ID: "charge of " + o.SKU}, nil // bank.Charge(ctx, o, durable.IdempotencyKey(ctx))
	})
	if err != nil {
		return Receipt{}, err
	}
	if err := durable.Sleep(ctx, 10*time.Millisecond); err != nil {
		return Receipt{}, err
	}
	slip, err := durable.Call(ctx, Ship.At(o.City), charge)
	return Receipt{charge.ID, slip}, err
}

// ship is at the other end of calls: any kind, in any process.
func ship(ctx durable.Context, c Charge) (string, error) {
	if ctx.Info().Key == "atlantis" {
		return "", durable.Fail("unknown_city", "nothing is shipped to %s", ctx.Info().Key)
	}
	return "slip for " + c.ID + " to " + ctx.Info().Key, nil
}

// show runs one workflow in memory, with ship beside it, and prints its result.
func show[In, Out any](name durable.Name[In, Out], key string, in In, fn func(durable.Context, In) (Out, error)) {
	w := runtimetest.NewWorld(durable.Workflow(name, fn), bind(Ship, ship))
	w.Start()
	out, err := play(context.Background(), w, name, key, in)
	if wrong := w.Close(); err != nil || wrong != nil {
		fmt.Println("error:", err, wrong)
		return
	}
	fmt.Println(out)
}

// report runs a workflow that returns text.
func report(fn func(ctx durable.Context) (string, error)) {
	show(Report, "example", "", func(ctx durable.Context, _ string) (string, error) { return fn(ctx) })
}

func Example() {
	show(Fulfil, "order-17", Order{SKU: "tea", City: "amsterdam"}, fulfil)
	// Output: {charge of tea slip for charge of tea to amsterdam}
}

func ExampleStep() {
	report(func(ctx durable.Context) (string, error) {
		return durable.Step(ctx, "greet", func(context.Context) (string, error) { return "hello", nil })
	})
	// Output: hello
}

func ExampleStepAsync() {
	report(func(ctx durable.Context) (string, error) {
		tea := durable.StepAsync(ctx, "tea", func(context.Context) (string, error) { return "tea", nil })
		cake := durable.StepAsync(ctx, "cake", func(context.Context) (string, error) { return "cake", nil })
		first, err := tea.Result(ctx)
		if err != nil {
			return "", err
		}
		second, err := cake.Result(ctx)
		return first + " and " + second, err
	})
	// Output: tea and cake
}

func ExampleRetry() {
	attempts := 0
	report(func(ctx durable.Context) (string, error) {
		return durable.Step(ctx, "ask", func(context.Context) (string, error) {
			if attempts++; attempts < 3 {
				return "", errors.New("the far side is away")
			}
			return fmt.Sprintf("answered at attempt %d", attempts), nil
		}, durable.Retry(5, time.Millisecond))
	})
	// Output: answered at attempt 3
}

func ExampleRetryFor() {
	report(func(ctx durable.Context) (string, error) {
		_, err := durable.Step(ctx, "ask", func(context.Context) (string, error) {
			return "", errors.New("the far side is away")
		}, durable.RetryFor(10*time.Millisecond))
		return fmt.Sprint("gave up: ", err), nil
	})
	// Output: gave up: the far side is away
}

func ExampleRetryIf() {
	report(func(ctx durable.Context) (string, error) {
		_, err := durable.Step(ctx, "pay", func(context.Context) (string, error) {
			return "", &durable.Error{Code: "card_expired", Message: "the card has expired"}
		}, durable.RetryIf(func(err error) bool { return !durable.IsCode(err, "card_expired") }))
		return fmt.Sprint("gave up: ", err), nil
	})
	// Output: gave up: the card has expired
}

func ExampleTimeout() {
	report(func(ctx durable.Context) (string, error) {
		_, err := durable.Step(ctx, "slow", func(ctx context.Context) (string, error) {
			<-ctx.Done()
			return "", ctx.Err()
		}, durable.Timeout(time.Millisecond), durable.Retry(1, 0))
		return fmt.Sprint(errors.Is(err, durable.ErrTimeout), ": ", err), nil
	})
	// Output: true: the step did not end within its timeout of 1ms
}

func ExampleOnce() {
	report(func(ctx durable.Context) (string, error) {
		return durable.Step(ctx, "pay", func(context.Context) (string, error) { return "paid", nil }, durable.Once())
	})
	// Output: paid
}

func ExampleOnceOrVerify() {
	report(func(ctx durable.Context) (string, error) {
		return durable.Step(ctx, "pay", func(context.Context) (string, error) { return "paid", nil },
			durable.OnceOrVerify(func(context.Context) (string, error) { return "it was paid", nil })) // after a crash
	})
	// Output: paid
}

func ExampleIdempotencyKey() {
	report(func(ctx durable.Context) (string, error) {
		return durable.Step(ctx, "charge", func(ctx context.Context) (string, error) {
			key := durable.IdempotencyKey(ctx) // the same for every attempt, in whichever process
			return fmt.Sprintf("a key of %d characters", len(key)), nil
		})
	})
	// Output: a key of 26 characters
}

func ExampleAnnotate() {
	report(func(ctx durable.Context) (string, error) {
		return durable.Step(ctx, "ask", func(ctx context.Context) (string, error) {
			durable.Annotate(ctx, "tokens", "17") // shown in the run's timeline
			return "42", nil
		})
	})
	// Output: 42
}

func ExampleGo() {
	report(func(ctx durable.Context) (string, error) {
		slip := durable.Go(ctx, "slip", func(ctx durable.Context) (string, error) { // a branch may use every verb
			if err := durable.Sleep(ctx, time.Millisecond); err != nil {
				return "", err
			}
			return durable.Call(ctx, Ship.At("oslo"), Charge{"c1"})
		})
		box, err := durable.Step(ctx, "pack", func(context.Context) (string, error) { return "box", nil })
		if err != nil {
			return "", err
		}
		s, err := slip.Result(ctx)
		return box + ", " + s, err
	})
	// Output: box, slip for c1 to oslo
}

func ExampleMap() {
	report(func(ctx durable.Context) (string, error) {
		lines := []string{"tea", "cake", "jam"}
		boxes, err := durable.Map(ctx, "pack", lines, 2, func(_ context.Context, line string) (string, error) { // two at once
			return "box of " + line, nil
		})
		return strings.Join(boxes, ", "), err
	})
	// Output: box of tea, box of cake, box of jam
}

func ExampleAll() {
	report(func(ctx durable.Context) (string, error) {
		both, err := durable.All(ctx,
			durable.StepAsync(ctx, "left", func(context.Context) (string, error) { return "left", nil }),
			durable.StepAsync(ctx, "right", func(context.Context) (string, error) { return "right", nil }))
		return strings.Join(both, " and "), err
	})
	// Output: left and right
}

func ExampleAny() {
	report(func(ctx durable.Context) (string, error) {
		return durable.Any(ctx,
			durable.StepAsync(ctx, "first model", func(context.Context) (string, error) { return "", durable.Fail("busy", "come back later") }),
			durable.StepAsync(ctx, "second model", func(context.Context) (string, error) { return "an answer", nil }))
	})
	// Output: an answer
}

func ExampleSelect() {
	report(func(ctx durable.Context) (string, error) {
		answer := durable.StepAsync(ctx, "ask", func(context.Context) (string, error) { return "yes", nil })
		first, err := durable.Select(ctx, answer, durable.After(ctx, time.Hour)) // any mix of futures
		if err != nil {
			return "", err
		}
		if first == 1 {
			return "no answer within an hour", nil
		}
		return answer.Result(ctx)
	})
	// Output: yes
}

func ExampleSleep() {
	report(func(ctx durable.Context) (string, error) {
		began := durable.Now(ctx)
		if err := durable.Sleep(ctx, 20*time.Millisecond); err != nil { // a crash does not begin it again
			return "", err
		}
		return fmt.Sprint(durable.Now(ctx).Sub(began) >= 20*time.Millisecond), nil
	})
	// Output: true
}

func ExampleAfter() {
	report(func(ctx durable.Context) (string, error) {
		due, err := durable.After(ctx, time.Millisecond).Result(ctx)
		return fmt.Sprint(due.After(ctx.Info().Started)), err
	})
	// Output: true
}

func ExampleNow() {
	report(func(ctx durable.Context) (string, error) {
		return fmt.Sprint(durable.Now(ctx).Equal(ctx.Info().Started)), nil // nothing was recorded in between
	})
	// Output: true
}

func ExampleRand() {
	report(func(ctx durable.Context) (string, error) {
		return fmt.Sprint(durable.Rand(ctx).Perm(5)), nil // the same on every replay
	})
	// Output: [2 3 0 4 1]
}

func ExampleNewID() {
	report(func(ctx durable.Context) (string, error) {
		one, two := durable.NewID(ctx), durable.NewID(ctx) // the same two on every replay
		return fmt.Sprint(len(one), one == two), nil
	})
	// Output: 26 false
}

func ExampleCall() {
	report(func(ctx durable.Context) (string, error) {
		_, err := durable.Call(ctx, Ship.At("atlantis"), Charge{"c1"})
		if durable.IsCode(err, "unknown_city") { // the errors of the other side have their codes here
			return durable.Call(ctx, Ship.At("oslo"), Charge{"c1"})
		}
		return "", err
	})
	// Output: slip for c1 to oslo
}

func ExampleCallAsync() {
	report(func(ctx durable.Context) (string, error) {
		slip, err := durable.CallAsync(ctx, Ship.At("oslo"), Charge{"c1"})
		if err != nil {
			return "", err
		}
		return slip.Result(ctx)
	})
	// Output: slip for c1 to oslo
}

func ExampleStart() {
	report(func(ctx durable.Context) (string, error) {
		child, err := durable.Start(ctx, Ship.At("oslo"), Charge{"c1"}, durable.MessageID("m1"))
		if err != nil {
			return "", err
		}
		return "started " + child.Ref().String(), nil // child.Result waits for it
	})
	// Output: started ship/oslo/m1
}

func ExampleSend() {
	report(func(ctx durable.Context) (string, error) {
		ref, err := durable.Send(ctx, Ship.At("oslo"), Charge{"c1"}, durable.MessageID("m1"))
		return "sent to " + ref.Identity.String(), err
	})
	// Output: sent to ship/oslo
}

func ExampleMessageID() {
	report(func(ctx durable.Context) (string, error) {
		one, err := durable.Start(ctx, Ship.At("oslo"), Charge{"c1"}, durable.MessageID("order-17"))
		if err != nil {
			return "", err
		}
		two, err := durable.Start(ctx, Ship.At("oslo"), Charge{"c1"}, durable.MessageID("order-17")) // the same run
		return fmt.Sprint(one.Ref() == two.Ref()), err
	})
	// Output: true
}

func ExampleWithTimeout() {
	report(func(ctx durable.Context) (string, error) {
		limited, cancel := durable.WithTimeout(ctx, 10*time.Millisecond)
		defer cancel()
		err := durable.Sleep(limited, time.Hour)
		return fmt.Sprint(errors.Is(err, durable.ErrTimeout), ctx.Err()), nil
	})
	// Output: true <nil>
}

func ExampleWithCancel() {
	report(func(ctx durable.Context) (string, error) {
		scope, cancel := durable.WithCancel(ctx)
		hour := durable.Go(scope, "hour", func(ctx durable.Context) (string, error) { return "", durable.Sleep(ctx, time.Hour) })
		if err := durable.Sleep(ctx, time.Millisecond); err != nil {
			return "", err
		}
		cancel()
		_, err := hour.Result(ctx)
		return fmt.Sprint(errors.Is(err, durable.ErrCancelled)), nil
	})
	// Output: true
}

func ExampleWithoutCancel() {
	report(func(ctx durable.Context) (string, error) {
		scope, cancel := durable.WithCancel(ctx)
		cancel()
		if err := durable.Sleep(scope, time.Hour); err != nil {
			return durable.Step(durable.WithoutCancel(scope), "clean up", func(context.Context) (string, error) { return "cleaned up", nil })
		}
		return "slept", nil
	})
	// Output: cleaned up
}

func ExampleFail() {
	show(Report, "example", "x", func(durable.Context, string) (string, error) {
		return "", durable.Fail("sold_out", "asked for %d, %d left", 3, 2) // final: no policy retries it
	})
	// Output: error: asked for 3, 2 left []
}

func ExampleIsCode() {
	err := fmt.Errorf("order 17: %w", durable.Fail("sold_out", "none left"))
	fmt.Println(durable.IsCode(err, "sold_out"), durable.IsCode(err, "timeout"), errors.Is(err, durable.ErrTimeout))
	// Output: true false false
}

func ExampleDeclare() {
	reserve := durable.Declare[int, string]("stock.reserve") // a method of the virtual actor "stock"
	fmt.Println(reserve, reserve.Kind(), reserve.Method(), reserve.At("sku-1").Identity())
	// Output: stock.reserve stock reserve stock/sku-1
}

func ExampleDeclareWorkflow() {
	target, err := Fulfil.At("order-17").Resolve("")
	fmt.Println(target.Run(target.ID), err) // its key is its message ID
	// Output: fulfil/order-17/order-17 <nil>
}

func ExampleDeclareQuery() {
	level := durable.DeclareQuery[durable.None, int]("stock.level")
	fmt.Println(level, durable.DeclareQuery[durable.None, int]("level").Err())
	// Output: stock.level query "level" names no method; write kind.query, e.g. stock.level
}

func ExampleWorkflow() {
	kind := durable.Workflow(durable.Declare[Order, Receipt]("fulfil"), fulfil)
	fmt.Println(kind.Validate())
	// Output: workflow "fulfil": "fulfil" was made by Declare; name a workflow with DeclareWorkflow, so that every sender knows that its key is its message ID
}

func ExampleEncode() {
	p, err := durable.Encode(Order{"tea", "oslo"})
	fmt.Printf("%s %v\n", p.GetData(), err)
	o, err := durable.Decode[Order](p)
	fmt.Println(o.City, err)
	// Output:
	// {"SKU":"tea","City":"oslo"} <nil>
	// oslo <nil>
}
