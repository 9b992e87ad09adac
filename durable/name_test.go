package durable_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/schemas"
)

func TestNameIsAKindAndPerhapsAMethod(t *testing.T) {
	for s, want := range map[string][2]string{"weather": {"weather", ""}, "stock.reserve": {"stock", "reserve"}, "A-b_9.x": {"A-b_9", "x"}} {
		n := durable.Declare[int, int](s)
		if n.Err() != nil || string(n.Kind()) != want[0] || n.Method() != want[1] || n.String() != s || n.OncePerKey() {
			t.Errorf("%q: kind %q, method %q, %q, %v", s, n.Kind(), n.Method(), n, n.Err())
		}
	}
}

func TestNameOfAWrongFormSaysSoWhereItIsUsed(t *testing.T) {
	for _, s := range []string{"", ".", "a.", ".a", "a.b.c", "a b", "ä", "a/b", strings.Repeat("a", 300)} {
		n := durable.Declare[int, int](s)
		if !errors.Is(n.Err(), schemas.ErrInvalidName) {
			t.Errorf("%q: %v, want an invalid name", s, n.Err())
		}
		if _, err := n.At("k").Resolve(""); !errors.Is(err, schemas.ErrInvalidName) {
			t.Errorf("%q at a key: %v, want an invalid name", s, err)
		}
		if q := durable.DeclareQuery[int, int](s); q.Err() == nil {
			t.Errorf("query %q: want an error", s)
		}
		k := durable.Workflow(durable.DeclareWorkflow[int, int](s), func(durable.Context, int) (int, error) { return 0, nil })
		if err := k.Validate(); !errors.Is(err, schemas.ErrInvalidName) {
			t.Errorf("workflow %q: %v, want an invalid name", s, err)
		}
	}
}

func TestTargetHasTheKeyAsMessageIDForAWorkflowOnly(t *testing.T) {
	for name, c := range map[string]struct {
		target durable.Target[int, int]
		id     string
		want   schemas.RunID
	}{
		"a workflow":               {durable.DeclareWorkflow[int, int]("fulfil").At("order-17"), "", "order-17"},
		"a workflow with an ID":    {durable.DeclareWorkflow[int, int]("fulfil").At("order-17"), "x", "x"},
		"another kind":             {durable.Declare[int, int]("stock.take").At("sku-1"), "", ""},
		"another kind with an ID":  {durable.Declare[int, int]("stock.take").At("sku-1"), "x", "x"},
		"a key of any UTF-8, even": {durable.DeclareWorkflow[int, int]("fulfil").At("a/b.*>ä"), "", "a/b.*>ä"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := c.target.Resolve(c.id)
			if err != nil || got.ID != c.want || got.Identity != c.target.Identity() || got.Method != c.target.Name().Method() {
				t.Errorf("got %+v, %v; want ID %q", got, err, c.want)
			}
		})
	}
	for _, key := range []string{"", "\xff", strings.Repeat("k", 300)} {
		if _, err := durable.Declare[int, int]("w").At(key).Resolve(""); !durable.IsCode(err, "invalid") {
			t.Errorf("key %.10q: %v, want it to be invalid", key, err)
		}
	}
}

func TestQueryNeedsAMethod(t *testing.T) {
	q := durable.DeclareQuery[int, string]("stock.level")
	id, method, err := q.At("sku-1").Resolve()
	if err != nil || method != "level" || id != (schemas.Identity{Kind: "stock", Key: "sku-1"}) || q.String() != "stock.level" || q.Kind() != "stock" || q.Method() != "level" || q.Err() != nil {
		t.Errorf("%v %q %v", id, method, err)
	}
	bad := durable.DeclareQuery[int, string]("stock")
	if !durable.IsCode(bad.Err(), "invalid") || !strings.Contains(bad.Err().Error(), "kind.query") {
		t.Errorf("got %v", bad.Err())
	}
	if _, _, err := bad.At("k").Resolve(); err == nil {
		t.Error("a query without a method can be asked")
	}
}

// TestWorkflowSaysEverythingThatIsWrongWithIt at once.
func TestWorkflowSaysEverythingThatIsWrongWithIt(t *testing.T) {
	err := durable.Workflow[int, int](durable.Declare[int, int]("no kind"), nil).Validate()
	for _, want := range []string{`workflow "no kind"`, "invalid name", "DeclareWorkflow", "the function is nil"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not said by: %v", want, err)
		}
	}
	if err := durable.Workflow(durable.DeclareWorkflow[int, int]("w"), func(durable.Context, int) (int, error) { return 0, nil }).Validate(); err != nil {
		t.Error(err)
	}
}
