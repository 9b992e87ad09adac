package agents_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/perdure/perdure/agents"
	"github.com/perdure/perdure/agents/models/openai"
	"github.com/perdure/perdure/agents/models/scripted"
	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/runtime/runtimetest"
	"github.com/perdure/perdure/schemas"
)

// Refunded is the result.
type Refunded struct {
	ID string `json:"id"`
}

// A Bank is the far side of the tools.
type Bank struct{ done map[string]Refunded } // by idempotency key

// Refund carries out a refund.
func (b *Bank) Refund(ctx context.Context, in Refund) (Refunded, error) {
	if in.Cents > 10_000 {
		return Refunded{}, durable.Fail("too_much", "at most 100.00 can be given back, not %d cents", in.Cents) // final: told to the model
	}
	out := Refunded{"re_" + in.Order}
	b.done[durable.IdempotencyKey(ctx)] = out
	return out, nil
}

// Find says what became of a refund whose outcome a crash lost.
func (b *Bank) Find(ctx context.Context, _ Refund) (Refunded, error) {
	out, ok := b.done[durable.IdempotencyKey(ctx)]
	if !ok {
		return Refunded{}, agents.ErrNotDone // it is made then
	}
	return out, nil
}

// Statement returns a long text.
func (b *Bank) Statement(context.Context, durable.None) (string, error) {
	return strings.Repeat("nothing happened\n", 10_000) + "order 17 was paid twice\n", nil
}

// deskTools are tools with the options that there are.
func deskTools(bank *Bank) agents.Option {
	return agents.Tools(
		agents.Func("refund", "Give money back", bank.Refund,
			agents.IfUnknown(agents.Verify(bank.Find)), // after a crash
			agents.Timeout(30*time.Second), agents.Sequential()),
		agents.Func("refund_by_hand", "Give money back over the counter", bank.Refund,
			agents.IfUnknown(agents.Ask)), // a person says whether it was done
		agents.Func("statement", "All that happened", bank.Statement,
			agents.Retry(3, time.Second), agents.MaxResult(2_000)),
		agents.Raw(agents.ToolSpec{
			Name: "note", Description: "Note something",
			Parameters: json.RawMessage(`{"type":"object","properties":{"text":{"type":"string"}},"required":["text"]}`),
		}, func(_ context.Context, arguments json.RawMessage) (json.RawMessage, error) { return arguments, nil }))
}

// A model that looks into a long statement before it gives money back.
func Example_tools() {
	server, err := scripted.New(scripted.Script{Rules: []scripted.Rule{{Func: func(r *scripted.Request) scripted.Reply {
		last := r.Last().Content
		switch r.Rounds() {
		case 0:
			return scripted.Reply{Calls: []scripted.Call{{Name: "statement", Arguments: `{}`}}}
		case 1: // it was given the beginning, the end, and the result's name
			_, name, _ := strings.Cut(last, `the result is "`)
			name, _, _ = strings.Cut(name, `"`)
			return scripted.Reply{Calls: []scripted.Call{{Name: "read_result", Arguments: scripted.Arguments(fmt.Sprintf(`{"result":%q,"search":"twice"}`, name))}}}
		case 2:
			return scripted.Reply{Calls: []scripted.Call{{Name: "refund", Arguments: `{"order":"17","cents":2000}`}}}
		}
		return scripted.Reply{Text: "Done: " + last}
	}}}})
	if err != nil {
		fmt.Println(err)
		return
	}
	model := httptest.NewServer(server)
	defer model.Close()
	world := runtimetest.NewWorld(agents.New(Desk,
		agents.UseModel(openai.New("any", openai.BaseURL(model.URL+"/v1"))),
		deskTools(&Bank{done: map[string]Refunded{}})))
	defer world.Close()
	world.Start()
	input, err := durable.Encode("Order 17 was paid twice")
	if err != nil {
		fmt.Println(err)
		return
	}
	rec, err := world.Do(context.Background(), schemas.Identity{Kind: "desk", Key: "anna"}.Run("1"), "", input)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(string(rec.GetResult().GetData()))
	// Output:
	// "Done: {\"id\":\"re_17\"}"
}
