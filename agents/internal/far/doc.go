// Package far has what the kinds of tools that are somewhere else have in common: names,
// answers, and which failures may pass.
package far
