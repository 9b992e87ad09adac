// Package scripted is a model that plays a script: a server that speaks
// OpenAI's Chat Completions and Responses APIs and Anthropic's Messages API over
// HTTP, for demos and tests without a provider, a key or chance.
//
//	err := scripted.Serve(ctx, "127.0.0.1:8099", scripted.Weather(), nil)
//
// Point a client at it with OPENAI_BASE_URL=http://127.0.0.1:8099/v1, or with
// ANTHROPIC_BASE_URL=http://127.0.0.1:8099. A script is the same for all: it
// is a list of rules; the first that fits a request says what is answered, or
// what goes wrong: a stall, a throttled or failed request, a connection that is
// cut, a body that is no JSON.
//
//	scripted.Script{Rules: []scripted.Rule{
//		{Request: 1, Reply: scripted.Reply{Status: 429, RetryAfter: scripted.Duration(time.Second)}},
//		{Result: "get_weather", Reply: scripted.Reply{Text: "It is ${result.sky}."}},
//		{Message: `weather in (\w+)`, Reply: scripted.Reply{Calls: []scripted.Call{
//			{Name: "get_weather", Arguments: `{"city":"$1"}`}}}},
//	}}
//
// It counts what it was asked by the Idempotency-Key header, so that a run that
// makes a recorded call again is caught: GET /calls answers the [Counts]. What
// it is asked is checked as a provider checks it, e.g. that every tool call is
// followed by its result. POST /release ends the stalls.
//
// Answers are streamed where they are asked for so, and the usage says what would
// have been read from the provider's cache. Over the Messages and the Responses API
// what the model thinks is shown, or comes encrypted, and is held to come back as it
// was.
package scripted
