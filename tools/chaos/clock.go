package main

import (
	"context"
	"fmt"
	"maps"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// clockJump is a kind that takes a build of the node with another time.Now.
const clockJump = "clock-jump"

// clockTag is the build tag of such a node.
const clockTag = "chaosclock"

// clockEdits give a program a wall clock that can be set, and that is its own: time.Now
// is ahead by time.WallAhead, and the monotonic part of what it returns is not.
func clockEdits(ctx context.Context) ([]edit, error) {
	root, err := exec.CommandContext(ctx, "go", "env", "GOROOT").Output()
	if err != nil {
		return nil, fmt.Errorf("ask for the folder of Go: %w", err)
	}
	now := filepath.Join(strings.TrimSpace(string(root)), "src", "time", "time.go")
	return []edit{
		{now, "\t\"math/bits\"\n", "\t\"math/bits\"\n\t\"sync/atomic\"\n"},
		{
			now, "func Now() Time {\n\tsec, nsec, mono := runtimeNow()\n",
			`// WallAhead is by how many nanoseconds the wall clock of this process is ahead.
var WallAhead atomic.Int64

func Now() Time {
	sec, nsec, mono := runtimeNow()
	if ahead := WallAhead.Load(); ahead != 0 {
		ahead += int64(nsec)
		sec, nsec = sec+ahead/1e9, int32(ahead%1e9)
		if nsec < 0 {
			sec, nsec = sec-1, nsec+1e9
		}
	}
`,
		},
	}, nil
}

// jump draws by how much a clock jumps: by as much as is allowed, by seconds, or by more.
func (n *nemesis) jump() time.Duration {
	d := n.between(100*time.Millisecond, 900*time.Millisecond)
	switch n.r.IntN(3) {
	case 1:
		d = n.between(time.Second, 5*time.Second)
	case 2:
		d = n.between(5*time.Second, 90*time.Second)
	}
	if n.r.IntN(2) == 0 {
		d = -d
	}
	return d.Round(time.Millisecond)
}

// clockJump has the wall clock of a node jump, and jump back later. Some of the time the
// node is started anew in between, and does not know that it was ever another.
func (n *nemesis) clockJump() harm {
	p, d, anew := n.c.nodes[n.r.IntN(size)], n.jump(), n.r.IntN(3) == 0
	target := fmt.Sprintf("%s by %s", p.name, d)
	before := p.jumps.Load()
	if anew {
		target += ", and it is started anew"
		p.kill()
	}
	p.setClock(d)
	if err := p.start(); err != nil {
		n.h.add(event{Ev: evEnded, Node: p.name, Err: err.Error()})
	}
	return harm{target, p.name, n.between(time.Second, 22*time.Second), func() bool {
		hit := p.jumps.Load() > before
		p.setClock(0)
		return hit
	}}
}

// What a node is given to notice that its clock is wrong, and to leave its partitions: it
// looks every ten seconds. A clock that differs by more than wrongClock does so whatever
// else is late.
const (
	notices    = 15 * time.Second
	wrongClock = 3 * time.Second
)

// clocks: a node whose clock is wrong does not join, and does not stay (P25).
func (p *past) clocks() {
	for _, f := range p.faults {
		if f.kind != clockJump {
			continue
		}
		node, by, _ := strings.Cut(f.target, " by ")
		by, _, anew := strings.Cut(by, ",")
		d, err := time.ParseDuration(by)
		if err != nil || d.Abs() < wrongClock {
			continue
		}
		from := f.from
		if !anew {
			from += int64(notices)
			if slices.ContainsFunc(p.faults, func(o fault) bool { return o != f && o.from < f.to && o.to > f.from }) {
				continue // it may not have been able to look
			}
		}
		for _, id := range slices.Sorted(maps.Keys(p.entries)) {
			for _, e := range p.entries[id] {
				if e.At > from && e.At < f.to && slices.Contains(e.What, "claimed "+node) {
					p.v.say("%s: %s claimed it in entry %d, %s after its clock had jumped by %s", e.Run, node, e.Seq, time.Duration(e.At-f.from), d)
				}
			}
		}
	}
}
