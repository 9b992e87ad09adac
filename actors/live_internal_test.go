package actors

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/perdure/perdure/schemas"
)

// published is what a node has published.
type published struct {
	mu     sync.Mutex
	events []LiveEvent
	block  chan struct{} // if not nil, publishing waits for it
}

func (p *published) publish(_ schemas.Ref, body []byte) error {
	if p.block != nil {
		<-p.block
	}
	var e LiveEvent
	err := json.Unmarshal(body, &e)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.events = append(p.events, e)
	return err
}

// lines are the events in short, each once.
func (p *published) lines() (all []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, e := range p.events {
		all = append(all, heardLine(e))
	}
	return all
}

func heardLine(e LiveEvent) string {
	s := e.Type
	if e.Step != "" {
		s += fmt.Sprintf(" %s %d.%d", e.Step, e.Owner, e.Attempt)
	}
	if e.Text != "" {
		s += fmt.Sprintf(" %d %s", e.Offset, e.Text)
	}
	return s
}

func heardLines(events []LiveEvent) (all []string) {
	for _, e := range events {
		all = append(all, heardLine(e))
	}
	return all
}

var heardRun = schemas.Identity{Kind: "teller", Key: "me"}.Run("q")

func hub(p *published) *live { return newLive(p.publish, slog.New(slog.DiscardHandler)) }

// TestLive_TextIsPublishedInWindows: what is said within a window is one message; what comes
// first waits for nothing.
func TestLive_TextIsPublishedInWindows(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &published{}
		l := hub(p)
		defer l.close()
		sp := l.Begins(heardRun, 1, "1", "model").Speech("a")
		for _, text := range []string{"One", " two", " three"} {
			sp.Say(text)
			<-time.After(liveWindow / 3)
		}
		synctest.Wait()
		<-time.After(liveWindow)
		synctest.Wait()
		sp.Reason("hm")
		sp.Say(" four")
		<-time.After(liveWindow)
		synctest.Wait()
		want := []string{"begin 1 1.1", "text 1 1.1 0 One", "text 1 1.1 3  two three", "reasoning 1 1.1 0 hm", "text 1 1.1 13  four"}
		if diff := cmp.Diff(want, p.lines()); diff != "" {
			t.Errorf("published (-want +got):\n%s", diff)
		}
	})
}

// TestLive_WhatIsAskedGoesOnBehindWhatWasHeard: at any offset, between characters.
func TestLive_WhatIsAskedGoesOnBehindWhatWasHeard(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := hub(&published{})
		defer l.close()
		sp := l.Begins(heardRun, 3, "1", "model").Speech("a")
		sp.Say("One ")
		sp.Reason("hm ")
		sp.Say("twö")
		for heard, want := range map[LiveSaid][]string{
			{}:                              {"begin 1 3.1", "text 1 3.1 0 One ", "reasoning 1 3.1 0 hm ", "text 1 3.1 4 twö"},
			{Owner: 2, Attempt: 1, Text: 7}: {"begin 1 3.1", "text 1 3.1 0 One ", "reasoning 1 3.1 0 hm ", "text 1 3.1 4 twö"},
			{Owner: 3, Attempt: 1, Text: 2}: {"text 1 3.1 2 e ", "reasoning 1 3.1 0 hm ", "text 1 3.1 4 twö"},
			{Owner: 3, Attempt: 1, Text: 6, Reasoning: 3}: {"text 1 3.1 6 ö"},
			{Owner: 3, Attempt: 1, Text: 8, Reasoning: 3}: nil,
			{Owner: 3, Attempt: 1, Text: 99}:              {"reasoning 1 3.1 0 hm "},
		} {
			a := l.answer(heardRun, LiveRequest{Open: map[string]LiveSaid{"1": heard}, Limit: 1 << 20})
			if diff := cmp.Diff(want, heardLines(a.Open)); diff != "" {
				t.Errorf("behind %+v (-want +got):\n%s", heard, diff)
			}
		}
	})
}

// TestLive_OneOfSeveralAnswersIsTold: two calls of one attempt write at once; the first
// that began is told, until it fails or the other one is done.
func TestLive_OneOfSeveralAnswersIsTold(t *testing.T) {
	t.Parallel()
	for name, x := range map[string]struct {
		end  func(first, second interface{ Done() }, void func(string))
		want []string
	}{
		"the first is done":  {func(a, b interface{ Done() }, _ func(string)) { a.Done(); b.Done() }, []string{"begin 1 1.1", "text 1 1.1 0 first"}},
		"the second is done": {func(a, b interface{ Done() }, _ func(string)) { b.Done(); a.Done() }, []string{"begin 1 1.1", "text 1 1.1 0 first", "void 1 1.1", "begin 1 1.2", "text 1 1.2 0 second"}},
		"the first fails":    {func(_, b interface{ Done() }, void func(string)) { void("cut"); b.Done() }, []string{"begin 1 1.1", "text 1 1.1 0 first", "void 1 1.1", "begin 1 1.2", "text 1 1.2 0 second"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := &published{}
				l := hub(p)
				defer l.close()
				step := l.Begins(heardRun, 1, "1", "model")
				a, b := step.Speech("attempt"), step.Speech("attempt")
				a.Say("first")
				b.Say("second")
				x.end(a, b, a.Void)
				<-time.After(liveWindow)
				synctest.Wait()
				if diff := cmp.Diff(x.want, p.lines()); diff != "" {
					t.Errorf("published (-want +got):\n%s", diff)
				}
			})
		})
	}
}

// TestLive_IsBounded: a message that is too long is told as far as may be, and a
// connection that does not take what is published holds nobody up and costs no more
// memory than a bound.
func TestLive_IsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &published{block: make(chan struct{})}
		l := hub(p)
		sp := l.Begins(heardRun, 1, "1", "model").Speech("a")
		for range 2 * maxLiveText / LivePiece {
			sp.Say(strings.Repeat("x", LivePiece))
			<-time.After(liveWindow)
		}
		l.mu.Lock()
		r := l.runs[heardRun]
		if l.bytes != maxLiveText || r.queued > maxLiveQueue {
			t.Errorf("%d bytes are kept, and %d wait to be published", l.bytes, r.queued)
		}
		l.mu.Unlock()
		close(p.block)
		synctest.Wait()
		<-time.After(liveWindow)
		synctest.Wait()
		if last := p.lines(); last[len(last)-1] != LiveMore && !strings.HasPrefix(last[len(last)-1], LiveText) {
			t.Errorf("published last was %.40q", last[len(last)-1])
		}
		said := 0
		for _, e := range l.answer(heardRun, LiveRequest{Limit: 1 << 30}).Open {
			said += len(e.Text)
		}
		if said != maxLiveText {
			t.Errorf("who asks is told %d bytes, want %d", said, maxLiveText)
		}
		l.Left(heardRun, 1, nil)
		if l.bytes != 0 || len(l.runs) != 0 {
			t.Errorf("%d bytes of %d runs are left", l.bytes, len(l.runs))
		}
		l.close()
	})
}

// TestLive_WhatWasRecordedIsKeptForAMinute: for who comes when the run's journal is gone.
func TestLive_WhatWasRecordedIsKeptForAMinute(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := hub(&published{})
		defer l.close()
		sp := l.Begins(heardRun, 1, "1", "model").Speech("a")
		sp.Reason("hm")
		sp.Say("One")
		sp.Done()
		l.Recorded(heardRun, 1, 0, []*schemas.StepCompleted{{Path: "1", Name: "model", Attempts: 1, Result: &schemas.Payload{Data: []byte(`"One"`)}}})
		l.Left(heardRun, 1, &schemas.Record{Status: schemas.Status_COMPLETED})
		sp.Say("late")
		<-time.After(liveKept - time.Second)
		a := l.answer(heardRun, LiveRequest{Limit: 1 << 20})
		if diff := cmp.Diff([]string{"begin 1 1.1", "reasoning 1 1.1 0 hm", "text 1 1.1 0 One", "end 1 1.1"}, heardLines(a.Recorded[1])); diff != "" || len(a.Open) > 0 {
			t.Errorf("kept (-want +got):\n%s", diff)
		}
		<-time.After(2 * time.Second)
		synctest.Wait()
		if a := l.answer(heardRun, LiveRequest{Limit: 1 << 20}); len(a.Recorded) > 0 || l.bytes != 0 || len(l.runs) != 0 {
			t.Errorf("after a minute %v is kept, %d bytes of %d runs", a.Recorded, l.bytes, len(l.runs))
		}
	})
}

// TestLive_ALaterOwnerCounts: what an execution says that is over is not told.
func TestLive_ALaterOwnerCounts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &published{}
		l := hub(p)
		defer l.close()
		old := l.Begins(heardRun, 1, "1", "model").Speech("a")
		old.Say("old")
		l.Begins(heardRun, 2, "1", "model").Speech("a").Say("new")
		old.Say("older")
		l.Begins(heardRun, 1, "2", "tool").Speech("a").Say("never")
		l.Left(heardRun, 1, nil)
		<-time.After(liveWindow)
		synctest.Wait()
		if got := strings.Join(p.lines(), "\n"); strings.Contains(got, "older") || strings.Contains(got, "never") || !strings.Contains(got, "text 1 2.1 0 new") {
			t.Errorf("published:\n%s", got)
		}
		if got := heardLines(l.answer(heardRun, LiveRequest{Limit: 1 << 20}).Open); strings.Join(got, "|") != "begin 1 2.1|text 1 2.1 0 new" {
			t.Errorf("who asks is told %q", got)
		}
	})
}
