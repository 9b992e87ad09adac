package perdure_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/perdure/perdure"
)

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
