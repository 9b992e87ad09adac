package perdure_test

import (
	"context"
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/perdure/perdure"
	"github.com/perdure/perdure/durable"
)

var compile = durable.DeclareWorkflow[string, string]("build")

// TestFailedRunIsRetried from the step that failed it, twice, and forked with
// another result, for another key; its journal is whole meanwhile.
func TestFailedRunIsRetried(t *testing.T) {
	t.Parallel()
	var broken atomic.Bool
	var fetched, compiled atomic.Int64
	broken.Store(true)
	node := running(t, "", perdure.Host(durable.Workflow(compile, func(ctx durable.Context, what string) (string, error) {
		src, err := durable.Step(ctx, "fetch", func(context.Context) (string, error) {
			fetched.Add(1)
			return "source of " + what + strings.Repeat(" ", 700_000), nil // it is stored as an object
		})
		if err != nil {
			return "", err
		}
		out, err := durable.Step(ctx, "compile", func(context.Context) (string, error) {
			if compiled.Add(1); broken.Load() {
				return "", durable.Fail("syntax", "line 3")
			}
			return "binary", nil
		})
		return out + " of the " + strings.TrimSpace(src), err
	})))
	ctx, c := testContext(t), node.Client()
	run, err := perdure.Start(ctx, c, compile.At("a"), "a")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := run.Result(ctx); !durable.IsCode(err, "syntax") {
		t.Fatalf("the run: %v", err)
	}
	if journal, err := c.Export(ctx, run.Ref()); err != nil || !strings.Contains(string(journal), "compile") {
		t.Errorf("its journal: %.100s, %v", journal, err)
	}
	result := func(r *perdure.Run[json.RawMessage], err error, ref, want string) {
		t.Helper()
		if err != nil || r.Ref() != ref {
			t.Fatalf("got %v, %v; want %s", r, err, ref)
		}
		got, err := r.Result(ctx)
		if err != nil {
			got = json.RawMessage("error " + err.Error())
		}
		if string(got) != want {
			t.Errorf("%s: got %s, want %s", ref, got, want)
		}
	}
	again, err := c.Retry(ctx, run.Ref())
	result(again, err, "build/a/a~1", "error line 3")
	broken.Store(false)
	again, err = c.Retry(ctx, run.Ref())
	result(again, err, "build/a/a~2", `"binary of the source of a"`)
	again, err = c.Retry(ctx, "build/a/a~1") // a retry of a retry
	result(again, err, "build/a/a~1~1", `"binary of the source of a"`)
	fork, err := c.Fork(ctx, run.Ref(), perdure.Fork{Step: "2", Key: "b", ID: "b", Results: map[string]json.RawMessage{"2": json.RawMessage(`"patch"`)}})
	result(fork, err, "build/b/b", `"patch of the source of a"`)
	fork, err = c.Fork(ctx, run.Ref(), perdure.Fork{Step: "1", Input: json.RawMessage(`"z"`)})
	result(fork, err, "build/a/a~3", `"binary of the source of z"`)
	if fetched.Load() != 2 || compiled.Load() != 5 {
		t.Errorf("fetched %d times, compiled %d times; want 2 and 5", fetched.Load(), compiled.Load())
	}
	info, err := c.Get(ctx, run.Ref())
	if err != nil || info.Status != "failed" || strings.Join(info.Forks, " ") != "build/a/a~1 build/a/a~2 build/a/a~3" {
		t.Errorf("the run is %+v, %v", info, err)
	}
	info, err = c.Get(ctx, "build/a/a~2")
	if err != nil || info.ForkedFrom != run.Ref() || info.ForkStep != "2" || info.StepCount != 2 {
		t.Errorf("its retry is %+v, %v", info, err)
	}
	for name, ask := range map[string]struct {
		do   func() (*perdure.Run[json.RawMessage], error)
		want error
		says string
	}{
		"no such run":  {func() (*perdure.Run[json.RawMessage], error) { return c.Retry(ctx, "build/a/never") }, durable.ErrNotFound, "no run build/a/never"},
		"no reference": {func() (*perdure.Run[json.RawMessage], error) { return c.Retry(ctx, "build") }, durable.ErrInvalid, "kind/key/id"},
		"completed":    {func() (*perdure.Run[json.RawMessage], error) { return c.Retry(ctx, "build/a/a~2") }, durable.ErrConflict, "it is completed"},
		"no history": {func() (*perdure.Run[json.RawMessage], error) {
			return c.Fork(ctx, "build/a/a~2", perdure.Fork{Step: "1"})
		}, durable.ErrConflict, "KeepHistory"},
		"no such step":    {func() (*perdure.Run[json.RawMessage], error) { return c.Fork(ctx, run.Ref(), perdure.Fork{Step: "7"}) }, durable.ErrNotFound, `1 "fetch", 2 "compile"`},
		"the ID is taken": {func() (*perdure.Run[json.RawMessage], error) { return c.Fork(ctx, run.Ref(), perdure.Fork{ID: "a"}) }, durable.ErrConflict, "build/a/a already"},
		"another input": {func() (*perdure.Run[json.RawMessage], error) {
			return c.Fork(ctx, run.Ref(), perdure.Fork{Input: json.RawMessage("7")})
		}, durable.ErrInvalid, "input of build/a"},
	} {
		if _, err := ask.do(); !errors.Is(err, ask.want) || !strings.Contains(err.Error(), ask.says) {
			t.Errorf("%s: %v, want %v that says %q", name, err, ask.want, ask.says)
		}
	}
	openStore(t, node.URL()).settled()
}

// TestForksAtOnceAreAllStarted: each of different forks of a run that are asked for at
// the same time has a reference of its own, or is refused; the same one is one.
func TestForksAtOnceAreAllStarted(t *testing.T) {
	t.Parallel()
	node := running(t, "", perdure.Host(durable.Workflow(compile, func(ctx durable.Context, what string) (string, error) {
		for i := range 8 {
			s, err := durable.Step(ctx, "compile", func(context.Context) (string, error) { return what + strconv.Itoa(i), nil })
			if err != nil {
				return "", err
			}
			what = s
		}
		return what, nil
	}, durable.KeepHistory())))
	ctx, c := testContext(t), node.Client()
	run, err := perdure.Start(ctx, c, compile.At("a"), "a")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := run.Result(ctx); err != nil {
		t.Fatal(err)
	}
	type started struct {
		step, ref string
		err       error
	}
	all := func(id string) (got []started) {
		forks := make(chan started, 8)
		for i := range 8 {
			go func() {
				step := strconv.Itoa(i + 1)
				r, err := c.Fork(ctx, run.Ref(), perdure.Fork{Step: step, ID: id})
				if err != nil {
					forks <- started{step, "", err}
					return
				}
				forks <- started{step, r.Ref(), nil}
			}()
		}
		for range 8 {
			got = append(got, <-forks)
		}
		return got
	}
	refs := map[string]bool{}
	for _, f := range all("") {
		if f.err != nil || refs[f.ref] {
			t.Errorf("the fork from step %s is %s, %v: want a reference of its own", f.step, f.ref, f.err)
			continue
		}
		refs[f.ref] = true
		if info, err := c.Get(ctx, f.ref); err != nil || info.ForkedFrom != "" && info.ForkStep != f.step {
			t.Errorf("the fork from step %s is %+v, %v", f.step, info, err)
		}
	}
	one := 0
	for _, f := range all("chosen") {
		if f.err == nil {
			one++
		} else if !errors.Is(f.err, durable.ErrConflict) || !strings.Contains(f.err.Error(), "build/a/chosen already; use another ID") {
			t.Errorf("a fork whose ID is taken: %v, want a conflict", f.err)
		}
	}
	if one != 1 {
		t.Errorf("%d different forks are build/a/chosen, want one", one)
	}
	openStore(t, node.URL()).settled()
}

var tour = durable.DeclareWorkflow[int, string]("tour")

var postcard = durable.DeclareSignal[string]("postcard")

// TestRunThatContinuedIsRetried in the generation that failed, with the signal that no
// generation has taken, whose value is stored as an object.
func TestRunThatContinuedIsRetried(t *testing.T) {
	t.Parallel()
	var broken atomic.Bool
	var packed, climbed atomic.Int64
	broken.Store(true)
	node := running(t, "", perdure.Host(durable.Workflow(tour, func(ctx durable.Context, n int) (string, error) {
		if _, err := durable.Step(ctx, "pack", func(context.Context) (int64, error) { return packed.Add(1), nil }); err != nil {
			return "", err
		}
		if n < 2 {
			return "", durable.ContinueAsNew(ctx, n+1)
		}
		if _, err := durable.Step(ctx, "climb", func(context.Context) (int64, error) {
			if climbed.Add(1); broken.Load() {
				return 0, durable.Fail("no_rope", "no rope")
			}
			return 0, nil
		}); err != nil {
			return "", err
		}
		text, err := durable.Await(ctx, postcard)
		return strings.TrimSpace(text), err
	}, durable.KeepHistory())))
	ctx, c := testContext(t), node.Client()
	run, err := perdure.Start(ctx, c, tour.At("a"), 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := perdure.Signal(ctx, c, run.Ref(), postcard, "greetings"+strings.Repeat(" ", 700_000)); err != nil {
		t.Fatal(err)
	}
	if _, err := run.Result(ctx); !durable.IsCode(err, "no_rope") {
		t.Fatalf("the run: %v", err)
	}
	info, err := c.Get(ctx, run.Ref())
	if err != nil || len(info.Steps) < 2 || info.Steps[len(info.Steps)-1].Name != "climb" {
		t.Fatalf("the run is %+v, %v", info, err)
	}
	broken.Store(false)
	retried, err := c.Retry(ctx, run.Ref())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := retried.Result(ctx); err != nil {
		t.Fatal(err)
	}
	forked, err := c.Fork(ctx, retried.Ref(), perdure.Fork{Step: info.Steps[len(info.Steps)-1].Path, Key: "b"})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range []*perdure.Run[json.RawMessage]{retried, forked} {
		got, err := r.Result(ctx)
		if err != nil || string(got) != `"greetings"` {
			t.Errorf("%s: %.50s, %v", r.Ref(), got, err)
		}
		if info, err := c.Get(ctx, r.Ref()); err != nil || info.Generation != 2 || info.ForkStep != "2" {
			t.Errorf("%s is %+v, %v", r.Ref(), info, err)
		}
	}
	if packed.Load() != 3 || climbed.Load() != 3 {
		t.Errorf("packed %d times, climbed %d times; want 3 and 3", packed.Load(), climbed.Load())
	}
	openStore(t, node.URL()).settled()
}

var courier = durable.DeclareWorkflow[int, string]("courier")

// TestRetriedRunsTakeTheirPermits: six runs that are retried and six new ones share a
// limit of two, and what was done before it failed is not done again.
func TestRetriedRunsTakeTheirPermits(t *testing.T) {
	t.Parallel()
	const runs = 6
	var broken atomic.Bool
	var packed, active, most atomic.Int64
	broken.Store(true)
	entered, leave := make(chan struct{}, 2*runs), make(chan struct{})
	node := running(t, "", perdure.Host(durable.Workflow(courier, func(ctx durable.Context, n int) (string, error) {
		if _, err := durable.Step(ctx, "pack", func(context.Context) (int64, error) { return packed.Add(1), nil }); err != nil {
			return "", err
		}
		return durable.Step(ctx, "deliver", func(ctx context.Context) (string, error) {
			if broken.Load() {
				return "", durable.Fail("no_van", "no van")
			}
			n := active.Add(1)
			defer active.Add(-1)
			for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
			}
			entered <- struct{}{}
			select {
			case <-leave:
				return "delivered", nil
			case <-ctx.Done():
				return "", ctx.Err()
			}
		})
	}, durable.Concurrency(2))))
	ctx, c := testContext(t), node.Client()
	var failed []string
	for n := range runs {
		run, err := perdure.Start(ctx, c, courier.At("old-"+strconv.Itoa(n)), n)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := run.Result(ctx); !durable.IsCode(err, "no_van") {
			t.Fatalf("%s: %v", run.Ref(), err)
		}
		failed = append(failed, run.Ref())
	}
	broken.Store(false)
	var results []func() (string, error)
	for n, ref := range failed {
		retried, err := c.Retry(ctx, ref)
		if err != nil {
			t.Fatal(err)
		}
		started, err := perdure.Start(ctx, c, courier.At("new-"+strconv.Itoa(n)), n)
		if err != nil {
			t.Fatal(err)
		}
		results = append(results, func() (string, error) { return started.Result(ctx) }, func() (string, error) {
			data, err := retried.Result(ctx)
			return strings.Trim(string(data), `"`), err
		})
	}
	for range 2 * runs {
		select {
		case <-entered:
		case <-ctx.Done():
			t.Fatal(ctx.Err())
		}
		leave <- struct{}{}
	}
	for _, result := range results {
		if got, err := result(); err != nil || got != "delivered" {
			t.Errorf("got %q, %v", got, err)
		}
	}
	if most.Load() > 2 || packed.Load() != 2*runs {
		t.Errorf("at most %d delivered at once, want 2; %d were packed, want %d", most.Load(), packed.Load(), 2*runs)
	}
	openStore(t, node.URL()).settled()
}
