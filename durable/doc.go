// Package durable is what authors of workflows, virtual actors and agents write
// with: typed names, and the durable verbs.
//
//	var Fulfil = durable.DeclareWorkflow[Order, Receipt]("fulfil")
//
//	func fulfil(ctx durable.Context, o Order) (Receipt, error) {
//		charge, err := durable.Step(ctx, "charge", func(ctx context.Context) (Charge, error) {
//			return bank.Charge(ctx, o, durable.IdempotencyKey(ctx))
//		})
//		if err != nil {
//			return Receipt{}, err
//		}
//		if err := durable.Sleep(ctx, 24*time.Hour); err != nil {
//			return Receipt{}, err
//		}
//		return durable.Call(ctx, Ship.At(o.City), charge)
//	}
//
// A handler is executed again from its start whenever its run moves to another
// process; every verb then returns what was recorded the first time, values and
// errors alike. So a handler decides by what its verbs return, and does
// everything else inside a step: no clock, no random numbers, no goroutines, no
// input or output of its own. [Now], [Rand], [NewID] and [Go] are there instead.
//
// A [Context] is not a context.Context, so that it cannot be handed to I/O; a
// step's body gets a context.Context that hides it, so that a verb inside a
// step does not compile.
package durable
