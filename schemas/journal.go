package schemas

import "time"

// Stored is an entry as a journal holds it.
type Stored struct {
	Seq   uint64    // sequence in the journal's stream, the position that an append is conditioned on
	Time  time.Time // when the broker stored it, by the broker's clock
	Ref   Ref       // the run that it belongs to
	Entry *Entry
}

// An Outcome is the answer to a conditioned write. Invariant: Fenced implies
// Seq == 0.
type Outcome struct {
	Seq    uint64 // of what was stored
	Fenced bool   // the condition did not hold and it was not our own write that moved it
	Head   Stored // when fenced: what is last now; Seq 0 if there is nothing
}

// Replaces reports whether an entry stands for all before it of its run: a
// record that keeps no history, or the beginning of a run that continues as new.
func (e *Entry) Replaces() bool {
	if rec := e.GetRecord(); rec != nil {
		return !rec.GetHistory()
	}
	for i, ev := range e.GetEvents() {
		if ev.GetContinued() != nil {
			return true
		}
		if i == 1 { // it follows the claim
			return false
		}
	}
	return false
}

// Normal returns an entry in the form in which it is worked with: the record of a
// run that was refused, which is stored as an event, as its record.
func (e *Entry) Normal() *Entry {
	if len(e.GetEvents()) == 1 {
		if r := e.GetEvents()[0].GetRefused(); r != nil {
			e.Record, e.Events = r.GetRecord(), nil
		}
	}
	return e
}
