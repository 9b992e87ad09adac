package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/perdure/perdure"
	"github.com/perdure/perdure/agents/models/scripted"
)

// serverTime bounds what is done with one server.
const serverTime = 3 * time.Minute

// servers has an agent call the tools of each server, in a run that is killed twice: as a
// call of a tool is in flight, and as a call of the model is.
func (b *toolbox) servers(ctx context.Context, v *verdict) error {
	packages := map[string]bool{}
	for _, t := range targets {
		wrong, err := b.try(ctx, t)
		if err != nil {
			return fmt.Errorf("%s: %w", t.name, err)
		}
		for _, w := range wrong {
			v.fail("%s: %s", t.name, w)
		}
		packages[t.pkg] = true
		v.tools += len(t.calls)
		v.kills += 2
		fmt.Printf("servers: %s: %d calls of tools, killed twice\n", t.name, len(t.calls))
	}
	v.servers = len(packages)
	return nil
}

// A player is the model of a run: it makes the calls, one after the other.
type player struct {
	calls   []scripted.Call
	holdAt  int           // the round in which it is held once
	holding chan struct{} // has a token then

	offered []string // the tools, at the last request
	results []string // of the calls, likewise
	held    bool
}

// play answers a request. It is called for one at a time.
func (p *player) play(r *scripted.Request) scripted.Reply {
	n := r.Rounds()
	reply := scripted.Reply{Text: "done"}
	if n < len(p.calls) {
		reply = scripted.Reply{Calls: p.calls[n : n+1]}
	}
	if n == p.holdAt && !p.held {
		p.held, reply.Hold = true, true
		p.holding <- struct{}{}
	}
	p.offered, p.results = r.Tools, nil
	for _, m := range r.Messages {
		if m.Role == "tool" {
			p.results = append(p.results, m.Content)
		}
	}
	return reply
}

// try does it with one server.
func (b *toolbox) try(ctx context.Context, t target) (wrong []string, err error) {
	ctx, cancel := context.WithTimeout(ctx, serverTime)
	defer cancel()
	logs := filepath.Join(b.dir, "logs", strings.ReplaceAll(t.name, " ", "-"))
	if err := os.RemoveAll(logs); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "counterparts-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	if dir, err = filepath.EvalSymlinks(dir); err != nil { // servers tell what they have resolved
		return nil, err
	}
	files := filepath.Join(dir, "files")
	for _, d := range []string{logs, files} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return nil, err
		}
	}
	if err := t.prepare(files); err != nil {
		return nil, err
	}
	p := &player{holdAt: t.holdAt(), holding: make(chan struct{}, 1)}
	var tools []string
	for _, c := range t.calls {
		tools = append(tools, c.tool)
		p.calls = append(p.calls, scripted.Call{Name: c.tool, Arguments: scripted.Arguments(c.with(files))})
	}
	l := newLedger(t.killAt)
	s := setting{Dir: filepath.Join(dir, "data")}
	end, err := b.serve(ctx, t, l, files, logs, &s)
	if err != nil {
		return nil, err
	}
	defer end()
	m, err := serveModel(ctx, p.play)
	if err != nil {
		return nil, err
	}
	defer m.close()
	s.Model = m.url
	answer, err := b.outlive(ctx, s, filepath.Join(logs, "node.log"), l, p)
	if err != nil {
		return nil, err
	}
	if answer != "done" {
		wrong = append(wrong, fmt.Sprintf("the answer is %q", answer))
	}
	wrong = append(wrong, t.judge(p.offered, p.results, files)...)
	wrong = append(wrong, l.judge(tools)...)
	if c := m.Counts(); c.Calls != len(tools)+1 || c.Repeated != 1 {
		wrong = append(wrong, fmt.Sprintf("the model got %d calls and %d repeats, want %d and that in flight", c.Calls, c.Repeated, len(tools)+1))
	}
	return wrong, nil
}

// serve puts the ledger in front of the server, and says in the setting how that is
// reached. end ends what was begun.
func (b *toolbox) serve(ctx context.Context, t target, l *ledger, files, logs string, s *setting) (end func(), err error) {
	program := []string{b.node, b.bin(t.pkg, "dist/index.js")}
	for _, a := range t.args {
		program = append(program, strings.ReplaceAll(a, "${dir}", files))
	}
	env := map[string]string{}
	for name, value := range t.env {
		env[name] = strings.ReplaceAll(value, "${dir}", files)
	}
	if !t.http {
		at, end, err := serveHTTP(ctx, l)
		if err != nil {
			return nil, err
		}
		s.Command, s.Env = append([]string{b.self, "tap", at}, program...), env
		return end, nil
	}
	var all []string
	for name, value := range env {
		all = append(all, name+"="+value)
	}
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	far, err := start(ctx, filepath.Join(logs, "server.log"), "listening", append(all, "PORT="+strconv.Itoa(port)), program...)
	if err != nil {
		return nil, err
	}
	u := &url.URL{Scheme: "http", Host: net.JoinHostPort("127.0.0.1", strconv.Itoa(port))}
	at, unserve, err := serveHTTP(ctx, l.before(u))
	if err != nil {
		far.kill()
		return nil, err
	}
	s.URL = at + "/mcp"
	return func() { unserve(); far.kill() }, nil
}

// freePort returns a port of which nobody listens at the moment.
func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// outlive asks the agent once, kills its node at both moments, and returns what comes of
// it.
func (b *toolbox) outlive(ctx context.Context, s setting, log string, l *ledger, p *player) (answer string, err error) {
	args, err := json.Marshal(s)
	if err != nil {
		return "", err
	}
	begin := func() (*process, *perdure.Client, error) {
		node, err := start(ctx, log, "ready nats://", nil, b.self, "node", string(args))
		if err != nil {
			return nil, nil, err
		}
		c, err := perdure.Dial(ctx, strings.TrimPrefix(node.said, "ready "), perdure.Logger(slog.New(slog.DiscardHandler)))
		if err != nil {
			node.kill()
		}
		return node, c, err
	}
	node, c, err := begin()
	if err != nil {
		return "", err
	}
	defer func() { node.kill() }()
	defer func() { _ = c.Close() }()
	run, err := perdure.Start(ctx, c, caller.At("servers"), "Try each of your tools.", perdure.MessageID("try"))
	if err != nil {
		return "", err
	}
	for range 2 {
		select {
		case <-l.struck:
			node.kill()
			close(l.released)
		case <-p.holding:
			node.kill()
		case err := <-node.ended:
			node.ended <- err
			return "", fmt.Errorf("the node has ended (%w); see %s", err, log)
		case <-ctx.Done():
			return "", fmt.Errorf("the run does not get as far as where it is to be killed: %w; see %s", context.Cause(ctx), log)
		}
		_ = c.Close()
		restarted, again, err := begin()
		if err != nil {
			return "", err
		}
		node, c = restarted, again
	}
	run, err = perdure.Attach(c, caller, run.Ref())
	if err != nil {
		return "", err
	}
	return run.Result(ctx)
}

// judge returns what is wrong with a run: a result that is not as it should be, a check of
// a result that others pass as well, a tool that was offered and not called, and what it
// has left behind.
func (t target) judge(offered, results []string, files string) (wrong []string) {
	if len(results) != len(t.calls) {
		return []string{fmt.Sprintf("there are %d results of %d calls", len(results), len(t.calls))}
	}
	called := map[string]bool{}
	for i, c := range t.calls {
		called[c.tool] = true
		if err := c.want(results[i], files); err != nil {
			wrong = append(wrong, fmt.Sprintf("%s %s: %v", c.tool, c.arguments, err))
			continue
		}
		for j, other := range results {
			if i != j && c.want(other, files) == nil {
				wrong = append(wrong, fmt.Sprintf("the check of %s %s shows nothing: the result of %s passes, too", c.tool, c.arguments, t.calls[j].tool))
			}
		}
	}
	for _, tool := range offered {
		if !called[tool] && t.left[tool] == "" {
			wrong = append(wrong, fmt.Sprintf("%s was offered and not called: call it, or say why not", tool))
		}
	}
	for tool := range called {
		if !slices.Contains(offered, tool) {
			wrong = append(wrong, tool+" was not offered")
		}
	}
	if t.after != nil {
		if err := t.after(files); err != nil {
			wrong = append(wrong, fmt.Sprintf("afterwards: %v", err))
		}
	}
	return wrong
}
