// Package micro gives agents the endpoints of NATS micro services as tools, in whichever
// language they are written: of services that answer $SRV.INFO, as those of the nats.go
// package micro, of nats.js, nats.py, nats.rs and others do.
//
//	agents.Tools(micro.Tools())
//
// Services are looked for on the NATS of the node, again and again: one that appears has
// its tools offered with the next request to a model, without a restart, and one that is
// gone is not offered any more. [agents.Served] says what a run sees of it.
//
// # What a service says of its endpoints
//
// An endpoint says in its metadata that it is a tool, and what the model is told of it.
// One that does not is not offered, unless [Endpoint] describes it here.
//
//	request_schema   the JSON Schema of the request, of type object; "schema" means the same
//	description      what it does; otherwise the service's description
//	tool             the tool's name; otherwise SERVICE_ENDPOINT
//	idempotent       "false" if a request that comes twice does something twice
//
// # Calls
//
// A call is a step, and one request: the arguments as JSON, with the step's idempotency
// key in the header Idempotency-Key, the same for each attempt. The reply is the result, as
// JSON or as text. A reply with the header Nats-Service-Error-Code is an error, of which the
// model is told code and description (header Nats-Service-Error), and the body. The codes
// 408, 425, 429 and 5xx but 501 are tried again by the policy of the tool, as late as a
// header Retry-After asks for, and so are a request that nobody answers and a service that
// is not there at the moment.
//
// After a crash a call whose outcome is not recorded is made again, with its key. One of an
// endpoint with idempotent "false" is made once ([agents.Once]): the model is told
// unknown_outcome. [Tool] says otherwise, as [agents.IfUnknown] does.
package micro
