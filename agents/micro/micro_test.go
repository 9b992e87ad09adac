package micro_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/perdure/perdure/agents"
	"github.com/perdure/perdure/agents/agentstest"
	"github.com/perdure/perdure/agents/micro"
	"github.com/perdure/perdure/agents/models/scripted"
	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/runtime"
	"github.com/perdure/perdure/runtime/runtimetest"
	"github.com/perdure/perdure/schemas"
)

var clerk = durable.Declare[string, string]("clerk")

// A wire is NATS with services on it. The real one is in the tests of the root package.
type wire struct {
	infos  []string
	answer func(before int) (header map[string][]string, reply string, err error)

	mu   sync.Mutex
	got  []string // subject and body of requests
	keys map[string]int
}

func (w *wire) Gather(_ context.Context, subject string, each func([]byte) bool) error {
	for _, i := range w.infos {
		if subject == "$SRV.INFO" && !each([]byte(i)) {
			break
		}
	}
	return nil
}

func (w *wire) Request(_ context.Context, subject string, header map[string][]string, data []byte) (map[string][]string, []byte, error) {
	w.mu.Lock()
	before := len(w.got)
	w.got = append(w.got, subject+" "+string(data))
	if w.keys == nil {
		w.keys = map[string]int{}
	}
	w.keys[strings.Join(header["Idempotency-Key"], " ")]++
	w.mu.Unlock()
	h, reply, err := w.answer(before)
	return h, []byte(reply), err
}

const depot = `{"name":"depot","id":"1","version":"1.9.0","description":"a depot","endpoints":[
	{"name":"find","subject":"depot.find","metadata":{"request_schema":"{\"type\":\"object\"}"}},
	{"name":"move","subject":"depot.move","metadata":{"schema":"{\"type\":\"object\"}","tool":"move it!","description":"moves","idempotent":"false"}},
	{"name":"plain","subject":"depot.plain","metadata":null}]}`

// newer is another build of it, which runs beside it.
const newer = `{"name":"depot","id":"2","version":"1.10.0","endpoints":[
	{"name":"find","subject":"depot.find","metadata":{"request_schema":"{\"type\":\"object\"}","description":"the newer one"}}]}`

func play(t *testing.T, w *wire, tool, arguments string, when runtimetest.When, n int, opts ...micro.Option) (*runtimetest.World, string) {
	t.Helper()
	m := agentstest.Model(t, scripted.Script{Rules: []scripted.Rule{{Func: func(r *scripted.Request) scripted.Reply {
		if tool == "" {
			return scripted.Reply{Text: "tools: " + strings.Join(r.Tools, " ")}
		}
		if r.Rounds() == 0 {
			return scripted.Reply{Calls: []scripted.Call{{Name: tool, Arguments: scripted.Arguments(arguments)}}}
		}
		return scripted.Reply{Text: r.Last().Content}
	}}}})
	kind := agents.New(clerk, agents.UseModel(m), agents.Tools(micro.Tools(append([]micro.Option{micro.EveryTool(agents.Retry(4, time.Millisecond)), micro.AnswerWithin(time.Minute)}, opts...)...)))
	if err := kind.Validate(); err != nil {
		t.Fatal(err)
	}
	closes, err := kind.Open(runtime.WithMessenger(t.Context(), w))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	world := runtimetest.NewWorld(kind)
	world.AutoRestart = true
	t.Cleanup(func() {
		cancel()
		for _, wrong := range world.Close() {
			t.Error(wrong)
		}
		if err := closes(); err != nil {
			t.Error(err)
		}
	})
	if n > 0 {
		world.CrashAt(when, n)
	}
	world.Start()
	in, err := durable.Encode("go")
	if err != nil {
		t.Fatal(err)
	}
	rec, err := world.Do(ctx, schemas.Identity{Kind: "clerk", Key: "k"}.Run("1"), "", in)
	if err == nil {
		err = errors.Join(runtime.DecodeError(rec.GetError()), world.Settle(ctx))
	}
	if err != nil {
		t.Fatal(err)
	}
	var out string
	if err := json.Unmarshal(rec.GetResult().GetData(), &out); err != nil {
		t.Fatal(err)
	}
	return world, out
}

func TestWhichEndpointsAreTools(t *testing.T) {
	for want, opts := range map[string][]micro.Option{
		"depot_find move_it_":             nil,
		"x_depot_find x_move_it_":         {micro.Prefix("x")},
		"move_it_":                        {micro.Without("depot.find")},
		"":                                {micro.Only("other")},
		"depot_find move_it_ depot_plain": {micro.Endpoint("depot.plain", agents.ToolSpec{})},
		"depot_find move_it_ look":        {micro.Endpoint("depot.plain", agents.ToolSpec{Name: "look", Parameters: json.RawMessage(`{"type":"object"}`)})},
	} {
		if _, got := play(t, &wire{infos: []string{newer, depot, "{", `{"name":"other"}`}}, "", "", 0, 0, opts...); got != "tools: "+want {
			t.Errorf("tools %q, want %q", got, want)
		}
	}
}

func TestAnswersOfServices(t *testing.T) {
	type reply = func(int) (map[string][]string, string, error)
	says := func(header map[string][]string, body string, err error) reply {
		return func(int) (map[string][]string, string, error) { return header, body, err }
	}
	fails := func(code string) map[string][]string {
		return map[string][]string{"Nats-Service-Error-Code": {code}, "Nats-Service-Error": {"because"}, "retry-after": {"0.001"}}
	}
	first := func(header map[string][]string, err error) reply {
		return func(before int) (map[string][]string, string, error) {
			if before == 0 {
				return header, "", err
			}
			return nil, `"at last"`, nil
		}
	}
	gone := &durable.Error{Code: durable.ErrNotFound.Code, Message: "nobody listens"}
	for name, c := range map[string]struct {
		tool     string
		answer   reply
		want     string
		requests int
	}{
		"JSON":                  {"depot_find", says(nil, `{"a":1.0}`, nil), `{"a":1.0}`, 1},
		"text":                  {"depot_find", says(nil, "on shelf 4", nil), "on shelf 4", 1},
		"nothing":               {"depot_find", says(nil, "", nil), `{"status":"ok"}`, 1},
		"bytes":                 {"depot_find", says(nil, "\xff", nil), "[something, 1 bytes, not shown]", 1},
		"an error":              {"depot_find", says(fails("404"), "no lamp", nil), "service_error: service depot.find: error 404 because: no lamp", 1},
		"a code of its own":     {"depot_find", says(fails("SOLD"), "", nil), "service_error", 1},
		"failing":               {"depot_find", first(fails("500"), nil), "at last", 2},
		"failing, once":         {"move_it_", first(fails("500"), nil), "unknown_outcome", 1},
		"throttled, once":       {"move_it_", first(fails("429"), nil), "at last", 2},
		"failing for ever":      {"depot_find", says(fails("503"), "", nil), "service_unavailable", 4},
		"nobody, then somebody": {"move_it_", first(nil, gone), "at last", 2},
		"nobody":                {"move_it_", says(nil, "", gone), "service_unavailable: service depot.move: it is not there at the moment", 4},
		"lost":                  {"depot_find", first(nil, errors.New("lost")), "at last", 2},
		"lost, once":            {"move_it_", first(nil, errors.New("lost")), "unknown_outcome", 1},
	} {
		t.Run(name, func(t *testing.T) {
			w := &wire{infos: []string{depot}, answer: c.answer}
			_, got := play(t, w, c.tool, `{"article":"lamp"}`, 0, 0)
			for part := range strings.SplitSeq(c.want, ": ") {
				if !strings.Contains(got, part) {
					t.Errorf("the model is told %q, want %q in it", got, part)
				}
			}
			subject := map[string]string{"depot_find": "depot.find", "move_it_": "depot.move"}[c.tool]
			if len(w.got) != c.requests || w.got[0] != subject+` {"article":"lamp"}` || len(w.keys) != 1 {
				t.Errorf("requests %q with the keys %v, want %d", w.got, w.keys, c.requests)
			}
		})
	}
}

// TestCrashesOfCalls kills the process around each write of a call.
func TestCrashesOfCalls(t *testing.T) {
	for _, tool := range []string{"depot_find", "move_it_"} {
		run := func(when runtimetest.When, n int) (*runtimetest.World, *wire, string) {
			w := &wire{infos: []string{depot}, answer: func(int) (map[string][]string, string, error) { return nil, "done", nil }}
			world, got := play(t, w, tool, `{}`, when, n)
			return world, w, got
		}
		world, _, _ := run(0, 0)
		lost := 0
		for n := range world.Points() {
			for _, when := range []runtimetest.When{runtimetest.Before, runtimetest.After} {
				_, w, got := run(when, n+1)
				unknown := strings.Contains(got, "unknown_outcome")
				if unknown || len(w.got) != 1 {
					lost++
				}
				if once := tool == "move_it_"; len(w.keys) > 1 || once && len(w.got) > 1 || !once && unknown || !unknown && got != "done" {
					t.Errorf("%s, point %d.%d: %q, keys %v", tool, n+1, when, got, w.keys)
				}
			}
		}
		if lost == 0 {
			t.Errorf("%s: no crash lost an outcome", tool)
		}
	}
}

func TestWrongOptions(t *testing.T) {
	m := agentstest.Model(t, scripted.Script{Rules: []scripted.Rule{{Reply: scripted.Reply{Text: "."}}}})
	for want, opt := range map[string]micro.Option{
		"the prefix is empty":        micro.Prefix(""),
		"Refresh(0s)":                micro.Refresh(0),
		"AnswerWithin(-1s)":          micro.AnswerWithin(-time.Second),
		`Endpoint("a"): name it`:     micro.Endpoint("a", agents.ToolSpec{}),
		`Endpoint("a.b"): its`:       micro.Endpoint("a.b", agents.ToolSpec{Parameters: json.RawMessage(`{}`)}),
		`Tool("a"): name it SERVICE`: micro.Tool("a"),
	} {
		err := agents.New(clerk, agents.UseModel(m), agents.Tools(micro.Tools(opt))).Validate()
		if !errors.Is(err, durable.ErrInvalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
	_, err := agents.New(clerk, agents.UseModel(m), agents.Tools(micro.Tools())).Open(t.Context())
	if !errors.Is(err, durable.ErrInvalid) {
		t.Errorf("without NATS: %v", err)
	}
}

// FuzzInfos has services that say anything.
func FuzzInfos(f *testing.F) {
	f.Add(depot)
	f.Add(newer)
	f.Fuzz(func(t *testing.T, info string) {
		kind := agents.New(clerk, agents.UseModel(nobody{}), agents.Tools(micro.Tools(micro.AnswerWithin(time.Minute))))
		closes, err := kind.Open(runtime.WithMessenger(t.Context(), &wire{infos: []string{info}}))
		if err != nil {
			t.Fatalf("%q keeps the node from opening: %v", info, err)
		}
		if err := closes(); err != nil {
			t.Fatal(err)
		}
	})
}

type nobody struct{}

func (nobody) Name() string { return "nobody" }

func (nobody) Generate(context.Context, *agents.Request) (*agents.Response, error) {
	return nil, errors.New("nobody asks")
}

// reader is a model that answers with the descriptions of its tools.
type reader struct{ nobody }

func (reader) Generate(_ context.Context, r *agents.Request) (*agents.Response, error) {
	var all []string
	for _, t := range r.Tools {
		all = append(all, t.Name+": "+t.Description)
	}
	return &agents.Response{Message: agents.Message{Content: strings.Join(all, ", ")}}, nil
}

// TestTheNewestBuildCounts has two builds of a service, 1.9.0 and 1.10.0.
func TestTheNewestBuildCounts(t *testing.T) {
	for _, infos := range [][]string{{depot, newer}, {newer, depot}} {
		kind := agents.New(clerk, agents.UseModel(reader{}), agents.Tools(micro.Tools(micro.AnswerWithin(time.Minute))))
		closes, err := kind.Open(runtime.WithMessenger(t.Context(), &wire{infos: infos}))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = closes() }()
		world := runtimetest.NewWorld(kind)
		defer world.Close()
		world.Start()
		in, err := durable.Encode("go")
		if err != nil {
			t.Fatal(err)
		}
		rec, err := world.Do(t.Context(), schemas.Identity{Kind: "clerk", Key: "k"}.Run("1"), "", in)
		if err != nil {
			t.Fatal(err)
		}
		if got := string(rec.GetResult().GetData()); got != `"depot_find: the newer one, move_it_: moves"` {
			t.Errorf("the model is told %s", got)
		}
	}
}
