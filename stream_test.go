package perdure_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/perdure/perdure"
	"github.com/perdure/perdure/agents"
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

// A screen is what somebody sees who watches a run, and holds each event against what was
// told before: nothing is missing, and nothing told twice.
type screen struct {
	mu       sync.Mutex
	text     map[string]string // of steps, by path: what is not void
	thought  map[string]string
	open     map[string]bool
	ended    map[string]perdure.StreamEvent
	order    []string // of steps that have ended
	voids    []string
	done     *perdure.StreamEvent
	position string
	wrong    []string
	events   int
	changed  chan struct{}
}

func newScreen() *screen {
	return &screen{
		text: map[string]string{}, thought: map[string]string{}, open: map[string]bool{}, ended: map[string]perdure.StreamEvent{},
		changed: make(chan struct{}),
	}
}

func (s *screen) show(e perdure.StreamEvent) {
	s.mu.Lock()
	defer s.mu.Unlock()
	bad := func(format string, args ...any) {
		s.wrong = append(s.wrong, fmt.Sprintf("event %d %+v: ", s.events, e.LiveEvent)+fmt.Sprintf(format, args...))
	}
	s.events++
	if s.done != nil {
		bad("after the end")
	}
	if _, over := s.ended[e.Step]; over && e.Step != "" {
		bad("the step has ended")
	}
	switch e.Type {
	case perdure.StreamBegin:
		if s.open[e.Step] {
			bad("it is open")
		}
		s.open[e.Step], s.text[e.Step], s.thought[e.Step] = true, "", ""
	case perdure.StreamText, perdure.StreamReasoning:
		to := s.text
		if e.Type == perdure.StreamReasoning {
			to = s.thought
		}
		if !s.open[e.Step] || e.Offset != len(to[e.Step]) || e.Text == "" {
			bad("open %v, and %d bytes are there", s.open[e.Step], len(to[e.Step]))
		}
		to[e.Step] += e.Text
	case perdure.StreamVoid:
		if !s.open[e.Step] || e.Reason == "" {
			bad("open %v", s.open[e.Step])
		}
		s.voids = append(s.voids, s.text[e.Step])
		s.open[e.Step], s.text[e.Step], s.thought[e.Step] = false, "", ""
	case perdure.StreamEnd:
		if !s.open[e.Step] || int(e.Recorded) != len(s.order)+1 {
			bad("open %v, and %d have ended", s.open[e.Step], len(s.order))
		}
		if e.Message != nil && e.Message.Content != s.text[e.Step] {
			bad("the message is %q, and told was %q", e.Message.Content, s.text[e.Step])
		}
		s.open[e.Step], s.ended[e.Step] = false, e
		s.order = append(s.order, e.Name)
	case perdure.StreamDone:
		s.done = &e
	default:
		bad("of this type there are none")
	}
	if e.Position == "" {
		bad("no position")
	}
	s.position = e.Position
	close(s.changed)
	s.changed = make(chan struct{})
}

// until waits until the screen is as ok says.
func (s *screen) until(t testing.TB, what string, ok func(*screen) bool) {
	t.Helper()
	limit := time.After(testWait)
	for {
		s.mu.Lock()
		changed, is := s.changed, ok(s)
		s.mu.Unlock()
		if is {
			return
		}
		select {
		case <-changed:
		case <-limit:
			s.mu.Lock()
			defer s.mu.Unlock()
			t.Fatalf("the screen does not show %s; its text is %q, ended %q, void %q", what, s.text, s.order, s.voids)
		}
	}
}

// shows waits until the text of a step is what.
func (s *screen) shows(t testing.TB, step, what string) {
	t.Helper()
	s.until(t, fmt.Sprintf("%q in step %s", what, step), func(s *screen) bool { return s.text[step] == what })
}

func (s *screen) over(t testing.TB) {
	t.Helper()
	s.until(t, "the end", func(s *screen) bool { return s.done != nil })
}

// right reports what was told wrongly.
func (s *screen) right(t testing.TB) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, w := range s.wrong {
		t.Error(w)
	}
}

// watch shows a run on a screen, from the position where the screen is, until stop is
// called.
func watch(t testing.TB, c *perdure.Client, ref string, s *screen) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(testContext(t))
	over := make(chan struct{})
	go func() {
		defer close(over)
		for e, err := range c.Stream(ctx, ref, s.position) {
			if err != nil {
				if !errors.Is(err, context.Canceled) {
					t.Errorf("stream %s: %v", ref, err)
				}
				return
			}
			s.show(e)
		}
	}()
	stop = sync.OnceFunc(func() {
		cancel()
		<-over
		s.right(t)
	})
	t.Cleanup(stop)
	return stop
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
		opts := append([]perdure.Option{perdure.Name(fmt.Sprint("node", i+1)), perdure.Partitions(4), perdure.Host(tellerKind(r.model(), readPageTool))}, opts...)
		r.nodes = append(r.nodes, running(t, r.url, opts...))
	}
	var err error
	if r.run, err = perdure.Start(testContext(t), r.client(t), teller.At("me"), "Tell me.", perdure.MessageID("q")); err != nil {
		t.Fatal(err)
	}
	return r
}

// client returns a connection of its own.
func (r *reading) client(t testing.TB, opts ...perdure.Option) *perdure.Client {
	t.Helper()
	c, err := perdure.Dial(testContext(t), r.url, opts...)
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
