package agentstest_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/perdure/perdure/agents"
	"github.com/perdure/perdure/agents/agentstest"
	"github.com/perdure/perdure/agents/models/scripted"
)

// A test gives the model to its agent and says afterwards how often it should
// have been asked. (The example calls the model itself, and has no test to give.)
func Example() {
	var t testing.TB = &printer{}
	m := agentstest.Model(t, scripted.Script{Rules: []scripted.Rule{{Message: "coat", Reply: scripted.Reply{Text: "Yes."}}}})

	r, err := m.Generate(context.Background(), &agents.Request{Messages: []agents.Message{{Role: agents.RoleUser, Content: "A coat?"}}})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(r.Message.Content)
	m.WantCalls(1)
	m.WantRequests(1, 1)
	// Output:
	// Yes.
	// the model got 1 calls and 0 repeats; want 1 and 1; by key: map[]
}

// A printer is a test that prints its failures.
type printer struct{ testing.TB }

func (*printer) Helper()                           {}
func (*printer) Cleanup(func())                    {}
func (*printer) Errorf(format string, args ...any) { fmt.Printf(format+"\n", args...) }
