// Package openai is a model behind the Chat Completions API or the Responses API,
// by the official SDK: OpenAI, and every server that speaks one of them, such as
// Ollama and vLLM.
//
//	agents.UseModel(openai.New("gpt-5-mini"))
//	agents.UseModel(openai.New("llama3.2", openai.BaseURL("http://localhost:11434/v1")))
//	agents.UseModel(openai.NewResponses("gpt-5-mini", openai.ReasoningEffort("low")))
//
// By the Responses API a model goes on with what it thought: that comes encrypted,
// is kept with the message as its [agents.Reasoning], and goes back in the place in
// which it came. The provider stores nothing. Both stream ([agents.Streamer]).
//
// Key and base URL are taken from OPENAI_API_KEY and OPENAI_BASE_URL where the
// options do not give them.
//
// The SDK's own retries are off: every HTTP request is one attempt of the step
// that made it, and carries the step's idempotency key. Throttling (429), 408,
// 409, failures of the server (5xx) and of the connection, and responses that
// are cut short or malformed may be tried again, [agents.ErrModelUnavailable];
// whatever else is refused is final, [agents.ErrModel].
package openai
