// Package check is the analyzer of perdurevet, for programs that join several:
//
//	multichecker.Main(check.Analyzer, shadow.Analyzer)
//
// Workflow code is each function, and function literal, that takes a
// durable.Context, and whatever it calls. What a step's body does is free: the
// functions that are given to durable.Step and its like. The analyzer reads the
// body of each function once and keeps what is impure in it (region.go). A
// function without a durable.Context hands that on as a fact to whoever calls it,
// also in other packages; one with it has it reported. Calls through interfaces
// and function values cannot be followed: those that are given a
// context.Context are taken to wait, or to reach out of the process.
package check
