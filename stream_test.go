package perdure_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"github.com/perdure/perdure"
	"github.com/perdure/perdure/agents"
	"github.com/perdure/perdure/agents/models/anthropic"
	"github.com/perdure/perdure/agents/models/openai"
	"github.com/perdure/perdure/agents/models/scripted"
	"github.com/perdure/perdure/broker/brokertest"
	"github.com/perdure/perdure/durable"
)

var teller = durable.Declare[string, string]("teller")

type page struct {
	Name string `json:"name"`
}

// tellerKind is an agent that reads pages.
func tellerKind(m agents.Model, read func(context.Context, page) (string, error)) *durable.Kind {
	return agents.New(teller, agents.UseModel(m, agents.Retry(6, time.Millisecond)), agents.Tools(agents.Func("read", "Read a page", read)))
}

func readPageTool(ctx context.Context, p page) (string, error) {
	return "page " + p.Name, durable.Say(ctx, "reading "+p.Name)
}

// A reading is a run of the teller on one of two nodes, and clients beside them.
type reading struct {
	*typist
	url   string
	nodes []*perdure.Node
	run   *perdure.Run[string]
}

func startReading(t testing.TB, opts ...perdure.Option) *reading {
	t.Helper()
	r := &reading{typist: newTypist(t), url: brokertest.Server(t).URL()}
	for i := range 2 {
		opts := append([]perdure.Option{perdure.Name(fmt.Sprint("node", i+1)), perdure.Partitions(4), perdure.Grace(time.Second), perdure.Host(tellerKind(r.model(), readPageTool))}, opts...)
		r.nodes = append(r.nodes, running(t, r.url, opts...))
	}
	var err error
	if r.run, err = perdure.Start(testContext(t), r.client(t), teller.At("me"), "Tell me.", perdure.MessageID("q")); err != nil {
		t.Fatal(err)
	}
	return r
}

// client returns a client with a connection of its own.
func (r *reading) client(t testing.TB) *perdure.Client { return dial(t, r.url) }

func dial(t testing.TB, url string, opts ...perdure.Option) *perdure.Client {
	t.Helper()
	c, err := perdure.Dial(testContext(t), url, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// TestStream_TellsWhileItIsWritten: whoever watches a run, whichever node executes it, sees
// the message before it is whole, the tool that it wants called, what that says, and the
// end of all.
func TestStream_TellsWhileItIsWritten(t *testing.T) {
	t.Parallel()
	r := startReading(t)
	s := newScreen()
	watch(t, r.client(t), r.run.Ref(), s)
	first := r.next()
	first.write("Let me ", "see")
	s.shows(t, "1", "Let me see")
	first.call("read", `{"name":"seven"}`)
	second := r.next()
	s.until(t, "the page", func(s *screen) bool { return s.ended["2"].Type != "" })
	second.write("It says: ")
	s.shows(t, "3", "It says: ")
	second.finish("page ", "seven.")
	s.over(t)
	s.right(t)
	want := map[string]string{"1": "Let me see", "2": "reading seven", "3": "It says: page seven."}
	if diff := cmp.Diff(want, s.text); diff != "" {
		t.Errorf("told (-want +got):\n%s", diff)
	}
	if got := strings.Join(s.order, ","); got != "model,tool read,model" || len(s.voids) > 0 {
		t.Errorf("the steps that ended are %s, void %q", got, s.voids)
	}
	if calls := s.ended["1"].Message.ToolCalls; len(calls) != 1 || calls[0].Name != "read" || calls[0].Arguments != `{"name":"seven"}` {
		t.Errorf("the first message calls %+v", calls)
	}
	if got := string(s.ended["2"].Result); got != `"page seven"` {
		t.Errorf("the tool came to %s", got)
	}
	if d := s.done.Done; d.Status != "completed" || string(d.Result) != `"It says: page seven."` {
		t.Errorf("the run ended as %+v", d)
	}
}

// TestStream_AWatcherGoesOnFromWhereItWas: one that left in the middle of a message goes on
// by another connection, with what was written meanwhile and nothing that it had.
func TestStream_AWatcherGoesOnFromWhereItWas(t *testing.T) {
	t.Parallel()
	r := startReading(t)
	s := newScreen()
	stop := watch(t, r.client(t), r.run.Ref(), s)
	first := r.next()
	first.write("One, ", "two")
	s.shows(t, "1", "One, two")
	stop()
	first.write(", three")
	stop = watch(t, r.client(t), r.run.Ref(), s)
	s.shows(t, "1", "One, two, three")
	stop()
	first.finish(", four.")
	if _, err := r.run.Result(testContext(t)); err != nil {
		t.Fatal(err)
	}
	watch(t, r.client(t), r.run.Ref(), s)
	s.over(t)
	s.right(t)
	if s.text["1"] != "One, two, three, four." || len(s.voids) > 0 {
		t.Errorf("told was %q, void %q", s.text, s.voids)
	}
	for range r.client(t).Stream(testContext(t), r.run.Ref(), s.position) {
		t.Error("something is told behind the end")
	}
}

// TestStream_ALostConnectionIsWaitedFor: what was said while the watcher had no connection
// comes once it has one.
func TestStream_ALostConnectionIsWaitedFor(t *testing.T) {
	t.Parallel()
	r := startReading(t)
	nc, err := nats.Connect(r.url, nats.ReconnectWait(10*time.Millisecond), nats.ReconnectBufSize(-1), nats.MaxReconnects(-1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	s := newScreen()
	watch(t, dial(t, "", perdure.NATSConn(nc)), r.run.Ref(), s)
	first := r.next()
	first.write("One, ")
	s.shows(t, "1", "One, ")
	for _, piece := range []string{"two, ", "three, ", "four, "} {
		if err := nc.ForceReconnect(); err != nil {
			t.Fatal(err)
		}
		first.write(piece)
	}
	s.shows(t, "1", "One, two, three, four, ")
	first.finish("five.")
	s.over(t)
	s.right(t)
	if s.text["1"] != "One, two, three, four, five." {
		t.Errorf("told was %q", s.text)
	}
}

// TestStream_AnAttemptThatFailsIsVoid: a stream that is cut in the middle of a message is
// said to be void, with its reason, and the next attempt begins anew.
func TestStream_AnAttemptThatFailsIsVoid(t *testing.T) {
	t.Parallel()
	r := startReading(t)
	s := newScreen()
	watch(t, r.client(t), r.run.Ref(), s)
	first := r.next()
	first.write("It was a dark ")
	s.shows(t, "1", "It was a dark ")
	first.cut()
	second := r.next()
	s.until(t, "that it is void", func(s *screen) bool { return len(s.voids) == 1 })
	second.finish("Call me Ishmael.")
	s.over(t)
	s.right(t)
	if diff := cmp.Diff([]string{"It was a dark "}, s.voids); diff != "" || s.text["1"] != "Call me Ishmael." {
		t.Errorf("told was %q, void (-want +got):\n%s", s.text, diff)
	}
}

// TestStream_WhoComesLateSeesAll: from the journal, what was recorded before anybody
// looked, of a run that is open; and a minute long of one that has ended.
func TestStream_WhoComesLateSeesAll(t *testing.T) {
	t.Parallel()
	r := startReading(t)
	first := r.next()
	first.write("Let me see")
	first.call("read", `{"name":"seven"}`)
	second := r.next()
	late := newScreen()
	stop := watch(t, r.client(t), r.run.Ref(), late)
	late.until(t, "the page", func(s *screen) bool { return s.ended["2"].Type != "" })
	if late.text["1"] != "Let me see" || late.text["2"] != "reading seven" {
		t.Errorf("told was %q", late.text)
	}
	stop()
	second.finish("Page seven.")
	if _, err := r.run.Result(testContext(t)); err != nil {
		t.Fatal(err)
	}
	for from, s := range map[string]*screen{"late": late, "never": newScreen()} {
		watch(t, r.client(t), r.run.Ref(), s)
		s.over(t)
		s.right(t)
		want := map[string]string{"1": "Let me see", "2": "reading seven", "3": "Page seven."}
		if diff := cmp.Diff(want, s.text); diff != "" || s.ended["1"].Missing || s.ended["2"].Missing {
			t.Errorf("%s: told (-want +got):\n%s", from, diff)
		}
	}
}

// TestStream_ASlowWatcherHoldsUpNobody: one that does not take what it is told until all
// is over holds up neither the run nor another watcher, and is told everything then.
func TestStream_ASlowWatcherHoldsUpNobody(t *testing.T) {
	t.Parallel()
	r := startReading(t)
	slow, fast := newScreen(), newScreen()
	waits, held := make(chan struct{}), make(chan struct{})
	slowOver := make(chan error, 1)
	ctx := testContext(t)
	go func() {
		var last error
		for e, err := range r.client(t).Stream(ctx, r.run.Ref(), "") {
			if last = err; err == nil {
				slow.show(e)
			}
			if slow.events == 1 {
				close(held)
				<-waits
			}
		}
		slowOver <- last
	}()
	watch(t, r.client(t), r.run.Ref(), fast)
	first := r.next()
	first.write("Many pages: ")
	<-held
	var pages []string
	for i := range 200 {
		pages = append(pages, fmt.Sprintf(`{"name":"%d"}`, i))
	}
	first.call("read", pages...)
	r.next().finish("All read.")
	fast.over(t)
	close(waits)
	if err := <-slowOver; err != nil {
		t.Fatal(err)
	}
	slow.right(t)
	fast.right(t)
	if len(slow.order) != 202 || slow.done == nil || slow.text["202"] != "All read." || slow.text["1"] != "Many pages: " {
		t.Errorf("the slow one was told of %d steps, and %q", len(slow.order), slow.text["202"])
	}
	if diff := cmp.Diff(fast.text, slow.text); diff != "" {
		t.Errorf("told (-fast +slow):\n%s", diff)
	}
}

// TestStream_Errors: what cannot be streamed says why.
func TestStream_Errors(t *testing.T) {
	t.Parallel()
	r := startReading(t)
	c := r.client(t)
	for name, x := range map[string]struct {
		ref, from string
		want      error
	}{
		"no run":                {"teller/me/never", "", durable.ErrNotFound},
		"no reference":          {"teller", "", durable.ErrInvalid},
		"no position":           {r.run.Ref(), "behind the middle", durable.ErrInvalid},
		"position without sum":  {r.run.Ref(), "0.0.1;1:1:1:5:0", durable.ErrInvalid},
		"position of other run": {r.run.Ref(), "0.99.1", durable.ErrConflict},
	} {
		var got error
		for _, err := range c.Stream(testContext(t), x.ref, x.from) {
			got = err
		}
		if !errors.Is(got, x.want) {
			t.Errorf("%s: %v, want %v", name, got, x.want)
		}
	}
	ctx, cancel := context.WithCancel(testContext(t))
	cancel()
	for _, err := range c.Stream(ctx, r.run.Ref(), "") {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("a context that has ended: %v", err)
		}
	}
}

// TestStream_EachAdapter: what is told of the message of a provider is what is recorded of
// it, bit by bit where the model streams, and at once where it is not to.
func TestStream_EachAdapter(t *testing.T) {
	t.Parallel()
	const text = "First line.\n\n  Second line, with ümläuts, 日本 and a \"quote\".\n"
	for name, x := range map[string]struct {
		model   func(url string) agents.Model
		streams bool
	}{
		"chat completions": {func(url string) agents.Model { return openai.New("m", openai.BaseURL(url+"/v1"), openai.APIKey("k")) }, true},
		"responses": {func(url string) agents.Model {
			return openai.NewResponses("m", openai.BaseURL(url+"/v1"), openai.APIKey("k"))
		}, true},
		"messages": {func(url string) agents.Model {
			return anthropic.New("m", anthropic.BaseURL(url), anthropic.APIKey("k"))
		}, true},
		"unstreamed": {func(url string) agents.Model {
			return agents.Unstreamed(openai.New("m", openai.BaseURL(url+"/v1"), openai.APIKey("k")))
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			streamed := make(chan bool, 1)
			provider, err := scripted.New(scripted.Script{Rules: []scripted.Rule{{Func: func(r *scripted.Request) scripted.Reply {
				streamed <- r.Stream
				return scripted.Reply{Text: text}
			}}}})
			if err != nil {
				t.Fatal(err)
			}
			srv := httptest.NewServer(provider)
			t.Cleanup(srv.Close)
			node := running(t, "", perdure.Host(tellerKind(x.model(srv.URL), readPageTool)))
			run, err := perdure.Start(testContext(t), node.Client(), teller.At("me"), "Tell me.")
			if err != nil {
				t.Fatal(err)
			}
			s := newScreen()
			watch(t, node.Client(), run.Ref(), s)
			s.over(t)
			s.right(t)
			if got := <-streamed; got != x.streams || s.text["1"] != text || len(s.voids) > 0 {
				t.Errorf("streamed %v, told was %q, void %q", got, s.text["1"], s.voids)
			}
		})
	}
}

// TestStream_AnyNATSClientReadsAlong: by a subscription, and a request that any node
// answers.
func TestStream_AnyNATSClientReadsAlong(t *testing.T) {
	t.Parallel()
	r := startReading(t)
	nc, err := nats.Connect(r.url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	sub, err := nc.SubscribeSync("perdure.live.teller.me.q")
	if err == nil {
		err = nc.Flush()
	}
	if err != nil {
		t.Fatal(err)
	}
	first := r.next()
	first.write("One, ")
	text, ends := "", 0
	for text != "One, two." || ends < 1 {
		msg, err := sub.NextMsg(testWait)
		if err != nil {
			t.Fatal(err)
		}
		var e struct {
			Type, Step, Text string
			Offset           int
			Done             struct{ Status string }
		}
		if err := json.Unmarshal(msg.Data, &e); err != nil {
			t.Fatal(err)
		}
		switch {
		case e.Type == "text" && e.Offset == len(text):
			if text += e.Text; text == "One, " {
				first.finish("two.")
			}
		case e.Type == "text":
			t.Errorf("%s: %d bytes are there", msg.Data, len(text))
		case e.Type == "done":
			if ends++; e.Done.Status != "completed" {
				t.Errorf("the run is told to have ended as %s", msg.Data)
			}
		}
	}
	from := ""
	var types []string
	for more := true; more; {
		request, _ := json.Marshal(map[string]string{"run": r.run.Ref(), "from": from})
		msg, err := nc.Request("perdure.api.runs.stream", request, testWait)
		if err != nil {
			t.Fatal(err)
		}
		var answer struct {
			Events   []struct{ Type string }
			Position string
			More     bool
		}
		if err := json.Unmarshal(msg.Data, &answer); err != nil {
			t.Fatalf("%s: %v", msg.Data, err)
		}
		for _, e := range answer.Events {
			types = append(types, e.Type)
		}
		from, more = answer.Position, answer.More
	}
	if got := strings.Join(types, " "); !strings.HasPrefix(got, "begin text ") || !strings.HasSuffix(got, " end done") {
		t.Errorf("the answer has the events %s", got)
	}
}

// TestStream_AnAttemptThatIsOverSaysNothing: what a tool's first attempt has said is void
// once the second one says something, and what it goes on saying is not told.
func TestStream_AnAttemptThatIsOverSaysNothing(t *testing.T) {
	t.Parallel()
	ty := newTypist(t)
	var first context.Context
	read := func(ctx context.Context, _ page) (string, error) {
		if first == nil {
			first = ctx
			return "", errors.Join(durable.Say(ctx, "at first"), errors.New("not there"))
		}
		return "there", errors.Join(durable.Say(first, ", or not"), durable.Say(ctx, "here "), durable.Say(first, "not"), durable.Say(ctx, "it is"))
	}
	node := running(t, "", perdure.Host(tellerKind(ty.model(), read)))
	run, err := perdure.Start(testContext(t), node.Client(), teller.At("me"), "Tell me.")
	if err != nil {
		t.Fatal(err)
	}
	s := newScreen()
	watch(t, node.Client(), run.Ref(), s)
	ty.next().call("read", `{"name":"seven"}`)
	ty.next().finish("Read.")
	s.over(t)
	s.right(t)
	if got := strings.Join(s.voids, "|"); s.text["2"] != "here it is" || got != "at first" {
		t.Errorf("the tool is told to have said %q, void %q", s.text["2"], got)
	}
}
