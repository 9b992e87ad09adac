package broker_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/perdure/perdure/broker"
	"github.com/perdure/perdure/broker/brokertest"
	"github.com/perdure/perdure/schemas"
)

// Two pools number the messages of their inboxes alike: neither hides the dead
// letters of the other.
func TestInbox_DeadLettersOfEveryPoolAreListed(t *testing.T) {
	t.Parallel()
	srv := brokertest.Server(t)
	pool := func(name string, kind schemas.Kind) *raw {
		return newRaw(t, brokertest.Connect(t, srv.URL(), brokertest.Kinds(kind), func(c *broker.Config) { c.Pool = name }))
	}
	a, b := pool("a", "first"), pool("b", "second")
	bury := func(r *raw, id schemas.Identity, code string, headers ...string) {
		t.Helper()
		d := r.read(r.n.TaskSubject("local", id), `{"a":`, headers...)
		must(t, r.b.Inbox().Dead(r.ctx, d, code, "because"))
	}
	bury(a, identity("first", "k.1"), "one", "Perdure-Id", "1")
	bury(b, identity("second", "k.1"), "two", "Nats-Msg-Id", "2")
	bury(a, identity("first", "k.2"), "three")

	type letter struct{ ID, Code, Subject string }
	list := func(kind schemas.Kind, key string, after uint64, limit int) (got []letter, last uint64) {
		t.Helper()
		dead, err := b.b.Inbox().DeadLetters(b.ctx, kind, key, after, limit)
		must(t, err)
		for _, d := range dead {
			if string(d.Data) != `{"a":` || d.Reason != "because" || d.Stored.IsZero() {
				t.Errorf("the dead letter is %+v", d)
			}
			_, subject, _ := strings.Cut(d.Subject, ".local.")
			got, last = append(got, letter{d.ID, d.Code, subject}), d.Seq
		}
		return got, last
	}
	one, two, three := letter{"1", "one", "first.k%2E1"}, letter{"2", "two", "second.k%2E1"}, letter{"", "three", "first.k%2E2"}
	check := func(got []letter, want ...letter) {
		t.Helper()
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("dead letters (-want +got):\n%s", diff)
		}
	}
	all, _ := list("", "", 0, 0)
	check(all, one, two, three)
	ofKind, _ := list("first", "", 0, 0)
	check(ofKind, one, three)
	ofKey, _ := list("", "k.1", 0, 0)
	check(ofKey, one, two)
	page, last := list("", "", 0, 2)
	check(page, one, two)
	rest, _ := list("", "", last, 2)
	check(rest, three)
}

func TestInbox_AKindIsHostedOnceANodeHadIt(t *testing.T) {
	t.Parallel()
	srv := brokertest.Server(t)
	node := newRaw(t, brokertest.Connect(t, srv.URL(), brokertest.Kinds("mine"), func(c *broker.Config) { c.Pool = "a" }))
	other := newRaw(t, brokertest.Connect(t, srv.URL(), brokertest.Kinds("theirs"), func(c *broker.Config) { c.Pool = "b" }))
	must(t, node.b.Close())
	for kind, want := range map[schemas.Kind]bool{"mine": true, "theirs": true, "nobodys": false} {
		if got, err := other.b.Inbox().Hosted(other.ctx, kind); got != want || err != nil {
			t.Errorf("Hosted(%s) is %v, %v; want %v", kind, got, err, want)
		}
	}
}

func TestInbox_WhatNobodyTakesIsADeadLetter(t *testing.T) {
	t.Parallel()
	r := embedded(t)
	to, env := identity("nobody", "k.1"), task("order-17")
	for range 2 {
		must(t, r.b.Inbox().Undelivered(r.ctx, "local", to, env, "not_found", "because"))
	}
	dead, err := r.b.Inbox().DeadLetters(r.ctx, "nobody", "k.1", 0, 0)
	must(t, err)
	if len(dead) != 1 || dead[0].ID != "order-17" || dead[0].Code != "not_found" || dead[0].Subject != r.n.TaskSubject("local", to) {
		t.Errorf("the dead letters are %+v, want one", dead)
	}
}
