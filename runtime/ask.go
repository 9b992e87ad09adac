package runtime

import "github.com/perdure/perdure/schemas"

// AnswerPrefix begins the names of the signals that answer questions.
const AnswerPrefix = "answer:"

// maxQuestion is the size of a question in bytes: it is shown to people.
const maxQuestion = 64 << 10

// Ask issues a question to people, and a wait for the first answer: a signal whose
// name is [AnswerPrefix] and what the question is recorded with as its path. It is
// shown with the run until it is answered, or its scope is cancelled.
func (c *Context) Ask(name string, question *schemas.Payload) *Future {
	c.check()
	path := c.next()
	if n := len(question.GetData()); n > maxQuestion {
		return failed(&Future{run: c.run, kind: kindAsk, path: path, name: name, scope: c.scope}, Errorf(ErrTooLarge.Code, "question %q has %d bytes; it may have %d: store what it is about elsewhere, and ask with its name", name, n, maxQuestion))
	}
	f := &Future{kind: kindAsk, path: path, name: name, question: question}
	return c.await(f, AnswerPrefix+c.run.global(path))
}

// withdraw notes that nobody waits for the answer any more, to be recorded if it
// was not.
func (r *run) withdraw(f *Future) {
	if path := r.global(f.path); !r.withdrawn[path] {
		r.aside = append(r.aside, &schemas.Event{Kind: &schemas.Event_Asked{Asked: &schemas.Asked{Path: path, Name: f.name, Withdrawn: true}}})
	}
}
