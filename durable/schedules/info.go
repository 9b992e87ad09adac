package schedules

import "time"

// Info is what a schedule shows of itself.
type Info struct {
	Name string `json:"name"`
	// Run is the reference kind/key/id of the schedule's own run.
	Run string `json:"run,omitempty"`
	// Status is that of this run, e.g. running or suspended, as the API tells it, and
	// Trouble why it stands still, if it does.
	Status  string `json:"status,omitempty"`
	Trouble string `json:"trouble,omitempty"`
	Paused  bool   `json:"paused,omitempty"`
	// Reason is why it is paused.
	Reason string `json:"reason,omitempty"`
	// Next are the times that come next, without jitter: none while it is paused, and
	// none when it is over its end or limit.
	Next    []time.Time `json:"next,omitempty"`
	Running []Fired     `json:"running,omitempty"` // the last ten of those that go on
	Recent  []Fired     `json:"recent,omitempty"`  // the last ten that have ended, the newest first
	Counts  Counts      `json:"counts"`
	// Backfills are the ranges that are being backfilled.
	Backfills []Range `json:"backfills,omitempty"`
	// Commands are the last ones, the newest first.
	Commands []Handled `json:"commands,omitempty"`
	Created  time.Time `json:"created,omitzero"`
	Updated  time.Time `json:"updated,omitzero"`
	Spec     Spec      `json:"spec"`
	// InputOmitted says that the spec's input is too large to be shown.
	InputOmitted bool `json:"input_omitted,omitempty"`
	// Hash is of the spec, to compare it.
	Hash string `json:"hash"`
}

// Counts are numbers of a schedule's times since it was created.
type Counts struct {
	Fired     int `json:"fired"`     // of the times, how many started a run
	Manual    int `json:"manual"`    // runs by trigger and backfill
	Completed int `json:"completed"` // of all runs
	Failed    int `json:"failed"`
	Cancelled int `json:"cancelled"`
	Skipped   int `json:"skipped"` // by the overlap policy
	Missed    int `json:"missed"`  // older than what is caught up
	Running   int `json:"running"`
	Waiting   int `json:"waiting"` // for their turn
}

// A Fired is a run that a schedule started.
type Fired struct {
	Run     string    `json:"run"` // its reference kind/key/id
	Time    time.Time `json:"time"`
	Started time.Time `json:"started"`
	Ended   time.Time `json:"ended,omitzero"`
	Status  string    `json:"status"` // running, completed, failed or cancelled
	Error   string    `json:"error,omitempty"`
	Manual  bool      `json:"manual,omitempty"`
}

// A Range is a range of times, of which both ends count.
type Range struct {
	From time.Time `json:"from"`
	To   time.Time `json:"to"`
}

// A Handled is a command that the schedule has handled.
type Handled struct {
	ID    string    `json:"id,omitempty"`
	Do    string    `json:"do"`
	At    time.Time `json:"at"`
	Error string    `json:"error,omitempty"` // why nothing was done
}
