// Package brokerbench measures what the machine and a bare NATS server can do,
// so that a benchmark can say how near it comes.
//
//	limits, err := brokerbench.Measure(ctx, brokerbench.Config{Dir: dir, Durability: broker.Process})
//	fmt.Println(limits.Publish.P50, limits.Rate)
package brokerbench
