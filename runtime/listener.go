package runtime

import "github.com/perdure/perdure/schemas"

// A Listener hears what runs of kinds that are Live do while they do it, for whoever
// watches them. Nothing rests on it: what it is told may come to nothing, and is not told
// again by who goes on. Its methods may be called by several goroutines at once, and do
// not block.
type Listener interface {
	// Begins is told that the body of a step is about to be called, by the owner of this
	// number ([Info.Attempt]), and returns who hears what it says.
	Begins(ref schemas.Ref, owner int, path, name string) Speaker
	// Recorded is told of steps that were stored, in order: the run has recorded so many
	// before them, of whatever kind. They are the listener's to keep, and not to change.
	Recorded(ref schemas.Ref, owner int, before uint64, steps []*schemas.StepCompleted)
	// Moved is told that something else was stored that counts as a step.
	Moved(ref schemas.Ref, owner int)
	// Left is told that this process executes the run no more; rec is not nil if it
	// has ended.
	Left(ref schemas.Ref, owner int, rec *schemas.Record)
}

// A Speaker hears one step.
type Speaker interface {
	// Speech begins what the attempt says that by names. What an earlier attempt said is
	// void. Of several of one attempt the first that is not void is heard, and the one
	// that is done in the end.
	Speech(by any) Speech
}

// A Speech is something that a step says bit by bit: a message that a model writes, or
// how far a tool is.
type Speech interface {
	// Say adds to what is said.
	Say(text string)
	// Reason adds to what is thought.
	Reason(text string)
	// Void says that nothing of it counts, and why.
	Void(why string)
	// Done says that it is whole.
	Done()
}

// Speak begins a [Speech] of this attempt; ok is false where nobody can hear it: in a
// kind that is not Live, and in an attempt that is over. Without it what is said goes
// nowhere.
func (s *StepContext) Speak() (speech Speech, ok bool) {
	if s.speaker == nil || !s.heard() {
		return muted{}, false
	}
	return attemptSpeech{s, s.speaker.Speech(s)}, true
}

// Say adds to what this attempt says beside its speeches; it goes nowhere where nobody
// can hear it.
func (s *StepContext) Say(text string) {
	if s.saying == nil {
		return
	}
	s.saying.once.Do(func() { s.saying.speech, _ = s.Speak() })
	s.saying.speech.Say(text)
}

// heard reports whether the attempt is not over.
func (s *StepContext) heard() bool {
	s.said.mu.Lock()
	defer s.said.mu.Unlock()
	return s.said.by == s
}

// attemptSpeech is a speech for as long as its attempt is listened to.
type attemptSpeech struct {
	by *StepContext
	to Speech
}

func (a attemptSpeech) Say(text string) {
	if a.by.heard() {
		a.to.Say(text)
	}
}

func (a attemptSpeech) Reason(text string) {
	if a.by.heard() {
		a.to.Reason(text)
	}
}

func (a attemptSpeech) Void(why string) {
	if a.by.heard() {
		a.to.Void(why)
	}
}

func (a attemptSpeech) Done() {
	if a.by.heard() {
		a.to.Done()
	}
}

// muted is a speech that nobody hears.
type muted struct{}

func (muted) Say(string)    {}
func (muted) Reason(string) {}
func (muted) Void(string)   {}
func (muted) Done()         {}

// begins tells the listener that a step begins.
func (l *live) begins(s *StepContext) {
	if l.cfg.Listener != nil && l.kind.Live {
		s.speaker = l.cfg.Listener.Begins(l.r.ref, l.r.info.Attempt, s.Path, s.Name)
	}
}

// heard tells the listener what an entry has recorded; before is how many steps the
// timeline had.
func (l *live) heard(before uint64, e *schemas.Entry) {
	n := l.r.timeline.count - before
	if n == 0 || l.cfg.Listener == nil || !l.kind.Live {
		return
	}
	var steps []*schemas.StepCompleted
	for _, ev := range e.GetEvents() {
		if s := ev.GetStepCompleted(); s != nil {
			steps = append(steps, s)
		}
	}
	if uint64(len(steps)) != n { // others are among them: who watches reads the journal
		l.cfg.Listener.Moved(l.r.ref, l.r.info.Attempt)
		return
	}
	l.cfg.Listener.Recorded(l.r.ref, l.r.info.Attempt, before, steps)
}

// leaves tells the listener how the execution ended.
func (l *live) leaves(end *Ending) {
	if l.cfg.Listener != nil && l.kind.Live {
		l.cfg.Listener.Left(l.r.ref, l.r.info.Attempt, end.Record)
	}
}
