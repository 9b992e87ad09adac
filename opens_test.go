package perdure_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/perdure/perdure"
	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/runtime"
)

// needy is a kind that opens something, and notes in said what becomes of it.
func needy(name string, said *[]string, fails error) *runtime.Kind {
	k := durable.Workflow(durable.DeclareWorkflow[string, string](name), func(_ durable.Context, in string) (string, error) { return in, nil })
	k.Open = func(context.Context) (func() error, error) {
		if fails != nil {
			return nil, fails
		}
		*said = append(*said, "open "+name)
		return func() error {
			*said = append(*said, "close "+name)
			return nil
		}, nil
	}
	return k
}

func TestANodeOpensAndClosesWhatItsKindsNeed(t *testing.T) {
	t.Parallel()
	var said []string
	old := needy("new", &said, nil)
	old.Open = needy("old", &said, nil).Open
	old.Build = "b1"
	k := needy("new", &said, nil)
	k.Build, k.Older = "b2", []*runtime.Kind{old}
	node, err := perdure.Open(testContext(t), perdure.Dir(t.TempDir()), perdure.Host(k, needy("other", &said, nil)), perdure.Logger(silent))
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"open new", "open old", "open other"}; !slices.Equal(said, want) {
		t.Errorf("after Open: %q, want %q", said, want)
	}
	if err := errors.Join(node.Close(), node.Close()); err != nil {
		t.Fatal(err)
	}
	if want := []string{"close new", "close old", "close other"}; !slices.Equal(said[3:], want) {
		t.Errorf("after Close: %q, want %q", said[3:], want)
	}
}

func TestANodeWhoseKindCannotBeOpenedIsNotOpened(t *testing.T) {
	t.Parallel()
	var said []string
	_, err := perdure.Open(testContext(t), perdure.Dir(t.TempDir()), perdure.Logger(silent),
		perdure.Host(needy("good", &said, nil), needy("bad", &said, errors.New("its server is away")), needy("worse", &said, errors.New("nor has it a key"))))
	if err == nil {
		t.Fatal("the node was opened")
	}
	for _, part := range []string{`workflow "bad": its server is away`, `workflow "worse": nor has it a key`} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("the error is %q, without %q", err, part)
		}
	}
	if want := []string{"open good", "close good"}; !slices.Equal(said, want) {
		t.Errorf("of the others: %q, want %q", said, want)
	}
}
