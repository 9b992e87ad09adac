package agents_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/perdure/perdure/agents"
	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/runtime/runtimetest"
	"github.com/perdure/perdure/schemas"
)

// A thinker is a model that thinks before each message, and wants that back. It
// looks the weather up twice, then answers. It keeps each request, by its key.
type thinker struct {
	mu       sync.Mutex
	requests map[string][]string
	last     *agents.Request
}

func (m *thinker) Name() string { return "thinker" }

func (m *thinker) Generate(ctx context.Context, req *agents.Request) (*agents.Response, error) {
	data, err := json.Marshal(req)
	if err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.requests == nil {
		m.requests = map[string][]string{}
	}
	key := durable.IdempotencyKey(ctx)
	m.requests[key] = append(m.requests[key], string(data))
	m.last = req
	round := 0
	for _, msg := range req.Messages {
		switch msg.Role {
		case agents.RoleUser:
			round = 0
		case agents.RoleAssistant:
			round++
			if msg.Reasoning == nil {
				return nil, durable.Fail("no_reasoning", "message %q has come back without its reasoning", msg.Content)
			}
		}
	}
	r := &agents.Response{
		Usage: agents.Usage{InputTokens: 9, OutputTokens: 5},
		Message: agents.Message{
			Content:   fmt.Sprintf("thought %d", round),
			Reasoning: &agents.Reasoning{Provider: "thinker", Data: json.RawMessage(fmt.Sprintf(`{"z": "a<b>&\u00e9 %d", "a":[1.50, 1e2]}`, round))},
		},
	}
	if round < 2 {
		r.Message.ToolCalls = []agents.ToolCall{{Name: "get_weather", Arguments: fmt.Sprintf(`{"city":"Oslo %d"}`, round)}}
	}
	if round == 1 {
		r.Usage.CachedTokens, r.Usage.ReasoningTokens = 4, 3
	}
	return r, nil
}

var reading = durable.Declare[agents.Input, string]("weather")

// shown is what a model is told of the files.
func shown(files []agents.File) (out []string) {
	for _, f := range files {
		out = append(out, strings.TrimSpace(f.Name+" "+f.MediaType+" "+string(f.Data)+f.URL))
	}
	return out
}

func TestInputTakesFiles(t *testing.T) {
	file := func(more string) string {
		return `{"message":"look","files":[{"media_type":"image/png","data":"aGk="},{"name":"b.pdf",` + more + `}]}`
	}
	for name, c := range map[string]struct {
		input string
		want  []string // the message and its files
		wrong string
	}{
		"bytes and a url": {
			input: file(`"media_type":"application/pdf","url":"https://example.com/b"`),
			want:  []string{"look", "image/png hi", "b.pdf application/pdf https://example.com/b"},
		},
		"no message":     {input: `{"files":[{"media_type":"image/png","data":"aGk="}]}`, want: []string{"", "image/png hi"}},
		"no files":       {input: ` {"message":"look","files":null}`, want: []string{"look"}},
		"a string":       {input: `"look"`, want: []string{"look"}},
		"no media type":  {input: file(`"data":"aGk="`), wrong: `file 2 ("b.pdf") has no media_type; give one, e.g. image/png`},
		"no type at all": {input: file(`"media_type":"pdf","data":"aGk="`), wrong: `the media_type "pdf"`},
		"neither":        {input: file(`"media_type":"a/b","data":""`), wrong: "is empty; give its data, or a url"},
		"both":           {input: file(`"media_type":"a/b","data":"aGk=","url":"https://example.com/b"`), wrong: "has data and a url; give one of them"},
		"no url":         {input: file(`"media_type":"a/b","url":"data:a/b;base64,aGk="`), wrong: `has the url "data:a/b;base64,aGk="`},
		"no base64":      {input: file(`"media_type":"a/b","data":"???"`), wrong: "with data in base64: "},
		"no list":        {input: `{"message":"look","files":"a.png"}`, wrong: `"files": [{"name"`},
		"nothing":        {input: `{}`, wrong: `send a JSON string, or {"message": "..."}, not "{}"`},
		"empty":          {input: `{"message":"","files":[]}`, wrong: "the message is empty"},
		"too large": {
			input: file(`"media_type":"a/b","data":"` + strings.Repeat("AAAA", (32<<20)/3+1) + `"`),
			wrong: "the files have 33554435 bytes; an agent takes 33554432: store them elsewhere and give their urls",
		},
	} {
		t.Run(name, func(t *testing.T) {
			m := &thinker{}
			b := setup(t, agents.New(reading, agents.UseModel(m), agents.Tools(agents.Func("get_weather", "", getWeather))))
			b.Start()
			_, err := do[string](b, ref("weather", "w", "1"), json.RawMessage(c.input))
			if c.wrong != "" {
				if err == nil || len(m.requests) > 0 {
					t.Fatalf("the model was asked %d times, error %v; want an error of the input", len(m.requests), err)
				}
				contains(t, err.Error(), c.wrong)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			user := m.last.Messages[0]
			if diff := cmp.Diff(c.want, append([]string{user.Content}, shown(user.Files)...)); diff != "" {
				t.Error("the model is told (-want +got):", diff)
			}
		})
	}
}

func TestFilesAreToldToAgentsOfStringsAndOfInput(t *testing.T) {
	in := agents.Input{Message: "look", Files: []agents.File{{Name: "a.png", MediaType: "image/png", Data: []byte("hi")}}}
	tool := agents.Tools(agents.Func("get_weather", "", getWeather))
	ofString, ofInput := &thinker{}, &thinker{}
	b := setup(t,
		agents.New(durable.Declare[string, string]("a"), agents.UseModel(ofString), tool),
		agents.New(durable.Declare[agents.Input, string]("b"), agents.UseModel(ofInput), tool))
	b.Start()
	for kind, m := range map[string]*thinker{"a": ofString, "b": ofInput} {
		if _, err := do[string](b, ref(kind, "k", "1"), in); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]string{"a.png image/png hi"}, shown(m.last.Messages[0].Files)); diff != "" {
			t.Errorf("agent %s is told (-want +got): %s", kind, diff)
		}
	}
}

// TestLargeFilesAreRememberedByName has four runs of one identity, each with files,
// and looks at what the last shows of those before it.
func TestLargeFilesAreRememberedByName(t *testing.T) {
	m := &thinker{}
	b := setup(t, agents.New(reading, agents.UseModel(m), agents.Memory(agents.KeepFiles(10)), agents.Tools(agents.Func("get_weather", "", getWeather))))
	b.Start()
	file := func(name string, size int) agents.File {
		return agents.File{Name: name, MediaType: "image/png", Data: []byte(strings.Repeat("x", size))}
	}
	for i, files := range [][]agents.File{
		{file("old.png", 3)},
		{file("a.png", 2), file("large.png", 11), file("b.png", 4)},
		{{MediaType: "image/png", URL: "https://example.com/c"}, file("c.png", 3)},
		{file("huge.png", 99)},
	} {
		if _, err := do[string](b, ref("weather", "w", fmt.Sprint(i)), agents.Input{Message: fmt.Sprint("q", i), Files: files}); err != nil {
			t.Fatal(err)
		}
		b.Start() // the next run is another process's
	}
	var got []string
	for _, msg := range m.last.Messages {
		if msg.Role == agents.RoleUser {
			got = append(got, fmt.Sprint(msg.Content, shown(msg.Files)))
		}
	}
	note := func(name string, size int) string {
		return fmt.Sprintf("[The file %q, image/png of %d bytes, was shown here and is no longer kept.]\n\n", name, size)
	}
	want := []string{
		note("old.png", 3) + "q0[]",
		note("large.png", 11) + "q1[a.png image/png xx b.png image/png xxxx]",
		"q2[image/png https://example.com/c c.png image/png xxx]",
		"q3[huge.png image/png " + strings.Repeat("x", 99) + "]",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error("the last run shows (-want +got):", diff)
	}
	if err := agents.New(reading, agents.UseModel(m), agents.Memory(agents.KeepFiles(-1))).Validate(); err == nil || !strings.Contains(err.Error(), "KeepFiles(-1)") {
		t.Errorf("a negative number of bytes: %v", err)
	}
}

// thinkingRun makes two runs of one identity, with files and reasoning in both, and
// crashes at the n-th write if n is not 0. It returns the records, the requests by
// key, and what the model steps of the runs recorded of them.
func thinkingRun(t *testing.T, when runtimetest.When, n int) (records []*schemas.Record, b *bundle, m *thinker, sums []string) {
	t.Helper()
	m = &thinker{}
	b = setup(t, agents.New(reading, agents.UseModel(m, agents.Retry(1, time.Millisecond)), agents.Memory(agents.KeepToolCalls()),
		agents.Tools(agents.Func("get_weather", "", getWeather))))
	b.Passivate = true
	if n > 0 {
		b.CrashAt(when, n)
	}
	b.Start()
	for i := range 2 {
		rec, err := b.Do(b.ctx, ref("weather", "w", fmt.Sprint(i)), "", payload(t, agents.Input{
			Message: fmt.Sprint("question ", i), Files: []agents.File{{Name: "a.png", MediaType: "image/png", Data: []byte{0, 0xff, byte(i)}}},
		}))
		if err != nil {
			t.Fatal(err)
		}
		if rec.GetError() != nil {
			t.Fatalf("run %d: %v", i, rec.GetError())
		}
		records = append(records, rec)
	}
	if err := b.Settle(b.ctx); err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, s := range b.Journal.History() {
		for _, e := range s.Entry.GetEvents() {
			if c := e.GetStepCompleted(); c.GetName() == "model" && !seen[s.Ref.String()+c.GetPath()] {
				seen[s.Ref.String()+c.GetPath()] = true
				var kept struct {
					Sum     string         `json:"request_sha256"`
					Message agents.Message `json:"message"`
				}
				if err := json.Unmarshal(c.GetResult().GetData(), &kept); err != nil {
					t.Fatal(err)
				}
				if kept.Message.Reasoning == nil || kept.Sum != c.GetAttributes()["request_sha256"] {
					t.Errorf("step %s of %s records %s and says %v", c.GetPath(), s.Ref, c.GetResult().GetData(), c.GetAttributes())
				}
				sums = append(sums, kept.Sum)
			}
		}
	}
	return records, b, m, sums
}

// TestRequestAfterACrashHasTheSameBytes kills the process before and after each
// write. A request that is made again, and each that follows, says what it says
// where nothing is killed: files, and the reasoning of what is recorded.
func TestRequestAfterACrashHasTheSameBytes(t *testing.T) {
	want, undisturbed, first, sums := thinkingRun(t, 0, 0)
	points := undisturbed.Points()
	if len(points) < 10 || len(first.requests) != 6 || len(sums) != 6 {
		t.Fatalf("the undisturbed run has points %q, %d requests and %d model steps", points, len(first.requests), len(sums))
	}
	for key, bodies := range first.requests {
		if len(bodies) != 1 {
			t.Errorf("request %s was made %d times", key, len(bodies))
		}
	}
	contains(t, fmt.Sprint(first.requests), `"data":"AP8A"`, `"data":"AP8B"`, `"reasoning":{"provider":"thinker","data":{"z":"a\u003cb\u003e\u0026\u00e9 0","a":[1.50,1e2]}}`)
	repeated := 0
	for n := 1; n <= len(points); n++ {
		for _, when := range []runtimetest.When{runtimetest.Before, runtimetest.After} {
			t.Run(fmt.Sprintf("%d.%d", n, when), func(t *testing.T) {
				got, _, m, again := thinkingRun(t, when, n)
				for i := range want {
					if diff := cmp.Diff(string(want[i].GetResult().GetData()), string(got[i].GetResult().GetData())); diff != "" {
						t.Errorf("run %d (-undisturbed +got): %s", i, diff)
					}
				}
				if diff := cmp.Diff(sums, again); diff != "" {
					t.Error("recorded request_sha256 (-undisturbed +got):", diff)
				}
				for key, bodies := range m.requests {
					for _, body := range bodies {
						if diff := cmp.Diff(first.requests[key], []string{body}); diff != "" {
							t.Errorf("request %s (-undisturbed +got): %s", key, diff)
						}
					}
					repeated += len(bodies) - 1
				}
			})
		}
	}
	if repeated < 6 {
		t.Errorf("%d requests were made again, want one for each model call whose record was lost", repeated)
	}
}

func TestStepSaysWhatWasCachedAndThoughtAbout(t *testing.T) {
	records, _, _, _ := thinkingRun(t, 0, 0)
	var got []string
	for _, s := range records[0].GetSteps() {
		if a := s.GetAttributes(); s.GetName() == "model" {
			got = append(got, fmt.Sprintf("in %s out %s cached %s reasoning %s", a["input_tokens"], a["output_tokens"], a["cached_tokens"], a["reasoning_tokens"]))
		}
	}
	want := []string{"in 9 out 5 cached  reasoning ", "in 9 out 5 cached 4 reasoning 3", "in 9 out 5 cached  reasoning "}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error("(-want +got):", diff)
	}
}
