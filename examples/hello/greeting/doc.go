// Package greeting has a workflow that greets, slowly enough to be killed in
// between.
//
//	greeting, err := perdure.Call(ctx, client, greeting.Hello.At("world"), "world")
package greeting
