package perdure_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"github.com/perdure/perdure"
	"github.com/perdure/perdure/durable"
)

// published sends a message as any NATS client does.
func published(t *testing.T, nc *nats.Conn, to, body string, headers ...string) {
	t.Helper()
	msg := nats.NewMsg("perdure.task.local." + to)
	msg.Data = []byte(body)
	for i := 0; i < len(headers); i += 2 {
		msg.Header.Set(headers[i], headers[i+1])
	}
	if _, err := nc.RequestMsgWithContext(testContext(t), msg); err != nil {
		t.Fatal(err)
	}
}

// dead waits until so many dead letters are selected.
func dead(t *testing.T, c *perdure.Client, q perdure.SelectDead, want int) []perdure.DeadLetter {
	t.Helper()
	deadline := time.Now().Add(testWait)
	for {
		list, err := c.DeadLetters(testContext(t), q)
		if err != nil {
			t.Fatal(err)
		}
		if len(list.Dead) == want {
			return list.Dead
		}
		if time.Now().After(deadline) {
			t.Fatalf("%+v: %d dead letters, want %d", q, len(list.Dead), want)
		}
	}
}

// A message that cannot be understood is kept as it was sent, is not sent again as
// it is, and is the run that it was meant to be once its input is corrected.
func TestDead_IsSentAgainWithAnotherInput(t *testing.T) {
	t.Parallel()
	node := running(t, "", perdure.Host(greetKind(), accountKind()))
	c, ctx, nc := node.Client(), testContext(t), plain(t, node)
	published(t, nc, "account.alice", `{"cents":`, "Perdure-Id", "order-17", "Perdure-Method", "pay", "X-Trace", "t-1")
	letter := dead(t, c, perdure.SelectDead{Kind: "account", Code: "invalid"}, 1)[0]
	got, err := c.DeadLetter(ctx, letter.Seq)
	if err != nil {
		t.Fatal(err)
	}
	if got.Body != `{"cents":` || got.ID != "order-17" || got.Headers["X-Trace"][0] != "t-1" || got.Headers["Perdure-Method"][0] != "pay" || !got.Bad || !strings.Contains(got.Outlook, "it would come back") {
		t.Errorf("the dead letter is %+v", got)
	}
	for range 2 {
		done, err := c.Redrive(ctx, perdure.RedriveDead{SelectDead: perdure.SelectDead{Seq: letter.Seq}})
		if err != nil || done.Dead[0].Done || !strings.Contains(done.Dead[0].Outlook, "is not JSON") {
			t.Fatalf("sent again as it is: %+v, %v; want it left", done, err)
		}
	}
	fixed := perdure.RedriveDead{SelectDead: perdure.SelectDead{Seq: letter.Seq}, Input: json.RawMessage(`{"cents": 5}`), DryRun: true}
	done, err := c.Redrive(ctx, fixed)
	if err != nil || !done.Dead[0].Done || done.Dead[0].Outlook != "it starts account/alice/order-17" {
		t.Errorf("a dry run says %+v, %v", done, err)
	}
	dead(t, c, perdure.SelectDead{}, 1)
	fixed.DryRun = false
	if done, err = c.Redrive(ctx, fixed); err != nil || !done.Dead[0].Done || done.Dead[0].Run != "account/alice/order-17" {
		t.Fatalf("sent again: %+v, %v", done, err)
	}
	run, err := perdure.Attach(c, pay, "account/alice/order-17")
	if err != nil {
		t.Fatal(err)
	}
	if cents, err := run.Result(ctx); err != nil || cents != 5 {
		t.Errorf("the run returned %d, %v; want 5", cents, err)
	}
	dead(t, c, perdure.SelectDead{}, 0)
	if _, err := c.Redrive(ctx, fixed); !errors.Is(err, durable.ErrNotFound) {
		t.Errorf("sent once more: %v, want ErrNotFound", err)
	}
}

// A task of an ID that was used before says so before it is sent again, and comes
// back if it is all the same.
func TestDead_ConflictSaysWhatWillHappen(t *testing.T) {
	t.Parallel()
	node := running(t, "", perdure.Host(accountKind()))
	c, ctx, nc := node.Client(), testContext(t), plain(t, node)
	for _, cents := range []string{"5", "6"} {
		published(t, nc, "account.bob", `{"cents":`+cents+`}`, "Perdure-Id", "o-1", "Perdure-Method", "pay")
	}
	letter := dead(t, c, perdure.SelectDead{Code: "conflict"}, 1)[0]
	got, err := c.DeadLetter(ctx, letter.Seq)
	if err != nil || got.Run != "account/bob/o-1" || !got.Bad || !strings.Contains(got.Outlook, "account/bob/o-1 was started before with another input") {
		t.Errorf("the dead letter is %+v, %v", got, err)
	}
	one := perdure.RedriveDead{SelectDead: perdure.SelectDead{Seq: letter.Seq}, Force: true}
	if done, err := c.Redrive(ctx, one); err != nil || !done.Dead[0].Done {
		t.Fatalf("forced: %+v, %v", done, err)
	}
	again := dead(t, c, perdure.SelectDead{Code: "conflict", After: letter.Seq}, 1)[0]
	one = perdure.RedriveDead{SelectDead: perdure.SelectDead{Seq: again.Seq}, Input: json.RawMessage(`{"cents":5}`)}
	if done, err := c.Redrive(ctx, one); err != nil || done.Dead[0].Outlook != "account/bob/o-1 is completed already: nothing runs again" {
		t.Errorf("with the input that was first: %+v, %v", done, err)
	}
	dead(t, c, perdure.SelectDead{}, 0)
	if cents, err := perdure.Ask(ctx, c, balance.At("bob"), durable.None{}); err != nil || cents != 5 {
		t.Errorf("bob has %d, %v; want 5: one run", cents, err)
	}
}

// What another run sent to a kind that nobody hosted is sent again once a node has
// it, and completes.
func TestDead_OfAnUnknownKindIsSentAgainOnceThereIsANode(t *testing.T) {
	t.Parallel()
	asks := durable.DeclareWorkflow[string, string]("asks")
	node := running(t, "", perdure.Host(durable.Workflow(asks, func(ctx durable.Context, name string) (string, error) {
		_, err := durable.Send(ctx, greet.At(name), name)
		return "", err
	})))
	c, ctx := node.Client(), testContext(t)
	if _, err := perdure.Call(ctx, c, asks.At("a"), "ann"); err != nil {
		t.Fatal(err)
	}
	letter := dead(t, c, perdure.SelectDead{Kind: "greet"}, 1)[0]
	one := perdure.RedriveDead{SelectDead: perdure.SelectDead{Seq: letter.Seq}}
	if done, err := c.Redrive(ctx, one); err != nil || done.Dead[0].Done || !strings.Contains(done.Dead[0].Outlook, "no node has ever hosted") {
		t.Fatalf("sent again while nobody has the kind: %+v, %v", done, err)
	}
	running(t, node.URL(), perdure.Pool("other"), perdure.Host(greetKind()))
	got, err := c.DeadLetter(ctx, letter.Seq)
	if err != nil || !strings.Contains(string(got.Message), `"TASK"`) || got.Outlook != "it starts "+got.Run {
		t.Errorf("the dead letter is %+v, %v", got, err)
	}
	if done, err := c.Redrive(ctx, one); err != nil || !done.Dead[0].Done {
		t.Fatalf("sent again: %+v, %v", done, err)
	}
	run, err := perdure.Attach(c, greet, got.Run)
	if err != nil {
		t.Fatal(err)
	}
	if hello, err := run.Result(ctx); err != nil || hello != "Hello, ann!" {
		t.Errorf("the run returned %q, %v", hello, err)
	}
}

// Several are listed, sent again and dropped by what they have in common, as many as
// are said.
func TestDead_Several(t *testing.T) {
	t.Parallel()
	node := running(t, "", perdure.Host(accountKind(), greetKind()))
	c, ctx, nc := node.Client(), testContext(t), plain(t, node)
	for i := range 5 {
		published(t, nc, fmt.Sprint("account.k", i), `{`, "Perdure-Id", "x")
	}
	published(t, nc, "greet.g", `"g"`, "Perdure-Deadline", "soon")
	all := dead(t, c, perdure.SelectDead{}, 6)
	accounts := dead(t, c, perdure.SelectDead{Kind: "account"}, 5)
	list, err := c.DeadLetters(ctx, perdure.SelectDead{Kind: "account", Limit: 2})
	if err != nil || len(list.Dead) != 2 || !list.More {
		t.Errorf("a page is %+v, %v", list, err)
	}
	if list, err = c.DeadLetters(ctx, perdure.SelectDead{Kind: "account", Limit: 3, After: list.Next}); err != nil || len(list.Dead) != 3 || list.More {
		t.Errorf("the next is %+v, %v", list, err)
	}
	for q, want := range map[perdure.SelectDead]int{
		{Code: "unimplemented"}: 1, {Key: "k1"}: 1, {Until: all[0].At}: 0, {Since: all[0].At}: 6, {Since: all[5].At.Add(1)}: 0, {Kind: "greet", Code: "invalid"}: 0,
	} {
		dead(t, c, q, want)
	}
	for _, q := range []perdure.RedriveDead{
		{},
		{SelectDead: perdure.SelectDead{Kind: "account", Limit: 2}, Input: json.RawMessage(`1`)},
		{SelectDead: perdure.SelectDead{Limit: 1001}},
	} {
		if _, err := c.Redrive(ctx, q); !errors.Is(err, durable.ErrInvalid) {
			t.Errorf("%+v: %v, want ErrInvalid", q, err)
		}
	}
	done, err := c.Redrive(ctx, perdure.RedriveDead{SelectDead: perdure.SelectDead{Kind: "account", Limit: 3}})
	if err != nil || len(done.Dead) != 3 || !done.More || done.Dead[0].Done {
		t.Errorf("three that would come back: %+v, %v", done, err)
	}
	drop := perdure.DropDead{SelectDead: perdure.SelectDead{Kind: "account", Limit: 2}, DryRun: true}
	if done, err := c.Drop(ctx, drop); err != nil || len(done.Dead) != 2 {
		t.Errorf("a dry run drops %+v, %v", done, err)
	}
	dead(t, c, perdure.SelectDead{}, 6)
	drop.DryRun = false
	if done, err := c.Drop(ctx, drop); err != nil || len(done.Dead) != 2 || !done.More {
		t.Errorf("dropped %+v, %v", done, err)
	}
	left := dead(t, c, perdure.SelectDead{Kind: "account"}, 3)
	if diff := cmp.Diff(accounts[2:], left); diff != "" {
		t.Errorf("dropped were others than the first two: %s", diff)
	}
	if _, err := c.DeadLetter(ctx, accounts[0].Seq); !errors.Is(err, durable.ErrNotFound) {
		t.Errorf("one that was dropped: %v, want ErrNotFound", err)
	}
}
