// Package agentstest gives tests a model that plays a script, asked over HTTP
// through the real client of a provider.
//
//	m := agentstest.Model(t, scripted.Weather())
//	kind := agents.New(Weather, agents.UseModel(m), agents.Tools(...))
//	// run it, then
//	m.WantCalls(2)
//
// What a model did is counted by idempotency key, so that a test sees a call
// that was made again although its outcome was recorded.
package agentstest
