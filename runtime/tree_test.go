package runtime_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/perdure/perdure/runtime"
	"github.com/perdure/perdure/runtime/runtimetest"
	"github.com/perdure/perdure/schemas"
	"google.golang.org/protobuf/proto"
)

// bounded is a kind that bounds the trees of its runs.
func bounded(k *runtime.Kind, b runtime.Bounds) *runtime.Kind {
	k.Bounds = b
	return k
}

// digs calls itself a level deeper, until it is refused, and says where.
func digs(c *runtime.Context, in string) (string, error) {
	out, err := result(c, c.Call("dig", to("dig", in+"+"), text(in+"+")))
	if code(err) == runtime.ErrTreeLimit.Code {
		return "refused at " + in, nil
	}
	return out, err
}

// TestTree_NoRunIsDeeperThanTheRootSays, through kinds that bound nothing, and a bound
// further down holds beside it.
func TestTree_NoRunIsDeeperThanTheRootSays(t *testing.T) {
	bubble(t, func(t *testing.T) {
		into := func(key string) handler {
			return func(c *runtime.Context, in string) (string, error) {
				return result(c, c.Call("dig", to("dig", key), text(in)))
			}
		}
		w := world(t, kind("dig", digs), bounded(kind("three", into("a")), runtime.Bounds{Depth: 3}),
			bounded(kind("outer", func(c *runtime.Context, in string) (string, error) {
				return result(c, c.Call("three", to("three", "x"), text(in)))
			}), runtime.Bounds{Depth: 2}))
		w.Task(ref("three", "k", "1"), "", text("d"))
		expect(t, w, ref("three", "k", "1"), "refused at d++")
		w.Task(ref("outer", "k", "1"), "", text("e"))
		expect(t, w, ref("outer", "k", "1"), "refused at e")
		settle(t, w)
	})
}

// fans starts n others at once and says how each ended.
func fans(n int) handler {
	return func(c *runtime.Context, in string) (string, error) {
		var fs []*runtime.Future
		for i := range n {
			fs = append(fs, c.Call("leaf", to("leaf", fmt.Sprint(in, i)), text("ok")))
		}
		var ends []string
		for _, f := range fs {
			out, err := result(c, f)
			if err != nil {
				out = code(err)
			}
			ends = append(ends, out)
		}
		slices.Sort(ends)
		return strings.Join(ends, " "), nil
	}
}

// treeState reads what the only limit of trees keeps.
func treeState(t *testing.T, w *runtimetest.World) (s *schemas.LimitState, state *schemas.Payload) {
	t.Helper()
	for _, e := range w.Journal.History() {
		if e.Ref.Kind.IsLedger() && strings.Contains(e.Ref.Key, "-tree:") {
			state = e.Entry.GetRecord().GetState()
		}
	}
	s = &schemas.LimitState{}
	if err := proto.Unmarshal(state.GetData(), s); err != nil || state == nil {
		t.Fatalf("no limit of a tree keeps anything: %v", err)
	}
	return s, state
}

// TestTree_ACrashAnywhereLetsNoRunTooManyBegin: of five runs that two levels want to
// start, three may, whatever process dies at whichever write.
func TestTree_ACrashAnywhereLetsNoRunTooManyBegin(t *testing.T) {
	play := func(t *testing.T, when runtimetest.When, n int) (points []string) {
		bubble(t, func(t *testing.T) {
			began := &gauge{}
			leaf := func(c *runtime.Context, in string) (string, error) {
				began.enter(c.Info().Key)
				return in, nil
			}
			root := func(c *runtime.Context, in string) (string, error) {
				out, err := result(c, c.Call("fan", to("fan", "f"), text(in)))
				if err != nil {
					return "", err
				}
				rest, err := fans(2)(c, "second")
				return out + ", " + rest, err
			}
			w := world(t, kind("leaf", leaf), kind("fan", fans(2)), bounded(kind("root", root), runtime.Bounds{Runs: 4}))
			if n > 0 {
				w.CrashAt(when, n)
			}
			w.Task(ref("root", "k", "1"), "", text("in"))
			expect(t, w, ref("root", "k", "1"), "ok ok, ok tree_limit")
			settle(t, w)
			if len(began.order) != 3 {
				t.Errorf("%q began, want three", began.order)
			}
			s, state := treeState(t, w)
			if got := len(s.GetHolders()); got != 4 {
				t.Errorf("%d runs are counted, want 4", got)
			}
			limits := runtime.NewLimitKind("").Ledger
			if now := time.Now(); limits.Idle(state, now.Add(23*time.Hour)) || !limits.Idle(state, now.Add(25*time.Hour)) {
				t.Error("the count of a tree that is over goes after a day")
			}
			points = w.Points()
		})
		return points
	}
	points := play(t, 0, 0)
	for n, what := range points {
		for _, when := range []runtimetest.When{runtimetest.Before, runtimetest.After} {
			t.Run(fmt.Sprintf("%d %d %s", when, n+1, what), func(t *testing.T) { play(t, when, n+1) })
		}
	}
}

// TestTree_TheCountStaysWhileTheRunThatBeganItIsOpen, and each run has one of its own.
func TestTree_TheCountStaysWhileTheRunThatBeganItIsOpen(t *testing.T) {
	bubble(t, func(t *testing.T) {
		leaf := func(_ *runtime.Context, in string) (string, error) { return in, nil }
		root := func(c *runtime.Context, in string) (string, error) {
			first, err := fans(1)(c, in+"a")
			if err != nil {
				return "", err
			}
			if _, err := result(c, c.After("wait", 90*24*time.Hour)); err != nil {
				return "", err
			}
			second, err := fans(2)(c, in+"b")
			return first + ", " + second, err
		}
		w := world(t, kind("leaf", leaf), bounded(kind("root", root), runtime.Bounds{Runs: 2}))
		for _, key := range []string{"k", "l"} {
			w.Task(ref("root", key, "1"), "", text(key))
		}
		<-time.After(60 * 24 * time.Hour)
		if _, state := treeState(t, w); runtime.NewLimitKind("").Ledger.Idle(state, time.Now()) {
			t.Error("the count is forgotten while the run goes on")
		}
		for _, key := range []string{"k", "l"} {
			expect(t, w, ref("root", key, "1"), "ok, ok tree_limit")
		}
		settle(t, w)
	})
}

// TestTree_SaysWhatIsWrongWithBounds.
func TestTree_SaysWhatIsWrongWithBounds(t *testing.T) {
	k := bounded(kind("root", digs), runtime.Bounds{Depth: -1, Runs: -2})
	k.Limits = []runtime.Limit{{Rule: schemas.Hold_TREE}}
	err := k.Validate()
	for _, want := range []string{"depth -1", "-2 runs", "give the kind Bounds"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %q", err, want)
		}
	}
}
