package perdure_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/perdure/perdure"
	"github.com/perdure/perdure/actors"
	"github.com/perdure/perdure/schemas"
	"pgregory.net/rapid"
)

// A novel is a run that is told: what its journal has, and what its owner says and knows.
type novel struct {
	view perdure.RunView
	open []*chapter         // steps that run
	past []actors.LiveEvent // what an owner before could go on saying
	made int                // steps that have begun
	live func(actors.LiveEvent)
	text map[string]string // recorded, by path
	said map[string]string // by path, owner and attempt
}

type chapter struct {
	path    string
	attempt uint32
	log     []actors.LiveEvent // of this attempt; empty: it is void
}

func (s *chapter) said(kind string) (n int) {
	for _, e := range s.log {
		if e.Type == kind {
			n += len(e.Text)
		}
	}
	return n
}

func (f *novel) event(s *chapter, kind string) actors.LiveEvent {
	return actors.LiveEvent{Type: kind, Step: s.path, Name: "model", Owner: f.view.Owner, Attempt: s.attempt}
}

func (f *novel) begin(s *chapter) {
	s.attempt++
	s.log = []actors.LiveEvent{f.event(s, actors.LiveBegin)}
	f.live(s.log[0])
}

func (f *novel) say(s *chapter, kind, text string) {
	e := f.event(s, kind)
	e.Offset, e.Text = s.said(kind), text
	s.log = append(s.log, e)
	if kind == actors.LiveText {
		f.said[said(e)] += text
	}
	f.live(e)
}

func said(e actors.LiveEvent) string { return fmt.Sprint(e.Step, " ", e.Owner, " ", e.Attempt) }

func (f *novel) void(s *chapter) {
	s.log = nil
	e := f.event(s, actors.LiveVoid)
	e.Reason = "cut"
	f.live(e)
}

// record ends a step, with another text than it has said if so.
func (f *novel) record(i int, another string) {
	s := f.open[i]
	var text strings.Builder
	text.WriteString(another)
	if another == "" {
		for _, e := range s.log {
			if e.Type == actors.LiveText {
				text.WriteString(e.Text)
			}
		}
	}
	result, _ := json.Marshal(map[string]any{"message": map[string]any{"role": "assistant", "content": text.String()}, "request_sha256": "x"})
	f.view.Steps = append(slices.Clip(f.view.Steps), &schemas.TimelineStep{Path: s.path, Name: "model", Kind: "step", Claim: f.view.Owner - 1, Attempts: s.attempt})
	f.view.Results[s.path], f.text[s.path] = &schemas.Payload{Data: result}, text.String()
	f.open = slices.Delete(f.open, i, i+1)
	e := f.event(s, actors.LiveEnd)
	e.Recorded, e.Result = uint64(len(f.view.Steps)), result
	f.live(e)
}

// takeOver is what happens when the owner dies: what it knew is gone.
func (f *novel) takeOver() {
	for _, s := range f.open {
		begin, more, void := f.event(s, actors.LiveBegin), f.event(s, actors.LiveText), f.event(s, actors.LiveVoid)
		begin.Attempt++
		more.Offset, more.Text, void.Reason = s.said(actors.LiveText), "still there", "it was stopped"
		f.said[said(more)] += more.Text
		f.past = append(f.past, begin, more, void)
	}
	f.view.Owner++
	for _, s := range f.open {
		s.attempt, s.log = 0, nil
		f.begin(s)
	}
}

// answer is what the owner says to somebody.
func (f *novel) answer(*perdure.Watcher) (a actors.LiveAnswer) {
	for _, s := range f.open {
		a.Open = append(a.Open, s.log...)
	}
	return a
}

// TestStream_PropertyWhatIsToldIsWhatIsRecorded: whatever live events are lost, late or
// told twice, wherever a watcher goes on from, and whichever owners die and attempts fail,
// it is told each thing once and in order, and in the end the text that was recorded.
func TestStream_PropertyWhatIsToldIsWhatIsRecorded(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		queue := []actors.LiveEvent{} // on the way to the watcher
		f := &novel{view: perdure.RunView{Owner: 1, Results: map[string]*schemas.Payload{}}, text: map[string]string{}, said: map[string]string{}}
		f.live = func(e actors.LiveEvent) {
			switch rapid.IntRange(0, 9).Draw(t, "fate") {
			case 0, 1: // lost
			case 2:
				queue = append(queue, e, e)
			default:
				queue = append(queue, e)
			}
		}
		s := newScreen()
		show := func(e perdure.StreamEvent) {
			s.show(e)
			if got := s.text[e.Step]; e.Type == perdure.StreamText && !strings.HasPrefix(f.said[said(e.LiveEvent)], got) && !strings.HasPrefix(f.text[e.Step], got) {
				t.Errorf("step %s is told to say %q, owner %d has said %q in attempt %d", e.Step, got, e.Owner, f.said[said(e.LiveEvent)], e.Attempt)
			}
		}
		w, err := perdure.NewWatcher("", show)
		if err != nil {
			t.Fatal(err)
		}
		var act func(inside bool)
		catchUp := func(disturbed bool) {
			limit := rapid.IntRange(0, 40).Draw(t, "limit")
			for more := true; more; {
				from, said := w.Position(), f.answer(w)
				if disturbed && rapid.Bool().Draw(t, "goes on meanwhile") {
					act(true)
				}
				events, position, again, err := f.view.Tell(from, said, limit)
				if err != nil {
					t.Fatal(err)
				}
				for _, e := range events {
					if err := w.Merged(e); err != nil {
						t.Fatal(err)
					}
				}
				if w.Position() != position && len(events) > 0 && position == "" {
					t.Fatalf("the watcher is at %q, the answer ends at %q", w.Position(), position)
				}
				more = again
			}
		}
		act = func(inside bool) {
			switch n := rapid.IntRange(0, 16).Draw(t, "act"); {
			case len(f.open) == 0 || n == 0 && len(f.open) < 3:
				f.made++
				f.open = append(f.open, &chapter{path: fmt.Sprint(f.made)})
				f.begin(f.open[len(f.open)-1])
			case n <= 7:
				one := f.open[rapid.IntRange(0, len(f.open)-1).Draw(t, "of")]
				if len(one.log) == 0 {
					f.begin(one)
				}
				kind := rapid.SampledFrom([]string{actors.LiveText, actors.LiveText, actors.LiveReasoning}).Draw(t, "kind")
				f.say(one, kind, rapid.StringOfN(rapid.RuneFrom([]rune("ab é∀")), 1, 6, -1).Draw(t, "text"))
			case n == 8:
				if one := f.open[rapid.IntRange(0, len(f.open)-1).Draw(t, "of")]; len(one.log) > 0 {
					f.void(one)
				}
			case n == 9:
				f.takeOver()
			case n <= 11:
				another := ""
				if rapid.IntRange(0, 4).Draw(t, "another") == 0 {
					another = "another text"
				}
				f.record(rapid.IntRange(0, len(f.open)-1).Draw(t, "of"), another)
			case n == 16: // a process that was stopped, and continued
				if len(f.past) > 0 {
					f.live(rapid.SampledFrom(f.past).Draw(t, "of the past"))
				}
			case inside:
			case n == 12:
				catchUp(true)
			case n == 13: // it goes on by another connection
				queue = nil
				if w, err = perdure.NewWatcher(s.position, show); err != nil {
					t.Fatal(err)
				}
				catchUp(true)
			default:
				for n := rapid.IntRange(0, len(queue)).Draw(t, "come"); n > 0; n-- {
					e := queue[0]
					queue = queue[1:]
					if !w.Live(e) {
						catchUp(true)
						break
					}
				}
			}
		}
		for range rapid.IntRange(1, 60).Draw(t, "acts") {
			act(false)
		}
		f.view.Record = &schemas.Record{Status: schemas.Status_COMPLETED}
		f.open = nil
		catchUp(false)
		for _, wrong := range s.wrong {
			t.Error(wrong)
		}
		if s.done == nil {
			t.Error("the end is not told")
		}
		for path, text := range f.text {
			if s.text[path] != text || s.ended[path].Type == "" {
				t.Errorf("step %s: told was %q, recorded is %q", path, s.text[path], text)
			}
		}
		if len(s.order) != len(f.view.Steps) {
			t.Errorf("%d steps are told, %d recorded", len(s.order), len(f.view.Steps))
		}
	})
}

// TestStream_ALaterOwnerVoidsAtOnce: what an owner has said that is gone is void as soon as
// the journal has another one, whether or not that says anything yet.
func TestStream_ALaterOwnerVoidsAtOnce(t *testing.T) {
	t.Parallel()
	view := perdure.RunView{Owner: 2}
	events, position, more, err := view.Tell("0.0.1;1:1:1:5:0:1", actors.LiveAnswer{}, 100)
	if err != nil || more || len(events) != 1 || events[0].Type != perdure.StreamVoid || events[0].Step != "1" || events[0].Owner != 1 {
		t.Errorf("told is %+v, more %v, %v; want that step 1 is void", events, more, err)
	}
	if events, again, _, err := view.Tell(position, actors.LiveAnswer{}, 100); err != nil || len(events) != 0 || again != position {
		t.Errorf("told again is %+v, %v, and the position %q became %q", events, err, position, again)
	}
}
