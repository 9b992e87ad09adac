package runtime

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/perdure/perdure/schemas"
	"github.com/rogpeppe/go-internal/txtar"
)

var update = flag.Bool("update", false, "write the decisions in testdata/replay anew")

// TestReplayOfGoldenJournals replays each journal of testdata/replay with the
// handler that it names and compares what the code asks for after each entry.
// Those named bad-* must stop as nondeterministic.
func TestReplayOfGoldenJournals(t *testing.T) {
	files, err := filepath.Glob("testdata/replay/*.txtar")
	if err != nil || len(files) < 10 {
		t.Fatalf("%d journals, %v", len(files), err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".txtar")
		t.Run(name, func(t *testing.T) {
			a, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			parts := map[string]string{}
			for _, f := range a.Files {
				parts[f.Name] = string(f.Data)
			}
			got, err := replay(t, strings.TrimSpace(parts["handler"]), parts["journal"])
			if bad := strings.HasPrefix(name, "bad-"); bad != errors.Is(err, ErrNondeterministic) {
				t.Errorf("it ends with %v", err)
			}
			if again, _ := replay(t, strings.TrimSpace(parts["handler"]), parts["journal"]); again != got {
				t.Errorf("replayed again it decides otherwise:\n%s", cmp.Diff(got, again))
			}
			if *update {
				for i := range a.Files {
					if a.Files[i].Name == "want" {
						a.Files[i].Data = []byte(got)
					}
				}
				if err := os.WriteFile(file, txtar.Format(a), 0o666); err != nil {
					t.Fatal(err)
				}
			} else if diff := cmp.Diff(parts["want"], got); diff != "" {
				t.Errorf("decisions (-want +got):\n%s", diff)
			}
		})
	}
}

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }

// replay makes a journal happen to a handler and returns what it asked for,
// entry by entry.
func replay(t *testing.T, name, journal string) (decisions string, err error) {
	t.Helper()
	h := replayHandlers[name]
	if later := laterHandlers[name]; h == nil {
		h = later
	}
	if h == nil {
		t.Fatalf("no handler %q", name)
	}
	k := &Kind{Name: "shop", Type: "workflow", Methods: map[string]Method{"": {Handler: h}}}
	r := newRun(schemas.Identity{Kind: "shop", Key: "a"}.Run("1"), k, "test", nil, discard())
	defer r.drop()
	var out strings.Builder
	shown := 0
	var entries []schemas.Stored
	lines := strings.Split(strings.TrimSpace(journal), "\n")
	for _, line := range lines {
		number, rest, _ := strings.Cut(line, " ")
		seq, err := strconv.ParseUint(number, 10, 64)
		if err != nil {
			t.Fatalf("line %q: %v", line, err)
		}
		e := &schemas.Entry{At: int64(seq) * int64(time.Second)}
		for words := range strings.SplitSeq(rest, " | ") {
			e.Events = append(e.Events, readEvent(t, words))
		}
		entries = append(entries, schemas.Stored{Seq: seq, Entry: e})
	}
	r.readAhead(entries)
	if err := r.forks(entries); err != nil {
		t.Fatal(err)
	}
	for i, s := range entries {
		r.replays = !onlyClaims(entries[i+1:])
		fmt.Fprintf(&out, "%s\n", lines[i])
		if err = applyEntry(r, s.Seq, s.Entry); err != nil {
			fmt.Fprintf(&out, "\tstops: %v\n", err)
			return out.String(), err
		}
		for _, f := range r.issued[shown:] {
			fmt.Fprintf(&out, "\tasks for %s\n", asked(f))
		}
		shown = len(r.issued)
		for _, f := range r.issued {
			if f.step.told && !f.done {
				fmt.Fprintf(&out, "\ttells step %s to stop\n", f.path)
			}
		}
	}
	switch {
	case r.gen.next != nil:
		fmt.Fprintf(&out, "continues with %s\n", r.gen.next.input.GetData())
	case !r.finished:
		out.WriteString("waits\n")
	case r.err != nil:
		fmt.Fprintf(&out, "fails: %s: %v\n", AsError(r.err).Code, r.err)
	default:
		fmt.Fprintf(&out, "returns %s\n", r.result.GetData())
	}
	return out.String(), nil
}

func asked(f *Future) string {
	s := fmt.Sprintf("%s %s %q", f.kind, f.path, f.name)
	switch f.kind {
	case kindTimer:
		s += " " + f.wait.String()
	case kindAttach:
		s += " to " + f.msg.to.String()
	case kindCall, kindSend:
		s += fmt.Sprintf(" to %s %s", f.msg.to.Identity, f.msg.env.GetPayload().GetData())
	}
	return s
}

// readEvent reads an event from words: its kind, path and name, then
// key=value.
func readEvent(t *testing.T, words string) *schemas.Event {
	t.Helper()
	fs := strings.Fields(words)
	var path, name string
	values := map[string]string{}
	for _, f := range fs[1:] {
		k, v, ok := strings.Cut(f, "=")
		switch {
		case ok:
			values[k] = v
		case path == "":
			path = f
		default:
			name = f
		}
	}
	payload := func(k string) *schemas.Payload {
		if v, ok := values[k]; ok {
			return &schemas.Payload{Data: []byte(v)}
		}
		return nil
	}
	var failure *schemas.Error
	if c := values["error"]; c != "" {
		failure = &schemas.Error{Code: c, Message: "it failed: " + c, Final: true}
	}
	seconds := func(k string) int64 {
		d, err := time.ParseDuration(values[k])
		if err != nil {
			t.Fatalf("%q: %v", words, err)
		}
		return int64(d)
	}
	id, global := "1", path // of the run whose message it is
	if by := values["by"]; by != "" {
		id = by
	}
	if g := values["of"]; g != "" { // and in which generation
		global = g + ":" + path
	}
	ref := values["to"] + "/" + DeriveID("test", schemas.Identity{Kind: "shop", Key: "a"}.Run(schemas.RunID(id)), "message", global)
	switch fs[0] {
	case "claimed":
		return &schemas.Event{Kind: &schemas.Event_Claimed{Claimed: &schemas.Claimed{Node: values["node"], Attempt: 1}}}
	case "started":
		s := &schemas.Started{Input: payload("input")}
		if of := values["fork"]; of != "" {
			n, err := strconv.ParseUint(values["events"], 10, 64)
			if err != nil {
				t.Fatalf("%q: %v", words, err)
			}
			s.Fork = &schemas.Fork{Run: "shop/a/" + of, Segments: []*schemas.ForkSegment{{Run: "shop/a/" + of, Began: int64(time.Second), Events: n}}}
			if g := values["generation"]; g != "" {
				s.Fork.Generation = uint32(seconds("generation") / int64(time.Second))
			}
		}
		return &schemas.Event{Kind: &schemas.Event_Started{Started: s}}
	case "begins":
		return &schemas.Event{Kind: &schemas.Event_StepStarted{StepStarted: &schemas.StepStarted{Path: path, Name: name}}}
	case "step":
		return &schemas.Event{Kind: &schemas.Event_StepCompleted{StepCompleted: &schemas.StepCompleted{Path: path, Name: name, Result: payload("result"), Error: failure}}}
	case "timer":
		return &schemas.Event{Kind: &schemas.Event_TimerCreated{TimerCreated: &schemas.TimerCreated{Path: path, Name: name, Due: seconds("due")}}}
	case "fired":
		return &schemas.Event{Kind: &schemas.Event_TimerFired{TimerFired: &schemas.TimerFired{Path: path}}}
	case "called":
		return &schemas.Event{Kind: &schemas.Event_Called{Called: &schemas.Called{Path: path, Name: name, To: ref, InputHash: HashPayload(payload("input")), Detached: values["detached"] != ""}}}
	case "sent":
		return &schemas.Event{Kind: &schemas.Event_Sent{Sent: &schemas.Sent{Path: path, Name: name, To: ref, InputHash: HashPayload(payload("input"))}}}
	case "returned":
		return &schemas.Event{Kind: &schemas.Event_CallReturned{CallReturned: &schemas.CallReturned{Path: path, Result: payload("result"), Error: failure}}}
	case "cancel":
		return &schemas.Event{Kind: &schemas.Event_CancelRequested{CancelRequested: &schemas.CancelRequested{Id: values["id"], Reason: values["reason"]}}}
	case "signal":
		return &schemas.Event{Kind: &schemas.Event_SignalReceived{SignalReceived: &schemas.SignalReceived{Id: values["id"], Name: path, Value: payload("value")}}}
	case "versioned":
		return &schemas.Event{Kind: &schemas.Event_Versioned{Versioned: &schemas.Versioned{Change: path, Version: seconds("version") / int64(time.Second)}}}
	case "suspended":
		return &schemas.Event{Kind: &schemas.Event_Suspended{Suspended: &schemas.Suspended{}}}
	case "paused":
		return &schemas.Event{Kind: &schemas.Event_Paused{Paused: &schemas.Paused{Id: values["id"]}}}
	case "resumed":
		return &schemas.Event{Kind: &schemas.Event_Resumed{Resumed: &schemas.Resumed{Id: values["id"]}}}
	case "joined":
		return &schemas.Event{Kind: &schemas.Event_Joined{Joined: &schemas.Joined{Reply: &schemas.Reply{Run: values["run"], Path: path}}}}
	case "parked":
		return &schemas.Event{Kind: &schemas.Event_Parked{Parked: &schemas.Parked{Status: schemas.Status_NONDETERMINISTIC}}}
	case "unknown":
		return &schemas.Event{}
	case "attached":
		return &schemas.Event{Kind: &schemas.Event_Called{Called: &schemas.Called{Path: path, Name: name, To: values["to"], Attach: true}}}
	case "progress":
		return &schemas.Event{Kind: &schemas.Event_StepProgress{StepProgress: &schemas.StepProgress{Path: path, Name: name, Progress: payload("value"), Attempt: 1}}}
	case "update":
		return &schemas.Event{Kind: &schemas.Event_UpdateAccepted{UpdateAccepted: &schemas.UpdateAccepted{Id: values["id"], Name: path, Input: payload("value")}}}
	case "answered":
		return &schemas.Event{Kind: &schemas.Event_UpdateCompleted{UpdateCompleted: &schemas.UpdateCompleted{Id: values["id"], Result: payload("result"), Error: failure}}}
	case "asked":
		return &schemas.Event{Kind: &schemas.Event_Asked{Asked: &schemas.Asked{Path: path, Name: name, Question: payload("question"), Withdrawn: values["withdrawn"] != ""}}}
	case "shows":
		return &schemas.Event{Kind: &schemas.Event_StatusSet{StatusSet: &schemas.StatusSet{Count: uint64(seconds("count") / int64(time.Second)), Value: payload("value")}}}
	case "attributes":
		return &schemas.Event{Kind: &schemas.Event_AttributesSet{AttributesSet: &schemas.AttributesSet{Count: uint64(seconds("count") / int64(time.Second)), Attributes: map[string]*schemas.Attribute{
			"city": {Value: &schemas.Attribute_Text{Text: values["city"]}},
		}}}}
	case "continued":
		return &schemas.Event{Kind: &schemas.Event_Continued{Continued: &schemas.Continued{Generation: uint32(seconds("generation") / int64(time.Second)), Began: int64(time.Second), Steps: 1}}}
	case "released":
		return &schemas.Event{Kind: &schemas.Event_Released{Released: &schemas.Released{}}}
	}
	t.Fatalf("%q is no event", words)
	return nil
}

// replayHandlers are the programs of testdata/replay. Their steps' bodies are
// never run.
var replayHandlers = map[string]Handler{
	// fulfil charges, ships to a warehouse, waits a day, and tells the ledger.
	"fulfil": func(c *Context, in *schemas.Payload) (*schemas.Payload, error) {
		return sequence(c,
			func() *Future { return c.Step("charge", nil, StepOptions{}) },
			func() *Future { return c.Call("ship", Target{Identity: warehouse}, in) },
			func() *Future { return c.After("sleep", 24*time.Hour) },
			func() *Future { return c.Send("tell", Target{Identity: ledger}, in) },
		)
	},
	// renamed is fulfil with another name for its first step.
	"renamed": func(c *Context, in *schemas.Payload) (*schemas.Payload, error) {
		return sequence(c, func() *Future { return c.Step("bill", nil, StepOptions{}) })
	},
	// swapped is fulfil with its first two verbs in the other order.
	"swapped": func(c *Context, in *schemas.Payload) (*schemas.Payload, error) {
		return sequence(c,
			func() *Future { return c.Call("ship", Target{Identity: warehouse}, in) },
			func() *Future { return c.Step("charge", nil, StepOptions{}) },
		)
	},
	// elsewhere is fulfil that ships to another identity.
	"elsewhere": func(c *Context, in *schemas.Payload) (*schemas.Payload, error) {
		return sequence(c,
			func() *Future { return c.Step("charge", nil, StepOptions{}) },
			func() *Future { return c.Call("ship", Target{Identity: ledger}, in) },
		)
	},
	// other is fulfil that ships something else.
	"other": func(c *Context, in *schemas.Payload) (*schemas.Payload, error) {
		return sequence(c,
			func() *Future { return c.Step("charge", nil, StepOptions{}) },
			func() *Future {
				return c.Call("ship", Target{Identity: warehouse}, &schemas.Payload{Data: []byte("else")})
			},
		)
	},
	// short is fulfil that returns after the charge.
	"short": func(c *Context, in *schemas.Payload) (*schemas.Payload, error) {
		return sequence(c, func() *Future { return c.Step("charge", nil, StepOptions{}) })
	},
	// careless begins both and returns after the first, of which it is told.
	"careless": func(c *Context, _ *schemas.Payload) (*schemas.Payload, error) {
		f, _ := c.Step("charge", nil, StepOptions{}), c.Step("pack", nil, StepOptions{})
		return sequence(c, func() *Future { return f })
	},
	// branches packs two boxes at once, each in a branch, and waits for both.
	"branches": func(c *Context, _ *schemas.Payload) (*schemas.Payload, error) { return packBoxes(c, 2) },
	// onebranch packs one.
	"onebranch": func(c *Context, _ *schemas.Payload) (*schemas.Payload, error) { return packBoxes(c, 1) },
	// race takes the first of a step and a timer.
	"race": func(c *Context, _ *schemas.Payload) (*schemas.Payload, error) {
		i, err := c.Wait(c.Step("ask", nil, StepOptions{}), c.After("limit", time.Minute))
		return &schemas.Payload{Data: fmt.Append(nil, []string{"answer", "late"}[max(i, 0)])}, err
	},
	// careful cleans up when it is cancelled.
	"careful": func(c *Context, _ *schemas.Payload) (*schemas.Payload, error) {
		f := c.Step("work", nil, StepOptions{})
		_, err := c.Wait(f)
		if err == nil {
			_, err = f.Outcome()
		}
		if err == nil {
			_, err = sequence(c, func() *Future { return c.After("sleep", time.Hour) })
		}
		if err != nil {
			d := c.WithoutCancel()
			if _, err := sequence(d, func() *Future { return d.Step("clean-up", nil, StepOptions{}) }); err != nil {
				return nil, err
			}
		}
		return nil, err
	},
	// approved waits a minute for a signal, then for as long as it takes.
	"approved": func(c *Context, _ *schemas.Payload) (*schemas.Payload, error) {
		d, cancel := c.WithTimeout(time.Minute)
		defer cancel()
		p, err := sequence(d, func() *Future { return d.Await("go") })
		if err != nil {
			p, err = sequence(c, func() *Future { return c.Await("go") })
		}
		return p, err
	},
	// saga books twice, then fails.
	"saga": func(c *Context, _ *schemas.Payload) (*schemas.Payload, error) {
		for _, name := range []string{"hotel", "car"} {
			if _, err := sequence(c, func() *Future { return c.Step("book-"+name, nil, StepOptions{}) }); err != nil {
				return nil, err
			}
			c.Compensate("cancel-"+name, nil, StepOptions{})
		}
		if _, err := sequence(c, func() *Future { return c.After("sleep", time.Hour) }); err != nil {
			return nil, err
		}
		return nil, Errorf("sold_out", "no seat is left")
	},
	// changed packs before it charges, in runs that began since.
	"changed": func(c *Context, _ *schemas.Payload) (*schemas.Payload, error) {
		names := []string{"charge", "pack"}
		if c.Version("pack-first", 0, 1) == 1 {
			names = []string{"pack", "charge"}
		}
		for _, name := range names {
			if _, err := sequence(c, func() *Future { return c.Step(name, nil, StepOptions{}) }); err != nil {
				return nil, err
			}
		}
		return nil, nil
	},
	// renewed no longer has the old way.
	"renewed": func(c *Context, _ *schemas.Payload) (*schemas.Payload, error) {
		c.Version("pack-first", 1, 2)
		return sequence(c, func() *Future { return c.Step("pack", nil, StepOptions{}) })
	},
	// limited bounds a step by a timeout.
	"limited": func(c *Context, _ *schemas.Payload) (*schemas.Payload, error) {
		d, cancel := c.WithTimeout(time.Minute)
		defer cancel()
		_, err := sequence(d, func() *Future { return d.Step("work", nil, StepOptions{}) })
		rest, err2 := sequence(c, func() *Future { return c.Step("report", nil, StepOptions{}) })
		return &schemas.Payload{Data: fmt.Appendf(nil, "%s after %v", rest.GetData(), err)}, err2
	},
	// clock tells the time, and what is random.
	"clock": func(c *Context, _ *schemas.Payload) (*schemas.Payload, error) {
		began, id, n := c.Now(), c.NewID(), c.Rand().IntN(1000)
		d, _ := c.WithCancel()
		if _, err := sequence(c, func() *Future { return c.After("sleep", time.Hour) }); err != nil {
			return nil, err
		}
		return &schemas.Payload{Data: fmt.Appendf(nil, "%v %s %d %d", c.Now().Sub(began), id, n, d.Rand().IntN(1000))}, nil
	},
}

var (
	warehouse = schemas.Identity{Kind: "warehouse", Key: "main"}
	ledger    = schemas.Identity{Kind: "ledger", Key: "main"}
)

// sequence waits for one future after another and joins their results.
func sequence(c *Context, fs ...func() *Future) (*schemas.Payload, error) {
	var all [][]byte
	for _, f := range fs {
		f := f()
		if _, err := c.Wait(f); err != nil {
			return nil, err
		}
		p, err := f.Outcome()
		if err != nil {
			return nil, err
		}
		all = append(all, p.GetData())
	}
	return &schemas.Payload{Data: bytes.Join(all, []byte(","))}, nil
}

func packBoxes(c *Context, n int) (*schemas.Payload, error) {
	var order []string
	var fs []*Future
	for i := range n {
		fs = append(fs, c.Go("box", func(c *Context) (any, error) {
			_, err := sequence(c,
				func() *Future { return c.Step("pack", nil, StepOptions{}) },
				func() *Future { return c.Step("label", nil, StepOptions{}) })
			order = append(order, fmt.Sprint(i))
			return nil, err
		}))
	}
	for _, f := range fs {
		if _, err := c.Wait(f); err != nil {
			return nil, err
		}
	}
	return &schemas.Payload{Data: []byte(strings.Join(order, ","))}, nil
}
