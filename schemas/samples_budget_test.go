package schemas_test

import (
	"google.golang.org/protobuf/proto"

	"github.com/perdure/perdure/schemas"
)

// budgets are what runs and budgets say to each other, and what budgets keep.
func budgets() map[string]proto.Message {
	amount := &schemas.Amount{Tokens: 1200, Nanos: 3_500_000}
	charge := &schemas.Charge{
		Budget: "perdure-budget/support:tenant:acme", Name: "support", Of: "acme", Limit: amount,
		Window: schemas.Charge_MONTH, AtLimit: schemas.Charge_DOWNGRADE, Declared: noon,
	}
	ask := &schemas.BudgetAsk{Run: "support/acme/m-1", Path: "5", Call: 2, Charge: charge, Amount: amount, Stays: true}
	counter := &schemas.BudgetCounter{Spent: amount, Estimated: amount, Reserved: amount, Raised: amount, Ends: noon}
	run := &schemas.BudgetRun{Run: "support/acme/m-1", Settled: 1, Open: 2, Reserved: amount, Asked: 3}
	ended := &schemas.BudgetEnded{Run: 0xfeedbeef, At: noon}
	return map[string]proto.Message{
		"amount": amount, "charge": charge, "budget_ask": ask, "budget_counter": counter, "budget_run": run, "budget_ended": ended,
		"charge_day":      &schemas.Charge{Window: schemas.Charge_DAY, AtLimit: schemas.Charge_ASK, Error: failure()},
		"charge_tree":     &schemas.Charge{Budget: "perdure-budget/support:run:support/acme/m-1", Tree: true},
		"budget_settle":   &schemas.BudgetAsk{Run: "support/acme/m-1", Call: 2, Amount: amount, Unknown: true, Copied: true},
		"budget_raise":    &schemas.BudgetAsk{Run: "an operator", Amount: amount, Id: "r-1"},
		"budget_granted":  &schemas.BudgetAnswer{Granted: true},
		"budget_refused":  &schemas.BudgetAnswer{Counter: counter},
		"envelope_budget": &schemas.Envelope{Type: schemas.Envelope_TASK, Id: "b-1", Method: "reserve", Budget: ask},
		"envelope_charge": &schemas.Envelope{Type: schemas.Envelope_TASK, Id: "m-2", Charges: []*schemas.Charge{charge}},
		"started_charges": &schemas.Started{Input: payload("7"), Charges: []*schemas.Charge{charge}},
		"budget_state": &schemas.BudgetState{
			Charge: charge, Counter: counter, Runs: []*schemas.BudgetRun{run}, Waiting: []*schemas.BudgetAsk{ask}, Count: 7,
			Raises: []string{"r-1"}, Changed: noon, Ended: []*schemas.BudgetEnded{ended},
		},
	}
}
