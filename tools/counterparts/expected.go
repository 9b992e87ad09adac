package main

// expectedFailures are the scenarios of the conformance suite that our client does not
// pass, each with the reason. A failure that is not here, and a pass of what is, fail the
// run.
var expectedFailures = map[string]string{}
