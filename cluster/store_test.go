package cluster

import (
	"context"
	"iter"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/perdure/perdure/broker"
	"github.com/perdure/perdure/broker/brokertest"
)

// TestStore is what this package relies on. The memory that plays with time is
// held to the same as the broker.
func TestStore(t *testing.T) {
	for name, open := range map[string]func(t *testing.T) Store{
		"memory": func(*testing.T) Store { return newMemory().connect() },
		"broker": func(t *testing.T) Store { return NewStore(brokertest.Open(t)) },
	} {
		for behaviour, test := range map[string]func(*testing.T, Store){
			"a key is created once":                    storeCreatesOnce,
			"a write needs the last revision":          storeFences,
			"a deleted key can be created again":       storeDeletes,
			"a key lives for its time from each write": storeExpires,
			"a watch shows what was and what comes":    storeWatches,
			"a watch shows expiry":                     storeWatchesExpiry,
			"a probe tells there from gone":            storeProbes,
			"the clock is measured":                    storeClock,
			"there is a session":                       storeSession,
		} {
			t.Run(name+"/"+behaviour, func(t *testing.T) {
				t.Parallel()
				test(t, open(t))
			})
		}
	}
}

func put(t *testing.T, s Store, key, value string, after uint64, ttl time.Duration) uint64 {
	t.Helper()
	out, err := s.Put(t.Context(), key, []byte(value), after, ttl)
	if err != nil || out.Fenced {
		t.Fatalf("Put(%s, %q, after %d) = %+v, %v", key, value, after, out, err)
	}
	return out.Seq
}

func refused(t *testing.T, s Store, key, value string, after uint64) {
	t.Helper()
	out, err := s.Put(t.Context(), key, []byte(value), after, 0)
	if err != nil || !out.Fenced || out.Seq != 0 {
		t.Errorf("Put(%s, %q, after %d) = %+v, %v, want Fenced", key, value, after, out, err)
	}
}

func holds(t *testing.T, s Store, key, value string, rev uint64) {
	t.Helper()
	v, r, ok, err := s.Get(t.Context(), key)
	if err != nil || !ok || string(v) != value || r != rev {
		t.Errorf("Get(%s) = %q, %d, %v, %v, want %q, %d", key, v, r, ok, err, value, rev)
	}
}

func absent(t *testing.T, s Store, key string) {
	t.Helper()
	if v, r, ok, err := s.Get(t.Context(), key); err != nil || ok || r != 0 {
		t.Errorf("Get(%s) = %q, %d, %v, %v, want nothing", key, v, r, ok, err)
	}
}

func storeCreatesOnce(t *testing.T, s Store) {
	absent(t, s, "owner.a.1")
	rev := put(t, s, "owner.a.1", "x", 0, 0)
	refused(t, s, "owner.a.1", "y", 0)
	holds(t, s, "owner.a.1", "x", rev)
	put(t, s, "owner.a.2", "y", 0, 0)
}

func storeFences(t *testing.T, s Store) {
	first := put(t, s, "owner.a.1", "x", 0, 0)
	second := put(t, s, "owner.a.1", "y", first, 0)
	if second <= first {
		t.Errorf("revision %d after %d", second, first)
	}
	refused(t, s, "owner.a.1", "z", first)
	refused(t, s, "owner.a.1", "z", second+1)
	holds(t, s, "owner.a.1", "y", second)
}

func storeDeletes(t *testing.T, s Store) {
	first := put(t, s, "member.a.n", "x", 0, 0)
	second := put(t, s, "member.a.n", "y", first, 0)
	if err := s.Delete(t.Context(), "member.a.n", first); err != nil {
		t.Errorf("Delete of another revision: %v", err)
	}
	holds(t, s, "member.a.n", "y", second)
	if err := s.Delete(t.Context(), "member.a.n", second); err != nil {
		t.Fatal(err)
	}
	absent(t, s, "member.a.n")
	refused(t, s, "member.a.n", "z", second)
	third := put(t, s, "member.a.n", "z", 0, 0)
	holds(t, s, "member.a.n", "z", third)
}

func storeExpires(t *testing.T, s Store) {
	const ttl = time.Second
	first := put(t, s, "member.a.n", "x", 0, ttl)
	began := time.Now()
	await(t, 10*time.Second, "half of its time", func() bool { return time.Since(began) > ttl/2 })
	second := put(t, s, "member.a.n", "x", first, ttl)
	written := time.Now()
	await(t, 10*time.Second, "the rest of it", func() bool { return time.Since(began) > ttl*5/4 })
	if time.Since(written) < ttl*9/10 { // the machine was not too slow to tell
		holds(t, s, "member.a.n", "x", second)
	}
	await(t, 10*time.Second, "it expires", func() bool {
		_, _, ok, err := s.Get(t.Context(), "member.a.n")
		return err == nil && !ok
	})
	put(t, s, "member.a.n", "y", 0, ttl)
}

// next returns the next change without what differs between stores.
func next(t *testing.T, pull func() (broker.LeaseChange, error, bool)) broker.LeaseChange {
	t.Helper()
	c, err, ok := pull()
	if err != nil || !ok {
		t.Fatalf("the watch ended: %v", err)
	}
	if !c.CaughtUp && c.Time.IsZero() {
		t.Errorf("%s has no time", c.Key)
	}
	c.Time = time.Time{}
	return c
}

func change(key, value string, rev uint64) broker.LeaseChange {
	return broker.LeaseChange{Lease: broker.Lease{Key: key, Value: []byte(value), Rev: rev}}
}

func gone(key string, rev uint64) broker.LeaseChange {
	return broker.LeaseChange{Lease: broker.Lease{Key: key, Rev: rev}, Gone: true}
}

func storeWatches(t *testing.T, s Store) {
	first := put(t, s, "owner.a.1", "old", 0, 0)
	b := put(t, s, "member.a.n", "n", 0, 0)
	a := put(t, s, "owner.a.1", "x", first, 0)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	pull, stop := iter.Pull2(s.Watch(ctx, ""))
	defer stop()
	var got []broker.LeaseChange
	for len(got) == 0 || !got[len(got)-1].CaughtUp {
		if c := next(t, pull); c.Key != "namespace" { // the broker's own key
			got = append(got, c)
		}
	}
	want := []broker.LeaseChange{change("member.a.n", "n", b), change("owner.a.1", "x", a), {CaughtUp: true}}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("what there was (-want +got):\n%s", d)
	}
	c := put(t, s, "owner.a.1", "y", a, 0)
	if err := s.Delete(t.Context(), "member.a.n", b); err != nil {
		t.Fatal(err)
	}
	got = []broker.LeaseChange{next(t, pull), next(t, pull)}
	want = []broker.LeaseChange{change("owner.a.1", "y", c), gone("member.a.n", c+1)}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("what came (-want +got):\n%s", d)
	}
	cancel()
	if c, err, ok := pull(); ok && err == nil {
		t.Errorf("it goes on after its context ended: %+v", c)
	}
}

func storeWatchesExpiry(t *testing.T, s Store) {
	pull, stop := iter.Pull2(s.Watch(t.Context(), "member.a"))
	defer stop()
	if c := next(t, pull); !c.CaughtUp {
		t.Fatalf("first %+v, want the mark", c)
	}
	put(t, s, "owner.a.1", "x", 0, 0)
	rev := put(t, s, "member.a.n", "n", 0, time.Second)
	began := time.Now()
	got := []broker.LeaseChange{next(t, pull), next(t, pull)}
	if d := time.Since(began); d < 900*time.Millisecond || d > 5*time.Second {
		t.Errorf("expired after %v, want about 1s", d)
	}
	want := []broker.LeaseChange{change("member.a.n", "n", rev), gone("member.a.n", rev+1)}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("what came (-want +got):\n%s", d)
	}
}

func storeProbes(t *testing.T, s Store) {
	if a, alive, err := s.Probe(t.Context(), "n1"); err != nil || alive {
		t.Errorf("Probe of nobody = %q, %v, %v", a, alive, err)
	}
	stop, err := s.Answer(t.Context(), "n1", func() []byte { return []byte("me") })
	if err != nil {
		t.Fatal(err)
	}
	if a, alive, err := s.Probe(t.Context(), "n1"); err != nil || !alive || string(a) != "me" {
		t.Errorf("Probe = %q, %v, %v", a, alive, err)
	}
	if a, alive, err := s.Probe(t.Context(), "n2"); err != nil || alive {
		t.Errorf("Probe of another = %q, %v, %v", a, alive, err)
	}
	stop()
	await(t, 5*time.Second, "it answers no more", func() bool {
		_, alive, err := s.Probe(t.Context(), "n1")
		return err == nil && !alive
	})
}

func storeClock(t *testing.T, s Store) {
	if d, err := s.ClockSkew(t.Context()); err != nil || d.Abs() > 500*time.Millisecond {
		t.Errorf("ClockSkew = %v, %v: it is this machine's clock", d, err)
	}
}

func storeSession(t *testing.T, s Store) {
	if n := s.Session(); n != 1 {
		t.Errorf("Session = %d, want 1", n)
	}
}
