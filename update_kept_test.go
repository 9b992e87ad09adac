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
	"github.com/perdure/perdure/schemas"
)

// inGenerations is a kind that continues as new after each ten updates, and answers
// each with its own input and a tail.
func inGenerations(tail string) *durable.Kind {
	return durable.Workflow(bundle, func(ctx durable.Context, address string) (string, error) {
		n := 0
		durable.OnUpdate(ctx, setAddress, nil, func(_ durable.Context, to string) (string, error) {
			n++
			address = to
			return to + tail, nil
		})
		if err := durable.Until(ctx, func() bool { return n >= 10 }); err != nil {
			return "", err
		}
		if err := durable.FinishUpdates(ctx); err != nil {
			return "", err
		}
		return "", durable.ContinueAsNew(ctx, address)
	})
}

// TestUpdates_AnswersOfTheLastMinuteAreKept from generation to generation, however many
// came since: who asks again after a node died has the answer.
func TestUpdates_AnswersOfTheLastMinuteAreKept(t *testing.T) {
	t.Parallel()
	node := running(t, "", perdure.Host(inGenerations("!")))
	ctx, c := testContext(t), node.Client()
	run, err := perdure.Start(ctx, c, bundle.At("p"), "x")
	if err != nil {
		t.Fatal(err)
	}
	for i := range 255 {
		if _, err := perdure.Update(ctx, c, run.Ref(), setAddress, fmt.Sprint(i), perdure.MessageID(fmt.Sprint("u", i))); err != nil {
			t.Fatal(i, err)
		}
	}
	if got, err := perdure.Update(ctx, c, run.Ref(), setAddress, "0", perdure.MessageID("u0")); got != "0!" || err != nil {
		t.Errorf("asked again for the first: %q, %v", got, err)
	}
	if _, err := perdure.Update(ctx, c, run.Ref(), setAddress, "1", perdure.MessageID("u0")); !errors.Is(err, durable.ErrConflict) {
		t.Errorf("another update of its ID: %v, want a conflict", err)
	}
}

// TestUpdates_AnAnswerThatIsNotKeptIsNoReasonToSendItAgain: it has a code of its own.
func TestUpdates_AnAnswerThatIsNotKeptIsNoReasonToSendItAgain(t *testing.T) {
	t.Parallel()
	node := running(t, "", perdure.Host(inGenerations(strings.Repeat("!", 8<<10))))
	ctx, c := testContext(t), node.Client()
	run, err := perdure.Start(ctx, c, bundle.At("p"), "x")
	if err != nil {
		t.Fatal(err)
	}
	for i := range 125 {
		if _, err := perdure.Update(ctx, c, run.Ref(), setAddress, fmt.Sprint(i), perdure.MessageID(fmt.Sprint("u", i))); err != nil {
			t.Fatal(i, err)
		}
	}
	_, err = perdure.Update(ctx, c, run.Ref(), setAddress, "0", perdure.MessageID("u0"))
	if !errors.Is(err, durable.ErrAnswered) || !strings.Contains(err.Error(), "do not send it again") {
		t.Errorf("asked again for one that is not kept: %v, want ErrAnswered", err)
	}
	if _, e := api[struct{}](t, plain(t, node), "runs.update", `{"run":"bundle/p/p","update":"set_address","input":"0","id":"u0"}`); e.Code != "answered" {
		t.Errorf("a request for it: %+v", e)
	}
}

// TestUpdates_NothingButTheAnswerIsRead: what else the run has recorded, which may be
// large, is not.
func TestUpdates_NothingButTheAnswerIsRead(t *testing.T) {
	t.Parallel()
	node := running(t, "", perdure.Host(durable.Workflow(bundle, func(ctx durable.Context, address string) (string, error) {
		large, err := durable.Step(ctx, "load", func(context.Context) (string, error) { return strings.Repeat("x", 2<<20), nil })
		if err != nil {
			return "", err
		}
		loaded := false
		durable.OnUpdate(ctx, setAddress, nil, func(_ durable.Context, to string) (string, error) {
			loaded = true
			return to + large[:1], nil
		})
		return "", durable.Until(ctx, func() bool { return loaded && address == "never" })
	})), perdure.SuspendAfter(time.Hour))
	ctx, c := testContext(t), node.Client()
	run, err := perdure.Start(ctx, c, bundle.At("p"), "x")
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the step is recorded", func() bool {
		info, err := c.Get(ctx, run.Ref())
		return err == nil && len(info.Steps) == 1
	})
	b := node.Broker()
	stored, err := b.Blobs().Of(ctx, schemas.Identity{Kind: "bundle", Key: "p"})
	if err != nil || len(stored) == 0 {
		t.Fatalf("the objects of the run are %q, %v", stored, err)
	}
	for _, name := range stored {
		if err := b.Blobs().Delete(ctx, name); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		if got, err := perdure.Update(ctx, c, run.Ref(), setAddress, "y", perdure.MessageID("u")); got != "yx" || err != nil {
			t.Errorf("got %q, %v", got, err)
		}
	}
}
