// Package openapi gives agents the operations of HTTP APIs as tools, as an OpenAPI
// document of version 3.0, 3.1 or 3.2 describes them, which kin-openapi reads.
//
//	agents.Tools(openapi.Tools(openapi.File("orders.yaml"),
//		openapi.Server("https://orders.example.com"),
//		openapi.Auth(func(ctx context.Context) (http.Header, error) { return bearer(ctx) }),
//		openapi.Tags("orders")))
//
// The model is told of each operation its name, its summary and description, and one
// schema of its parameters and its body. A call is a step like that of any other tool and
// one HTTP request, which carries the step's idempotency key as [agents.IdempotencyHeader].
// What the API answers is the result: JSON as it is, and text.
//
// An answer of 408, 425, 429 or 5xx and a connection that fails are tried again by the
// policy of the tool, as late as Retry-After asks for; other answers that are no success
// are told to the model, with what they say.
//
// What becomes of a call whose process died before its outcome was recorded depends on the
// method. GET, HEAD, OPTIONS, PUT, DELETE and QUERY do the same however often they are
// made, by HTTP's own definition: they are made again. So are POST and PATCH of operations that
// have a header parameter Idempotency-Key, which is filled in and of which the model is not told.
// Other calls of POST and PATCH are made once ([agents.Once]): after a crash, or a
// connection that was lost with the request on its way, the model is told unknown_outcome.
// [Tool] with [agents.IfUnknown] says otherwise: Repeat for an API that knows the key without saying so,
// or a function that finds out.
package openapi
