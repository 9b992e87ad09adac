package broker_test

import (
	"strings"
	"testing"

	"github.com/perdure/perdure/broker"
	"github.com/perdure/perdure/schemas"
	"pgregory.net/rapid"
)

func names(t testing.TB) broker.Names {
	t.Helper()
	n, err := broker.NewNames("ns", 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// The subjects are part of the wire contract.
func TestNames_Golden(t *testing.T) {
	t.Parallel()
	n, id := names(t), identity("weather", "Den Haag.1")
	ref := id.Run("order/17")
	for want, got := range map[string]string{
		"ns_INBOX_default":                      n.InboxStream(),
		"ns_TIMERS_default":                     n.TimersStream(),
		"ns_RUNS":                               n.RunsStream(),
		"ns_ARCHIVE":                            n.ArchiveStream(),
		"ns_DEAD":                               n.DeadStream(),
		"ns_state":                              n.StateBucket(),
		"ns_cluster":                            n.ClusterBucket(),
		"ns_BLOBS":                              n.BlobsStream(),
		"ns.task.local.weather.Den%20Haag%2E1":  n.TaskSubject("local", id),
		"ns.in.61.local.weather.Den%20Haag%2E1": n.InSubject("local", id),
		"ns.run.61.weather.Den%20Haag%2E1.order%2F17": n.RunSubject(ref),
		"ns.run.61.weather.Den%20Haag%2E1.*":          n.FenceFilter(id),
		"ns.timer.61.weather.Den%20Haag%2E1.a%2Eb.1":  n.TimerSubject(id, broker.TimerID("a.b", "1")),
		"ns.wake.61.weather.Den%20Haag%2E1":           n.WakeSubject(id),
		"ns.done.weather.Den%20Haag%2E1.order%2F17":   n.Done(ref),
		"ns.live.weather.Den%20Haag%2E1.order%2F17":   n.Live(ref),
		"ns.node.host%2E1":                            n.Node("host.1"),
		"ns.api.runs.get":                             n.API("runs.get"),
	} {
		if got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	if n.Namespace() != "ns" || n.Partitions() != 64 {
		t.Errorf("names of %q with %d partitions", n.Namespace(), n.Partitions())
	}
}

func TestNames_Invalid(t *testing.T) {
	t.Parallel()
	for _, ns := range []string{"", "a.b", "a b", "é", "*"} {
		if _, err := broker.NewNames(ns, 64); err == nil {
			t.Errorf("%q is taken for a namespace", ns)
		}
	}
	if _, err := broker.NewNames("ns", 0); err == nil {
		t.Error("a namespace has no partition")
	}
	n := names(t)
	p := "ns.run." + n.Partition(identity("weather", "x")).String() + "."
	if _, err := n.ParseRun(p + "weather.x.1"); err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{
		"", "ns", "ns.run", p + "weather.x", p + "weather.x.1.2", "other" + p[2:] + "weather.x.1", strings.Replace(p, ".run.", ".run.0", 1) + "weather.x.1",
		"ns.run.64.weather.x.1", "ns.run.x.weather.x.1", p + "we ather.x.1", p + "weather..1", p + "weather.%78.1", p + "weather.x.", p + "weather.x.%41",
		"ns.run." + (n.Partition(identity("weather", "x")) ^ 1).String() + ".weather.x.1",
	} {
		if ref, err := n.ParseRun(s); err == nil {
			t.Errorf("%q is read as the run %v", s, ref)
		}
	}
	for _, s := range []string{"ns.timer.61.weather.Den%20Haag%2E1.1", "ns.timer.3.weather.Den%20Haag%2E1.1.1", "ns.timer.61.weather.Den%20Haag%2E1.%41.1", "ns.timer.61.weather.Den%20Haag%2E1.1.%41"} {
		if id, timer, err := n.ParseTimer(s); err == nil {
			t.Errorf("%q is read as the timer %q of %v", s, timer, id)
		}
	}
}

// Whatever a key, an ID and a timer contain, their subjects are subjects, and
// are read back as what they were made of.
func TestNames_ParseIsTheInverse(t *testing.T) {
	t.Parallel()
	n := names(t)
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringN(1, 40, 80).Filter(func(s string) bool { return schemas.RunID(s).Validate() == nil })
		id := identity(rapid.StringMatching(`[a-zA-Z0-9_-]{1,20}`).Draw(t, "kind"), text.Draw(t, "key"))
		ref := id.Run(schemas.RunID(text.Draw(t, "run")))
		timer := broker.TimerID(ref.ID, text.Draw(t, "timer"))
		subjects := map[string]int{
			n.TaskSubject("local", id): 5, n.InSubject("local", id): 6, n.RunSubject(ref): 6,
			n.FenceFilter(id): 6, n.TimerSubject(id, timer): 7, n.Done(ref): 5, n.Node(id.Key): 3,
		}
		for s, tokens := range subjects {
			if strings.Count(s, ".")+1 != tokens || strings.Contains(s, "..") || strings.ContainsAny(s, " \t\r\n") {
				t.Fatalf("%q is no subject of %d tokens", s, tokens)
			}
		}
		if got, err := n.ParseRun(n.RunSubject(ref)); err != nil || got != ref {
			t.Fatalf("the run %v is read as %v, %v", ref, got, err)
		}
		if gotID, got, err := n.ParseTimer(n.TimerSubject(id, timer)); err != nil || gotID != id || got != timer {
			t.Fatalf("the timer %s of %v is read as %s of %v, %v", timer, id, got, gotID, err)
		}
		if run, _, err := broker.ParseTimerID(timer); err != nil || run != ref.ID {
			t.Fatalf("the run of timer %s is read as %q, %v", timer, run, err)
		}
	})
}

func FuzzNamesParse(f *testing.F) {
	n := names(f)
	id := identity("weather", "Den Haag.1")
	for _, s := range []string{n.RunSubject(id.Run("1")), n.TimerSubject(id, "1.2"), n.TaskSubject("local", id), "ns.run.....", "ns.timer.1.2.3.4.5", "\xff"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if ref, err := n.ParseRun(s); err == nil && n.RunSubject(ref) != s {
			t.Errorf("%q is read as %v, which is at %q", s, ref, n.RunSubject(ref))
		}
		if id, timer, err := n.ParseTimer(s); err == nil && n.TimerSubject(id, timer) != s {
			t.Errorf("%q is read as %s of %v, which is at %q", s, timer, id, n.TimerSubject(id, timer))
		}
	})
}
