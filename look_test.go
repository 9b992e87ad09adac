package perdure_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/perdure/perdure"
	"github.com/perdure/perdure/durable"
)

var packed = durable.DeclareWorkflow[string, string]("packed")

// TestRunTellsItsBuildInputAndWhatItWaitsFor: its build also when it is over, and it
// is listed by it.
func TestRunTellsItsBuildInputAndWhatItWaitsFor(t *testing.T) {
	t.Parallel()
	kind := durable.Workflow(packed, func(ctx durable.Context, order string) (string, error) {
		if _, err := durable.Step(ctx, "pick", func(context.Context) (string, error) { return "", nil }); err != nil {
			return "", err
		}
		child, err := durable.Start(ctx, ship.At("of-"+order), order)
		if err != nil {
			return "", err
		}
		if _, err := durable.AskApprovalAsync(ctx, "seal", "Seal it?"); err != nil {
			return "", err
		}
		durable.After(ctx, time.Hour)
		return child.Result(ctx)
	}, durable.Build("one"))
	node := running(t, "", perdure.Host(kind, shipKind()), perdure.SuspendAfter(time.Millisecond))
	ctx, c := testContext(t), node.Client()
	run, err := perdure.Start(ctx, c, packed.At("o1"), "o1")
	if err != nil {
		t.Fatal(err)
	}
	var info *perdure.RunInfo
	eventually(t, "the run is suspended", func() bool {
		info, err = c.Get(ctx, run.Ref())
		return err == nil && info.Status == "suspended"
	})
	if info.Build != "one" || string(info.Input) != `"o1"` {
		t.Errorf("its build is %q, its input %s", info.Build, info.Input)
	}
	if len(info.Waits) != 3 || !strings.HasPrefix(info.Waits[0], `call`) || !strings.Contains(info.Waits[0], "to ship/of-o1/of-o1") ||
		!strings.HasPrefix(info.Waits[1], `question "seal" at number 3`) || !strings.Contains(info.Waits[2], "at number 4, due ") {
		t.Errorf("it waits for %q", info.Waits)
	}
	var shown strings.Builder
	if err := info.WriteTimeline(&shown); err != nil || !strings.Contains(shown.String(), "\nbuild one\n") || !strings.Contains(shown.String(), "\nwaits for "+info.Waits[0]+"\n") {
		t.Errorf("it is shown as %s, %v", &shown, err)
	}
	of := func(build string) (refs []string) {
		list, err := c.List(ctx, perdure.ListRuns{Build: build})
		if err != nil || list.More {
			t.Errorf("runs of %q: %+v, %v", build, list, err)
		}
		for _, r := range list.Runs {
			refs = append(refs, r.Run)
		}
		return refs
	}
	eventually(t, "it is listed by its build", func() bool { return slices.Equal(of("one"), []string{run.Ref()}) })
	if got := of("two"); got != nil {
		t.Errorf("of another build: %q", got)
	}
	if _, err := c.Count(ctx, perdure.ListRuns{Build: "one"}); !durable.IsCode(err, "invalid") {
		t.Errorf("the count by build: %v, want invalid", err)
	}
	if err := c.Terminate(ctx, run.Ref(), perdure.Why{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the run is over", func() bool {
		info, err = c.Get(ctx, run.Ref())
		return err == nil && info.Status == "cancelled"
	})
	if info.Build != "one" || info.Waits != nil || info.Input != nil {
		t.Errorf("when it is over its build is %q; it waits for %q, with the input %s", info.Build, info.Waits, info.Input)
	}
}
