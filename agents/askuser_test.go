package agents_test

import (
	"testing"
	"time"

	"github.com/perdure/perdure/agents"
	"github.com/perdure/perdure/agents/agentstest"
	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/durable/durabletest"
)

func TestAskUser(t *testing.T) {
	m := agentstest.InMemory(t, results(call("ask_user", `{"question":"Which colour?","choices":["red","blue"]}`), call("ask_user", `{"question":"Whose?"}`), call("ask_user", `{"ask":"?"}`)))
	durabletest.CrashSweep(t, func(t *testing.T, w *durabletest.World) {
		run := start(t, w, "paint it")
		<-time.After(5 * time.Hour)
		durabletest.Answer(w, run.Ref(), "3.1", durable.Answer[any]{Value: "hers", By: "bob"})
		durabletest.Answer(w, run.Ref(), "2.1", durable.Answer[any]{Value: "blue", By: "anna"})
		answer(t, run, `{"answer":"blue","by":"anna"}`, `{"answer":"hers","by":"bob"}`, "bad_arguments")
	}, agents.New(weather, agents.UseModel(m), agents.Tools(agents.AskUser())))
}

func TestAskUser_Deadline(t *testing.T) {
	for then, failed := range map[agents.Deadline]bool{agents.ThenDeny: false, agents.ThenFail: true} {
		t.Run(string(then), func(t *testing.T) {
			m := agentstest.InMemory(t, results(call("ask_user", `{"question":"Whose?"}`)))
			durabletest.Play(t, func(t *testing.T, w *durabletest.World) {
				run := start(t, w, "paint it")
				got, err := run.Result()
				if failed != durable.IsCode(err, durable.ErrTimeout.Code) {
					t.Fatalf("the answer is %q, %v", got, err)
				}
				if !failed {
					contains(t, got, `"timeout"`, "nobody answered within 1h0m0s")
				}
			}, agents.New(weather, agents.UseModel(m), agents.Tools(agents.AskUser(agents.Within(time.Hour, then)))))
		})
	}
}
