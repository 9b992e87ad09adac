// Package far has what the kinds of tools that are somewhere else have in common: names,
// answers, and which failures may pass.
//
//	return far.Result(body, res.Header.Get("Content-Type"), false)
package far
