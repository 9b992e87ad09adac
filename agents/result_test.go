package agents_test

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/perdure/perdure/agents"
	"github.com/perdure/perdure/agents/agentstest"
	"github.com/perdure/perdure/agents/models/scripted"
	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/runtime/runtimetest"
)

var refs = regexp.MustCompile(`result-[0-9a-f]{8}-[0-9]+`)

// long is a text of about n bytes whose lines have numbers.
func long(n int) string {
	var b strings.Builder
	for i := 0; b.Len() < n; i++ {
		fmt.Fprintf(&b, "línea %d\n", i)
	}
	return b.String()
}

// reads makes a run whose tool returns a long text, which the model reads to its end, and
// searches. It returns what the model has put together, and what a search told it.
func reads(t *testing.T, text string, when runtimetest.When, n int, opts ...agents.Option) (b *bundle, whole, found string) {
	t.Helper()
	var offered [][]string
	m := agentstest.Model(t, script(func(r *scripted.Request) scripted.Reply {
		offered = append(offered, r.Tools)
		last := r.Last().Content
		if r.Rounds() == 0 {
			return calls(call("fetch", `{}`))
		}
		if r.Rounds() == 1 {
			if !utf8.ValidString(last) || len(last) > 1300 {
				return scripted.Reply{Text: fmt.Sprintf("given %d bytes", len(last))}
			}
			whole, found = "", ""
			return calls(call("read_result", fmt.Sprintf(`{"result":%q,"search":"LÍNEA 77\n"}`, refs.FindString(last))),
				call("read_result", fmt.Sprintf(`{"result":%q}`, refs.FindString(last))))
		}
		if r.Rounds() == 2 {
			found = r.Messages[len(r.Messages)-2].Content
		}
		var part struct {
			Text string
			Next int `json:"next_offset"`
		}
		if err := json.Unmarshal([]byte(last), &part); err != nil {
			return scripted.Reply{Text: "cannot read " + last}
		}
		whole += part.Text
		if part.Next == 0 {
			return scripted.Reply{Text: "read"}
		}
		var all []string
		for _, msg := range r.Messages {
			all = append(all, refs.FindAllString(msg.Content, -1)...)
		}
		return calls(call("read_result", fmt.Sprintf(`{"result":%q,"offset":%d}`, all[0], part.Next)))
	}))
	b = setup(t, agents.New(weather, append([]agents.Option{
		agents.UseModel(m), agents.MaxIterations(40), agents.MaxToolResult(1000),
		agents.Tools(agents.Func("fetch", "", func(context.Context, struct{}) (string, error) { return text, nil })),
	}, opts...)...))
	if n > 0 {
		b.CrashAt(when, n)
	}
	b.Start()
	got, err := do[string](b, ref("weather", "w", "1"), "go")
	if err != nil || got != "read" {
		t.Fatalf("answer %q, %v", got, err)
	}
	if first, then := strings.Join(offered[0], " "), strings.Join(offered[1], " "); n == 0 && (first != "fetch" || then != "fetch read_result") {
		t.Errorf("the model was offered %q, and then %q", first, then)
	}
	return b, whole, found
}

func TestAResultThatIsTooLongIsReadInParts(t *testing.T) {
	text := long(9000)
	b, whole, found := reads(t, text, 0, 0)
	if whole != text {
		t.Errorf("the model has put %d bytes together, of %d", len(whole), len(text))
	}
	contains(t, found, fmt.Sprintf(`"offset":%d`, strings.Index(text, "línea 77\n")), `línea 76\nlínea 77\nlínea 78`)
	// The whole is in the journal once, beside the parts.
	size := 0
	for _, s := range b.Journal.History() {
		for _, e := range s.Entry.GetEvents() {
			if c := e.GetStepCompleted(); c.GetName() == "tool fetch" {
				size += len(c.GetResult().GetData())
				contains(t, string(c.GetResult().GetData()), `{"perdure/given":1000,"result":"línea 0\n`)
			}
		}
	}
	if size < len(text) || size > 2*len(text) {
		t.Errorf("the journal has %d bytes of a result of %d", size, len(text))
	}
}

// TestReadingGoesOnAfterACrash kills the process around every write.
func TestReadingGoesOnAfterACrash(t *testing.T) {
	text := long(2500)
	b, _, found := reads(t, text, 0, 0)
	if err := b.Settle(b.ctx); err != nil {
		t.Fatal(err)
	}
	points := len(b.Points())
	if points < 8 {
		t.Fatalf("the undisturbed run has %d points", points)
	}
	for n := 1; n <= points; n++ {
		for _, when := range []runtimetest.When{runtimetest.Before, runtimetest.After} {
			if _, _, again := reads(t, text, when, n); again != "" && again != found {
				t.Errorf("point %d.%d: found %q, undisturbed %q", n, when, again, found)
			}
		}
	}
}

// TestWhatTheModelIsGivenOfAResult has results around the limits.
func TestWhatTheModelIsGivenOfAResult(t *testing.T) {
	list := make([]int, 600)
	big, err := json.Marshal(list)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		result any
		opts   []agents.ToolOption
		agent  []agents.Option
		calls  []scripted.Call
		want   []string
		not    string
	}{
		"as long as it may be": {result: strings.Repeat("x", 500), opts: []agents.ToolOption{agents.MaxResult(500)}, not: "cut here"},
		"a byte longer":        {result: strings.Repeat("x", 501), opts: []agents.ToolOption{agents.MaxResult(500)}, want: []string{"[cut here: 1 of 501 bytes are left out, from offset 375 on"}},
		"quoted it is longer":  {result: strings.Repeat(`"`, 500), opts: []agents.ToolOption{agents.MaxResult(500)}, not: "cut here"},
		"JSON":                 {result: list, opts: []agents.ToolOption{agents.MaxResult(500)}, want: []string{"[0,0,0", "0,0]", fmt.Sprintf("of %d bytes", len(big))}},
		"the default":          {result: strings.Repeat("x", 70_000), want: []string{"cut here: 4464 of 70000 bytes"}},
		"below the default":    {result: strings.Repeat("x", 65_536), not: "cut here"},
		"the tool's own counts": {
			result: strings.Repeat("x", 500), opts: []agents.ToolOption{agents.MaxResult(1000)},
			agent: []agents.Option{agents.MaxToolResult(10)}, not: "cut here",
		},
		"no limit": {result: strings.Repeat("x", 70_000), opts: []agents.ToolOption{agents.MaxResult(-1)}, not: "cut here"},
		"a tool of that name": {
			result: strings.Repeat("x", 501), opts: []agents.ToolOption{agents.MaxResult(500)},
			agent: []agents.Option{agents.Tools(agents.Func("read_result", "", getWeather))}, want: []string{"[cut here: 1 of 501 bytes are left out; ask for less"},
		},
		"no such result":      {result: strings.Repeat("x", 501), opts: []agents.ToolOption{agents.MaxResult(500)}, calls: []scripted.Call{call("read_result", `{"result":"result-1"}`)}, want: []string{"not_found", "call the tool again"}},
		"nothing to read":     {result: "short", calls: []scripted.Call{call("read_result", `{"result":"result-1"}`)}, want: []string{"unknown_tool"}},
		"what looks like one": {result: map[string]any{"perdure/given": "x"}, want: []string{`{"perdure/given":"x"}`}},
	} {
		t.Run(name, func(t *testing.T) {
			m := agentstest.Model(t, script(func(r *scripted.Request) scripted.Reply {
				switch {
				case r.Rounds() == 0:
					return calls(call("fetch", `{}`))
				case r.Rounds() == 1 && c.calls != nil:
					return calls(c.calls...)
				}
				return scripted.Reply{Text: r.Last().Content}
			}))
			b := setup(t, agents.New(weather, append([]agents.Option{agents.UseModel(m), agents.Tools(agents.Func("fetch", "", func(context.Context, struct{}) (any, error) { return c.result, nil }, c.opts...))}, c.agent...)...))
			b.Start()
			got, err := do[string](b, ref("weather", "w", "1"), "go")
			if err != nil {
				t.Fatal(err)
			}
			contains(t, got, c.want...)
			if c.not != "" && strings.Contains(got, c.not) {
				t.Errorf("%.300q contains %q", got, c.not)
			}
		})
	}
}

// TestADeployChangesNothingOfWhatWasGiven kills a process whose first call was recorded, and
// deploys a build with another limit.
func TestADeployChangesNothingOfWhatWasGiven(t *testing.T) {
	for name, c := range map[string]struct {
		before, after int
		want          string
	}{
		"a limit comes":  {-1, 100, "given 500, then 100"}, // as records of builds without limits are
		"a limit goes":   {100, -1, "given 100, then 500"},
		"another limit":  {100, 200, "given 100, then 200"},
		"the same limit": {100, 100, "given 100, then 100"},
	} {
		t.Run(name, func(t *testing.T) {
			given := func(m scripted.Message) int {
				begin, rest, cut := strings.Cut(m.Content, "\n[cut here")
				if !cut {
					return len(begin)
				}
				_, end, _ := strings.Cut(rest, "]\n")
				return len(begin) + len(end)
			}
			m := agentstest.Model(t, script(func(r *scripted.Request) scripted.Reply {
				if r.Rounds() < 2 {
					return calls(call("fetch", `{}`))
				}
				n := len(r.Messages)
				return scripted.Reply{Text: fmt.Sprintf("given %d, then %d", given(r.Messages[n-3]), given(r.Messages[n-1]))}
			}))
			reached, n := make(chan struct{}), 0
			build := func(limit int, dies bool) *durable.Kind {
				return agents.New(weather, agents.UseModel(m), agents.Tools(agents.Func("fetch", "", func(ctx context.Context, _ struct{}) (string, error) {
					if n++; n == 2 && dies {
						close(reached)
						<-ctx.Done()
						return "", ctx.Err()
					}
					return strings.Repeat("x", 500), nil
				}, agents.MaxResult(limit))))
			}
			b := setup(t, build(c.before, true))
			p := b.Start()
			r := ref("weather", "w", "1")
			b.Task(r, "", payload(t, "go"))
			<-reached
			p.Kill()
			b.Deploy(build(c.after, false))
			b.Start()
			rec, err := b.Result(b.ctx, r)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := outcome[string](t, rec); err != nil || got != c.want {
				t.Errorf("%q, %v; want %q", got, err, c.want)
			}
		})
	}
}

// TestPartsOfAResult reads a result of letters of two bytes.
func TestPartsOfAResult(t *testing.T) {
	for arguments, want := range map[string]string{
		`"offset":3,"length":4`:    `{"offset":2,"text":"éé","next_offset":6,"total":600}`,
		`"offset":2,"length":1`:    `{"offset":2,"text":"é","next_offset":4,"total":600}`,
		`"offset":596`:             `{"offset":596,"text":"éé","total":600}`,
		`"offset":600`:             `{"offset":600,"total":600,"note":"this is the end"}`,
		`"offset":-5,"length":2`:   `{"offset":0,"text":"é","next_offset":2,"total":600}`,
		`"offset":9999`:            `{"offset":600,"total":600,"note":"this is the end"}`,
		`"search":"ÉÉ","length":1`: `"next_offset":`,
		`"search":"(x"`:            `{"offset":0,"total":600,"note":"it does not occur"}`,
	} {
		t.Run(arguments, func(t *testing.T) {
			m := agentstest.Model(t, script(func(r *scripted.Request) scripted.Reply {
				switch r.Rounds() {
				case 0:
					return calls(call("fetch", `{}`))
				case 1:
					return calls(call("read_result", fmt.Sprintf(`{"result":%q,%s}`, refs.FindString(r.Last().Content), arguments)))
				}
				return scripted.Reply{Text: r.Last().Content}
			}))
			b := setup(t, agents.New(weather, agents.UseModel(m), agents.MaxToolResult(100),
				agents.Tools(agents.Func("fetch", "", func(context.Context, struct{}) (string, error) { return strings.Repeat("é", 300), nil }))))
			b.Start()
			got, err := do[string](b, ref("weather", "w", "1"), "go")
			if err != nil {
				t.Fatal(err)
			}
			contains(t, got, want)
		})
	}
}
