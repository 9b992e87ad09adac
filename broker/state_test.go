package broker_test

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/perdure/perdure/broker"
	"github.com/perdure/perdure/schemas"
	"google.golang.org/protobuf/testing/protocmp"
)

func state(run string, seq uint64, value string) *schemas.State {
	return &schemas.State{Run: run, Sequence: seq, Value: &schemas.Payload{Data: []byte(value), Codec: "json"}}
}

// P17: a state is stored on the revision that it replaces; a refusal is
// success when what is there is this run's or later, and fenced otherwise.
func TestP17_StateIsConditionedOnItsRevision(t *testing.T) {
	t.Parallel()
	r := embedded(t)
	s, id := r.b.State(), identity("stock", "sku 1/2.é")
	put := func(after uint64, v *schemas.State) schemas.Outcome {
		out, err := s.Put(r.ctx, id, after, v)
		must(t, err)
		return out
	}
	if v, rev, err := s.Get(r.ctx, id); v != nil || rev != 0 || err != nil {
		t.Fatalf("before the first run: %v, %d, %v; want none", v, rev, err)
	}
	one := put(0, state("1", 10, "1"))
	if one.Fenced || one.Seq == 0 {
		t.Fatalf("the first state: %+v, want it stored", one)
	}
	if again := put(0, state("1", 10, "1")); again.Fenced || again.Seq != one.Seq {
		t.Errorf("the same again: %+v, want the success of revision %d", again, one.Seq)
	}
	two := put(one.Seq, state("2", 20, "2"))
	if late := put(0, state("1", 10, "1")); late.Fenced || late.Seq != two.Seq {
		t.Errorf("settling the first run again after the second: %+v, want success at revision %d", late, two.Seq)
	}
	if wrong := put(one.Seq, state("3", 30, "3")); !wrong.Fenced || wrong.Seq != 0 {
		t.Errorf("a state on a revision that was replaced: %+v, want fenced", wrong)
	}
	if wrong := put(two.Seq+100, state("3", 30, "3")); !wrong.Fenced {
		t.Errorf("a state on a revision that is not there: %+v, want fenced", wrong)
	}
	v, rev, err := s.Get(r.ctx, id)
	must(t, err)
	if diff := cmp.Diff(state("2", 20, "2"), v, protocmp.Transform()); diff != "" || rev != two.Seq {
		t.Errorf("the state at revision %d, want %d (-want +got):\n%s", rev, two.Seq, diff)
	}
}

func TestState_ForeignDataIsIncompatible(t *testing.T) {
	t.Parallel()
	r := embedded(t)
	r.stored("$KV."+r.n.StateBucket()+".stock.a", "no state\xff")
	if _, _, err := r.b.State().Get(r.ctx, identity("stock", "a")); !errors.Is(err, broker.ErrIncompatible) {
		t.Errorf("get: %v, want ErrIncompatible", err)
	}
}

// A value that was deleted with the nats CLI has a revision, and no value.
func TestState_DeletedByHand(t *testing.T) {
	t.Parallel()
	r := embedded(t)
	id := identity("stock", "a")
	_, err := r.b.State().Put(r.ctx, id, 0, state("1", 1, "1"))
	must(t, err)
	kv, err := r.js.KeyValue(r.ctx, r.n.StateBucket())
	must(t, err)
	must(t, kv.Delete(r.ctx, "stock.a"))
	v, rev, err := r.b.State().Get(r.ctx, id)
	must(t, err)
	if v.GetValue() != nil || rev == 0 {
		t.Fatalf("get: %v at revision %d, want an empty state at the deletion's", v, rev)
	}
	out, err := r.b.State().Put(r.ctx, id, rev, state("2", 2, "2"))
	must(t, err)
	if out.Fenced {
		t.Errorf("put after the deletion: %+v", out)
	}
}
