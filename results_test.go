package perdure_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/perdure/perdure"
	"github.com/perdure/perdure/durable"
)

// TestResultsOfStepsAreShown: of a run that is open and of one that failed; one that
// completed says why it has none.
func TestResultsOfStepsAreShown(t *testing.T) {
	t.Parallel()
	weighed := durable.DeclareWorkflow[string, string]("weighed")
	kind := durable.Workflow(weighed, func(ctx durable.Context, in string) (string, error) {
		_, err := durable.Step(ctx, "weigh", func(context.Context) (map[string]string, error) { return map[string]string{"grams\tof": in}, nil })
		if err != nil {
			return "", err
		}
		if _, err := durable.Step(ctx, "describe", func(context.Context) (string, error) { return strings.Repeat("ä", 3<<10), nil }); err != nil {
			return "", err
		}
		switch in {
		case "open":
			return "", durable.Sleep(ctx, time.Hour)
		case "fail":
			return "", durable.Fail("heavy", "too heavy")
		}
		return "", nil
	})
	node := running(t, "", perdure.Host(kind))
	ctx, c := testContext(t), node.Client()
	for in, status := range map[string]string{"open": "", "fail": "failed", "done": "completed"} {
		run, err := perdure.Start(ctx, c, weighed.At(in), in)
		if err != nil {
			t.Fatal(err)
		}
		var info *perdure.RunInfo
		eventually(t, in+" is as far as it comes", func() bool {
			info, err = c.GetResults(ctx, run.Ref())
			return err == nil && len(info.Steps) >= 2 && (status == "" || info.Status == status)
		})
		var shown strings.Builder
		if err := info.WriteTimeline(&shown); err != nil {
			t.Fatal(err)
		}
		if status == "completed" {
			if info.Steps[0].Result != nil || !strings.Contains(info.NoResults, "durable.KeepHistory()") || !strings.Contains(shown.String(), "no results of steps: the run is over") {
				t.Errorf("%s has %+v, %q and is shown as\n%s", in, info.Steps, info.NoResults, &shown)
			}
			continue
		}
		if got, want := string(info.Steps[0].Result), `{"grams\tof":"`+in+`"}`; got != want || info.NoResults != "" {
			t.Errorf("the first step of %s came to %s, want %s; %q", in, got, want, info.NoResults)
		}
		if s := info.Steps[1]; s.Result != nil || s.ResultBytes != 6<<10+2 || !strings.HasPrefix(s.Cut, `"ää`) || len(s.Cut) < 4<<10-1 || len(s.Cut) > 4<<10 {
			t.Errorf("the second step of %s came to %.20s, %.20s... (%d), %d bytes", in, s.Result, s.Cut, len(s.Cut), s.ResultBytes)
		}
		for _, want := range []string{" = " + `{"grams\tof":"` + in + `"}` + "\n", "ä ... (cut: it has 6146 bytes)\n"} {
			if !strings.Contains(shown.String(), want) || strings.Contains(shown.String(), "\xff") {
				t.Errorf("%s is not shown with %q:\n%s", in, want, &shown)
			}
		}
		if plain, err := c.Get(ctx, run.Ref()); err != nil || plain.Steps[0].Result != nil {
			t.Errorf("Get of %s has results that were not asked for: %+v, %v", in, plain, err)
		}
	}
}
