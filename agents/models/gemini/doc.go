// Package gemini is a model behind Google's Gemini API, by the official SDK.
//
//	agents.UseModel(gemini.New("gemini-3-flash"))
//	agents.UseModel(gemini.New("gemini-3-pro", gemini.ThinkingLevel("low"), gemini.Thoughts()))
//
// The key is taken from GOOGLE_API_KEY or GEMINI_API_KEY where [APIKey] does not
// give it. A [Model] streams ([agents.Streamer]): what it writes, and with
// [Thoughts] a summary of what it thinks.
//
// Gemini signs what it thought. The signatures are kept with the message, as its
// [agents.Reasoning], and go back on the parts that they came with: from Gemini 3
// on, a function call without its signature is refused. Calls that another model
// made have none, e.g. where Gemini goes on with a conversation in its place; they
// are sent with the signature that the API reserves for them.
//
// Before Gemini 3, models accept tools or a schema of the answer, but not both: a
// request with both tells the schema in its instructions. What such a model answers
// is checked and mended like any other answer.
//
// The SDK's own retries and continuations are off: every HTTP request is one
// attempt of the step that made it, and carries the step's idempotency key.
// Throttling (429), 408, 409, failures of the server (5xx) and of the connection,
// responses that are cut short, malformed or broken off may be tried again,
// [agents.ErrModelUnavailable], after the time that the API asks for; whatever else
// is refused is final, [agents.ErrModel]. What a filter withholds is no error: the
// response says content_filter, and why.
package gemini
