// Package anthropic is a model behind Anthropic's Messages API, by the official
// SDK.
//
//	agents.UseModel(anthropic.New("claude-sonnet-5"))
//	agents.UseModel(anthropic.New("claude-opus-5", anthropic.Thinking(), anthropic.Effort("high")))
//
// Key and base URL are taken from ANTHROPIC_API_KEY and ANTHROPIC_BASE_URL
// where the options do not give them; a key also from wherever else the SDK
// looks for credentials.
//
// Instructions and tools, and the conversation as far as it was sent before,
// are read from the provider's cache, unless [NoCache] says otherwise. The same
// request always has the same bytes.
//
// How the model came to a message is kept with it as [agents.Reasoning] and sent
// back as it was, which the API requires of calls of tools. The API takes it back
// only behind what it was thought about; where instructions, tools or earlier
// messages are no longer what they were, it is left out, and so are its followers.
//
// The SDK's own retries are off: every HTTP request is one attempt of the step
// that made it, and carries the step's idempotency key. Throttling (429), 408,
// 409, failures of the server (5xx, 529 for overload among them) and of the
// connection, and responses and streams that are cut short or malformed may be
// tried again, [agents.ErrModelUnavailable]; whatever else is refused is final,
// [agents.ErrModel].
package anthropic
