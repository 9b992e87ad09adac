package main

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/perdure/perdure"
	"github.com/perdure/perdure/durable"
)

// TestWhoWaitsIsToldOfALimit: a run that waits for a permit has a reason, and who
// waits for its result, or for an update of it, is told.
func TestWhoWaitsIsToldOfALimit(t *testing.T) {
	t.Parallel()
	ctx, stop := context.WithTimeout(t.Context(), deadline)
	defer stop()
	held := durable.DeclareWorkflow[string, string]("held")
	kind := durable.Workflow(held, func(ctx durable.Context, _ string) (string, error) {
		return "", durable.Sleep(ctx, time.Hour)
	}, durable.Concurrency(1))
	node, err := perdure.Open(ctx, perdure.Dir(t.TempDir()), perdure.Listen("127.0.0.1:0"), perdure.WithDurability(perdure.Process),
		perdure.Host(kind), perdure.Logger(slog.New(slog.DiscardHandler)))
	if err != nil {
		t.Fatal(err)
	}
	serve, leave := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- node.Run(serve) }()
	defer func() {
		leave()
		if err := <-ended; err != nil {
			t.Errorf("the node ended with %v", err)
		}
	}()
	<-node.Ready()
	if _, err := perdure.Start(ctx, node.Client(), held.At("first"), ""); err != nil {
		t.Fatal(err)
	}
	for info := (&perdure.RunInfo{}); len(info.Waits) == 0; { // it has the permit
		if i, err := node.Client().Get(ctx, "held/first/first"); err == nil {
			info = i
		}
	}
	for _, args := range [][]string{
		{"start", "held/second", `""`, "--wait"},
		{"update", "held/second/second", "set", `""`},
	} {
		wait, interrupt := context.WithCancel(ctx)
		stderr := &watched{seen: func(s string) {
			if strings.Contains(s, "waits for a permit of the limit held: 1 of 1 are taken") {
				interrupt()
			}
		}}
		code := run(wait, append(args, "--server", node.URL()), &bytes.Buffer{}, stderr)
		if ctx.Err() != nil || code != exitFailed || !strings.Contains(stderr.String(), "perdure: held/second/second is ") {
			t.Errorf("perdure %s ends with %d, and said\n%s", args[0], code, stderr)
		}
		interrupt()
	}
}

// watched is output that is looked at while it is written.
type watched struct {
	mu   sync.Mutex
	b    bytes.Buffer
	seen func(string)
}

func (w *watched) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	n, err := w.b.Write(p)
	w.seen(w.b.String())
	return n, err
}

func (w *watched) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.b.String()
}
