// Package adapter has what the models of providers have in common: what failures mean, and
// how reasoning is kept.
//
//	return adapter.Failure(res.StatusCode, res.Header, agents.ClassOfStatus(res.StatusCode), "the provider answered 503")
package adapter
