package agents_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/perdure/perdure/agents"
	"github.com/perdure/perdure/agents/agentstest"
	"github.com/perdure/perdure/agents/models/scripted"
	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/durable/durabletest"
)

// TestBusy sends a second message to an agent that waits for an approval, and one that
// asks it what it remembers.
func TestBusy(t *testing.T) {
	for _, c := range []struct {
		policy        durable.BusyPolicy
		first, second string // code of the first's error, and of the second's
		remembers     int    // messages in the third request
	}{
		{durable.Queue, "", "", 5},
		{durable.Reject, "", durable.ErrBusy.Code, 3},
		{durable.Interrupt, durable.ErrCancelled.Code, "", 3},
		{durable.Replace, durable.ErrCancelled.Code, "", 3},
	} {
		t.Run(c.policy.String(), func(t *testing.T) {
			m := agentstest.InMemory(t, script(func(r *scripted.Request) scripted.Reply {
				switch {
				case r.User() == "how many":
					return scripted.Reply{Text: fmt.Sprint(len(r.Messages))}
				case r.User() == "refund" && r.Rounds() == 0:
					return calls(call("refund", `{"order":"o-1","cents":9900}`))
				}
				return scripted.Reply{Text: "done: " + r.User()}
			}))
			var b bank
			durabletest.Play(t, func(t *testing.T, w *durabletest.World) {
				first := start(t, w, "refund")
				<-time.After(time.Hour)
				second := start(t, w, "never mind")
				<-time.After(time.Hour)
				asks := len(durabletest.Questions(w, first.Ref()))
				if stays := c.first == ""; stays != (asks == 1) {
					t.Errorf("the first asks %d things", asks)
				}
				if c.first == "" {
					durabletest.Approve(w, first.Ref(), "refund", durable.Decision{Approved: true})
				}
				_, err := first.Result()
				wantCode(t, "first", err, c.first)
				_, err = second.Result()
				wantCode(t, "second", err, c.second)
				got, err := start(t, w, "how many").Result()
				if want := fmt.Sprint(c.remembers); err != nil || got != want {
					t.Errorf("the third request has %s messages, %v; want %s", got, err, want)
				}
				if want := map[bool]int{true: 1, false: 0}[c.first == ""]; len(b.orders()) != want {
					t.Errorf("paid %q", b.orders())
				}
			}, support(m, &b, []agents.Option{agents.Busy(c.policy)}))
		})
	}
}

func wantCode(t *testing.T, which string, err error, code string) {
	t.Helper()
	if code == "" && err != nil || code != "" && !durable.IsCode(err, code) {
		t.Errorf("the %s ended with %v, want the code %q", which, err, code)
	}
}

// TestBusy_InTheMiddleOfAModelCall sends the second message while the model is asked.
func TestBusy_InTheMiddleOfAModelCall(t *testing.T) {
	for _, c := range []struct {
		policy        durable.BusyPolicy
		first, second string
	}{
		{durable.Queue, "", ""},
		{durable.Reject, "", durable.ErrBusy.Code},
		{durable.Interrupt, durable.ErrCancelled.Code, ""},
		{durable.Replace, durable.ErrCancelled.Code, ""},
	} {
		t.Run(c.policy.String(), func(t *testing.T) {
			m := agentstest.InMemory(t, script(func(r *scripted.Request) scripted.Reply {
				reply := scripted.Reply{Text: fmt.Sprint(len(r.Messages), " ", r.User())}
				if r.User() == "think" {
					reply.Stall = scripted.Duration(time.Minute)
				}
				return reply
			}))
			durabletest.Play(t, func(t *testing.T, w *durabletest.World) {
				first := start(t, w, "think")
				<-time.After(10 * time.Second)
				second := start(t, w, "never mind")
				_, err := first.Result()
				wantCode(t, "first", err, c.first)
				got, err := second.Result()
				wantCode(t, "second", err, c.second)
				if want := map[durable.BusyPolicy]string{durable.Queue: "3 never mind", durable.Interrupt: "1 never mind", durable.Replace: "1 never mind"}[c.policy]; got != want {
					t.Errorf("the second is answered %q, want %q", got, want)
				}
			}, agents.New(weather, agents.UseModel(m), agents.Busy(c.policy)))
		})
	}
}
