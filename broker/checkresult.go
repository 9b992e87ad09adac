package broker

// A CheckResult is what one look at a deployment came to.
type CheckResult struct {
	// Check is what was looked at, e.g. "stream perdure_RUNS".
	Check string `json:"check"`
	// Status says whether it is as it should be.
	Status CheckStatus `json:"status"`
	// Found is what is there.
	Found string `json:"found"`
	// Do is what to do about it; empty if nothing is to be done.
	Do string `json:"do,omitempty"`
	// Away are the nodes, or servers of yours, that it says are away.
	Away []string `json:"away,omitempty"`
}

// A CheckStatus says how something that was looked at is.
type CheckStatus string

// How something is: as it should be; working, with something to know or to mend;
// not working, or not keeping what it promises.
const (
	OK   CheckStatus = "ok"
	Warn CheckStatus = "warn"
	Fail CheckStatus = "fail"
)
