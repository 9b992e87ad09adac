package perdure_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/perdure/perdure"
	"github.com/perdure/perdure/broker/brokertest"
	"github.com/perdure/perdure/durable"
)

// executions counts how often the steps of a run were executed.
type executions struct {
	mu    sync.Mutex
	times map[int]int
	begun chan int // the number of each step that begins
}

func (e *executions) step(n int) {
	e.mu.Lock()
	e.times[n]++
	e.mu.Unlock()
	e.begun <- n
}

// NATS goes away in the middle of a run, and comes back: the run goes on where
// it was, in the same process. It is away for as long as it takes to notice, and
// under PERDURE_CHAOS for half a minute.
func TestChaosClientsLiveThroughOutages(t *testing.T) {
	t.Parallel()
	away := time.Duration(0)
	if os.Getenv("PERDURE_CHAOS") != "" {
		away = 30 * time.Second
	}
	const steps, outages = 40, 3
	e := &executions{times: map[int]int{}, begun: make(chan int, 2*steps)}
	long := durable.DeclareWorkflow[int, int]("long")
	kind := durable.Workflow(long, func(ctx durable.Context, n int) (int, error) {
		sum := 0
		for i := range n {
			got, err := durable.Step(ctx, fmt.Sprintf("step %d", i), func(context.Context) (int, error) {
				e.step(i)
				return i, nil
			})
			if err != nil {
				return 0, err
			}
			sum += got
		}
		return sum, nil
	})
	srv := brokertest.Server(t)
	running(t, srv.URL(), perdure.Host(kind, accountKind()))
	ctx, cancel := context.WithTimeout(t.Context(), testWait+time.Duration(outages)*away)
	defer cancel()
	c, err := perdure.Dial(ctx, srv.URL(), perdure.Logger(silent))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	type answer struct {
		sum int
		err error
	}
	answered := make(chan answer, 1)
	go func() { // ends with ctx
		sum, err := perdure.Call(ctx, c, long.At("a"), steps)
		answered <- answer{sum, err}
	}()
	for outage := range outages {
		for n := -1; n < (outage+1)*steps/(outages+1); {
			select {
			case n = <-e.begun:
			case <-ctx.Done():
				t.Fatalf("no step begins: %v", ctx.Err())
			}
		}
		srv.Kill()
		for _, err := c.Get(ctx, "long/a/a"); !errors.Is(err, durable.ErrUnavailable); _, err = c.Get(ctx, "long/a/a") {
			if ctx.Err() != nil {
				t.Fatalf("the error without NATS is %v, want unavailable", err)
			}
		}
		paid := make(chan error, 1)
		go func() { // what is sent meanwhile waits for NATS; ends with ctx
			_, err := perdure.Start(ctx, c, pay.At("a"), amount{1}, perdure.MessageID(fmt.Sprint("outage-", outage)))
			paid <- err
		}()
		select {
		case err := <-paid:
			t.Fatalf("a task was accepted by nobody: %v", err)
		case <-time.After(away):
		}
		srv.Restart()
		if err := <-paid; err != nil {
			t.Errorf("a task that was sent meanwhile: %v", err)
		}
	}
	if got := <-answered; got.err != nil || got.sum != steps*(steps-1)/2 {
		t.Errorf("the run ends with %+v", got)
	}
	repeated := 0
	for n := range steps {
		switch times := e.times[n]; {
		case times == 0:
			t.Errorf("step %d was not executed", n)
		case times > 1:
			repeated += times - 1
		}
	}
	if repeated > outages {
		t.Errorf("%d steps were repeated, want at most the one in flight at each of %d outages: %v", repeated, outages, e.times)
	}
	t.Logf("repeated: %d", repeated)
	// three tasks, each of them once
	for n := 0; n < outages; {
		if n, err = perdure.Ask(ctx, c, balance.At("a"), durable.None{}); err != nil || n > outages {
			t.Fatalf("the balance is %d, %v; want %d", n, err, outages)
		}
	}
}

// TestQuestionIsAskedAgainWhenItsNodeDies: a question that a node took, and did
// not live to answer, is answered by another one.
func TestQuestionIsAskedAgainWhenItsNodeDies(t *testing.T) {
	t.Parallel()
	srv := brokertest.Server(t)
	running(t, srv.URL(), perdure.Host(greetKind()))
	ctx := testContext(t)
	dying, err := nats.Connect(srv.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer dying.Close()
	took := make(chan struct{}, 1)
	sub, err := dying.QueueSubscribe("perdure.api.kinds.account.query", "q", func(*nats.Msg) { took <- struct{}{} })
	if err != nil {
		t.Fatal(err)
	}
	if err := dying.Flush(); err != nil {
		t.Fatal(err)
	}
	c, err := perdure.Dial(ctx, srv.URL(), perdure.Logger(silent))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	answer := make(chan error, 1)
	go func() { // ends with ctx
		_, err := perdure.Ask(ctx, c, balance.At("a"), durable.None{})
		answer <- err
	}()
	select {
	case <-took:
	case <-ctx.Done():
		t.Fatal("nobody was asked")
	}
	if err := sub.Unsubscribe(); err != nil {
		t.Fatal(err)
	}
	running(t, srv.URL(), perdure.Pool("bank"), perdure.Host(accountKind()))
	if err := <-answer; err != nil {
		t.Errorf("the question failed with %v", err)
	}
}
