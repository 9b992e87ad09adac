package runtime

import "github.com/perdure/perdure/schemas"

// AnswerPrefix begins the names of the signals that answer questions.
const AnswerPrefix = "answer:"

// Ask issues a question to people, and a wait for the first answer: a signal whose
// name is [AnswerPrefix] and what the question is recorded with as its path. It is
// shown with the run until it is answered, or its scope is cancelled.
func (c *Context) Ask(name string, question *schemas.Payload) *Future {
	c.check()
	path := c.next()
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
