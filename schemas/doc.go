// Package schemas holds what Perdure sends and stores, in protobuf, and the
// identity types that every other package names:
//
//	id, err := schemas.ParseIdentity("weather/amsterdam")
//	ref := id.Run("order-17")           // weather/amsterdam/order-17
//	p := schemas.PartitionOf(id, 64)    // the slot that owns it
//
// The generated messages are described in proto/perdure.proto. They are a wire
// format: golden bytes in testdata/wire keep every released message readable.
package schemas
