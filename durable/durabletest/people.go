package durabletest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/runtime"
	"github.com/perdure/perdure/schemas"
)

// Questions returns the names of the questions that a run asks, by
// durable.AskApproval and AskQuestion, and that are not answered.
func Questions(w *World, run string) []string {
	var names []string
	for _, q := range w.asked(run) {
		names = append(names, q.GetName())
	}
	return names
}

func (w *World) asked(run string) []*schemas.Asked {
	ref, err := schemas.ParseRef(run)
	if err != nil {
		panic(fmt.Sprintf("durabletest: questions of %s: %v", run, err))
	}
	entries, err := w.engine.Journal.Load(w.ctx, ref)
	if err != nil {
		panic(fmt.Sprintf("durabletest: questions of %s: %v", run, err))
	}
	rec, _ := runtime.Timeline(entries)
	return rec.GetAsked()
}

// Approve decides a question that a run asks, asked before, or will ask within a
// thousand hours, by its name or its number. It does not wait for what comes of it:
// the first answer counts. It panics if the decision names the hash of something else.
func Approve(w *World, run, name string, d durable.Decision) {
	w.answer("approve", run, name, d, func(q *schemas.Asked) error { return runtime.CheckHash(q, d.Hash) })
}

// Answer answers a question of durable.AskQuestion, e.g. of an agent that asks its
// user, as [Approve] decides one.
func Answer(w *World, run, name string, a durable.Answer[any]) {
	value, err := json.Marshal(a.Value)
	w.answer("answer", run, name, durable.Answer[json.RawMessage]{Value: value, By: a.By}, func(*schemas.Asked) error { return err })
}

func (w *World) answer(verb, run, name string, a any, check func(*schemas.Asked) error) {
	ref, rerr := schemas.ParseRef(run)
	w.start()
	ctx, cancel := context.WithTimeout(w.ctx, 1000*time.Hour)
	defer cancel()
	var asked *schemas.Asked
	err := w.engine.Until(ctx, func() bool {
		for _, s := range w.engine.Journal.History() {
			for _, e := range s.Entry.GetEvents() {
				if q := e.GetAsked(); s.Ref == ref && (q.GetName() == name || q.GetPath() == name) && q != nil && !q.GetWithdrawn() {
					asked = q // the latest of the name
				}
			}
		}
		return asked != nil
	})
	p, perr := durable.Encode(a)
	if err := errors.Join(err, rerr, perr); err != nil {
		panic(fmt.Sprintf("durabletest: %s %q of %s: %v", verb, name, run, err))
	}
	if err := check(asked); err != nil {
		panic(fmt.Sprintf("durabletest: %s %q of %s: %v", verb, name, run, err))
	}
	w.engine.Signal(ref, "decision "+asked.GetPath(), runtime.AnswerPrefix+asked.GetPath(), p)
}
