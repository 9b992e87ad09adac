package broker_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/perdure/perdure/broker"
)

// put stores a key, and returns its revision; 0 when it was fenced.
func (r *raw) put(key, value string, after uint64, ttl time.Duration) uint64 {
	r.t.Helper()
	out, err := r.b.Leases().Put(r.ctx, key, []byte(value), after, ttl)
	must(r.t, err)
	if out.Fenced != (out.Seq == 0) {
		r.t.Fatalf("put %s: %+v", key, out)
	}
	return out.Seq
}

func TestLeases_EveryWriteIsConditioned(t *testing.T) {
	t.Parallel()
	r := embedded(t)
	l := r.b.Leases()
	one := r.put("owner.7", "a1", 0, 0)
	if r.put("owner.7", "b1", 0, 0) != 0 {
		t.Error("a key that is there was created")
	}
	two := r.put("owner.7", "b2", one, 0)
	if r.put("owner.7", "a2", one, 0) != 0 || r.put("owner.8", "a2", one, 0) != 0 {
		t.Error("a key was stored on a revision that it has not")
	}
	if again := r.put("owner.7", "b2", one, 0); again != two {
		t.Errorf("the same write again has revision %d, want %d", again, two)
	}
	v, rev, ok, err := l.Get(r.ctx, "owner.7")
	must(t, err)
	if string(v) != "b2" || rev != two || !ok {
		t.Errorf("the key is %q at %d (%v), want b2 at %d", v, rev, ok, two)
	}
	must(t, l.Delete(r.ctx, "owner.7", one)) // another's: it stays
	if _, _, ok, _ := l.Get(r.ctx, "owner.7"); !ok {
		t.Error("a key of another revision was deleted")
	}
	must(t, l.Delete(r.ctx, "owner.7", two))
	must(t, l.Delete(r.ctx, "owner.7", two))
	must(t, l.Delete(r.ctx, "owner.9", 3))
	if v, rev, ok, err := l.Get(r.ctx, "owner.7"); v != nil || rev != 0 || ok || err != nil {
		t.Errorf("the deleted key is %q at %d, %v, %v", v, rev, ok, err)
	}
	if r.put("owner.7", "c", two, 0) != 0 {
		t.Error("a deleted key was stored on its old revision")
	}
	three := r.put("owner.7", "c", 0, 0)
	if three <= two {
		t.Errorf("the key that was created again has revision %d, after %d", three, two)
	}
	out, err := l.Put(r.ctx, "owner.7", []byte("d"), two, 0)
	must(t, err)
	if !out.Fenced || out.Head.Seq != three {
		t.Errorf("fenced: %+v, want by revision %d", out, three)
	}
}

func TestLeases_ListIsWholeTokensAndOnlyWhatIsThere(t *testing.T) {
	t.Parallel()
	r := embedded(t)
	a := r.put("member.a", "1", 0, 0)
	b := r.put("member.b", "2", 0, time.Minute)
	c := r.put("member.c", "3", 0, 0)
	r.put("members.d", "4", 0, 0)
	e := r.put("member.x.y", "5", 0, 0)
	must(t, r.b.Leases().Delete(r.ctx, "member.c", c))
	want := []broker.Lease{{Key: "member.a", Value: []byte("1"), Rev: a}, {Key: "member.b", Value: []byte("2"), Rev: b}, {Key: "member.x.y", Value: []byte("5"), Rev: e}}
	for _, prefix := range []string{"member", "member."} {
		got, err := r.b.Leases().List(r.ctx, prefix)
		must(t, err)
		if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(broker.Lease{}, "Time")); diff != "" {
			t.Errorf("below %q (-want +got):\n%s", prefix, diff)
		}
	}
}

func TestLeases_InvalidKeys(t *testing.T) {
	t.Parallel()
	r := embedded(t)
	for _, key := range []string{"", ".", "a.", "a..b", "a b", "a.*", ">"} {
		if _, err := r.b.Leases().Put(r.ctx, key, nil, 0, 0); err == nil {
			t.Errorf("key %q was stored", key)
		}
		if _, _, _, err := r.b.Leases().Get(r.ctx, key); err == nil {
			t.Errorf("key %q was read", key)
		}
	}
}

// P10: a key that is not refreshed expires, a watch sees it, and it can be
// created again.
func TestP10_AnExpiredLeaseIsSeenAndFree(t *testing.T) {
	t.Parallel()
	r := embedded(t)
	rev := r.put("member.a", "1", 0, time.Second)
	var gone broker.LeaseChange
	for c, err := range r.b.Leases().Watch(r.ctx, "member") {
		must(t, err)
		if c.CaughtUp {
			rev = r.put("member.a", "2", rev, time.Second) // refreshed
		}
		if c.Gone {
			gone = c
			break
		}
	}
	if gone.Key != "member.a" || gone.Rev <= rev || gone.Value != nil {
		t.Errorf("the watch saw %+v, want member.a gone after revision %d", gone, rev)
	}
	if _, _, ok, err := r.b.Leases().Get(r.ctx, "member.a"); ok || err != nil {
		t.Errorf("the expired key is there: %v, %v", ok, err)
	}
	if late := r.put("member.a", "2", rev, time.Second); late != 0 {
		t.Errorf("the expired key was refreshed, at %d", late)
	}
	if again := r.put("member.a", "3", 0, time.Second); again <= rev {
		t.Errorf("the key created again has revision %d, after %d", again, rev)
	}
}

func TestLeases_WatchShowsWhatIsThereThenEveryChange(t *testing.T) {
	t.Parallel()
	r := embedded(t)
	r.put("owner.1", "a", 0, 0)
	two := r.put("owner.2", "b", 0, 0)
	r.put("other.1", "x", 0, 0)
	type change struct {
		Key, Value     string
		Gone, CaughtUp bool
	}
	var got []change
	for c, err := range r.b.Leases().Watch(r.ctx, "owner") {
		must(t, err)
		got = append(got, change{c.Key, string(c.Value), c.Gone, c.CaughtUp})
		if c.CaughtUp {
			r.put("owner.3", "c", 0, 0)
			r.put("owner.2", "b2", two, 0)
			_, rev, _, err := r.b.Leases().Get(r.ctx, "owner.1")
			must(t, err)
			must(t, r.b.Leases().Delete(r.ctx, "owner.1", rev))
		}
		if c.Gone {
			break
		}
	}
	want := []change{
		{"owner.1", "a", false, false},
		{"owner.2", "b", false, false},
		{CaughtUp: true},
		{"owner.3", "c", false, false},
		{"owner.2", "b2", false, false},
		{Key: "owner.1", Gone: true},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("watched (-want +got):\n%s", diff)
	}
	if names := r.followers(); len(names) != 0 {
		r.until("the watch's consumer is gone", func() bool { return len(r.followers()) == 0 })
	}
}

// followers are the consumers of the cluster bucket.
func (r *raw) followers() []string {
	s, err := r.js.Stream(r.ctx, "KV_"+r.n.ClusterBucket())
	must(r.t, err)
	var names []string
	for n := range s.ConsumerNames(r.ctx).Name() {
		names = append(names, n)
	}
	return names
}

// A watch that is not caught up does not wait for a key that expires before it
// comes.
func TestLeases_WatchCatchesUpOnNothing(t *testing.T) {
	t.Parallel()
	r := embedded(t)
	for c, err := range r.b.Leases().Watch(r.ctx, "nothing") {
		must(t, err)
		if !c.CaughtUp {
			t.Errorf("watched %+v, want the mark", c)
		}
		break
	}
}
