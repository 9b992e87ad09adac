package runtime

import "github.com/perdure/perdure/schemas"

// AnswerPrefix begins the names of the signals that answer questions.
const AnswerPrefix = "answer:"

// maxQuestion is the size of a question in bytes: it is shown to people.
const maxQuestion = 64 << 10

// Ask issues a question to people, and a wait for the first answer: a signal whose
// name is [AnswerPrefix] and what the question is recorded with as its path. It is
// shown with the run until it is answered, or its scope is cancelled. The path of q is
// set here.
func (c *Context) Ask(q *schemas.Asked) *Future {
	c.check()
	path := c.next()
	if n := len(q.GetQuestion().GetData()) + len(q.GetSchema()); n > maxQuestion {
		return failed(&Future{run: c.run, kind: kindAsk, path: path, name: q.GetName(), scope: c.scope}, Errorf(ErrTooLarge.Code, "question %q has %d bytes; it may have %d: store what it is about elsewhere, and ask with its name", q.GetName(), n, maxQuestion))
	}
	f := &Future{kind: kindAsk, path: path, name: q.GetName(), question: q}
	return c.await(f, AnswerPrefix+c.run.global(path))
}

// asked is the event of a question.
func (r *run) asked(f *Future) *schemas.Event {
	f.question.Path, f.question.Name = r.global(f.path), f.name
	return &schemas.Event{Kind: &schemas.Event_Asked{Asked: f.question}}
}

// QuestionKind is the kind of a question that is answered with a value; that of one
// which is decided is empty.
const QuestionKind = "question"

// CheckHash returns what is wrong with a decision that names a hash, about a question.
// One that names none is about whatever is asked. The error matches [ErrConflict].
func CheckHash(q *schemas.Asked, hash string) error {
	if hash == "" || hash == q.GetHash() {
		return nil
	}
	if q.GetHash() == "" {
		return Errorf(ErrConflict.Code, "the decision about %q names the hash %.80q, and the question has none; look at what is asked, and decide without it", q.GetName(), hash)
	}
	return Errorf(ErrConflict.Code, "the decision is about something else: it names the hash %.80q, and %q at number %s has %s; look at what is asked now, and decide about that", hash, q.GetName(), q.GetPath(), q.GetHash())
}

// withdraw notes that nobody waits for the answer any more, to be recorded if it
// was not.
func (r *run) withdraw(f *Future) {
	if path := r.global(f.path); !r.withdrawn[path] {
		r.aside = append(r.aside, &schemas.Event{Kind: &schemas.Event_Asked{Asked: &schemas.Asked{Path: path, Name: f.name, Withdrawn: true}}})
	}
}
