package perdure_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/perdure/perdure"
	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/durable/durabletest"
)

type approval struct {
	By string `json:"by"`
}

var (
	approved = durable.DeclareSignal[approval]("approved")
	ship     = durable.DeclareWorkflow[string, string]("ship")
)

// shipKind ships once two people have approved.
func shipKind() *durable.Kind {
	return durable.Workflow(ship, func(ctx durable.Context, order string) (string, error) {
		for n := range 2 {
			if err := durable.SetStatus(ctx, fmt.Sprintf("%d approvals", n)); err != nil {
				return "", err
			}
			ok, err := durable.Await(ctx, approved, durable.Timeout(48*time.Hour))
			if err != nil {
				return "", err
			}
			if order, err = durable.Step(ctx, "sign", func(context.Context) (string, error) { return order + " " + ok.By, nil }); err != nil {
				return "", err
			}
		}
		return order, nil
	})
}

// TestSignalIsGivenOnce from Go, from the API and from any NATS client, also
// before its run and to a run that left memory; sent twice it is one.
func TestSignalIsGivenOnce(t *testing.T) {
	t.Parallel()
	node := running(t, "", perdure.Host(shipKind()), perdure.SuspendAfter(time.Millisecond))
	ctx := testContext(t)
	c, nc := node.Client(), plain(t, node)
	for range 2 { // before its run
		if err := perdure.Signal(ctx, c, "ship/o1/o1", approved, approval{"ann"}, perdure.MessageID("s1")); err != nil {
			t.Fatal(err)
		}
	}
	run, err := perdure.Start(ctx, c, ship.At("o1"), "o1")
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the run is suspended", func() bool {
		info, err := c.Get(ctx, run.Ref())
		return err == nil && info.Status == "suspended" && string(info.CustomStatus) == `"1 approvals"`
	})
	journal, err := c.Export(ctx, run.Ref())
	if err != nil {
		t.Fatal(err)
	}
	if err := durabletest.Check(journal, shipKind()); err != nil {
		t.Errorf("the journal does not agree with its own code: %v", err)
	}
	send(t, nc, "perdure.task.local.ship.o1", `{"by":"ann"}`, "Perdure-Signal", "approved", "Perdure-Run", "o1", "Perdure-Id", "s1")
	answered[struct{}](t, nc, "runs.signal", `{"run":"ship/o1/o1","signal":"approved","id":"s2","value":{"by": "bob"}}`)
	if got, err := run.Result(ctx); got != "o1 ann bob" || err != nil {
		t.Errorf("got %q, %v, want the approvals of ann and bob", got, err)
	}
	if _, e := api[struct{}](t, nc, "runs.signal", `{"run":"ship/o1/o1","signal":"approved"}`); e.Code != "conflict" {
		t.Errorf("a signal to a run that is over: %+v, want a conflict", e)
	}
	if _, e := api[struct{}](t, nc, "runs.signal", `{"run":"shop/o9/o9","signal":"approved"}`); e.Code != "not_found" || !strings.Contains(e.Message, `hosted a kind "shop"`) {
		t.Errorf("a signal to a run of a kind that is not: %+v, want not_found", e)
	}
	// By the API before its run, too; what is sent twice is one.
	for _, id := range []string{"s1", "s1", "s2"} {
		if early, err := c.SignalJSON(ctx, "ship/o9/o9", "approved", id, []byte(`{"by":"`+id+`"}`)); !early || err != nil {
			t.Errorf("a signal before its run: early %t, %v", early, err)
		}
	}
	if got, err := perdure.Call(ctx, c, ship.At("o9"), "o9"); got != "o9 s1 s2" || err != nil {
		t.Errorf("got %q, %v, want both approvals that came before the run", got, err)
	}
	// From any client alone.
	send(t, nc, "perdure.task.local.ship.o2", `"o2"`)
	send(t, nc, "perdure.task.local.ship.o2", `{"by":"cyd"}`, "Perdure-Signal", "approved", "Perdure-Run", "o2", "Perdure-Id", "s1")
	send(t, nc, "perdure.task.local.ship.o2", `{"by":"dee"}`, "Perdure-Signal", "approved", "Perdure-Run", "o2", "Perdure-Id", "s2")
	second, err := perdure.Attach(c, ship, "ship/o2/o2")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := second.Result(ctx); got != "o2 cyd dee" || err != nil {
		t.Errorf("got %q, %v, want the approvals of cyd and dee", got, err)
	}
}

func justError(_ bool, err error) error { return err }

// TestSignalOfAWrongForm is refused where it is sent, or fails the wait for it.
func TestSignalOfAWrongForm(t *testing.T) {
	t.Parallel()
	node := running(t, "", perdure.Host(shipKind()))
	ctx := testContext(t)
	c := node.Client()
	for what, err := range map[string]error{
		"a name": perdure.Signal(ctx, c, "ship/o1/o1", durable.DeclareSignal[int]("two words"), 1),
		"a run":  perdure.Signal(ctx, c, "ship", approved, approval{}),
		"an ID":  perdure.Signal(ctx, c, "ship/o1/o1", approved, approval{}, perdure.MessageID(strings.Repeat("x", 1000))),
		"JSON":   justError(c.SignalJSON(ctx, "ship/o1/o1", "approved", "", []byte("nope"))),
	} {
		if !errors.Is(err, durable.ErrInvalid) {
			t.Errorf("%s of a wrong form: %v, want ErrInvalid", what, err)
		}
	}
	run, err := perdure.Start(ctx, c, ship.At("o1"), "o1")
	if err != nil {
		t.Fatal(err)
	}
	if err := perdure.Signal(ctx, c, run.Ref(), durable.DeclareSignal[int]("approved"), 7); err != nil {
		t.Fatal(err)
	}
	if _, err := run.Result(ctx); !errors.Is(err, durable.ErrInvalid) {
		t.Errorf("a value of another type: %v, want ErrInvalid", err)
	}
}
