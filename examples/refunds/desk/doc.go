// Package desk has an agent that gives money back: small sums by itself, large ones
// once somebody has approved them, however long that takes.
//
//	run, err := perdure.Start(ctx, client, desk.Refunds.At("anna"), "Refund 80 euros of order o-17")
package desk
