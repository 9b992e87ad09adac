package perdure_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"github.com/perdure/perdure"
	"github.com/perdure/perdure/agents"
	"github.com/perdure/perdure/agents/agentstest"
	"github.com/perdure/perdure/agents/models/scripted"
	"github.com/perdure/perdure/broker"
	"github.com/perdure/perdure/broker/brokertest"
	"github.com/perdure/perdure/durable"
)

// A message of an error says what was asked, what was found, what to do next.

// says fails the test unless err is of code and its message matches re.
func says(t testing.TB, err error, code, re string) {
	t.Helper()
	if !durable.IsCode(err, code) || !regexp.MustCompile("^"+re+"$").MatchString(err.Error()) {
		t.Errorf("the error is %v, want one of code %s that says %s", err, code, re)
	}
}

const oneKiB = 1 << 10

func TestBadInput_OfATypedClient(t *testing.T) {
	t.Parallel()
	node := running(t, "", perdure.Host(greetKind(), accountKind()), perdure.PayloadCap(oneKiB))
	c, ctx := node.Client(), testContext(t)
	long := strings.Repeat("x", 257)
	call := func(to durable.Target[amount, int], opts ...perdure.StartOption) error {
		_, err := perdure.Call(ctx, c, to, amount{1}, opts...)
		return err
	}
	steal := durable.Declare[amount, int]("account.steal")
	says(t, call(durable.Declare[amount, int]("nobody").At("k")), "not_found",
		`start nobody/k: no node has ever hosted a kind "nobody"; start one that does, or correct the name`)
	says(t, call(steal.At("k")), "not_found", `actor "account" has no method "steal"; it has "close", "pay"`)
	says(t, call(pay.At("")), "invalid", `account\.pay at key "": invalid name: the key is empty`)
	says(t, call(pay.At(long)), "invalid", `account\.pay at key "x+": .* has 257 bytes encoded; the limit is 256`)
	says(t, call(pay.At("a\xff")), "invalid", `.*the key "a\\xff" is not UTF-8`)
	says(t, call(pay.At("k"), perdure.MessageID(long)), "invalid", `start account/k: invalid name: the run ID "x+"\.\.\. has 257 bytes encoded; the limit is 256`)
	if err := call(durable.Declare[amount, int]("a b").At("k")); err == nil || !strings.Contains(err.Error(), `the kind "a b" contains " "; use letters, digits, '-' and '_'`) {
		t.Errorf("a kind of a wrong form is %v", err)
	}

	_, err := perdure.Call(ctx, c, greet.At("k"), strings.Repeat("x", 2*oneKiB))
	says(t, err, "too_large", `start greet/k/k: the input has 2050 bytes; the cap is 1024: store it elsewhere and send its name`)

	if _, err := perdure.Call(ctx, c, greet.At("same"), "one"); err != nil {
		t.Fatal(err)
	}
	_, err = perdure.Call(ctx, c, greet.At("same"), "two")
	says(t, err, "conflict", `greet/same/same was started before with another input; use another message ID, or ask for the run that exists`)
	if !errors.Is(err, durable.ErrConflict) {
		t.Errorf("%v does not match ErrConflict", err)
	}
	if got, err := perdure.Call(ctx, c, greet.At("same"), "one"); err != nil || got != "Hello, one!" {
		t.Errorf("the run that exists answers %q, %v", got, err)
	}

	_, err = perdure.Attach(c, greet, "account/k/1")
	says(t, err, "invalid", `attach: account/k/1 is not a run of "greet"`)
	_, err = perdure.Attach(c, greet, "greet/k")
	says(t, err, "invalid", `attach: .*"greet/k" is not a reference kind/key/id, e\.g\. weather/amsterdam/order-17; .*`)
	_, err = c.StartJSON(ctx, "greet", "k", "", "", []byte(`{bad`))
	says(t, err, "invalid", `the input "\{bad" is not JSON; a text is written '"so"'`)
	_, err = c.Get(ctx, "greet/none/none")
	says(t, err, "not_found", `no run greet/none/none: it was never started, or its record is older than the retention time`)
	says(t, c.Cancel(ctx, "greet/same/same", perdure.Why{}), "conflict", `cancel greet/same/same: it is completed already`)
}

// A dead letter, as dead.list answers it.
type deadLetter struct {
	ID, Code, Reason, Body, Subject string
}

func deadLetters(t testing.TB, nc *nats.Conn, kind string) []deadLetter {
	t.Helper()
	return answered[struct{ Dead []deadLetter }](t, nc, "dead.list", `{"kind":"`+kind+`"}`).Dead
}

// What a foreign publisher got wrong is accepted by JetStream before anybody can
// look at it: it is kept where it can be seen, and holds nothing else up.
func TestBadInput_OfAForeignPublisherIsADeadLetter(t *testing.T) {
	t.Parallel()
	node := running(t, "", perdure.Host(greetKind(), accountKind()), perdure.PayloadCap(oneKiB))
	nc := plain(t, node)
	const key = "perdure.task.local.account.k"
	for _, tt := range []struct {
		subject, body string
		headers       []string
		code, reason  string
	}{
		{key, `{"cents":`, []string{"Perdure-Id", "malformed"}, "invalid", `body "\{\\"cents\\":" is not JSON: .*; send the input as JSON`},
		{key, `{"cents":1}{}`, []string{"Perdure-Id", "two"}, "invalid", `body .* is not JSON: .*; send the input as JSON`},
		{key, `1`, []string{"Perdure-Id", strings.Repeat("x", 257)}, "invalid", `message ID: .* has 257 bytes encoded; the limit is 256`},
		{key, `1`, []string{"Perdure-Id", "a\ufffd"}, "invalid", `message ID: .* contains U\+FFFD, the mark of a broken encoding`},
		{"perdure.task.local.account.%6b", `1`, []string{"Perdure-Id", "key"}, "invalid", `key of subject .*"%6b" has "%6b" where two upper-case hexadecimal digits follow a '%'`},
		{"perdure.task.local.account.%4B", `1`, []string{"Perdure-Id", "key"}, "invalid", `key of subject .*"%4B" is not in canonical form; write "K"`},
		{key, `"` + strings.Repeat("x", 2*oneKiB) + `"`, []string{"Perdure-Id", "large"}, "too_large", `input: too large: it has 2050 bytes; the cap is 1024: store it elsewhere and send its name`},
		{key, `1`, []string{"Perdure-Id", "signal", "Perdure-Signal", "a name", "Perdure-Run", "m"}, "invalid", `signal: invalid name: the kind "a name" contains " ".*`},
		{key, `1`, []string{"Perdure-Id", "first", "Perdure-Priority", "high"}, "invalid", `Perdure-Priority "high" is not a whole number of 32 bits, e.g. 5 or -1`},
		{key, `1`, []string{"Perdure-Id", "busy", "Perdure-Busy", "shove"}, "invalid", `Perdure-Busy "shove" is unknown; there are queue, reject, interrupt and replace`},
		{key, `1`, []string{"Perdure-Id", "deadline", "Perdure-Deadline", "2026-01-01T00:00:00Z"}, "unimplemented", `Perdure-Deadline .*`},
		{key, `1`, []string{"Perdure-Id", "method", "Perdure-Method", "m\xff"}, "invalid", `the header "Perdure-Method" is "m\\xff", which is not UTF-8; write it in UTF-8, or send the message without it`},
		{key, `1`, []string{"Perdure-Id", "long", "Perdure-Method", strings.Repeat("m", 257)}, "invalid", `the method "m{20}"... has 257 bytes; the limit is 256`},
		{key, `1`, []string{"Perdure-Id", "attribute", "Perdure-Attr-a", "\xff"}, "invalid", `the header "Perdure-Attr-a" is "\\xff", which is not UTF-8; .*`},
		{key, `1`, []string{"Perdure-Id", "run", "Perdure-Signal", "go", "Perdure-Run", "m\xff"}, "invalid", `the header "Perdure-Run" is "m\\xff", which is not UTF-8; .*`},
		{key, `1`, []string{"Perdure-Id", "name", "Perdure-Update", "go\xff", "Perdure-Run", "m"}, "invalid", `the header "Perdure-Update" is "go\\xff", which is not UTF-8; .*`},
		{key, `1`, []string{"Perdure-Id", "mark", "Perdure-Update", "go", "Perdure-Run", "m\ufffd"}, "invalid", `Perdure-Run: .* contains U\+FFFD, the mark of a broken encoding`},
		{key, `"` + strings.Repeat("x", 2*oneKiB) + `"`, []string{"Perdure-Id", "signalled", "Perdure-Signal", "go", "Perdure-Run", "m"}, "too_large", `value of the signal "go": too large: it has 2050 bytes; the cap is 1024: store it elsewhere and send its name`},
		{key, `"` + strings.Repeat("x", 2*oneKiB) + `"`, []string{"Perdure-Id", "updated", "Perdure-Update", "go", "Perdure-Run", "m"}, "too_large", `value of the update "go": too large: .*`},
		{key, `1`, []string{"Perdure-Id", "envelope", "Perdure-Envelope", "7"}, "invalid", `envelope version "7" is unknown: this node reads 1; upgrade it, or send the input as JSON without Perdure-Envelope`},
	} {
		before := len(deadLetters(t, nc, "account"))
		send(t, nc, tt.subject, tt.body, tt.headers...)
		var dead []deadLetter
		for end := time.Now().Add(testWait); len(dead) <= before && time.Now().Before(end); {
			dead = deadLetters(t, nc, "account")
		}
		if len(dead) != before+1 {
			t.Fatalf("%s: %d dead letters, want %d", tt.headers, len(dead), before+1)
		}
		d := dead[before]
		if d.Code != tt.code || !regexp.MustCompile("^"+tt.reason+"$").MatchString(d.Reason) || d.Body != tt.body || d.ID != tt.headers[1] {
			t.Errorf("the dead letter is %+v, want one of code %s that says %s", d, tt.code, tt.reason)
		}
	}
	_, e := api[struct{}](t, nc, "runs.start", `{"kind":"account","key":"k","id":"shoved","input":{"cents":1},"busy":"shove"}`)
	if e.Code != "invalid" || e.Message != `start account/k: busy "shove" is unknown; there are queue, reject, interrupt and replace` {
		t.Errorf("an unknown policy: %+v", e)
	}
	_, e = api[struct{}](t, nc, "runs.get", `{"run":"account/k/malformed"}`)
	if e.Code != "not_found" || !strings.Contains(e.Message, "no run account/k/malformed: its task was put aside as a dead letter, number 1, because of invalid: body") {
		t.Errorf("its run is %+v", e)
	}
	send(t, nc, key, `{"cents":5}`, "Perdure-Id", "good", "Perdure-Method", "pay", "Perdure-Busy", "queue")
	reaches(t, nc, "account/k/good", "completed")

	// it can be read by any client, too
	js, err := nc.JetStream()
	if err != nil {
		t.Fatal(err)
	}
	m, err := js.GetMsg("perdure_DEAD", 1)
	if err != nil {
		t.Fatal(err)
	}
	if m.Subject != "perdure.dead.account.k" || m.Header.Get("Perdure-Code") != "invalid" || m.Header.Get("Perdure-Id") != "malformed" {
		t.Errorf("the first dead letter is %s with %v", m.Subject, m.Header)
	}
}

// What a publisher has nothing to say by is no reason not to do what it asks for: a
// trace context that is none, and headers that are not Perdure's. An update with
// one is answered, and carried on by a run that continues as new.
func TestBadInput_TraceThatIsNoneIsLeftOut(t *testing.T) {
	t.Parallel()
	var (
		counts = durable.DeclareWorkflow[int, int]("counts")
		add    = durable.DeclareUpdate[int, int]("add")
		next   = durable.DeclareSignal[int]("next")
	)
	nc := plain(t, running(t, "", perdure.Host(greetKind(), durable.Workflow(counts, func(ctx durable.Context, n int) (int, error) {
		durable.OnUpdate(ctx, add, nil, func(_ durable.Context, by int) (int, error) { return n + by, nil })
		by, err := durable.Await(ctx, next)
		if err != nil || by == 0 {
			return n, err
		}
		return 0, durable.ContinueAsNew(ctx, n+by)
	}))))
	for i, h := range [][]string{
		{"traceparent", "00-\xff-01"}, {"tracestate", "a=\xff"}, {"baggage", strings.Repeat("x", 20_000)}, {"X-Name", "Z\xfcrich"},
	} {
		key := fmt.Sprint("k", i)
		send(t, nc, "perdure.task.local.greet."+key, `"you"`, append(h, "Perdure-Id", key)...)
		reaches(t, nc, "greet/"+key+"/"+key, "completed")
		send(t, nc, "perdure.task.local.counts."+key, `1`, append(h, "Perdure-Id", key)...)
		answers, err := nc.SubscribeSync("perdure.done.counts." + key + ".u")
		if err == nil {
			err = nc.Flush()
		}
		if err != nil {
			t.Fatal(err)
		}
		reaches(t, nc, "counts/"+key+"/"+key, "running")
		send(t, nc, "perdure.task.local.counts."+key, `1`, append(h, "Perdure-Update", "add", "Perdure-Run", key, "Perdure-Id", "u")...)
		if m, err := answers.NextMsgWithContext(testContext(t)); err != nil || !strings.Contains(string(m.Data), `"result":2`) {
			t.Fatalf("%q: the update is answered by %v (%v), want 2", h, m, err)
		}
		for _, by := range []string{`2`, `0`} {
			send(t, nc, "perdure.task.local.counts."+key, by, append(h, "Perdure-Signal", "next", "Perdure-Run", key, "Perdure-Id", "s"+by)...)
		}
		reaches(t, nc, "counts/"+key+"/"+key, "completed")
	}
	if dead := deadLetters(t, nc, ""); len(dead) != 0 {
		t.Errorf("there are dead letters: %+v", dead)
	}
}

// What is well formed and wrong is a run that fails.
func TestBadInput_OfAForeignPublisherFailsItsRun(t *testing.T) {
	t.Parallel()
	m := agentstest.Model(t, scripted.Weather())
	agent := agents.New(durable.Declare[string, string]("agent"), agents.UseModel(m))
	nc := plain(t, running(t, "", perdure.Host(greetKind(), accountKind(), agent)))
	for _, tt := range []struct{ kind, method, body, code, message string }{
		{"account", "steal", `{"cents":1}`, "not_found", `actor "account" has no method "steal"; it has "close", "pay"`},
		{"account", "", `{"cents":1}`, "not_found", `actor "account" has no method ""; it has "close", "pay"`},
		{"account", "pay", `{"cents":"one"}`, "invalid", `input of account/k/\S+: perdure_test\.amount is wanted as JSON: .*string.*int.*`},
		{"account", "pay", `[1]`, "invalid", `input of account/k/\S+: perdure_test\.amount is wanted as JSON: .*array.*`},
		{"greet", "", `7`, "invalid", `input of greet/k/\S+: string is wanted as JSON: .*number.*`},
		{"agent", "", `{"massage":"hello"}`, "invalid", `.*message.*`},
		{"agent", "", `""`, "invalid", `input of agent/k/\S+: the message is empty; say what the agent is to do`},
	} {
		id := fmt.Sprintf("%s-%s-%x", tt.kind, tt.method, tt.body)
		send(t, nc, "perdure.task.local."+tt.kind+".k", tt.body, "Perdure-Id", id, "Perdure-Method", tt.method)
		info := reaches(t, nc, tt.kind+"/k/"+id, "failed")
		if info.Error == nil || info.Error.Code != tt.code || !regexp.MustCompile("^"+tt.message+"$").MatchString(info.Error.Message) {
			t.Errorf("%s.%s %s fails with %+v, want code %s and %s", tt.kind, tt.method, tt.body, info.Error, tt.code, tt.message)
		}
	}
	if q := answered[struct{ Result int }](t, nc, "actors.query", `{"actor":"account/k","query":"balance"}`); q.Result != 0 {
		t.Errorf("the balance is %d, want 0", q.Result)
	}
	m.WantCalls(0)
	if dead := deadLetters(t, nc, ""); len(dead) != 0 {
		t.Errorf("there are dead letters: %+v", dead)
	}
}

// The same ID with another input: the first run stands, and the second message
// is kept.
func TestBadInput_ForeignConflictIsADeadLetter(t *testing.T) {
	t.Parallel()
	nc := plain(t, running(t, "", perdure.Host(accountKind())))
	const key = "perdure.task.local.account.k"
	send(t, nc, key, `{"cents":5}`, "Perdure-Id", "m", "Perdure-Method", "pay")
	reaches(t, nc, "account/k/m", "completed")
	send(t, nc, key, ` { "cents" : 5 } `, "Perdure-Id", "m", "Perdure-Method", "pay") // the same
	send(t, nc, key, `{"cents":6}`, "Perdure-Id", "m", "Perdure-Method", "pay")
	send(t, nc, key, `{"cents":1}`, "Perdure-Id", "last", "Perdure-Method", "pay")
	if last := reaches(t, nc, "account/k/last", "completed"); string(last.Result) != "6" {
		t.Errorf("the balance is %s, want 6", last.Result)
	}
	want := []deadLetter{{
		ID: "m", Code: "conflict", Body: `{"cents":6}`, Subject: "",
		Reason: "account/k/m was started before with another input; use another key, or another message ID (durable.MessageID), or ask for the run that exists",
	}}
	var got []deadLetter
	eventually(t, "there is a dead letter", func() bool { got = deadLetters(t, nc, "account"); return len(got) > 0 })
	for i := range got {
		got[i].Subject = ""
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("dead letters (-want +got):\n%s", diff)
	}
}

// A kind that nobody has ever hosted has no inbox: nothing is accepted.
func TestBadInput_ForeignTaskOfAnUnknownKindIsNotAccepted(t *testing.T) {
	t.Parallel()
	nc := plain(t, running(t, "", perdure.Host(greetKind())))
	_, err := nc.RequestWithContext(testContext(t), "perdure.task.local.nobody.k", []byte(`1`))
	if !errors.Is(err, nats.ErrNoResponders) {
		t.Errorf("the publish is answered by %v, want no responders", err)
	}
	_, e := api[struct{}](t, nc, "runs.start", `{"kind":"nobody","key":"k"}`)
	if want := `start nobody/k: no node has ever hosted a kind "nobody"; start one that does, or correct the name`; e.Code != "not_found" || e.Message != want {
		t.Errorf("runs.start answers %+v, want %s", e, want)
	}
}

// A message that a run sends to a kind that nobody has ever hosted does not hold
// the run up, and is kept.
func TestBadInput_SentToAnUnknownKindIsADeadLetter(t *testing.T) {
	t.Parallel()
	sends := durable.DeclareWorkflow[string, string]("sends")
	nobody := durable.Declare[string, string]("nobody")
	node := running(t, "", perdure.Logger(silent), perdure.Host(durable.Workflow(sends, func(ctx durable.Context, in string) (string, error) {
		ref, err := durable.Send(ctx, nobody.At("k"), in)
		return ref.String(), err
	})))
	nc := plain(t, node)
	id, err := perdure.Call(testContext(t), node.Client(), sends.At("a"), "hello")
	if err != nil {
		t.Fatal(err)
	}
	var dead []deadLetter // a result may be seen before the messages of its run have left
	for end := time.Now().Add(testWait); len(dead) == 0 && time.Now().Before(end); {
		dead = deadLetters(t, nc, "nobody")
	}
	if len(dead) != 1 || "nobody/k/"+dead[0].ID != id || dead[0].Code != "not_found" || !strings.Contains(dead[0].Reason, "has ever hosted the kind") {
		t.Errorf("the dead letters are %+v, want one of %s", dead, id)
	}
	says(t, getError(t, node, id), "not_found", `no run nobody/k/\w+: its task was put aside as a dead letter, number 1, because of not_found: .*`)
}

func getError(t testing.TB, node *perdure.Node, ref string) error {
	t.Helper()
	_, err := node.Client().Get(testContext(t), ref)
	return err
}

// Code that misbehaves fails its run, and nothing else.
func TestBadInput_OfCodeAndModels(t *testing.T) {
	t.Parallel()
	var (
		panics = durable.DeclareWorkflow[string, string]("panics")
		large  = durable.DeclareWorkflow[int, string]("large")
		agent  = durable.Declare[string, string]("agent")
	)
	type place struct {
		City string `json:"city"`
	}
	tools := agents.Tools(agents.Func("get_weather", "Current weather in a city", func(_ context.Context, p place) (string, error) {
		if p.City == "Atlantis" {
			panic("it is under water")
		}
		return "rain", nil
	}, agents.Retry(2, time.Millisecond)))
	asked := 0
	m := agentstest.Model(t, scripted.Script{Rules: []scripted.Rule{{Func: func(r *scripted.Request) scripted.Reply {
		calls := []scripted.Call{
			{Name: "get_wether", Arguments: `{"city":"Oslo"}`},
			{Name: "get_weather", Arguments: `{"city":`},
			{Name: "get_weather", Arguments: `{"city":7}`},
			{Name: "get_weather", Arguments: `{"city":"Atlantis"}`},
		}
		if asked++; asked <= len(calls) {
			return scripted.Reply{Calls: calls[asked-1 : asked]}
		}
		var told []string
		for _, m := range r.Messages {
			if m.Role == "tool" {
				told = append(told, m.Content)
			}
		}
		return scripted.Reply{Text: strings.Join(told, "\n")}
	}}}})
	node := running(t, "", perdure.PayloadCap(4*oneKiB), perdure.Host(
		durable.Workflow(panics, func(ctx durable.Context, where string) (string, error) {
			if where == "handler" {
				panic("in the handler")
			}
			return durable.Step(ctx, "panic", func(context.Context) (string, error) { panic("in the step") }, durable.Retry(2, time.Millisecond))
		}),
		durable.Workflow(large, func(ctx durable.Context, n int) (string, error) {
			if n < 0 {
				return strings.Repeat("x", -n), nil
			}
			return durable.Step(ctx, "make", func(context.Context) (string, error) { return strings.Repeat("x", n), nil })
		}),
		agents.New(agent, agents.UseModel(m), tools),
	))
	c, ctx := node.Client(), testContext(t)
	_, err := perdure.Call(ctx, c, panics.At("step"), "step")
	says(t, err, "panic", `.*panic: in the step`)
	_, err = perdure.Call(ctx, c, panics.At("handler"), "handler")
	says(t, err, "panic", `.*panic: in the handler`)
	_, err = perdure.Call(ctx, c, large.At("step"), 8*oneKiB)
	says(t, err, "too_large", `the result of step 1 "make" has 8194 bytes; the cap is 4096: store it elsewhere and return its name`)
	_, err = perdure.Call(ctx, c, large.At("run"), -8*oneKiB)
	says(t, err, "too_large", `.*8194 bytes; the cap is 4096: store it elsewhere and return its name`)

	told, err := perdure.Call(ctx, c, agent.At("a"), "Do I need a coat?")
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(told, "\n")
	for i, parts := range [][]string{
		{"unknown_tool", `"get_wether"`, "there are: get_weather"},
		{"bad_arguments", "unexpected end of JSON"},
		{"bad_arguments", "city", "string"},
		{"panic", "it is under water"},
	} {
		for _, p := range parts {
			if i >= len(lines) || !strings.Contains(strings.ReplaceAll(lines[i], `\"`, `"`), p) {
				t.Errorf("the model was told %q, want %q in number %d", lines, p, i+1)
			}
		}
	}
	m.WantCalls(5)
}

func TestBadInput_OfWhoOpensANode(t *testing.T) {
	t.Parallel()
	ctx := testContext(t)
	host := perdure.Host(greetKind())
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	used := running(t, "", host)
	without := brokertest.Server(t, func(c *brokertest.ServerConfig) { c.NoJetStream = true })
	open := func(opts ...perdure.Option) error {
		node, err := perdure.Open(ctx, append(opts, perdure.Logger(silent))...)
		if err == nil {
			err = errors.Join(errors.New("it opened"), node.Close())
		}
		return err
	}
	connect := func(url string, opts ...perdure.Option) error {
		node, err := perdure.Connect(ctx, url, append(opts, perdure.Logger(silent))...)
		if err == nil {
			err = errors.Join(errors.New("it opened"), node.Close())
		}
		return err
	}
	_, dial := perdure.Dial(ctx, without.URL(), perdure.Logger(silent))
	bad := durable.Workflow(durable.DeclareWorkflow[string, string]("no good"), func(durable.Context, string) (string, error) { return "", nil })
	unbound := durable.Workflow(durable.DeclareWorkflow[string, string]("unbound"), (func(durable.Context, string) (string, error))(nil))
	for name, tt := range map[string]struct {
		err   error
		is    error
		parts []string
	}{
		"foreign directory":  {open(host, perdure.Dir(filepath.Dir(file))), broker.ErrDirForeign, []string{filepath.Dir(file), "perdure.lock but file", "use an empty or a new directory"}},
		"unusable directory": {open(host, perdure.Dir(filepath.Join(file, "below"))), broker.ErrDirUnusable, []string{file, "not a directory"}},
		"port in use":        {open(host, perdure.Dir(t.TempDir()), perdure.Listen(strings.TrimPrefix(used.URL(), "nats://"))), broker.ErrPortInUse, []string{used.URL()[7:], "choose another port or stop the program that has it"}},
		"no JetStream":       {connect(without.URL(), host), broker.ErrNoJetStream, []string{"enable"}},
		"dial, no JetStream": {dial, broker.ErrNoJetStream, []string{"enable"}},
		"no server":          {connect("nats://127.0.0.1:1", host), durable.ErrUnavailable, []string{"connect to nats://127.0.0.1:1", "check the URL and that the server runs"}},
		"no kinds":           {open(perdure.Dir(t.TempDir())), nil, []string{"it hosts no kind; add perdure.Host(...), or use Dial for a process that only calls"}},
		"no directory":       {open(host), nil, []string{"set a data directory to embed one (perdure.Dir), or connect to yours (perdure.Connect)"}},
		"quorum, embedded":   {open(host, perdure.Dir(t.TempDir()), perdure.WithDurability(perdure.Quorum)), nil, []string{"an embedded server by itself holds 1 replica, and 3 are asked for, as many as durability quorum needs; form a cluster (perdure.Cluster), connect to one (perdure.Connect), or use disk or process"}},
		"bad kinds":          {open(perdure.Dir(t.TempDir()), perdure.Host(bad, unbound), perdure.Retention(time.Minute)), nil, []string{`"no good"`, `"unbound"`, "retention of 1m0s: it is at least 2h0m0s"}},
		"no runs at once":    {open(host, perdure.Dir(t.TempDir()), perdure.MaxRuns(0)), nil, []string{"at most 0 runs at once: it is at least 1"}},
		"kind taken":         {connect(used.URL(), host, perdure.Pool("other")), broker.ErrKindTaken, []string{`kind "greet" is of pool "default"`, "a kind stays in the pool", "start this node in the pool that has the kind"}},
	} {
		if tt.err == nil || tt.is != nil && !errors.Is(tt.err, tt.is) {
			t.Errorf("%s: the error is %v, want %v", name, tt.err, tt.is)
			continue
		}
		for _, p := range tt.parts {
			if !strings.Contains(tt.err.Error(), p) {
				t.Errorf("%s: the error is %v, which does not say %q", name, tt.err, p)
			}
		}
	}
	if left, err := os.ReadDir(filepath.Dir(file)); err != nil || len(left) != 1 {
		t.Errorf("the foreign directory holds %v (%v), want what it held", left, err)
	}
}

// Every code that the page names exists, and the other way round.
func TestErrors_ThePageIsCurrent(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join("docs", "reference", "errors.md"))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\|.*\\| (\\d*) ?\\|$").FindAllStringSubmatch(string(text), -1) {
		got = append(got, m[1])
		if m[2] != "" && m[2] != perdure.HTTPCode(m[1]) {
			t.Errorf("the page has the status %s of %s, the API answers %s", m[2], m[1], perdure.HTTPCode(m[1]))
		}
	}
	var want []string
	for _, file := range []string{"runtime/errors.go", "agents/errors.go"} {
		src, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`Code: "([a-z_]+)"`).FindAllStringSubmatch(string(src), -1) {
			want = append(want, m[1])
		}
	}
	slices.Sort(got)
	slices.Sort(want)
	if diff := cmp.Diff(slices.Compact(want), got); diff != "" {
		t.Errorf("codes (-code +page):\n%s", diff)
	}
}
