// Package mcp gives agents the tools of servers of the Model Context Protocol, by its
// official SDK: of a program that is started and spoken to over its standard input and
// output, or of a server somewhere, over streamable HTTP.
//
//	agents.Tools(
//		mcp.Stdio("npx", mcp.Args("-y", "@modelcontextprotocol/server-filesystem", dir)),
//		mcp.HTTP("https://example.com/mcp", mcp.Header("Authorization", "Bearer "+token), mcp.Prefix("shop")))
//
// A session begins when a node is opened with the agent, and ends with the node. A program
// that has died is started again, and a session that was lost is made anew, when a tool is
// called or a model is asked next. The list of tools is read when a session begins and
// follows the server's notices that it has changed; [agents.Served] says what a run sees
// of it.
//
// A call of a tool is a step like that of any other tool. What the model wrote is checked
// against the tool's schema first. A transport that fails, and a timeout, are tried again
// by the policy of the tool; what a server has answered is not, be it a result, an error
// of the tool (code "tool_error") or a refusal ("mcp_refused"): the model is told. The
// step's idempotency key is in the _meta of the call, as [IdempotencyMeta].
//
// [Resources] and [Prompts] give the agent what a server has besides tools, as tools. What a
// tool asks the user, and what a server asks of a model, is refused unless an option says
// who answers: [Answers], [AskPeople], [Sampling]. [OAuth] and [Token] authorize requests.
//
// The SDK speaks the revisions 2026-07-28, 2025-11-25, 2025-06-18, 2025-03-26 and
// 2024-11-05 of the protocol, and the newest one that the server has.
package mcp
