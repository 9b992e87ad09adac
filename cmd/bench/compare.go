package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/perdure/perdure"
)

// compareNames are the scenarios that are compared where none are named: the hot
// path, in minutes.
const compareNames = "S1,S2,S3,S6"

// benchDirs are what measures, as against what is measured: today's stand in for
// those of the other commit, so that both are measured alike.
var benchDirs = []string{"cmd/bench", "broker/brokerbench"}

// compare measures another commit and this tree in turns, and says what became
// worse by more than a third. That is an error.
func compare(ctx context.Context, args []string, stdout, stderr io.Writer) (err error) {
	var base, names, durability, dir string
	var pairs, n int
	var tiny bool
	f := flag.NewFlagSet("bench compare", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.StringVar(&base, "base", "", "the commit to compare with")
	f.StringVar(&names, "s", "", "scenarios, comma separated; empty: "+compareNames)
	f.StringVar(&durability, "durability", "disk,process", "durability levels, comma separated")
	f.StringVar(&dir, "dir", "", "where the data goes, a folder on the disk to measure; empty: the temporary directory")
	f.IntVar(&pairs, "pairs", 6, "how often each commit is measured")
	f.IntVar(&n, "n", 0, "number of runs; 0: each scenario's own")
	f.BoolVar(&tiny, "tiny", false, "measure small: shows that it works, measures nothing")
	if err := f.Parse(args); err != nil {
		return err
	}
	switch {
	case base == "":
		return errors.New("compare with which commit? Say make bench-compare BASE=rev, or -base rev")
	case f.NArg() > 0:
		return fmt.Errorf("unknown argument %q; scenarios are named by -s", f.Arg(0))
	case pairs < 1:
		return fmt.Errorf("%d pairs: it is at least 1", pairs)
	}
	if names == "" {
		names = compareNames
	}
	chosen, err := choose(names)
	if err != nil {
		return err
	}
	levels, err := parseLevels(durability)
	if err != nil {
		return err
	}
	tmp, err := os.MkdirTemp(dir, "perdure-compare-")
	if err != nil {
		return fmt.Errorf("make a directory for the other commit: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(tmp)) }()
	c := &comparer{tmp: tmp, stderr: stderr}
	defer func() { err = errors.Join(err, c.remove()) }()
	if err := c.build(ctx, base); err != nil {
		return err
	}
	more := []string{"-n", strconv.Itoa(n), "-dir", tmp, "-repeat", "1"}
	if tiny {
		more = append(more, "-tiny")
	}
	var p pairing
	for _, s := range chosen {
		if ok, err := c.has(ctx, s.name); err != nil {
			return err
		} else if !ok {
			fmt.Fprintf(stderr, "bench: %s has no %s, and today's benchmarks do not build there: it is left out\n", base, s.name)
			continue
		}
		for _, d := range levels {
			if err := c.measure(ctx, &p, s, d, pairs, more); err != nil {
				return err
			}
		}
	}
	if err := p.benchstat(ctx, c.root, tmp, stdout, stderr); err != nil {
		return err
	}
	return p.report(stdout, base, !c.own)
}

// A comparer has a program for each of the two commits.
type comparer struct {
	tmp, root string
	worktree  string // of the other commit; empty: there is none yet
	own       bool   // the other commit is measured with its own benchmarks
	stderr    io.Writer
}

func (c *comparer) base() string { return filepath.Join(c.tmp, "bench-base") }
func (c *comparer) ours() string { return filepath.Join(c.tmp, "bench-new") }

// build builds this tree as it is, and base in a worktree of its own.
func (c *comparer) build(ctx context.Context, base string) error {
	root, err := command(ctx, ".", "git", "rev-parse", "--show-toplevel")
	if err != nil {
		return fmt.Errorf("find the checkout: %w", err)
	}
	c.root = root
	rev, err := command(ctx, c.root, "git", "rev-parse", "--verify", "--quiet", base+"^{commit}")
	if err != nil {
		return fmt.Errorf("%q is no commit of this checkout: %w", base, err)
	}
	if _, err := command(ctx, c.root, "go", "build", "-trimpath", "-o", c.ours(), "./cmd/bench"); err != nil {
		return fmt.Errorf("build this tree: %w", err)
	}
	tree := filepath.Join(c.tmp, "tree")
	if _, err := command(ctx, c.root, "git", "worktree", "add", "--detach", tree, rev); err != nil {
		return fmt.Errorf("check %s out: %w", base, err)
	}
	c.worktree = tree
	build := func() error {
		_, err := command(ctx, c.worktree, "go", "build", "-trimpath", "-o", c.base(), "./cmd/bench")
		return err
	}
	for _, d := range benchDirs {
		to := filepath.Join(c.worktree, filepath.FromSlash(d))
		if err := os.RemoveAll(to); err != nil {
			return err
		}
		if err := os.CopyFS(to, os.DirFS(filepath.Join(c.root, filepath.FromSlash(d)))); err != nil {
			return fmt.Errorf("put today's benchmarks into %s: %w", base, err)
		}
	}
	todays := build()
	if todays == nil {
		return nil
	}
	c.own = true
	fmt.Fprintf(c.stderr, "bench: %s is measured with its own benchmarks: today's do not build there: %v\n", base, todays)
	for _, git := range [][]string{{"git", "reset", "--quiet", "--hard"}, {"git", "clean", "-fdq"}} {
		if _, err := command(ctx, c.worktree, git...); err != nil {
			return fmt.Errorf("put the benchmarks of %s back: %w", base, err)
		}
	}
	if err := build(); err != nil {
		return fmt.Errorf("build %s, whose own benchmarks do not build either: %w", base, err)
	}
	return nil
}

// remove takes the worktree away, whether or not what built it was interrupted.
func (c *comparer) remove() error {
	if c.worktree == "" {
		return nil
	}
	_, err := command(context.Background(), c.root, "git", "worktree", "remove", "--force", c.worktree)
	return err
}

// has reports whether the other commit's program knows a scenario: it says which
// of two it does not.
func (c *comparer) has(ctx context.Context, name string) (bool, error) {
	if !c.own {
		return true, nil
	}
	_, err := command(ctx, c.tmp, c.base(), "-s", name+",none")
	if err == nil {
		return false, errors.New("the other commit's benchmarks accept a scenario that there is not")
	}
	return strings.Contains(err.Error(), `"none"`), nil
}

// measure measures both in turns; every second time the other one is first.
func (c *comparer) measure(ctx context.Context, p *pairing, s scenario, d perdure.Durability, pairs int, more []string) error {
	args := append([]string{"-s", s.name, "-durability", d.String()}, more...)
	for i := range pairs {
		fmt.Fprintf(c.stderr, "bench: compare %s %s %d/%d\n", s.name, d, i+1, pairs)
		var of [2][]result
		for turn := range 2 {
			which := (turn + i) % 2
			var err error
			if of[which], err = c.once(ctx, which, args); err != nil {
				return fmt.Errorf("measure %s at durability %s: %w", s.name, d, err)
			}
		}
		p.add(of[0], of[1])
	}
	return nil
}

// once runs the base (0) or this tree (1) and returns its figures.
func (c *comparer) once(ctx context.Context, which int, args []string) (results []result, err error) {
	program := []string{c.base(), c.ours()}[which]
	out, err := command(ctx, c.tmp, append([]string{program}, args...)...)
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(out) {
		if !strings.HasPrefix(line, "{") {
			continue
		}
		var r result
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			return nil, fmt.Errorf("read the figures of %s: %w", filepath.Base(program), err)
		}
		results = append(results, r)
	}
	return results, nil
}

// command runs a program and returns what it wrote; what it said of an error is in
// the error.
func command(ctx context.Context, dir string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Dir = dir
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s: %w: %s", strings.Join(args, " "), err, bytes.TrimSpace(said.Bytes()))
	}
	return strings.TrimRight(out.String(), "\n"), nil // a table begins with blanks
}
