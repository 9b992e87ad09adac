package perdure_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/perdure/perdure"
	"github.com/perdure/perdure/actors"
	"github.com/perdure/perdure/durable"
)

// TestWait_ForARunThatHasNotBegunSaysSo, and not that it goes on.
func TestWait_ForARunThatHasNotBegunSaysSo(t *testing.T) {
	t.Parallel()
	hold := durable.Declare[string, string]("desk.hold")
	node := running(t, "", perdure.Host(actors.New(actors.Handlers[durable.None]{actors.On(hold, func(ctx durable.Context, _ *durable.None, in string) (string, error) {
		return in, durable.Sleep(ctx, time.Hour)
	})})))
	first, err := perdure.Start(testContext(t), node.Client(), hold.At("a"), "first", perdure.MessageID("first"))
	if err != nil {
		t.Fatal(err)
	}
	reaches(t, plain(t, node), first.Ref(), "running")
	if _, err := perdure.Start(testContext(t), node.Client(), hold.At("a"), "second", perdure.MessageID("second")); err != nil {
		t.Fatal(err)
	}
	for ref, want := range map[string]string{
		"desk/a/second": "wait for desk/a/second: context deadline exceeded; the run has not begun: its task is queued",
		"desk/a/third":  "wait for desk/a/third: context deadline exceeded; there is no run desk/a/third: it was never started, or its record is older than the retention time",
		"dsek/a/first":  "wait for dsek/a/first: context deadline exceeded; there is no run dsek/a/first: it was never started, or its record is older than the retention time",
	} {
		kind, _, _ := strings.Cut(ref, "/")
		run, err := perdure.Attach(node.Client(), durable.Declare[string, string](kind+".hold"), ref)
		if err != nil {
			t.Fatal(err)
		}
		short, cancel := context.WithTimeout(testContext(t), 300*time.Millisecond)
		_, err = run.Result(short)
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) || err.Error() != want {
			t.Errorf("Result ends with %v\nwant %s", err, want)
		}
		if errors.Is(err, durable.ErrNotFound) == strings.HasSuffix(ref, "second") {
			t.Errorf("%s: not found by its error: %v", ref, err)
		}
	}
}

// TestWait_ForARunInTheArchiveHasItsEnd, unless its ID was used again.
func TestWait_ForARunInTheArchiveHasItsEnd(t *testing.T) {
	t.Parallel()
	node := running(t, "", perdure.ShortRetention(1500*time.Millisecond, 20*time.Millisecond), perdure.DuplicateWindow(100*time.Millisecond),
		perdure.Host(durable.Workflow(charge, func(_ durable.Context, in string) (string, error) { return in + " is charged", nil }, durable.Keep(durable.Completed, time.Hour))))
	ctx := testContext(t)
	client := node.Client()
	run, err := perdure.Start(ctx, client, charge.At("a"), "a")
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the record is archived", func() bool {
		info, err := client.Get(ctx, run.Ref())
		return err == nil && info.Archived
	})
	if got, err := run.Result(ctx); got != "a is charged" || err != nil {
		t.Errorf("the run ended with %q, %v", got, err)
	}
	if got, err := perdure.Call(ctx, client, charge.At("a"), "b"); got != "b is charged" || err != nil {
		t.Errorf("another run of its ID ended with %q, %v", got, err)
	}
}
