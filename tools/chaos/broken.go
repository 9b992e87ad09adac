package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

// A breakage is a way to break the product that a run must catch.
type breakage struct {
	name   string
	edits  []edit
	faults string // kinds that bring it to light soonest; empty: all
}

// An edit replaces a text that a file has once.
type edit struct{ file, old, new string }

// breakages are broken builds, each of which a run with the same seed must call wrong.
var breakages = []breakage{
	{
		name: "fence removed",
		edits: []edit{{
			"broker/journal.go",
			"m.wide = nats.Header{hdrExpectedSeq: m.seq[:], hdrExpectedSubject: m.filter[:]}",
			"m.wide = nats.Header{}",
		}},
	},
	{
		// A run's first entry has nothing of its run to be conditioned on.
		name: "fence per run instead of per identity",
		edits: []edit{{
			"broker/journal.go",
			"	apart := e.Replaces()",
			"	own := nats.Header{hdrExpectedSeq: m.seq[:]}\n	for _, ev := range e.GetEvents() {\n		if ev.GetStarted() != nil {\n			own = nats.Header{}\n		}\n	}\n	m.msg.Header = own\n	apart := e.Replaces()",
		}},
	},
	{
		name:  "acknowledge before append",
		edits: []edit{{"actors/pump.go", "	u.unwrap(it)\n", "	u.unwrap(it)\n	u.ack(it)\n"}},
	},
	{
		name:  "deduplication off",
		edits: []edit{{"runtime/execute.go", "if end := x.Find(ctx, t.Ref); end != nil {", "if end := x.Find(ctx, t.Ref); end != nil && end.Kind == Behind {"}},
	},
	{
		// As the server would: clients refuse a stream that allows TTLs.
		name: "TTL at commit",
		edits: []edit{
			{"broker/journal.go", "	\"sync\"\n", "	\"sync\"\n	\"time\"\n"},
			{
				"broker/journal.go", "		b.after(op, m.msg.Subject)\n",
				"		b.after(op, m.msg.Subject)\n		if op == opCommit {\n			time.AfterFunc(3*time.Second, func() { _ = j.Delete(context.Background(), out.Seq) })\n		}\n",
			},
		},
	},
	{
		name: "schedule cancelled when it fires", faults: "kill-node-at-cancel,kill-node",
		edits: []edit{
			{
				"actors/alarms.go", "				u.route(a.id, wakeUp{a.run})\n",
				"				_ = u.host.cfg.Broker.Schedules().CancelRun(u.ctx, a.id.Run(a.run))\n				u.route(a.id, wakeUp{a.run})\n",
			},
			{"actors/pump.go", "	u.unwrap(it)\n", "	u.unwrap(it)\n	if d.Envelope.GetType() == schemas.Envelope_WAKE {\n		u.ack(it)\n	}\n"},
		},
	},
	{
		name: "schedule cancelled in the final append", faults: "kill-node-at-cancel",
		edits: []edit{{"runtime/finish.go", "	out := rec.GetOutbox()\n", "	_ = x.cfg.Wakes.Cancel(ctx, ref, \"\")\n	out := rec.GetOutbox()\n"}},
	},
	{
		name: "an unknown head adopted", faults: "pause-node",
		edits: []edit{{
			"broker/journal.go",
			"		case head.Seq != after:\n			return schemas.Outcome{Fenced: true, Head: head}, nil",
			"		case head.Seq != after:\n			return schemas.Outcome{Seq: head.Seq}, nil",
		}},
	},
	{
		name: "timers by the clock of the machine", faults: clockJump,
		edits: []edit{{"broker/clock.go", "if r == nil || b.Alone() {", "if r == nil || b.cfg.Replicas >= 0 {"}},
	},
	{
		name: "claim before settling", faults: "kill-node-at-commit",
		edits: []edit{
			{"runtime/executor.go", "	crowd   crowd\n", "	crowd   crowd\n	later   func(context.Context) *Ending\n"},
			{
				"runtime/executor.go", "	if end := x.settle(ctx, head.Ref, rec, head.Seq); end != nil {\n		return end\n	}",
				"	x.later = func(ctx context.Context) *Ending { return x.settle(ctx, head.Ref, rec, head.Seq) }",
			},
			{
				"runtime/execute.go", "	x.known, x.claimed, x.open = true, true, t.Ref\n",
				"	if f := x.later; f != nil {\n		x.later = nil\n		if end := f(ctx); end != nil {\n			return end\n		}\n	}\n	x.known, x.claimed, x.open = true, true, t.Ref\n",
			},
		},
	},
}

// caughtWithin is how long a broken build is run, at most, before it counts as one that
// is not caught.
const caughtWithin = 5 * time.Minute

// catchAll runs the broken builds, and fails if one of them is called good.
func catchAll(ctx context.Context, c config, only string) error {
	names, err := regexp.Compile(only)
	if err != nil {
		return err
	}
	if err := c.prepare(); err != nil {
		return err
	}
	c.server = filepath.Join(c.dir, "server")
	if err := goBuild(ctx, c.server, "./server"); err != nil {
		return err
	}
	var missed []string
	for _, b := range breakages {
		if !names.MatchString(b.name) {
			continue
		}
		d, why, err := b.catch(ctx, c)
		switch {
		case err != nil:
			return fmt.Errorf("broken build %q: %w", b.name, err)
		case why == "":
			missed = append(missed, b.name)
			fmt.Printf("chaos: %q is NOT caught within %s\n", b.name, d.Round(time.Second))
		default:
			fmt.Printf("chaos: %q is caught after %s of load: %s\n", b.name, d.Round(time.Second), why)
		}
	}
	if len(missed) > 0 {
		return fmt.Errorf("%d broken builds are not caught: %s", len(missed), strings.Join(missed, ", "))
	}
	return nil
}

// catch runs a broken build until it is called wrong: why says as what, and is empty if
// it is not.
func (b breakage) catch(ctx context.Context, c config) (took time.Duration, why string, err error) {
	name := strings.ReplaceAll(b.name, " ", "-")
	dir := filepath.Join(c.dir, name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return 0, "", err
	}
	if c.faults == "" {
		c.faults = b.faults
	}
	c.node = ""
	if err := c.buildNode(ctx, dir, b.edits); err != nil {
		return 0, "", err
	}
	for round := 1; took < caughtWithin; round++ {
		c.dir, c.until = filepath.Join(dir, fmt.Sprint(round)), true
		began := time.Now()
		v, err := run(ctx, c)
		if err != nil {
			return took, "", err
		}
		took += time.Since(began)
		if len(v.violations) > 0 {
			return took, v.violations[0], nil
		}
		c.seed++
	}
	return took, "", nil
}

// overlay writes an overlay for a build that has the edits, of files of the product or,
// by their whole path, of others.
func overlay(dir string, edits []edit) (string, error) {
	root, err := filepath.Abs("../..")
	if err != nil {
		return "", err
	}
	texts := map[string]string{}
	for _, e := range edits {
		if !filepath.IsAbs(e.file) {
			e.file = filepath.Join(root, e.file)
		}
		if texts[e.file] == "" {
			data, err := os.ReadFile(e.file)
			if err != nil {
				return "", err
			}
			texts[e.file] = string(data)
		}
		if n := strings.Count(texts[e.file], e.old); n != 1 {
			return "", fmt.Errorf("%s has the text %q %d times, want once; find where the code went, and correct the table", e.file, e.old, n)
		}
		texts[e.file] = strings.Replace(texts[e.file], e.old, e.new, 1)
	}
	replace := map[string]string{}
	for file, text := range texts {
		path := filepath.Join(dir, strings.ReplaceAll(file, string(filepath.Separator), "_"))
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			return "", err
		}
		replace[file] = path
	}
	data, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "overlay.json")
	return path, os.WriteFile(path, data, 0o600)
}

// build builds the programs that are not built yet.
func (c *config) build(ctx context.Context) error {
	if c.server == "" {
		c.server = filepath.Join(c.dir, "server")
		if err := goBuild(ctx, c.server, "./server"); err != nil {
			return err
		}
	}
	if c.node == "" {
		return c.buildNode(ctx, c.dir, nil)
	}
	return nil
}

// buildNode builds a node with edits, and with a clock of its own where that is to jump.
func (c *config) buildNode(ctx context.Context, dir string, edits []edit) error {
	kinds, err := kindsOf(c.faults)
	if err != nil {
		return err
	}
	var args []string
	if slices.Contains(kinds, clockJump) {
		clock, err := clockEdits(ctx)
		if err != nil {
			return err
		}
		edits = slices.Concat(edits, clock)
		args = append(args, "-tags", clockTag)
	}
	if len(edits) > 0 {
		path, err := overlay(dir, edits)
		if err != nil {
			return err
		}
		args = append(args, "-overlay", path)
	}
	if c.race {
		args = append(args, "-race")
	}
	c.node = filepath.Join(dir, "node")
	return goBuild(ctx, c.node, "./node", args...)
}

// goBuild builds a program of this module, which the working directory is in.
func goBuild(ctx context.Context, to, pkg string, args ...string) error {
	to, err := filepath.Abs(to)
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "go", slices.Concat([]string{"build", "-o", to}, args, []string{pkg})...)
	cmd.Env = os.Environ()
	if slices.Contains(args, "-race") {
		cmd.Env = append(cmd.Env, "CGO_ENABLED=1")
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		return errors.Join(fmt.Errorf("build %s: %w", pkg, err), errors.New(string(out)))
	}
	return nil
}
