package perdure_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/perdure/perdure"
	"github.com/perdure/perdure/durable"
)

var charge = durable.DeclareWorkflow[string, string]("charge")

// chargeKind is a build of the workflow charge: a step of this name, and a
// sleep.
func chargeKind(step string, sleep time.Duration) perdure.Option {
	return perdure.Host(durable.Workflow(charge, func(ctx durable.Context, in string) (string, error) {
		out, err := durable.Step(ctx, step, func(context.Context) (string, error) { return in + " is charged", nil })
		if err != nil {
			return "", err
		}
		return out, durable.Sleep(ctx, sleep)
	}))
}

// standsStill begins the run charge/a/a by one build in a directory, which it
// returns; the build that is called other does not agree with its journal.
func standsStill(t *testing.T) (dir string) {
	dir = t.TempDir()
	t.Run("begun", func(t *testing.T) {
		node := running(t, "", perdure.Dir(dir), chargeKind("charge", time.Hour))
		if _, err := perdure.Start(testContext(t), node.Client(), charge.At("a"), "a"); err != nil {
			t.Fatal(err)
		}
		nc := plain(t, node)
		for info := reaches(t, nc, "charge/a/a", "running"); info.StepCount == 0; {
			info = reaches(t, nc, "charge/a/a", "running")
		}
	})
	return dir
}

// Who waits for a run that no deployed code can continue is told so when the
// wait ends, and not that the run goes on.
func TestWait_RunThatStandsStillSaysSo(t *testing.T) {
	t.Parallel()
	dir := standsStill(t)
	const still = `wait for charge/a/a: context deadline exceeded; the run stands still as nondeterministic: number 1: the journal has step "charge", the code asks for step "bill"; deploy code that agrees with the journal, and the run goes on`
	t.Run("with code that does not agree", func(t *testing.T) {
		node := running(t, "", perdure.Dir(dir), chargeKind("bill", time.Hour))
		reaches(t, plain(t, node), "charge/a/a", "nondeterministic")
		client, err := perdure.Dial(testContext(t), node.URL(), perdure.Logger(silent))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := client.Close(); err != nil {
				t.Error(err)
			}
		})
		run, err := perdure.Attach(client, charge, "charge/a/a")
		if err != nil {
			t.Fatal(err)
		}
		short, cancel := context.WithTimeout(testContext(t), 2*time.Second)
		defer cancel()
		_, err = perdure.Call(short, client, charge.At("a"), "a")
		if !errors.Is(err, context.DeadlineExceeded) || err.Error() != still {
			t.Errorf("Call ends with %v\nwant %s", err, still)
		}
		short, cancel = context.WithTimeout(testContext(t), time.Second)
		defer cancel()
		_, err = run.Result(short)
		if !errors.Is(err, context.DeadlineExceeded) || err.Error() != still {
			t.Errorf("Result ends with %v\nwant %s", err, still)
		}
	})
	t.Run("with code that agrees", func(t *testing.T) {
		node := running(t, "", perdure.Dir(dir), chargeKind("charge", time.Hour))
		nc := plain(t, node)
		for info := reaches(t, nc, "charge/a/a", "running"); len(info.Claims) < 3; {
			info = reaches(t, nc, "charge/a/a", "running")
		}
		short, cancel := context.WithTimeout(testContext(t), time.Second)
		defer cancel()
		_, err := perdure.Call(short, node.Client(), charge.At("a"), "a")
		if !errors.Is(err, context.DeadlineExceeded) || err.Error() != "wait for charge/a/a: context deadline exceeded; the run goes on" {
			t.Errorf("Call ends with %v", err)
		}
	})
}

// A run that stands still cannot be told to stop: it is once code that agrees
// with its journal is deployed.
func TestCancel_OfARunThatStandsStillTakesEffectWithCodeThatAgrees(t *testing.T) {
	t.Parallel()
	dir := standsStill(t)
	t.Run("with code that does not agree", func(t *testing.T) {
		node := running(t, "", perdure.Dir(dir), chargeKind("bill", time.Hour))
		nc := plain(t, node)
		reaches(t, nc, "charge/a/a", "nondeterministic")
		if err := node.Client().Cancel(testContext(t), "charge/a/a", perdure.Why{Reason: "closed today"}); err != nil {
			t.Fatal(err)
		}
		if info := reaches(t, nc, "charge/a/a", "nondeterministic"); !strings.Contains(info.Reason, `step "bill"`) {
			t.Errorf("it stands still because of %q", info.Reason)
		}
	})
	t.Run("with code that agrees", func(t *testing.T) {
		node := running(t, "", perdure.Dir(dir), chargeKind("charge", time.Hour))
		run, err := perdure.Attach(node.Client(), charge, "charge/a/a")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := run.Result(testContext(t)); !errors.Is(err, durable.ErrCancelled) || !strings.Contains(err.Error(), "closed today") {
			t.Errorf("it ends with %v, want that it was cancelled", err)
		}
	})
}
