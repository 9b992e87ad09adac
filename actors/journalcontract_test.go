package actors_test

import (
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/perdure/perdure/broker"
	"github.com/perdure/perdure/broker/brokertest"
	"github.com/perdure/perdure/runtime"
	"github.com/perdure/perdure/runtime/runtimetest"
)

// TestJournalOfTheBrokerKeepsTheContract that executors are tested with, on a server
// of the process, where entries behind a claim have another condition, and on one
// elsewhere.
func TestJournalOfTheBrokerKeepsTheContract(t *testing.T) {
	t.Parallel()
	t.Run("embedded", func(t *testing.T) {
		t.Parallel()
		runtimetest.TestJournal(t, func(t *testing.T) runtime.Journal { return brokertest.Open(t).Journal() })
	})
	t.Run("external", func(t *testing.T) {
		t.Parallel()
		url := brokertest.Server(t).URL()
		var n atomic.Int32
		runtimetest.TestJournal(t, func(t *testing.T) runtime.Journal {
			return brokertest.Connect(t, url, func(c *broker.Config) { c.Namespace = fmt.Sprint("journal", n.Add(1)) }).Journal()
		})
	})
}
