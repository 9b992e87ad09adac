package runtimetest_test

import (
	"testing"

	"github.com/perdure/perdure/runtime"
	"github.com/perdure/perdure/runtime/runtimetest"
	"github.com/perdure/perdure/schemas"
)

func TestMemoryJournalKeepsTheContract(t *testing.T) {
	runtimetest.TestJournal(t, func(*testing.T) runtime.Journal { return runtimetest.NewJournal() })
}

// TestMemoryJournalKeepsTheContractWithLostAcks loses the acknowledgement of
// every append: each is sent again and finds its own write.
func TestMemoryJournalKeepsTheContractWithLostAcks(t *testing.T) {
	runtimetest.TestJournal(t, func(*testing.T) runtime.Journal {
		j := runtimetest.NewJournal()
		j.After = func(schemas.Ref, *schemas.Entry) error { return runtimetest.ErrAckLost }
		return j
	})
}

func TestMemoryStatesKeepTheContract(t *testing.T) {
	runtimetest.TestStates(t, func(*testing.T) runtime.States { return runtimetest.NewStates() })
}
