package perdure_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/perdure/perdure"
	"github.com/perdure/perdure/actors"
	"github.com/perdure/perdure/durable"
)

var (
	bundle     = durable.DeclareWorkflow[string, string]("bundle")
	setAddress = durable.DeclareUpdate[string, string]("set_address")
)

// bundleKind packs, slowly, asks whether to send, and sends to the address that was
// set last; packed is closed to let it go on.
func bundleKind(packed <-chan struct{}) *durable.Kind {
	return durable.Workflow(bundle, func(ctx durable.Context, address string) (string, error) {
		durable.OnUpdate(ctx, setAddress, func(to string) error {
			if to == "" {
				return durable.Fail("empty", "no address")
			}
			return nil
		}, func(ctx durable.Context, to string) (string, error) {
			old := address
			address = to
			return durable.Step(ctx, "label", func(context.Context) (string, error) { return old + " -> " + to, nil })
		})
		if _, err := durable.Step(ctx, "pack", func(ctx context.Context) (int, error) {
			if err := durable.Heartbeat(ctx, map[string]int{"packed": 3}); err != nil {
				return 0, err
			}
			select {
			case <-packed:
				return 4, nil
			case <-ctx.Done():
				return 0, ctx.Err()
			}
		}); err != nil {
			return "", err
		}
		d, err := durable.AskApproval(ctx, "send", "Send it?")
		if err != nil {
			return "", err
		}
		return fmt.Sprintf("%s, %v by %s", address, d.Approved, d.By), nil
	})
}

// TestUpdatesAndApprovals from Go, from the API and from any NATS client, to a run
// that works and to one that left memory.
func TestUpdatesAndApprovals(t *testing.T) {
	t.Parallel()
	packed := make(chan struct{})
	node := running(t, "", perdure.Host(bundleKind(packed)), perdure.SuspendAfter(time.Millisecond))
	ctx := testContext(t)
	c, nc := node.Client(), plain(t, node)
	run, err := perdure.Start(ctx, c, bundle.At("p"), "Main Street 1")
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the step shows its progress", func() bool {
		info, err := c.Get(ctx, run.Ref())
		return err == nil && len(info.Progress) == 1 && string(info.Progress[0].Progress) == `{"packed":3}` && info.Progress[0].Name == "pack"
	})
	result := make(chan string, 1)
	go func() {
		got, err := run.Result(ctx)
		result <- fmt.Sprint(got, " ", err)
	}()
	for range 2 { // the same ID is the same update, and another thing than the run of that ID
		got, err := perdure.Update(ctx, c, run.Ref(), setAddress, "Side Street 2", perdure.MessageID("p"))
		if got != "Main Street 1 -> Side Street 2" || err != nil {
			t.Errorf("got %q, %v", got, err)
		}
	}
	if _, err := perdure.Update(ctx, c, run.Ref(), setAddress, "Elsewhere 9", perdure.MessageID("p")); !errors.Is(err, durable.ErrConflict) || !strings.Contains(err.Error(), "another input") {
		t.Errorf("another update of the same ID: %v, want a conflict", err)
	}
	if _, err := perdure.Update(ctx, c, run.Ref(), setAddress, ""); !durable.IsCode(err, "empty") {
		t.Errorf("an empty address: %v, want the refusal of the check", err)
	}
	if _, err := perdure.Update(ctx, c, run.Ref(), durable.DeclareUpdate[string, string]("paint"), "red"); !errors.Is(err, durable.ErrNotFound) || !strings.Contains(err.Error(), `it has "set_address"`) {
		t.Errorf("an update that it does not have: %v, want not_found and what it has", err)
	}
	if err := c.Approve(ctx, run.Ref(), "", durable.Decision{Approved: true}); !errors.Is(err, durable.ErrNotFound) {
		t.Errorf("a decision about nothing: %v, want not_found", err)
	}
	close(packed)
	eventually(t, "the run is suspended and asks", func() bool {
		info, err := c.Get(ctx, run.Ref())
		return err == nil && info.Status == "suspended" && len(info.Asks) == 1 && info.Asks[0].Name == "send" && len(info.Progress) == 0
	})
	eventually(t, "the question is in the list of those of all runs", func() bool {
		list, err := c.List(ctx, perdure.ListRuns{Asks: true})
		return err == nil && len(list.Runs) == 1 && list.Runs[0].Run == run.Ref() && len(list.Runs[0].Asks) == 1 &&
			list.Runs[0].Asks[0].Name == "send" && string(list.Runs[0].Asks[0].Question) == `"Send it?"`
	})
	type done struct {
		Result string `json:"result"`
	}
	if got := answered[done](t, nc, "runs.update", `{"run":"bundle/p/p","update":"set_address","input":"Back Street 3","id":"form-2"}`); got.Result != "Side Street 2 -> Back Street 3" {
		t.Errorf("got %+v", got)
	}
	sub, err := nc.SubscribeSync("perdure.done.bundle.p.form-3")
	if err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	send(t, nc, "perdure.task.local.bundle.p", `"Front Street 4"`, "Perdure-Update", "set_address", "Perdure-Run", "p", "Perdure-Id", "form-3")
	if m, err := sub.NextMsgWithContext(ctx); err != nil || !strings.Contains(string(m.Data), `"result":"Back Street 3 -\u003e Front Street 4"`) {
		t.Errorf("the answer to any client: %s, %v", m.Data, err)
	}
	send(t, nc, "perdure.task.local.bundle.p", `"Nowhere 5"`, "Perdure-Update", "set_address", "Perdure-Run", "p", "Perdure-Id", "form-3")
	if m, err := sub.NextMsgWithContext(ctx); err != nil || !strings.Contains(string(m.Data), `"code":"conflict"`) {
		t.Errorf("the answer to another update of the same ID: %s, %v", m.Data, err)
	}
	if _, e := api[struct{}](t, nc, "runs.approve", `{"run":"bundle/p/p","question":"paint","approved":true}`); e.Code != "not_found" {
		t.Errorf("a question that is not asked: %+v, want not_found", e)
	}
	if _, e := api[struct{}](t, nc, "runs.approve", `{"run":"bundle/p/p"}`); e.Code != "invalid" {
		t.Errorf("no decision: %+v, want invalid", e)
	}
	answered[struct{}](t, nc, "runs.approve", `{"run":"bundle/p/p","approved":true,"by":"ops"}`)
	if got := <-result; got != "Front Street 4, true by ops <nil>" {
		t.Errorf("got %q", got)
	}
	if list, err := c.List(ctx, perdure.ListRuns{Asks: true}); err != nil || len(list.Runs) != 0 {
		t.Errorf("a question that was decided is listed: %+v, %v", list, err)
	}
	info, err := c.Get(ctx, run.Ref())
	if err != nil {
		t.Fatal(err)
	}
	var shown strings.Builder
	if err := info.WriteTimeline(&shown); err != nil || !strings.Contains(shown.String(), ` 2 send `) || !strings.Contains(shown.String(), `decision {"approved":true,"by":"ops"}`) {
		t.Errorf("the run is shown without what was decided (%v):\n%s", err, &shown)
	}
	if _, err := perdure.Update(ctx, c, run.Ref(), setAddress, "x", perdure.MessageID("form-2")); !errors.Is(err, durable.ErrConflict) || !strings.Contains(err.Error(), "another input") {
		t.Errorf("another update of an ID that the record has: %v, want a conflict", err)
	}
	if got, err := perdure.Update(ctx, c, run.Ref(), setAddress, "Back Street 3", perdure.MessageID("form-2")); got != "Side Street 2 -> Back Street 3" || err != nil {
		t.Errorf("an answer that the record has: %q, %v", got, err)
	}
	if _, err := perdure.Update(ctx, c, run.Ref(), setAddress, "x"); !errors.Is(err, durable.ErrConflict) {
		t.Errorf("an update of a run that is over: %v, want a conflict", err)
	}
	if _, err := perdure.Update(ctx, c, "bundle/q/q", setAddress, "x"); !errors.Is(err, durable.ErrNotFound) {
		t.Errorf("an update of a run that never was: %v, want not_found", err)
	}
}

// TestUpdates_AreAnsweredHoweverManyCameSince: a record keeps the latest answers, and
// the journal of a run that goes on has all.
func TestUpdates_AreAnsweredHoweverManyCameSince(t *testing.T) {
	t.Parallel()
	node := running(t, "", perdure.Host(durable.Workflow(bundle, func(ctx durable.Context, address string) (string, error) {
		durable.OnUpdate(ctx, setAddress, nil, func(_ durable.Context, to string) (string, error) { return "did " + to, nil })
		return address, durable.Sleep(ctx, time.Hour)
	})))
	ctx, c := testContext(t), node.Client()
	run, err := perdure.Start(ctx, c, bundle.At("p"), "x")
	if err != nil {
		t.Fatal(err)
	}
	for i := range 102 {
		if _, err := perdure.Update(ctx, c, run.Ref(), setAddress, fmt.Sprint(i), perdure.MessageID(fmt.Sprint("u", i))); err != nil {
			t.Fatal(err)
		}
	}
	got, err := perdure.Update(ctx, c, run.Ref(), setAddress, "0", perdure.MessageID("u0"))
	if got != "did 0" || err != nil {
		t.Errorf("asked again for the first of many: %q, %v", got, err)
	}
	if _, err := perdure.Update(ctx, c, run.Ref(), setAddress, "1", perdure.MessageID("u0")); !errors.Is(err, durable.ErrConflict) {
		t.Errorf("another update of its ID: %v, want a conflict", err)
	}
}

// TestUpdates_LargeOnesGoByReference: what does not fit into a message, as an input
// and as an answer, which is asked for again; and what cannot be sent says so.
func TestUpdates_LargeOnesGoByReference(t *testing.T) {
	t.Parallel()
	packed := make(chan struct{})
	node := running(t, "", perdure.Host(bundleKind(packed)))
	ctx := testContext(t)
	c := node.Client()
	run, err := perdure.Start(ctx, c, bundle.At("p"), strings.Repeat("o", 1<<20))
	if err != nil {
		t.Fatal(err)
	}
	large := strings.Repeat("n", 2<<20)
	for range 2 {
		got, err := perdure.Update(ctx, c, run.Ref(), setAddress, large, perdure.MessageID("large"))
		if want := strings.Repeat("o", 1<<20) + " -> " + large; got != want || err != nil {
			t.Errorf("got an answer of %d bytes and %v, want %d", len(got), err, len(want))
		}
	}
	// the answer alone is large: any NATS client is told that there is one, and Go reads it
	d := answered[actors.Done](t, plain(t, node), "runs.update", fmt.Sprintf(`{"run":%q,"update":"set_address","id":"s","input":"short"}`, run.Ref()))
	if !d.Truncated || d.Status != "completed" || d.Result != nil {
		t.Errorf("asked with a request: %+v, want an answer that is truncated", d)
	}
	got, err := perdure.Update(ctx, c, run.Ref(), setAddress, "short", perdure.MessageID("s"))
	if want := large + " -> short"; got != want || err != nil {
		t.Errorf("got an answer of %d bytes and %v, want %d", len(got), err, len(want))
	}
	_, err = c.SignalJSON(ctx, run.Ref(), "s", "", json.RawMessage(`"`+large+`"`))
	if !errors.Is(err, durable.ErrTooLarge) || !strings.Contains(err.Error(), "nothing was done") || !strings.Contains(err.Error(), "1048576") {
		t.Errorf("a signal in a request that is too large: %v, want ErrTooLarge with the limit", err)
	}
	close(packed)
}
