package actors

import (
	"cmp"
	"encoding/json"
	"slices"
	"time"

	"github.com/perdure/perdure/runtime"
	"github.com/perdure/perdure/schemas"
)

// The kinds of questions.
const (
	AskApproval = "approval"           // a decision: yes or no
	AskQuestion = runtime.QuestionKind // a value
)

// A Question is what a run asks people, by durable.AskApproval or AskQuestion.
type Question struct {
	Name     string          `json:"name"`
	Ask      string          `json:"ask"` // "approval" or "question"
	Question json.RawMessage `json:"question"`
	Path     string          `json:"path"` // its number in the run
	// To is whom it is for by now, those included whom it was escalated to; none:
	// everybody.
	To        []string `json:"to,omitempty"`
	Escalated bool     `json:"escalated,omitempty"`
	// Hash is of what a decision is about, Tool whose call that is, if it is one's.
	Hash   string          `json:"hash,omitempty"`
	Tool   string          `json:"tool,omitempty"`
	Schema json.RawMessage `json:"schema,omitempty"` // that an answer must fit
	Asked  time.Time       `json:"asked"`
	Due    time.Time       `json:"due,omitzero"` // when the run goes on without an answer, about
}

// QuestionsOf returns what a run asks, for people and programs.
func QuestionsOf(rec *schemas.Record, now time.Time) (qs []Question) {
	for _, q := range rec.GetAsked() {
		data, _ := PayloadJSON(q.GetQuestion())
		one := Question{
			Name: q.GetName(), Ask: cmp.Or(q.GetKind(), AskApproval), Question: data, Path: q.GetPath(),
			To: slices.Clone(q.GetTo()), Hash: q.GetHash(), Tool: q.GetTool(), Schema: q.GetSchema(), Asked: time.Unix(0, q.GetAt()).UTC(),
		}
		if q.GetDue() != 0 {
			one.Due = time.Unix(0, q.GetDue()).UTC()
		}
		for _, e := range q.GetEscalations() {
			if e.GetAt() > now.UnixNano() {
				continue
			}
			one.Escalated = true
			if len(q.GetTo()) > 0 { // otherwise it is for everybody already
				one.To = append(one.To, e.GetTo()...)
			}
		}
		slices.Sort(one.To)
		one.To = slices.Compact(one.To)
		qs = append(qs, one)
	}
	return qs
}

// IsFor reports whether a question is for a group, by name or because it is for
// everybody.
func (q Question) IsFor(group string) bool { return len(q.To) == 0 || slices.Contains(q.To, group) }
