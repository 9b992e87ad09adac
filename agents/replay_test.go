package agents_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/perdure/perdure/agents"
	"github.com/perdure/perdure/agents/agentstest"
	"github.com/perdure/perdure/agents/models/scripted"
	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/runtime"
	"github.com/perdure/perdure/runtime/runtimetest"
	"github.com/perdure/perdure/schemas"
	"google.golang.org/protobuf/proto"
)

// A ledger counts by idempotency key, as the far side of a tool does.
type ledger struct {
	mu   sync.Mutex
	keys map[string]int
}

func (l *ledger) note(ctx context.Context) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.keys == nil {
		l.keys = map[string]int{}
	}
	l.keys[durable.IdempotencyKey(ctx)]++
}

func (l *ledger) total() (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, k := range l.keys {
		n += k
	}
	return n
}

// sweptRun makes two runs of one identity: one with a failing and two good tool
// calls at once, then one that shows its memory. It crashes at the n-th write,
// if n is not 0.
func sweptRun(t *testing.T, when runtimetest.When, n int) (records []*schemas.Record, b *bundle, m *agentstest.Scripted, tools *ledger) {
	t.Helper()
	tools = &ledger{}
	m = agentstest.Model(t, script(func(r *scripted.Request) scripted.Reply {
		switch {
		case r.User() == "again":
			return scripted.Reply{Text: fmt.Sprintf("after %d messages", len(r.Messages))}
		case r.Rounds() == 0:
			return calls(call("get_weather", `{"city":"Oslo"}`), call("get_weather", `{"town":"Rome"}`), call("get_weather", `{"city":"Lima"}`))
		case r.Rounds() == 1:
			return calls(call("get_weather", `{"city":"Rome"}`))
		}
		return scripted.Reply{Text: "seen: " + r.Messages[2].Content + r.Last().Content}
	}))
	b = setup(t, agents.New(weather, agents.UseModel(m), agents.Tools(agents.Func("get_weather", "", func(ctx context.Context, in place) (report, error) {
		tools.note(ctx)
		return getWeather(ctx, in)
	}))))
	b.Passivate = true
	if n > 0 {
		b.CrashAt(when, n)
	}
	b.Start()
	for i, text := range []string{"first", "again"} {
		rec, err := b.Do(b.ctx, ref("weather", "w", fmt.Sprint(i)), "", payload(t, text))
		if err != nil {
			t.Fatal(err)
		}
		records = append(records, rec)
	}
	if err := b.Settle(b.ctx); err != nil {
		t.Fatal(err)
	}
	return records, b, m, tools
}

// TestReplayFromEveryPrefixGivesTheSameRun kills the process before and after
// each write of an undisturbed run, which leaves every prefix of its journal to
// replay from. The world itself notes a step that runs although its result is
// recorded; here each call is counted by the far sides.
func TestReplayFromEveryPrefixGivesTheSameRun(t *testing.T) {
	want, undisturbed, m, tools := sweptRun(t, 0, 0)
	points := undisturbed.Points()
	m.WantCalls(4)
	if len(points) < 10 || tools.total() != 3 {
		t.Fatalf("the undisturbed run has points %q and %d tool calls", points, tools.total())
	}
	// Tool calls that end together are one append or up to three: a run may have
	// two points more than the one it is compared with, or fewer.
	reached := map[int]bool{}
	for n := 1; n <= len(points)+2; n++ {
		for _, when := range []runtimetest.When{runtimetest.Before, runtimetest.After} {
			t.Run(fmt.Sprintf("%d.%d", n, when), func(t *testing.T) {
				got, b, m, tools := sweptRun(t, when, n)
				for i := range want {
					if !proto.Equal(want[i].GetResult(), got[i].GetResult()) || got[i].GetError() != nil {
						t.Errorf("run %d: %s %v; undisturbed: %s", i, got[i].GetResult().GetData(), got[i].GetError(), want[i].GetResult().GetData())
					}
				}
				lost := 0
				if len(b.Points()) >= n {
					reached[n] = true
					if err := b.Until(b.ctx, func() bool { return len(b.Processes()) == 2 }); err != nil {
						t.Errorf("no process followed the one that was killed: %v", err)
					}
					if when == runtimetest.Before {
						lost = 1 // one append, of one model call or of tool calls
					}
				}
				// What was not recorded is asked again, with its key; nothing else is.
				if c := m.Counts(); c.Calls != 4 || c.Repeated > lost {
					t.Errorf("%d model calls, %d repeated; by key %v", c.Calls, c.Repeated, c.Keys)
				}
				if len(tools.keys) != 3 || tools.total() > 3+2 { // two calls are good, of three at once
					t.Errorf("tool calls by key: %v", tools.keys)
				}
			})
		}
	}
	if len(reached) < len(points)-2 {
		t.Errorf("crashes at %d points of about %d", len(reached), len(points))
	}
}

// TestJournalGrowsWithWhatIsNew has a conversation of 100 turns with answers of
// about 2 KB each, and sums what its model steps record.
func TestJournalGrowsWithWhatIsNew(t *testing.T) {
	const turns = 100
	content := 0
	m := agentstest.Model(t, script(func(r *scripted.Request) scripted.Reply {
		n := r.Rounds() + 1
		if n == turns {
			content += len("that is all")
			return scripted.Reply{Text: "that is all"}
		}
		c := call("note", fmt.Sprintf(`{"text":%q}`, strings.Repeat("lorem ipsum, dolor. ", 90)+fmt.Sprint(n)))
		thought := strings.Repeat("thinking. ", 20)
		content += len(thought) + len(c.Arguments)
		return scripted.Reply{Text: thought, Calls: []scripted.Call{c}}
	}))
	noted := 0
	b := setup(t, agents.New(weather, agents.UseModel(m), agents.MaxIterations(turns),
		agents.Tools(agents.Func("note", "", func(_ context.Context, in struct {
			Text string `json:"text"`
		},
		) (string, error) {
			noted += len(in.Text)
			return in.Text, nil
		}))))
	b.Configure = func(c *runtime.Config) { c.Tracer = nil } // the world's reads the whole journal at each step
	b.Start()
	if _, err := do[string](b, ref("weather", "w", "1"), "go"); err != nil {
		t.Fatal(err)
	}
	m.WantCalls(turns)
	var sizes []int
	sum, journal := 0, 0
	for _, s := range b.Journal.History() {
		if s.Entry.GetRecord() != nil {
			continue
		}
		journal += proto.Size(s.Entry)
		for _, e := range s.Entry.GetEvents() {
			if c := e.GetStepCompleted(); c.GetName() == "model" {
				sizes = append(sizes, len(c.GetResult().GetData()))
				sum += len(c.GetResult().GetData())
			}
		}
	}
	if len(sizes) != turns {
		t.Fatalf("%d model steps, want %d", len(sizes), turns)
	}
	t.Logf("%d bytes in %d model steps for %d bytes of content: %.3f; journal %d bytes for %d of content and tool results: %.3f",
		sum, turns, content, float64(sum)/float64(content), journal, content+noted, float64(journal)/float64(content+noted))
	if float64(sum) > 1.2*float64(content) {
		t.Errorf("%d bytes in model steps for %d bytes of content", sum, content)
	}
	if float64(journal) > 1.2*float64(content+noted) {
		t.Errorf("%d bytes of journal for %d bytes of content and tool results", journal, content+noted)
	}
	if first, last := sizes[1], sizes[turns-2]; last > first+8 {
		t.Errorf("step 2 records %d bytes, step %d %d bytes; they say as much", first, turns-1, last)
	}
}

// lines collects a log.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) count(text string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.b.String(), text)
}

// deployed runs an agent whose second tool call is killed with its process,
// deploys another build of it, and returns the answer and what was logged.
func deployed(t *testing.T, next func(m agents.Model, tool agents.Tool) []agents.Option) (string, *lines) {
	t.Helper()
	m := agentstest.Model(t, script(func(r *scripted.Request) scripted.Reply {
		if r.Rounds() < 3 {
			return calls(call("get_weather", `{"city":"Oslo"}`))
		}
		return scripted.Reply{Text: r.Messages[0].Content + ": " + r.Last().Content}
	}))
	reached := make(chan struct{})
	n := 0
	dies := agents.Func("get_weather", "", func(ctx context.Context, in place) (report, error) {
		if n++; n == 2 {
			close(reached)
			<-ctx.Done() // its process is killed
			return report{}, ctx.Err()
		}
		return getWeather(ctx, in)
	})
	b := setup(t, agents.New(weather, agents.Instructions("one"), agents.UseModel(m), agents.Tools(dies)))
	var log lines
	b.Configure = func(c *runtime.Config) { c.Log = slog.New(slog.NewTextHandler(&log, nil)) }
	p := b.Start()
	r := ref("weather", "w", "1")
	b.Task(r, "", payload(t, "Oslo?"))
	<-reached
	p.Kill()
	kind := agents.New(weather, next(m, agents.Func("get_weather", "", getWeather))...)
	if err := kind.Validate(); err != nil {
		t.Fatal(err)
	}
	b.Deploy(kind)
	b.Start()
	rec, err := b.Result(b.ctx, r)
	if err != nil {
		t.Fatal(err)
	}
	got, err := outcome[string](t, rec)
	if err != nil {
		t.Fatal(err)
	}
	m.WantCalls(4)
	return got, &log
}

func TestDeployWithOtherInstructionsGoesOnAndSaysSoOnce(t *testing.T) {
	got, log := deployed(t, func(m agents.Model, tool agents.Tool) []agents.Option {
		return []agents.Option{agents.Instructions("two"), agents.UseModel(m), agents.Tools(tool)}
	})
	if want := `two: {"city":"Oslo","celsius":9,"sky":"rain"}`; got != want {
		t.Errorf("answer %q, want %q", got, want)
	}
	if n := log.count("answers another request"); n != 1 {
		t.Errorf("the log says %d times that the request was another:\n%s", n, log.b.String())
	}
}

func TestDeployOfTheSameAgentSaysNothing(t *testing.T) {
	_, log := deployed(t, func(m agents.Model, tool agents.Tool) []agents.Option {
		return []agents.Option{agents.Instructions("one"), agents.UseModel(m), agents.Tools(tool)}
	})
	if n := log.count("answers another request"); n != 0 {
		t.Errorf("the log says that the request was another:\n%s", log.b.String())
	}
}

func TestDeployThatTakesAToolAwayGoesOn(t *testing.T) {
	got, _ := deployed(t, func(m agents.Model, _ agents.Tool) []agents.Option {
		return []agents.Option{agents.Instructions("one"), agents.UseModel(m)}
	})
	contains(t, got, "unknown_tool", "nor any other")
}

func TestOnceToolIsNotRepeatedAfterACrash(t *testing.T) {
	type charged struct {
		ID string `json:"id"`
	}
	for name, c := range map[string]struct {
		opts []agents.ToolOption
		told string
	}{
		"and the model is told": {[]agents.ToolOption{agents.Once()}, `"unknown_outcome"`},
		"and is looked up": {
			[]agents.ToolOption{agents.IfUnknown(agents.Verify(func(ctx context.Context, in place) (charged, error) {
				if durable.IdempotencyKey(ctx) == "" {
					return charged{}, durable.Fail("no_key", "")
				}
				return charged{"found in " + in.City}, nil
			}))},
			`{"id":"found in Oslo"}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			m := agentstest.Model(t, script(func(r *scripted.Request) scripted.Reply {
				if r.Rounds() == 0 {
					return calls(call("charge", `{"city":"Oslo"}`))
				}
				return scripted.Reply{Text: r.Last().Content}
			}))
			begun := make(chan struct{}, 2)
			b := setup(t, agents.New(weather, agents.UseModel(m), agents.Tools(agents.Func("charge", "", func(ctx context.Context, _ place) (charged, error) {
				begun <- struct{}{}
				<-ctx.Done()
				return charged{}, ctx.Err()
			}, c.opts...))))
			p := b.Start()
			r := ref("weather", "w", "1")
			b.Task(r, "", payload(t, "charge them"))
			<-begun
			p.Kill()
			b.Start()
			rec, err := b.Result(b.ctx, r)
			if err != nil {
				t.Fatal(err)
			}
			got, err := outcome[string](t, rec)
			if err != nil {
				t.Fatal(err)
			}
			contains(t, got, c.told)
			if len(begun) != 0 {
				t.Error("the tool was called again")
			}
			m.WantCalls(2)
		})
	}
}

// TestRunThatWaitsForADelegateLeavesMemoryAndComesBack has the run suspend in a
// tool, and replay in another process.
func TestRunThatWaitsForADelegateLeavesMemoryAndComesBack(t *testing.T) {
	nap := durable.DeclareWorkflow[string, string]("nap")
	m := agentstest.Model(t, script(func(r *scripted.Request) scripted.Reply {
		if r.Rounds() == 0 {
			return calls(call("nap", `{"key":"n1","input":"deep"}`), call("get_weather", `{"city":"Oslo"}`))
		}
		var all []string
		for _, m := range r.Results() {
			all = append(all, m.Content)
		}
		return scripted.Reply{Text: strings.Join(all, " ")}
	}))
	b := setup(t,
		agents.New(weather, agents.UseModel(m), agents.Tools(agents.Delegate(nap, "Sleep"), agents.Func("get_weather", "", getWeather))),
		durable.Workflow(nap, func(ctx durable.Context, how string) (string, error) {
			return how + " sleep", durable.Sleep(ctx, 200*time.Millisecond)
		}))
	b.Configure = func(c *runtime.Config) { c.SuspendAfter = 10 * time.Millisecond }
	b.Start()
	rec, err := b.Do(b.ctx, ref("weather", "w", "1"), "", payload(t, "nap"))
	if err != nil {
		t.Fatal(err)
	}
	got, err := outcome[string](t, rec)
	if want := `deep sleep {"city":"Oslo","celsius":9,"sky":"rain"}`; err != nil || got != want {
		t.Errorf("answer %q, %v; want %q", got, err, want)
	}
	if !rec.GetSuspended() {
		t.Error("the run did not suspend while it waited")
	}
	m.WantCalls(2)
	if diff := cmp.Diff(0, m.Counts().InFlight); diff != "" {
		t.Error(diff)
	}
}
