package scripted_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/perdure/perdure/agents/models/scripted"
)

// asChild is set in the environment of a process of this test binary that is a
// scripted model.
const asChild = "PERDURE_TEST_SCRIPTED"

func TestMain(m *testing.M) {
	if args := os.Getenv(asChild); args != "" {
		if err := scripted.Run(context.Background(), strings.Fields(args), os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// server is a script on a server, for one test.
type server struct {
	*scripted.Server
	t   *testing.T
	url string
}

func serve(t *testing.T, rules ...scripted.Rule) *server {
	t.Helper()
	v, err := scripted.New(scripted.Script{Rules: rules})
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(v)
	t.Cleanup(func() {
		v.Release()
		srv.CloseClientConnections()
		srv.Close()
	})
	return &server{v, t, srv.URL}
}

// post sends a body as a chat request; the error is of the connection.
func (s *server) post(ctx context.Context, key, body string) (*http.Response, string, error) {
	s.t.Helper()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url+"/v1/chat/completions", strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	if key != "" {
		req.Header.Set("Idempotency-Key", key)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, "", err
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	return res, string(data), err
}

// ask returns the text, or the calls as "name arguments", or "status: message",
// of the answer to a body.
func (s *server) ask(key, body string) string {
	s.t.Helper()
	res, data, err := s.post(s.t.Context(), key, body)
	if err != nil {
		return err.Error()
	}
	var out struct {
		Choices []struct {
			Message struct {
				Content   string `json:"content"`
				ToolCalls []struct {
					Function struct{ Name, Arguments string } `json:"function"`
				} `json:"tool_calls"`
			} `json:"message"`
		} `json:"choices"`
		Error struct {
			Message string `json:"message"`
		} `json:"error"`
	}
	if err := json.Unmarshal([]byte(data), &out); err != nil {
		return fmt.Sprintf("%d, no JSON: %s", res.StatusCode, data)
	}
	if len(out.Choices) == 0 {
		return fmt.Sprintf("%d: %s", res.StatusCode, out.Error.Message)
	}
	var text strings.Builder
	text.WriteString(out.Choices[0].Message.Content)
	for _, c := range out.Choices[0].Message.ToolCalls {
		text.WriteString(c.Function.Name + " " + c.Function.Arguments + ";")
	}
	return text.String()
}

func user(text string) string {
	data, err := json.Marshal(text)
	if err != nil {
		panic(err)
	}
	return `{"model":"m","messages":[{"role":"user","content":` + string(data) + `}]}`
}

// after is a request that ends with a tool's result.
func after(tool, result string) string {
	data, err := json.Marshal(result)
	if err != nil {
		panic(err)
	}
	return `{"model":"m","messages":[{"role":"user","content":"weather in Oslo"},` +
		`{"role":"assistant","tool_calls":[{"id":"c1","type":"function","function":{"name":"` + tool + `","arguments":"{}"}}]},` +
		`{"role":"tool","tool_call_id":"c1","content":` + string(data) + `}]}`
}

func TestFirstRuleThatFitsDecides(t *testing.T) {
	s := serve(t,
		scripted.Rule{Request: 2, Reply: scripted.Reply{Text: "the second"}},
		scripted.Rule{Message: "once", Times: 1, Reply: scripted.Reply{Text: "only once"}},
		scripted.Rule{Result: "get_weather", Reply: scripted.Reply{Text: "${result.sky}, ${result.wind.speed} of ${result}, $$5, ${none}"}},
		scripted.Rule{Result: "*", Reply: scripted.Reply{Text: "some result: $result"}},
		scripted.Rule{Message: `(?i)weather in (?P<city>\w+) or (.+)\?`, Reply: scripted.Reply{Calls: []scripted.Call{
			{Name: "get_weather", Arguments: `{"city":"${city}"}`}, {Name: "get_weather", Arguments: `{"city":"$2"}`},
		}}},
		scripted.Rule{Message: "hello", Reply: scripted.Reply{Text: "hi"}})
	for i, c := range []struct{ body, want string }{
		{user("hello"), "hi"},
		{user("hello"), "the second"},
		{user("hello once"), "only once"},
		{user("hello once"), "hi"},
		{user(`Weather in Oslo or "Rome"?`), `get_weather {"city":"Oslo"};get_weather {"city":"\"Rome\""};`},
		{after("get_weather", `{"sky":"sun","wind":{"speed":7}}`), `sun, 7 of {"sky":"sun","wind":{"speed":7}}, $5, `},
		{after("get_news", "none"), "some result: none"},
		{user("what?"), "400: the script has no rule for request 8, whose last message is of role \"user\": \"what?\""},
	} {
		if got := s.ask("", c.body); got != c.want {
			t.Errorf("request %d: %q, want %q", i+1, got, c.want)
		}
	}
}

func TestRequestsThatAProviderRefusesAreRefused(t *testing.T) {
	s := serve(t, scripted.Rule{Reply: scripted.Reply{Text: "fine"}})
	call := `{"role":"assistant","tool_calls":[{"id":"c1","type":"function","function":{"name":"f","arguments":"{}"}}]}`
	result := `{"role":"tool","tool_call_id":"c1","content":"ok"}`
	hello := `{"role":"user","content":"hello"}`
	messages := func(ms ...string) string { return `{"model":"m","messages":[` + strings.Join(ms, ",") + `]}` }
	with := func(more string) string { return `{"model":"m","messages":[` + hello + `],` + more + `}` }
	format := func(strict bool, schema string) string {
		return with(fmt.Sprintf(`"response_format":{"type":"json_schema","json_schema":{"name":"a","strict":%t,"schema":%s}}`, strict, schema))
	}
	open := `{"type":"object","properties":{"a":{"type":"object","properties":{"b":{"type":"string"}}}},"required":["a"],"additionalProperties":false}`
	for name, c := range map[string]struct{ body, want string }{
		"no JSON":                   {`{"model":`, "400: the body is not a request"},
		"no model":                  {`{"messages":[` + hello + `]}`, "400: the request names no model"},
		"no messages":               {`{"model":"m","messages":[]}`, "400: the request has no messages"},
		"options without a stream":  {with(`"stream_options":{"include_usage":true}`), "400: stream_options is only allowed"},
		"a call without its result": {messages(hello, call, hello), "400: message 3: 1 tool calls before it have no result"},
		"ends in a call":            {messages(hello, call), "400: the last 1 tool calls have no result"},
		"a result of no call":       {messages(hello, result), `400: message 2: the result of tool call "c1" follows no such call`},
		"a result twice":            {messages(hello, call, result, result), `400: message 4: the result of tool call "c1" follows no such call`},
		"a call without id":         {messages(hello, strings.Replace(call, "c1", "", 1)), `400: message 2: a tool call has id ""`},
		"nothing said":              {messages(hello, `{"role":"assistant"}`), "400: message 2: the assistant says nothing"},
		"a role of its own":         {messages(`{"role":"robot","content":"x"}`), `400: message 1: its role is "robot"`},
		"content of numbers":        {messages(`{"role":"user","content":7}`), "400: message 1: its content is neither"},
		"a tool's name":             {with(`"tools":[{"type":"function","function":{"name":"get weather"}}]`), "400: a tool has type"},
		"a tool twice":              {with(`"tools":[{"type":"function","function":{"name":"f"}},{"type":"function","function":{"name":"f"}}]`), `400: tool "f" is there twice`},
		"a tool of a string":        {with(`"tools":[{"type":"function","function":{"name":"f","parameters":{"type":"string"}}}]`), `400: the parameters of tool "f"`},
		"an answer that is a list":  {format(false, `{"type":"array"}`), "400: response_format: its schema has type array"},
		"strict, and open below":    {format(true, open), `400: response_format: its schema is strict, and at "/a"`},
		"open, and not strict":      {format(false, open), "fine"},
		"a whole conversation":      {messages(hello, call, result, `{"role":"assistant","content":"ok"}`, `{"role":"user","content":[{"type":"text","text":"hello"}]}`), "fine"},
	} {
		if got := s.ask("", c.body); !strings.HasPrefix(got, c.want) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

func TestCallsAreCountedByIdempotencyKey(t *testing.T) {
	s := serve(t, scripted.Rule{Message: "fail", Reply: scripted.Reply{Status: 500}}, scripted.Rule{Reply: scripted.Reply{Text: "ok"}})
	for _, key := range []string{"a", "a", "b", "", "", "a"} {
		s.ask(key, user("hello"))
	}
	s.ask("b", user("fail"))
	want := scripted.Counts{Calls: 4, Repeated: 3, Keys: map[string]int{"a": 3, "b": 2}}
	if diff := cmp.Diff(want, s.Counts()); diff != "" {
		t.Error("counts (-want +got):", diff)
	}
	if n := s.Counts().Requests(); n != 7 {
		t.Errorf("%d requests, want 7", n)
	}
	res, err := http.Get(s.url + "/calls")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var got scripted.Counts
	if err := json.NewDecoder(res.Body).Decode(&got); err != nil || !cmp.Equal(got, want) {
		t.Errorf("GET /calls: %v, %v", got, err)
	}
}

func TestHeldRequestsAreInFlightUntilTheyAreReleased(t *testing.T) {
	s := serve(t, scripted.Rule{Reply: scripted.Reply{Hold: true, Text: "at last"}})
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	var all sync.WaitGroup
	for range 3 {
		all.Go(func() {
			if got := s.ask("", user("hello")); got != "at last" {
				t.Errorf("answer %q", got)
			}
		})
	}
	if err := s.Wait(ctx, func(c scripted.Counts) bool { return c.InFlight == 3 }); err != nil {
		t.Fatal(err)
	}
	res, err := http.Post(s.url+"/release", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	all.Wait()
	if err := s.Wait(ctx, func(c scripted.Counts) bool { return c.InFlight == 0 }); err != nil {
		t.Error(err)
	}
	s.Release() // again, which is harmless
	if got := s.ask("", user("hello")); got != "at last" {
		t.Errorf("after the release: %q", got)
	}
}

func TestRequestWhoseClientGoesAwayEnds(t *testing.T) {
	s := serve(t, scripted.Rule{Times: 1, Reply: scripted.Reply{Hold: true}}, scripted.Rule{Reply: scripted.Reply{Stall: scripted.Duration(time.Hour)}})
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for range 2 {
		client, leave := context.WithCancel(ctx)
		done := make(chan error, 1)
		go func() {
			_, _, err := s.post(client, "", user("hello"))
			done <- err
		}()
		if err := s.Wait(ctx, func(c scripted.Counts) bool { return c.InFlight == 1 }); err != nil {
			t.Fatal(err)
		}
		leave()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("the client has %v", err)
		}
		if err := s.Wait(ctx, func(c scripted.Counts) bool { return c.InFlight == 0 }); err != nil {
			t.Error(err)
		}
	}
	if err := s.Wait(client(ctx), func(scripted.Counts) bool { return false }); !errors.Is(err, context.Canceled) {
		t.Errorf("Wait with an ended context: %v", err)
	}
}

func client(ctx context.Context) context.Context {
	ctx, cancel := context.WithCancel(ctx)
	cancel()
	return ctx
}

func TestFaultsLookLikeTheRealOnes(t *testing.T) {
	s := serve(t,
		scripted.Rule{Request: 1, Reply: scripted.Reply{Status: 429, RetryAfter: scripted.Duration(2 * time.Second)}},
		scripted.Rule{Request: 2, Reply: scripted.Reply{Status: 503, RetryAfter: scripted.Duration(1500 * time.Millisecond), Text: "busy"}},
		scripted.Rule{Request: 3, Reply: scripted.Reply{Cut: true, Text: "half of this"}},
		scripted.Rule{Request: 4, Reply: scripted.Reply{Body: "no JSON"}},
		scripted.Rule{Request: 5, Reply: scripted.Reply{Stall: scripted.Duration(30 * time.Millisecond), Text: "late"}})
	res, data, err := s.post(t.Context(), "", user("x"))
	if err != nil || res.StatusCode != 429 || res.Header.Get("Retry-After") != "2" || !strings.Contains(data, "rate_limit_exceeded") {
		t.Errorf("throttled: %v, %v, %s", res, err, data)
	}
	res, data, err = s.post(t.Context(), "", user("x"))
	if err != nil || res.StatusCode != 503 || res.Header.Get("Retry-After-Ms") != "1500" || !strings.Contains(data, "busy") {
		t.Errorf("failed: %v, %v, %s", res, err, data)
	}
	if _, data, err = s.post(t.Context(), "", user("x")); !errors.Is(err, io.ErrUnexpectedEOF) || data == "" {
		t.Errorf("cut: %v after %q", err, data)
	}
	if _, data, err = s.post(t.Context(), "", user("x")); err != nil || data != "no JSON" {
		t.Errorf("malformed: %q, %v", data, err)
	}
	began := time.Now()
	if got := s.ask("", user("x")); got != "late" || time.Since(began) < 30*time.Millisecond {
		t.Errorf("stalled: %q after %s", got, time.Since(began))
	}
	if err := s.Wait(t.Context(), func(c scripted.Counts) bool { return c.InFlight == 0 }); err != nil {
		t.Error(err)
	}
}

func TestModelsAreListedAndOtherPathsExplained(t *testing.T) {
	s := serve(t, scripted.Rule{Reply: scripted.Reply{Text: "ok"}})
	s.ask("", user("hello"))
	for path, part := range map[string]string{"/v1/models": `"id":"m"`, "/chat/completions": "the base URL ends with /v1"} {
		res, err := http.Get(s.url + path)
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil || !strings.Contains(string(data), part) {
			t.Errorf("GET %s: %s, %v; want it to contain %s", path, data, err, part)
		}
	}
}

// TestServerIsAProcessOfItsOwn starts one by Run, with the weather and with a
// script from a file, asks it, and ends it.
func TestServerIsAProcessOfItsOwn(t *testing.T) {
	file := t.TempDir() + "/script.json"
	if err := os.WriteFile(file, []byte(`{"rules":[{"text":"from a file"}]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	for args, want := range map[string]string{"-script weather": "I answer questions about the weather; name a city.", "-script " + file: "from a file"} {
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		cmd := exec.CommandContext(ctx, os.Args[0])
		cmd.Env = append(os.Environ(), asChild+"="+args)
		cmd.Stderr = os.Stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		line, err := bufio.NewReader(out).ReadString('\n')
		url, ok := strings.CutPrefix(strings.TrimSpace(line), "ready ")
		if err != nil || !ok {
			t.Fatalf("the process says %q, %v", line, err)
		}
		s := &server{nil, t, url}
		if got := s.ask("k", user("hello")); got != want {
			t.Errorf("%s: %q, want %q", args, got, want)
		}
		cancel()
		if err := cmd.Wait(); err == nil {
			t.Error("the process ended by itself")
		}
	}
}

func TestServeEndsWithItsContextAlsoWhileItStalls(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ready, ended := make(chan string, 1), make(chan error, 1)
	go func() {
		ended <- scripted.Serve(ctx, "127.0.0.1:0", scripted.Script{Rules: []scripted.Rule{{Reply: scripted.Reply{Hold: true}}}}, func(u string) { ready <- u })
	}()
	s := &server{nil, t, <-ready}
	cut := make(chan error, 1)
	go func() {
		_, _, err := s.post(t.Context(), "", user("hello"))
		cut <- err
	}()
	waitInFlight(t, s.url)
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("Serve: %v", err)
	}
	if err := <-cut; err == nil {
		t.Error("the stalled request was answered")
	}
}

// waitInFlight asks a server in another process, or as if it were in one.
func waitInFlight(t *testing.T, url string) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); {
		res, err := http.Get(url + "/calls")
		if err != nil {
			t.Fatal(err)
		}
		var c scripted.Counts
		err = json.NewDecoder(res.Body).Decode(&c)
		res.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		if c.InFlight == 1 {
			return
		}
	}
	t.Fatal("no request is in flight")
}

func TestServeAndRunSayWhatIsWrong(t *testing.T) {
	ok := scripted.Weather()
	for name, c := range map[string]struct {
		err  error
		want string
	}{
		"no address":  {scripted.Serve(t.Context(), "", ok, nil), "an address is needed"},
		"bad address": {scripted.Serve(t.Context(), "256.0.0.1:0", ok, nil), "listen for the scripted model"},
		"no rules":    {scripted.Serve(t.Context(), "127.0.0.1:0", scripted.Script{}, nil), "at least one rule"},
		"no file":     {scripted.Run(t.Context(), []string{"-script", "nowhere.json"}, io.Discard), "nowhere.json"},
		"no flag":     {scripted.Run(t.Context(), []string{"-port", "1"}, io.Discard), "-port"},
	} {
		if c.err == nil || !strings.Contains(c.err.Error(), c.want) {
			t.Errorf("%s: %v, want it to contain %q", name, c.err, c.want)
		}
	}
}
