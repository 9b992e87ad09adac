package perdure_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"github.com/perdure/perdure"
	"github.com/perdure/perdure/durable"
)

// A program whose node joins the pool of another one with other kinds is told so,
// and so is who asks for a run that waits because of it.
func TestPool_OtherKindsInOnePoolAreSaid(t *testing.T) {
	t.Parallel()
	first := running(t, "", perdure.Host(greetKind()), perdure.Name("dev"))
	mine := durable.DeclareWorkflow[string, string]("mine")
	said := &lockedBuffer{}
	running(t, first.URL(), perdure.Name("second"), perdure.Logger(slog.New(slog.NewTextHandler(said, nil))),
		perdure.Host(durable.Workflow(mine, func(_ durable.Context, s string) (string, error) { return s, nil })))
	for _, want := range []string{"host other kinds", "perdure.Pool", "pool=default", "dev.only_there=[greet]", "dev.only_here=[mine]"} {
		if !strings.Contains(said.String(), want) {
			t.Errorf("the log of the second node does not say %q:\n%s", want, said)
		}
	}
	client := first.Client()
	for i := 0; ; i++ { // some of them are of partitions of the first node
		run, err := perdure.Start(testContext(t), client, mine.At(fmt.Sprint("k", i)), "hello")
		if err != nil {
			t.Fatal(err)
		}
		info, err := client.Get(testContext(t), run.Ref())
		if err != nil {
			t.Fatal(err)
		}
		if want := `node "dev" of pool "default" owns its partition and does not host the kind "mine", which "second" does`; strings.HasPrefix(info.Reason, want) && strings.Contains(info.Reason, "perdure.Pool") && info.Status == "queued" {
			return
		}
		if info.Reason != "" {
			t.Fatalf("%s is %s because %s", run.Ref(), info.Status, info.Reason)
		}
	}
}

// A kind whose pool has no live node waits for one, and holds up no other pool; who asks
// is told which node it waits for. What was running there goes on with the next one.
func TestPool_WhatNoNodeHostsWaitsForOneThatDoes(t *testing.T) {
	t.Parallel()
	shop := running(t, "", perdure.Host(greetKind()), perdure.Name("shop"))
	draw := durable.DeclareWorkflow[string, string]("draw")
	gpu := func() *perdure.Node {
		node, err := perdure.Connect(testContext(t), shop.URL(), perdure.Logger(silent), perdure.Pool("gpu"),
			perdure.Host(durable.Workflow(draw, func(_ durable.Context, s string) (string, error) { return s + " drawn", nil })))
		if err != nil {
			t.Fatal(err)
		}
		return node
	}
	if err := gpu().Close(); err != nil { // it has been there once: the kind is known
		t.Fatal(err)
	}
	c := shop.Client()
	run, err := perdure.Start(testContext(t), c, draw.At("moon"), "moon")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := perdure.Call(testContext(t), c, greet.At("ann"), "ann"); err != nil {
		t.Errorf("a kind of another pool: %q, %v", got, err)
	}
	info, err := c.Get(testContext(t), run.Ref())
	if want := `no live node of pool "gpu" hosts the kind "draw": it goes on once one does`; err != nil || info.Status != "queued" || info.Reason != want {
		t.Errorf("%s is %s because %q, %v; want that it is queued because %s", run.Ref(), info.Status, info.Reason, err, want)
	}
	node, ctx := gpu(), testContext(t)
	over := make(chan error, 1)
	ctx, stop := context.WithCancel(ctx)
	go func() { over <- node.Run(ctx) }()
	if got, err := run.Result(testContext(t)); got != "moon drawn" || err != nil {
		t.Errorf("the run ended with %q, %v", got, err)
	}
	stop()
	if err := <-over; err != nil {
		t.Error(err)
	}
}

// A lockedBuffer is a log that may be read while it is written.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
