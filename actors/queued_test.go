package actors

import (
	"context"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/perdure/perdure/broker/brokertest"
	"github.com/perdure/perdure/schemas"
)

// task publishes a task without a run.
func (l listing) task(ref schemas.Ref, attributes map[string]*schemas.Attribute) {
	l.t.Helper()
	env := &schemas.Envelope{Type: schemas.Envelope_TASK, Id: string(ref.ID), Method: "go", Attributes: attributes, Payload: &schemas.Payload{Data: []byte("1")}}
	if err := Publish(l.t.Context(), l.b, schemas.LocalDomain, ref.Identity, env); err != nil {
		l.t.Fatal(err)
	}
}

// TestIndex_RunsThatAreQueuedAreListedIfTheyAreNamed: whose tasks are in the inbox and
// which have no journal, in one order with the others, page by page, and counted.
func TestIndex_RunsThatAreQueuedAreListedIfTheyAreNamed(t *testing.T) {
	t.Parallel()
	l := newListing(t)
	l.x.once = func(context.Context, schemas.Kind) bool { return true }
	l.ended("old", 1)
	l.ended("begun", 2)
	l.task(runOf("begun"), nil) // its record is stored, and its task still there
	customer, _ := schemas.AttributeOf("c-17")
	l.task(runOf("a"), map[string]*schemas.Attribute{"customer": customer})
	l.task(runOf("b"), nil)
	if err := brokertest.Foreign(t.Context(), l.b, runOf("plain").Identity, nil, "1"); err != nil {
		t.Fatal(err)
	}
	l.task(runOf("c"), nil)
	want := []string{"wf/c/1", "wf/plain/plain", "wf/b/1", "wf/a/1"}
	list := func(f Filter, after string, limit int) (runs []string, next string) {
		t.Helper()
		page, err := l.x.List(t.Context(), f, after, limit)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range page.Runs {
			if runs = append(runs, r.Run); slices.Contains(want, r.Run) && (r.Status != "queued" || r.Started.IsZero() || r.Method == "" && r.Run != "wf/plain/plain") {
				t.Errorf("%+v", r)
			}
		}
		return runs, page.Next
	}
	for _, f := range []Filter{{Status: []string{"queued"}}, {Status: []string{"queued"}, Kind: "wf"}} {
		if got, next := list(f, "", 10); next != "" || !cmp.Equal(got, want) {
			t.Errorf("%+v: %v, and next %q, want %v", f, got, next, want)
		}
	}
	both := Filter{Status: []string{"queued", "completed"}}
	for limit := 1; limit <= 6; limit++ {
		var got []string
		for after := ""; ; {
			page, next := list(both, after, limit)
			if got = append(got, page...); next == "" {
				break
			}
			if after = next; len(page) != limit {
				t.Fatalf("a page has %v, of %d", page, limit)
			}
		}
		if all := append(slices.Clone(want), "wf/begun/1", "wf/old/1"); !cmp.Equal(got, all) {
			t.Errorf("pages of %d: %v, want %v", limit, got, all)
		}
	}
	if got, _ := list(both, "wf/b/1", 10); !cmp.Equal(got, []string{"wf/a/1", "wf/begun/1", "wf/old/1"}) {
		t.Errorf("behind one that is queued: %v", got)
	}
	if got, _ := list(Filter{Status: []string{"queued"}, Where: []string{"customer=c-17"}}, "", 10); !cmp.Equal(got, []string{"wf/a/1"}) {
		t.Errorf("of a customer: %v", got)
	}
	if got, _ := list(Filter{Status: []string{"queued"}, Kind: "other"}, "", 10); len(got) > 0 {
		t.Errorf("of a kind that there is not: %v", got)
	}
	if got, _ := list(Filter{}, "", 10); !cmp.Equal(got, []string{"wf/begun/1", "wf/old/1"}) {
		t.Errorf("with no status: %v", got)
	}
	counts, err := l.x.Count(t.Context(), both)
	if want := []RunCount{{"wf", "queued", 4}, {"wf", "completed", 2}}; err != nil || !cmp.Equal(counts, want) {
		t.Errorf("counted: %v, %v, want %v", counts, err, want)
	}
}
