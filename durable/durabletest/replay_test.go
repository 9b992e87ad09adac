package durabletest_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/durable/durabletest"
)

var Pack = durable.DeclareWorkflow[int, string]("pack")

// packing is a workflow of a loop, a branch and a wait, with what may be changed.
func packing(first, second string, boxes int, branch bool) *durable.Kind {
	return durable.Workflow(Pack, func(ctx durable.Context, _ int) (string, error) {
		do := func(ctx durable.Context, name string) error {
			_, err := durable.Step(ctx, name, func(context.Context) (string, error) { return name, nil })
			return err
		}
		for _, name := range []string{first, second} {
			if err := do(ctx, name); err != nil {
				return "", err
			}
		}
		for range boxes {
			if err := do(ctx, "box"); err != nil {
				return "", err
			}
		}
		if branch {
			slip := durable.Go(ctx, "slip", func(ctx durable.Context) (string, error) { return "", do(ctx, "print") })
			if _, err := slip.Result(ctx); err != nil {
				return "", err
			}
		}
		return "packed", durable.Sleep(ctx, time.Hour)
	})
}

// TestReplay_SeesWhatAChangeOfTheCodeBreaks, and says which step it is; code that
// agrees passes.
func TestReplay_SeesWhatAChangeOfTheCodeBreaks(t *testing.T) {
	var journal []byte
	durabletest.Play(t, func(t *testing.T, w *durabletest.World) {
		run, err := durabletest.Start(w, Pack.At("a"), 1)
		if err != nil {
			t.Fatal(err)
		}
		<-time.After(time.Minute)
		if journal, err = w.Export(run.Ref()); err != nil {
			t.Fatal(err)
		}
		if _, err := run.Result(); err != nil {
			t.Error(err)
		}
		if _, err := w.Export(run.Ref()); !errors.Is(err, durable.ErrConflict) {
			t.Errorf("the export of a run that is over: %v, want conflict", err)
		}
		if _, err := w.Export("pack/b/b"); !errors.Is(err, durable.ErrNotFound) {
			t.Errorf("the export of no run: %v, want not_found", err)
		}
	}, packing("pick", "wrap", 3, true))
	for what, c := range map[string]struct {
		kind *durable.Kind
		says string
	}{
		"the same code":        {packing("pick", "wrap", 3, true), ""},
		"a renamed step":       {packing("choose", "wrap", 3, true), `number 1: the journal has step "pick", the code asks for step "choose"`},
		"a swapped pair":       {packing("wrap", "pick", 3, true), `number 1: the journal has step "pick", the code asks for step "wrap"`},
		"a removed branch":     {packing("pick", "wrap", 3, false), `number 6.1: the journal has step "print", the code asks for nothing there`},
		"a smaller loop bound": {packing("pick", "wrap", 2, true), `number 5: the journal has step "box", the code asks for branch "slip"`},
		"a larger loop bound":  {packing("pick", "wrap", 4, true), `number 6.1: the journal has step "print", the code asks for nothing there`},
	} {
		err := durabletest.Check(journal, c.kind)
		if c.says == "" {
			if err != nil {
				t.Errorf("%s: %v", what, err)
			}
			continue
		}
		if !errors.Is(err, durable.ErrNondeterministic) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want nondeterministic and %s", what, err, c.says)
		}
	}
	if err := durabletest.Check(journal); !errors.Is(err, durable.ErrNotFound) {
		t.Errorf("without the kind: %v, want not_found", err)
	}
	for _, no := range []string{"", "{}", "[]", `{"run":"pack/a/a"}`, `{"run":"pack/a/a","entries":[{"seq":1,"entry":{"new":1}}]}`} {
		if err := durabletest.Check([]byte(no), packing("pick", "wrap", 3, true)); !errors.Is(err, durable.ErrInvalid) && !errors.Is(err, durable.ErrNotFound) {
			t.Errorf("%q, which is no journal: %v, want invalid", no, err)
		}
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "a.json"), journal, 0o600); err != nil {
		t.Fatal(err)
	}
	durabletest.Replay(t, filepath.Join(dir, "*.json"), packing("pick", "wrap", 3, true))
}
