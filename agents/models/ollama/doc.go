// Package ollama is a model on an Ollama server, by Ollama's own API.
//
//	agents.UseModel(ollama.New("qwen3"))
//	agents.UseModel(ollama.New("gpt-oss:20b", ollama.ContextTokens(32768), ollama.Think("low")))
//
// The server is taken from OLLAMA_HOST where [BaseURL] does not give it, and else is
// on this machine. A [Model] streams ([agents.Streamer]): what it writes, and what it
// thinks. What it thought is kept with its message, as its [agents.Reasoning], and
// sent back to it.
//
// Ollama also speaks the API of the openai package. Its own has what that lacks: the
// size of the context ([ContextTokens]), how long a model stays loaded ([KeepAlive]),
// and thinking. Instructions, tools and a schema of the answer are in both.
//
// A conversation that is longer than the context is refused, where Ollama by itself
// would forget its oldest messages.
//
// The client is written here: the one that Ollama publishes is part of the server's
// module, which requires some eighty others.
//
// Every HTTP request is one attempt of the step that made it, and carries the step's
// idempotency key. A server that is not there, is busy (429, 503) or fails (5xx), 408,
// 409, and responses that are cut short, malformed or broken off may be tried again,
// [agents.ErrModelUnavailable]; whatever else is refused is final, [agents.ErrModel],
// such as a model that the server does not have.
package ollama
