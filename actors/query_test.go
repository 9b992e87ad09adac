package actors_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/perdure/perdure/actors"
	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/runtime"
	"github.com/perdure/perdure/schemas"
)

// TestP16_AQuestionKnowsWhatTheRecordHas: the state that a run leaves counts from its
// record on. Whoever was told the result and asks does not see what was before, where
// the node died before it could store the state as well and nobody has settled it yet.
func TestP16_AQuestionKnowsWhatTheRecordHas(t *testing.T) {
	t.Parallel()
	g := newGates()
	s := setup(t, g.all()...)
	kinds := map[schemas.Kind]*runtime.Kind{}
	for _, k := range s.kinds {
		kinds[k.Name] = k
	}
	account := ref("account", "a", "").Identity
	seen := func() (lines []string) {
		t.Helper()
		p, err := actors.Ask(s.ctx, s.b, kinds, account, "lines", nil)
		if err == nil {
			lines, err = durable.Decode[[]string](p)
		}
		if err != nil {
			t.Fatal(err)
		}
		return lines
	}
	if got := seen(); got != nil {
		t.Errorf("an account that was never used has the lines %q", got)
	}
	out, err := s.b.Journal().Append(s.ctx, account.Run("1"), 0, &schemas.Entry{
		Epoch: 1, Nonce: []byte("of a process that is gone"), Counter: 1,
		Record: &schemas.Record{
			Status: schemas.Status_COMPLETED, StateChanged: true, State: &schemas.Payload{Data: []byte(`{"lines":["committed"]}`)},
		},
	})
	if err != nil || out.Fenced {
		t.Fatalf("append: %+v, %v", out, err)
	}
	if diff := cmp.Diff([]string{"committed"}, seen()); diff != "" {
		t.Errorf("lines before anybody has settled the record (-want +got):\n%s", diff)
	}
	s.start()
	s.send(account.Run("2"), "write", "next")
	s.end(account.Run("2"))
	if diff := cmp.Diff([]string{"committed", "next"}, seen()); diff != "" {
		t.Errorf("lines after the next run (-want +got):\n%s", diff)
	}
}
