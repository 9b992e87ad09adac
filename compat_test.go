package perdure_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/perdure/perdure"
	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/durable/durabletest"
	"github.com/perdure/perdure/runtime"
	"github.com/perdure/perdure/schemas"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// testdata/compat holds sets of journals of open runs, one set a landing, made by
// real nodes of that day: each is replayed by every later build. In a set there
// is, besides, events.txt: the kinds of events that its journals hold. SHA256SUMS
// has every file of every set.
//
//	go test -trimpath . -run '^TestCompat_Freeze$' -freeze 2026-11-26
const (
	compatDir  = "testdata/compat"
	compatSums = compatDir + "/SHA256SUMS"
)

var freeze = flag.String("freeze", "", "name of a new set of journals in testdata/compat, for TestCompat_Freeze")

// unfrozen names the kinds of events that no set has, each with the reason.
var unfrozen = map[string]string{
	"refused": "its run is over: there is nothing to replay",
}

// A frozenRun is a run whose journal is in a set.
type frozenRun struct {
	file string // its name in a set, without .json
	ref  string
	// begin starts it, with the first build of the kinds.
	begin func(ctx context.Context, c *perdure.Client) error
	// steer is done to it with the last build, where not nil.
	steer func(ctx context.Context, c *perdure.Client) error
	// has is what its journal holds at least when it is exported, as prefixes of
	// lines of journalLines. Before the first node leaves, those up to the empty
	// one are there; where it is the first, the run is begun by steer.
	has []string
}

func begin[In, Out any](to durable.Target[In, Out], in In) func(context.Context, *perdure.Client) error {
	return func(ctx context.Context, c *perdure.Client) error {
		_, err := perdure.Start(ctx, c, to, in, perdure.MessageID("frozen"))
		return err
	}
}

// all does several things.
func all(do ...func(context.Context, *perdure.Client) error) func(context.Context, *perdure.Client) error {
	return func(ctx context.Context, c *perdure.Client) error {
		for _, f := range do {
			if err := f(ctx, c); err != nil {
				return err
			}
		}
		return nil
	}
}

func signal(ref string, n int) func(context.Context, *perdure.Client) error {
	return func(ctx context.Context, c *perdure.Client) error {
		return perdure.Signal(ctx, c, ref, compatGo, n, perdure.MessageID(fmt.Sprint("go-", n)))
	}
}

// result waits for a run that is begun before another one.
func result[In, Out any](to durable.Target[In, Out], in In) func(context.Context, *perdure.Client) error {
	return func(ctx context.Context, c *perdure.Client) error {
		_, err := perdure.Call(ctx, c, to, in)
		return err
	}
}

// frozenRuns are the runs of a set that is made today. Add runs, so that sets
// grow; the older sets stay what they are.
var frozenRuns = slices.Concat(frozenFirstRuns, frozenLongRuns)

var frozenFirstRuns = []frozenRun{
	{
		file: "steps", ref: "compat-steps/frozen/frozen", begin: begin(compatSteps.At("frozen"), 3),
		has: []string{"started", `step_completed "third time"`, `step_completed "panics"`, `step_started "once"`, `step_completed "once or verified"`, `step_completed "loop 6"`},
	},
	{
		file: "fan-out", ref: "compat-fan-out/frozen/frozen", begin: begin(compatFanOut.At("frozen"), 1),
		has: []string{`step_completed "square"`, `step_completed "wins"`, "timer_fired", `step_completed "right 2"`, `step_completed "joined 3wins1`},
	},
	{
		file: "waits", ref: "compat-waits/frozen/frozen",
		begin: all(signal("compat-waits/frozen/frozen", 1), begin(compatWaits.At("frozen"), 1)), steer: signal("compat-waits/frozen/frozen", 2),
		has: []string{"status_set", "timer_fired", "suspended", "", "signal_received", `step_completed "after a signal`},
	},
	{
		file: "calls", ref: "compat-calls/frozen/frozen", begin: begin(compatCalls.At("frozen"), 5),
		has: []string{"called", "call_returned", "sent", `step_completed "left 3`},
	},
	{
		file: "joined", ref: "compat-joined/both/both",
		begin: all(begin(compatParent.At("one"), "both"), begin(compatParent.At("two"), "both")),
		has:   []string{"joined"},
	},
	{
		file: "parent", ref: "compat-parent/one/frozen", begin: all(), has: []string{"called"},
	},
	{
		file: "saga", ref: "compat-saga/frozen/frozen", begin: begin(compatSaga.At("frozen"), 1),
		has: []string{`step_completed "unbook 2"`, `step_completed "unbook 1"`},
	},
	{
		file: "cancelled", ref: "compat-cancelled/frozen/frozen", begin: begin(compatCancel.At("frozen"), 1),
		steer: func(ctx context.Context, c *perdure.Client) error {
			return c.Cancel(ctx, "compat-cancelled/frozen/frozen", perdure.Why{Reason: "it is frozen"})
		},
		has: []string{"timer_created", "", "cancel_requested", `step_completed "clean up"`},
	},
	{
		file: "versions", ref: "compat-versions/frozen/frozen", begin: begin(compatVersion.At("frozen"), 1),
		has: []string{"versioned", `step_completed "begun at version 2"`, `step_completed "both do"`},
	},
	{
		file: "taken-over", ref: "compat-taken-over/frozen/frozen", begin: begin(compatMoved.At("frozen"), 1), steer: signal("compat-taken-over/frozen/frozen", 1),
		has: []string{`step_completed "by the first owner"`, "", "claimed", `step_completed "by the second"`},
	},
	{
		file: "parked", ref: "compat-parked/frozen/frozen", begin: begin(compatParked.At("frozen"), 1),
		has: []string{`step_completed "pack"`, "", "parked"},
	},
	{
		file: "actor", ref: "compat-shelf/frozen/frozen", begin: all(result(compatFill.At("frozen"), 3), begin(compatCount.At("frozen"), 1)),
		has: []string{`step_completed "count 3 of 3"`},
	},
	{
		file: "agent", ref: "compat-agent/frozen/frozen",
		begin: all(result(compatAgent.At("frozen"), "hello"), begin(compatAgent.At("frozen"), "look")),
		has:   []string{`step_started "tool once`, `step_completed "tool look`, "called"},
	},
}

// journalLines says which events a journal has, one a line, by the field's name
// and the name of the step.
func journalLines(t testing.TB, journal []byte) (lines []string) {
	t.Helper()
	var e runtime.Export
	if err := json.Unmarshal(journal, &e); err != nil {
		t.Fatal(err)
	}
	for _, s := range e.Entries {
		for _, event := range s.Entry.GetEvents() {
			m := event.ProtoReflect()
			f := m.WhichOneof(m.Descriptor().Oneofs().ByName("kind"))
			line := string(f.Name())
			if name := f.Message().Fields().ByName("name"); name != nil {
				line += fmt.Sprintf(" %q", m.Get(f).Message().Get(name).String())
			}
			lines = append(lines, line)
		}
	}
	return lines
}

// missing returns which of the prefixes no line has.
func missing(lines, prefixes []string) (out []string) {
	for _, p := range prefixes {
		if !slices.ContainsFunc(lines, func(l string) bool { return strings.HasPrefix(l, p) }) {
			out = append(out, p)
		}
	}
	return out
}

// exportRun returns the journal of an open run once it has what is wanted.
func exportRun(t *testing.T, c *perdure.Client, r frozenRun, has []string) (journal []byte) {
	t.Helper()
	var lines []string
	var err error
	eventuallyElse(t, func() string { return fmt.Sprintf("%s has %q (%v) of %q", r.ref, lines, err, has) }, func() bool {
		if journal, err = c.Export(t.Context(), r.ref); err != nil {
			return false
		}
		lines = journalLines(t, journal)
		return len(missing(lines, has)) == 0
	})
	return journal
}

// TestCompat_Freeze makes a set of journals by real nodes: one that begins the
// runs, one whose code does not agree with one of them, and one that goes on.
// With -freeze it is kept.
func TestCompat_Freeze(t *testing.T) {
	if _, err := os.Stat(filepath.Join(compatDir, *freeze)); *freeze != "" && !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("there is a set %q (%v): sets never change; name another one", *freeze, err)
	}
	dir, set := t.TempDir(), map[string][]byte{}
	node := func(t *testing.T, phase compatPhase) *perdure.Client {
		return running(t, "", perdure.Dir(dir), perdure.Host(compatKinds(phase)...), perdure.SuspendAfter(20*time.Millisecond), perdure.Grace(100*time.Millisecond)).Client()
	}
	phase := func(name string, do func(t *testing.T)) {
		if !t.Run(name, do) {
			t.FailNow()
		}
	}
	phase("begin", func(t *testing.T) {
		c := node(t, compatFirst)
		for _, r := range frozenRuns {
			if err := r.begin(testContext(t), c); err != nil {
				t.Fatalf("begin %s: %v", r.file, err)
			}
		}
		for _, r := range frozenRuns {
			has := r.has
			if i := slices.Index(has, ""); i >= 0 {
				has = has[:i]
			}
			if len(has) > 0 {
				exportRun(t, c, r, has)
			}
		}
	})
	phase("break", func(t *testing.T) {
		c := node(t, compatBroken)
		const parked = "compat-parked/frozen/frozen"
		if err := perdure.Signal(testContext(t), c, parked, compatGo, 1); err != nil { // wakes it
			t.Fatal(err)
		}
		exportRun(t, c, frozenRun{ref: parked}, []string{"parked"})
	})
	phase("go on", func(t *testing.T) {
		c := node(t, compatNow)
		for _, r := range frozenRuns {
			if r.steer != nil {
				if err := r.steer(testContext(t), c); err != nil {
					t.Fatalf("steer %s: %v", r.file, err)
				}
			}
		}
		for _, r := range frozenRuns {
			set[r.file+".json"] = append(exportRun(t, c, r, slices.DeleteFunc(slices.Clone(r.has), func(s string) bool { return s == "" })), '\n')
		}
	})
	for file, journal := range set {
		if err := durabletest.Check(journal, compatReplayed()...); err != nil {
			t.Errorf("%s does not agree with the code that it is of: %v", file, err)
		}
	}
	events := slices.Sorted(maps.Keys(eventsOf(t, set)))
	if left := missing(events, []string{"claimed", "started", "step_completed"}); len(left) > 0 {
		t.Errorf("the set has no events %q", left)
	}
	set["events.txt"] = []byte(strings.Join(events, "\n") + "\n")
	if *freeze == "" || t.Failed() {
		return
	}
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for file, data := range set {
		if bytes.Contains(data, []byte(here)) {
			t.Fatalf("%s names the folder %s, in the stack of a panic: freeze with go test -trimpath", file, here)
		}
	}
	if err := os.MkdirAll(filepath.Join(compatDir, *freeze), 0o755); err != nil {
		t.Fatal(err)
	}
	for file, data := range set {
		if err := os.WriteFile(filepath.Join(compatDir, *freeze, file), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(compatSums, []byte(sumsOf(t, readSets(t))), 0o644); err != nil {
		t.Fatal(err)
	}
}

// eventsOf returns the kinds of events that journals hold.
func eventsOf(t testing.TB, set map[string][]byte) map[string]bool {
	kinds := map[string]bool{}
	for file, journal := range set {
		if filepath.Ext(file) != ".json" {
			continue
		}
		for _, line := range journalLines(t, journal) {
			kind, _, _ := strings.Cut(line, " ")
			kinds[kind] = true
		}
	}
	return kinds
}

// readSets returns the files of each set, by their names below testdata/compat.
func readSets(t *testing.T) map[string]map[string][]byte {
	t.Helper()
	sets := map[string]map[string][]byte{}
	files, err := filepath.Glob(compatDir + "/*/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range files {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		name := filepath.Base(filepath.Dir(path))
		if sets[name] == nil {
			sets[name] = map[string][]byte{}
		}
		sets[name][filepath.Base(path)] = data
	}
	return sets
}

// sumsOf is the content of SHA256SUMS, in the form of the command sha256sum.
func sumsOf(t *testing.T, sets map[string]map[string][]byte) string {
	t.Helper()
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(sets)) {
		for _, file := range slices.Sorted(maps.Keys(sets[name])) {
			fmt.Fprintf(&b, "%x  %s/%s\n", sha256.Sum256(sets[name][file]), name, file)
		}
	}
	return b.String()
}

// TestCompat_SetsNeverChange: what was frozen is what is there.
func TestCompat_SetsNeverChange(t *testing.T) {
	want, err := os.ReadFile(compatSums)
	if err != nil {
		t.Fatal(err)
	}
	if got := sumsOf(t, readSets(t)); got != string(want) {
		t.Errorf("%s does not agree with the sets: restore the files, they are frozen; a new set is written by -freeze (CONTRIBUTING.md):\n%s", compatSums, got)
	}
}

// TestCompat_EveryJournalIsReplayed by the code of today.
func TestCompat_EveryJournalIsReplayed(t *testing.T) {
	sets := readSets(t)
	if len(sets["2026-11-26"]) < 13 {
		t.Errorf("the first set has %d files", len(sets["2026-11-26"]))
	}
	for name := range sets {
		t.Run(name, func(t *testing.T) {
			durabletest.Replay(t, filepath.Join(compatDir, name, "*.json"), compatReplayed()...)
		})
	}
}

// TestCompat_SetsHoldWhatTheyClaim, and between them all kinds of events, up to
// the newest that any has: a set is frozen after events are added, not with them.
func TestCompat_SetsHoldWhatTheyClaim(t *testing.T) {
	claimed := map[string]bool{}
	for name, set := range readSets(t) {
		want := strings.Fields(string(set["events.txt"]))
		if got := slices.Sorted(maps.Keys(eventsOf(t, set))); !slices.Equal(got, want) {
			t.Errorf("set %s has the events %q, and claims %q", name, got, want)
		}
		for _, kind := range want {
			claimed[kind] = true
		}
	}
	fields := (&schemas.Event{}).ProtoReflect().Descriptor().Fields()
	newest := 0
	for kind := range claimed {
		f := fields.ByName(protoreflect.Name(kind))
		if f == nil {
			t.Fatalf("a set claims the event %q, which is no more", kind)
		}
		newest = max(newest, int(f.Number()))
	}
	for i := range fields.Len() {
		f := fields.Get(i)
		kind := string(f.Name())
		switch why := unfrozen[kind]; {
		case claimed[kind] && why != "":
			t.Errorf("the event %s is frozen: remove it from unfrozen", kind)
		case !claimed[kind] && why == "" && int(f.Number()) <= newest:
			t.Errorf("no set has the event %s: add it to a workflow of compat_kinds_test.go and freeze a set, or give a reason in unfrozen", kind)
		}
	}
}

// TestCompat_MismatchIsSeen: a journal with another name for a step is refused,
// so that what passes does agree.
func TestCompat_MismatchIsSeen(t *testing.T) {
	for name, set := range readSets(t) {
		for file, journal := range set {
			if filepath.Ext(file) != ".json" {
				continue
			}
			changed := 0
			for _, line := range journalLines(t, journal) {
				kind, step, named := strings.Cut(line, " ")
				renamed := bytes.ReplaceAll(journal, []byte(": "+step), []byte(`: "renamed"`))
				if !named || kind == "timer_created" || kind == "signal_received" || bytes.Equal(renamed, journal) {
					continue
				}
				changed++
				if err := durabletest.Check(renamed, compatReplayed()...); !errors.Is(err, durable.ErrNondeterministic) {
					t.Errorf("%s/%s with %s renamed: %v, want nondeterministic", name, file, line, err)
				}
			}
			if changed == 0 && file != "joined.json" { // that has no step
				t.Errorf("%s/%s: no step could be renamed", name, file)
			}
		}
	}
}
