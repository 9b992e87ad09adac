// Command demo shows a run that survives SIGKILL. It starts a scripted model
// and a tool, each a process of its own; asks the weather agent's node a
// question; kills the node while a tool call is in flight; starts it again; and
// checks that nothing recorded was done twice. It fails if any promise does
// not hold.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"time"

	"github.com/perdure/perdure"
	"github.com/perdure/perdure/examples/weather/forecast"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "demo: FAILED:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) > 0 {
		return server(ctx, args[0]) // this program is the model and the tool, too
	}
	dir, err := os.MkdirTemp("", "perdure-demo-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	ctx, cancel := context.WithTimeout(ctx, 3*time.Minute) // the first build takes most of it
	defer cancel()
	return demo(ctx, dir)
}

const (
	question = "Do I need a coat in Amsterdam today?"
	runID    = "coat-1"
)

func demo(ctx context.Context, dir string) error {
	say("building the node")
	bin := filepath.Join(dir, "perdure")
	if out, err := exec.CommandContext(ctx, "go", "build", "-o", bin, "./cmd/perdure").CombinedOutput(); err != nil {
		return fmt.Errorf("build ./cmd/perdure: %w\n%s", err, out)
	}
	began := time.Now()
	model, err := startServer(ctx, "model")
	if err != nil {
		return err
	}
	defer model.kill()
	tool, err := startServer(ctx, "tool")
	if err != nil {
		return err
	}
	defer tool.kill()
	node := &node{bin: bin, dir: filepath.Join(dir, "data"), env: []string{
		"OPENAI_BASE_URL=" + model.url + "/v1", "OPENAI_API_KEY=scripted", "WEATHER_MODEL=scripted", "WEATHER_URL=" + tool.url + "/weather",
	}}
	if err := node.start(ctx); err != nil {
		return err
	}
	defer node.kill()
	say("node %d is ready at %s, model and tool are processes of their own", node.pid(), node.url)

	ref, err := ask(ctx, node.url)
	if err != nil {
		return err
	}
	say("asked once: %q, run %s", question, ref)

	if err := tool.until(ctx, func(c counts) bool { return c.InFlight == 1 }); err != nil {
		return fmt.Errorf("wait for a tool call in flight: %w", err)
	}
	before, err := timeline(ctx, node.url, ref)
	if err != nil {
		return err
	}
	inFlight := tool.last.InFlight
	if err := node.sigkill(); err != nil {
		return err
	}
	say("the tool call is in flight: node %d killed with SIGKILL", node.pid())
	if err := tool.release(ctx); err != nil {
		return err
	}

	if err := node.start(ctx); err != nil {
		return err
	}
	say("node %d started on the same data; nobody asks again", node.pid())
	advice, info, err := answer(ctx, node.url, ref)
	if err != nil {
		return err
	}
	fmt.Printf("\nbefore the kill:\n%s\nafterwards:\n", indent(before))
	if err := info.WriteTimeline(os.Stdout); err != nil {
		return err
	}
	fmt.Printf("\n%s\n\n", advice.Answer)
	return verdict(ctx, model, tool, inFlight, info, began)
}

func say(format string, args ...any) { fmt.Printf("demo: "+format+"\n", args...) }

// ask starts the run, once, as any other process would.
func ask(ctx context.Context, url string) (string, error) {
	c, err := perdure.Dial(ctx, url)
	if err != nil {
		return "", err
	}
	defer c.Close()
	run, err := perdure.Start(ctx, c, forecast.Weather.At("amsterdam"), question, perdure.MessageID(runID))
	if err != nil {
		return "", err
	}
	return run.Ref(), nil
}

// answer waits for the result of the run that was asked for before the kill.
func answer(ctx context.Context, url, ref string) (advice forecast.Advice, info *perdure.RunInfo, err error) {
	c, err := perdure.Dial(ctx, url)
	if err != nil {
		return advice, nil, err
	}
	defer c.Close()
	run, err := perdure.Attach(c, forecast.Weather, ref)
	if err != nil {
		return advice, nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	if advice, err = run.Result(ctx); err != nil {
		return advice, nil, fmt.Errorf("the run did not finish: %w", err)
	}
	info, err = c.Get(ctx, ref)
	return advice, info, err
}

// verdict compares what the servers counted with what the journal recorded.
func verdict(ctx context.Context, model, tool *child, inFlight int, info *perdure.RunInfo, began time.Time) error {
	m, err := model.counts(ctx)
	if err != nil {
		return err
	}
	t, err := tool.counts(ctx)
	if err != nil {
		return err
	}
	models, tools := 0, 0
	for _, s := range info.Steps {
		switch {
		case s.Name == "model":
			models++
		case s.Kind == "step":
			tools++
		}
	}
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	check(info.Status == "completed", "the run is %s", info.Status)
	check(len(info.Claims) == 2, "the run had %d owners; it was killed once", len(info.Claims))
	check(models > 0 && m.Calls == models, "the model was called for %d steps, the journal has %d", m.Calls, models)
	check(m.Repeated == 0, "%d recorded model calls were made again", m.Repeated)
	check(tools > 0 && t.Calls == tools, "the tool was called for %d steps, the journal has %d", t.Calls, tools)
	check(inFlight > 0 && t.Repeated == inFlight, "%d tool calls were made again, %d were in flight at the kill", t.Repeated, inFlight)
	check(len(info.Claims) == 2 && info.Claims[1].Replayed > 0, "no step was replayed from the journal")
	if err := errors.Join(errs...); err != nil {
		return err
	}
	fmt.Printf("(%.1f s after the build)\n", time.Since(began).Seconds())
	say("ok: model calls %d, repeated %d; tool calls %d, repeated %d (in flight at the kill: %d)", m.Calls, m.Repeated, t.Calls, t.Repeated, inFlight)
	return nil
}
