package perdure_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"github.com/perdure/perdure"
	"github.com/perdure/perdure/actors"
	"github.com/perdure/perdure/durable"
)

// The kinds of the tests of the API, the wire and bad input.

type amount struct {
	Cents int `json:"cents"`
}

type account struct {
	Cents int      `json:"cents"`
	Notes []string `json:"notes,omitempty"`
}

var (
	greet        = durable.DeclareWorkflow[string, string]("greet")
	pay          = durable.Declare[amount, int]("account.pay")
	closeAccount = durable.Declare[durable.None, int]("account.close")
	balance      = durable.DeclareQuery[durable.None, int]("account.balance")
	held         = durable.Declare[string, string]("held")
)

// A gate holds the steps of the workflow held until it is opened.
type gate struct {
	arrived chan string   // the keys of runs that wait
	open    chan struct{} // closed to let them go on
	once    sync.Once
}

func newGate() *gate { return &gate{arrived: make(chan string, 100), open: make(chan struct{})} }

func (g *gate) release() { g.once.Do(func() { close(g.open) }) }

func (g *gate) kind() *durable.Kind {
	return actors.New(actors.Handlers[durable.None]{actors.On(held, func(ctx durable.Context, _ *durable.None, in string) (string, error) {
		key := ctx.Info().Key
		return durable.Step(ctx, "wait", func(ctx context.Context) (string, error) {
			g.arrived <- key
			select {
			case <-g.open:
				return in, nil
			case <-ctx.Done():
				return "", ctx.Err()
			}
		})
	})})
}

func greetKind() *durable.Kind {
	return durable.Workflow(greet, func(ctx durable.Context, name string) (string, error) {
		return durable.Step(ctx, "greet", func(context.Context) (string, error) { return "Hello, " + name + "!", nil })
	})
}

func accountKind() *durable.Kind {
	return actors.New(actors.Handlers[account]{
		actors.On(pay, func(_ durable.Context, a *account, in amount) (int, error) {
			a.Cents += in.Cents
			return a.Cents, nil
		}),
		actors.On(closeAccount, func(_ durable.Context, a *account, _ durable.None) (int, error) {
			left := a.Cents
			*a = account{}
			return left, nil
		}),
		actors.OnQuery(balance, func(a account, _ durable.None) (int, error) { return a.Cents, nil }),
	})
}

// testWait bounds what a test waits for.
const testWait = 2 * time.Minute

func testContext(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), testWait)
	t.Cleanup(cancel)
	return ctx
}

var silent = slog.New(slog.NewTextHandler(io.Discard, nil))

// running opens a node with an embedded server, or, with a URL, on a server that
// runs; it takes work when running returns, and leaves with the test.
func running(t testing.TB, url string, opts ...perdure.Option) *perdure.Node {
	t.Helper()
	opts = append([]perdure.Option{perdure.Logger(silent)}, opts...)
	var node *perdure.Node
	var err error
	if url == "" {
		opts = append([]perdure.Option{perdure.Dir(t.TempDir()), perdure.Listen("127.0.0.1:0"), perdure.WithDurability(perdure.Process)}, opts...)
		node, err = perdure.Open(testContext(t), opts...)
	} else {
		node, err = perdure.Connect(testContext(t), url, opts...)
	}
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- node.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("the node ended with %v", err)
		}
	})
	select {
	case <-node.Ready():
	case err := <-ended:
		ended <- err
		t.Fatalf("the node ended with %v", err)
	case <-testContext(t).Done():
		t.Fatal("the node is not ready")
	}
	return node
}

// plain is a NATS connection that knows nothing of this library.
func plain(t testing.TB, node *perdure.Node) *nats.Conn {
	t.Helper()
	nc, err := nats.Connect(node.URL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc
}

// send publishes a task as any NATS client would, and returns when it is
// accepted.
func send(t testing.TB, nc *nats.Conn, subject, body string, headers ...string) {
	t.Helper()
	msg := nats.NewMsg(subject)
	msg.Data = []byte(body)
	for i := 0; i < len(headers); i += 2 {
		msg.Header[headers[i]] = []string{headers[i+1]}
	}
	ack, err := nc.RequestMsgWithContext(testContext(t), msg)
	if err != nil {
		t.Fatalf("publish on %s: %v", subject, err)
	}
	if !strings.Contains(string(ack.Data), `"seq"`) {
		t.Fatalf("publish on %s is answered by %s", subject, ack.Data)
	}
}

// api asks an endpoint. An error is one of the contract's form.
func api[Out any](t testing.TB, nc *nats.Conn, endpoint, body string) (Out, perdure.APIError) {
	t.Helper()
	var out Out
	var e perdure.APIError
	m, err := nc.RequestWithContext(testContext(t), "perdure.api."+endpoint, []byte(body))
	if err != nil {
		t.Fatalf("%s: %v", endpoint, err)
	}
	target := any(&out)
	if m.Header.Get("Nats-Service-Error-Code") != "" {
		target = &e
	}
	if err := json.Unmarshal(m.Data, target); err != nil {
		t.Fatalf("%s answers %s: %v", endpoint, m.Data, err)
	}
	return out, e
}

// answered is api for what must succeed.
func answered[Out any](t testing.TB, nc *nats.Conn, endpoint, body string) Out {
	t.Helper()
	out, e := api[Out](t, nc, endpoint, body)
	if e.Code != "" {
		t.Fatalf("%s %s: %s: %s", endpoint, body, e.Code, e.Message)
	}
	return out
}

// reaches asks for a run until it has a status.
func reaches(t testing.TB, nc *nats.Conn, ref, status string) perdure.RunInfo {
	t.Helper()
	last, e := perdure.RunInfo{}, perdure.APIError{}
	for end := time.Now().Add(testWait); time.Now().Before(end); {
		if last, e = api[perdure.RunInfo](t, nc, "runs.get", `{"run":"`+ref+`"}`); e.Code == "" && last.Status == status {
			return last
		}
	}
	t.Fatalf("%s is %s (%+v), want %s", ref, last.Status, e, status)
	return last
}

func TestAPI_ListIsPagedTheNewestFirst(t *testing.T) {
	t.Parallel()
	node := running(t, "", perdure.Host(greetKind(), accountKind()))
	nc, ctx := plain(t, node), testContext(t)
	var want []string
	for _, key := range []string{"a", "b", "c", "d", "e"} {
		if _, err := perdure.Call(ctx, node.Client(), greet.At(key), key); err != nil {
			t.Fatal(err)
		}
		want = append(want, "greet/"+key+"/"+key)
	}
	slices.Reverse(want)
	if _, err := perdure.Call(ctx, node.Client(), pay.At("a"), amount{1}); err != nil {
		t.Fatal(err)
	}
	type page struct {
		Runs []struct{ Run, Status string }
		More bool
	}
	var got []string
	after := ""
	for range 4 {
		p := answered[page](t, nc, "runs.list", `{"kind":"greet","limit":2,"after":"`+after+`"}`)
		for _, r := range p.Runs {
			got, after = append(got, r.Run), r.Run
		}
		if !p.More {
			break
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the pages (-want +got):\n%s", diff)
	}
	if p := answered[page](t, nc, "runs.list", `{"key":"a"}`); len(p.Runs) != 2 {
		t.Errorf("key a has the runs %v, want 2", p.Runs)
	}
	if p := answered[page](t, nc, "runs.list", `{"status":"failed"}`); p.Runs == nil || len(p.Runs) != 0 || p.More {
		t.Errorf("the failed runs are %+v, want an empty list", p)
	}
	if _, e := api[page](t, nc, "runs.list", `{"limit":1001}`); e.Code != "invalid" {
		t.Errorf("a limit of 1001 is %+v, want invalid", e)
	}
	if _, e := api[page](t, nc, "runs.list", `{"status":"bogus"}`); e.Code != "invalid" || e.Message != `"bogus" is no status of a run; there are "queued", "running", "suspended", "completed", "failed", "cancelled", "stalled", "nondeterministic", "poisoned", "paused"` {
		t.Errorf("a status that does not exist is %+v", e)
	}
	for endpoint, want := range map[string]string{
		"runs.list":  `the request has no field "state"; it has "kind", "key", "key_prefix", "status", "build", "asks", "started_from", "started_until", "updated_from", "updated_until", "where", "limit", "after"`,
		"runs.get":   `the request has no field "state"; it has "run", "results"`,
		"dead.list":  `the request has no field "state"; it has "seq", "kind", "key", "code", "since", "until", "after", "limit"`,
		"nodes.list": `the request has no field "state"; it has none`,
	} {
		if _, e := api[page](t, nc, endpoint, `{"state":"failed"}`); e.Code != "invalid" || e.Message != want {
			t.Errorf("a field that %s does not have is %+v, want %s", endpoint, e, want)
		}
	}
	if _, e := api[page](t, nc, "runs.list", `{"limit":`); e.Code != "invalid" || !strings.Contains(e.Message, "is not the JSON that is wanted") {
		t.Errorf("half a request is %+v, want invalid", e)
	}
}

func TestAPI_EventsAreTheJournal(t *testing.T) {
	t.Parallel()
	g := newGate()
	node := running(t, "", perdure.Host(g.kind()))
	t.Cleanup(g.release)
	nc, ctx := plain(t, node), testContext(t)
	run, err := perdure.Start(ctx, node.Client(), held.At("k"), "in", perdure.MessageID("m"))
	if err != nil {
		t.Fatal(err)
	}
	<-g.arrived
	type journal struct {
		Run    string
		Events []actors.Event
	}
	live := answered[journal](t, nc, "runs.events", `{"run":"held/k/m"}`)
	if n := len(live.Events); live.Run != "held/k/m" || n != 2 || !strings.Contains(string(live.Events[0].Event), `"claimed"`) || !strings.Contains(string(live.Events[1].Event), `"started"`) {
		t.Errorf("the events of a run that waits are %+v", live)
	}
	last := live.Events[len(live.Events)-1].Seq
	g.release()
	if _, err := run.Result(ctx); err != nil {
		t.Fatal(err)
	}
	ended := answered[journal](t, nc, "runs.events", `{"run":"held/k/m"}`)
	if len(ended.Events) != 1 || ended.Events[0].Seq <= last || !strings.Contains(string(ended.Events[0].Event), `"COMPLETED"`) {
		t.Errorf("the events of a run that has ended are %+v, want its record", ended)
	}
	if later := answered[journal](t, nc, "runs.events", `{"run":"held/k/m","from":`+jsonOf(t, ended.Events[0].Seq+1)+`}`); len(later.Events) != 0 {
		t.Errorf("events behind the last are %+v", later)
	}
	if _, e := api[journal](t, nc, "runs.events", `{"run":"held/k/none"}`); e.Code != "not_found" {
		t.Errorf("the events of no run are %+v, want not_found", e)
	}
}

func jsonOf(t testing.TB, v any) string {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// Two pools in one namespace: whichever node is asked answers for both.
func TestAPI_AnyNodeAnswersForEveryPool(t *testing.T) {
	t.Parallel()
	first := running(t, "", perdure.Host(greetKind()), perdure.Name("one"))
	running(t, first.URL(), perdure.Host(accountKind()), perdure.Pool("second"), perdure.Name("two"))
	nc := plain(t, first)
	for range 8 { // both are asked, by turns or not
		if r := answered[struct{ Run string }](t, nc, "runs.start", `{"kind":"greet","key":"w","input":"w"}`); r.Run != "greet/w/w" {
			t.Errorf("a workflow's run is %s, want its key as ID", r.Run)
		}
		r := answered[struct{ Run string }](t, nc, "runs.start", `{"kind":"account","key":"a","method":"pay","input":{"cents":1}}`)
		if id := strings.TrimPrefix(r.Run, "account/a/"); len(id) != 26 {
			t.Errorf("an actor's run is %s, want an ID that was made", r.Run)
		}
		reaches(t, nc, r.Run, "completed")
		kinds := answered[struct {
			Kinds []struct {
				Kind, Type       string
				Methods, Queries []string
			}
		}](t, nc, "kinds.list", ``)
		if diff := cmp.Diff(`{"Kinds":[{"Kind":"account","Type":"actor","Methods":["close","pay"],"Queries":["balance"]},{"Kind":"greet","Type":"workflow","Methods":[""],"Queries":null}]}`, jsonOf(t, kinds)); diff != "" {
			t.Errorf("the kinds (-want +got):\n%s", diff)
		}
		nodes := answered[struct {
			Nodes []struct {
				Node, Pool string
				Kinds      []string
			}
		}](t, nc, "nodes.list", ``)
		if diff := cmp.Diff(`{"Nodes":[{"Node":"one","Pool":"default","Kinds":["greet"]},{"Node":"two","Pool":"second","Kinds":["account"]}]}`, jsonOf(t, nodes)); diff != "" {
			t.Errorf("the nodes (-want +got):\n%s", diff)
		}
	}
	if q := answered[struct{ Result int }](t, nc, "actors.query", `{"actor":"account/a","query":"balance"}`); q.Result != 8 {
		t.Errorf("the balance is %d, want 8", q.Result)
	}
	if _, e := api[struct{}](t, nc, "actors.query", `{"actor":"account/a","query":"color"}`); e.Code != "not_found" || e.Message != `actor "account" has no query "color"; it has "balance"` {
		t.Errorf("a query that does not exist is %+v", e)
	}
}

// What a client asks while no node of a kind is there is refused or waits; it is
// never lost.
func TestAPI_AKindWithoutANode(t *testing.T) {
	t.Parallel()
	first := running(t, "", perdure.Host(greetKind()))
	second, err := perdure.Connect(testContext(t), first.URL(), perdure.Host(accountKind()), perdure.Pool("second"), perdure.Logger(silent))
	if err != nil {
		t.Fatal(err)
	}
	if err := second.Close(); err != nil { // it was there once
		t.Fatal(err)
	}
	nc := plain(t, first)
	_, e := api[struct{}](t, nc, "runs.start", `{"kind":"account","key":"a","method":"pay","input":{"cents":1}}`)
	if want := `start account/a: no node that hosts the kind "account" answers, so it cannot be said which ID the run gets; start one, or name an ID`; e.Code != "unavailable" || e.Message != want {
		t.Errorf("a start without an ID is %+v, want %s", e, want)
	}
	_, e = api[struct{}](t, nc, "actors.query", `{"actor":"account/a","query":"balance"}`)
	if e.Code != "unavailable" {
		t.Errorf("a query is %+v, want unavailable", e)
	}
	answered[struct{}](t, nc, "runs.start", `{"kind":"account","key":"a","method":"pay","id":"m","input":{"cents":1}}`)
	if info := answered[perdure.RunInfo](t, nc, "runs.get", `{"run":"account/a/m"}`); info.Status != "queued" || info.Method != "pay" || info.Published.IsZero() {
		t.Errorf("the run is %+v, want queued", info)
	}
	running(t, first.URL(), perdure.Host(accountKind()), perdure.Pool("second"))
	reaches(t, nc, "account/a/m", "completed")
}

func TestAPI_WithoutANodeIsUnavailable(t *testing.T) {
	t.Parallel()
	node, err := perdure.Open(testContext(t), perdure.Dir(t.TempDir()), perdure.Host(greetKind()), perdure.Logger(silent))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := node.Close(); err != nil {
			t.Error(err)
		}
	})
	_, err = node.Client().Get(testContext(t), "greet/a/a") // it does not run
	if !errors.Is(err, durable.ErrUnavailable) || err.Error() != `runs.get: no node of namespace "perdure" answers; start one, or wait until it is ready: node.Ready() in Go, the line 'ready' of perdure dev` {
		t.Errorf("the error is %v", err)
	}
}
