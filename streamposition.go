package perdure

import (
	"fmt"
	"hash/fnv"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/perdure/perdure/actors"
	"github.com/perdure/perdure/durable"
)

// A position is what a watcher has been told of a run: of which steps that are recorded
// all, of which others how much. It says so by what a run does and not by where it is kept,
// so any node goes on from it.
type position struct {
	generation uint32
	recorded   uint64 // so many steps
	owner      uint32 // the last one that is known
	ended      bool
	open       map[string]heard // by path
}

// heard is what was told of a step that is not recorded.
type heard struct {
	actors.LiveSaid
	sum  uint64 // of the text
	void bool
}

// begins reports whether the text that was heard is the beginning of another one.
func (h heard) begins(text string) bool {
	return h.Text == 0 || h.Text <= len(text) && h.sum == sum(0, text[:h.Text])
}

// newer reports whether an owner's attempt came after what was heard.
func (h heard) newer(owner, attempt uint32) bool {
	return owner > h.Owner || owner == h.Owner && attempt > h.Attempt
}

// sum goes on with the sum of a text (FNV-1a); 0 is that of none.
func sum(so uint64, text string) uint64 {
	if so == 0 {
		so = fnvBasis
	}
	for i := range len(text) {
		so = (so ^ uint64(text[i])) * 1099511628211
	}
	return so
}

// fnvBasis is the sum of nothing.
var fnvBasis = fnv.New64a().Sum64()

// String is the form that clients keep:
//
//	GENERATION.RECORDED.OWNER[.end][;PATH:OWNER:ATTEMPT:TEXT:REASONING:SUM[:void]]...
func (p *position) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d.%d.%d", p.generation, p.recorded, p.owner)
	if p.ended {
		b.WriteString(".end")
	}
	for _, path := range slices.Sorted(maps.Keys(p.open)) {
		h := p.open[path]
		fmt.Fprintf(&b, ";%s:%d:%d:%d:%d:%x", path, h.Owner, h.Attempt, h.Text, h.Reasoning, h.sum)
		if h.void {
			b.WriteString(":void")
		}
	}
	return b.String()
}

// parsePosition reads what String makes; empty is the beginning.
func parsePosition(s string) (*position, error) {
	p := &position{open: map[string]heard{}}
	if s == "" {
		return p, nil
	}
	bad := durable.Fail(durable.ErrInvalid.Code, "%.100q is no position in a run's stream; give one that an event had, or none, for the beginning", s)
	parts := strings.Split(s, ";")
	head, ended := strings.CutSuffix(parts[0], ".end")
	p.ended = ended
	n, ok := numbers(strings.Split(head, "."), 3)
	if !ok {
		return nil, bad
	}
	p.generation, p.recorded, p.owner = uint32(n[0]), n[1], uint32(n[2])
	for _, part := range parts[1:] {
		fields := strings.Split(part, ":")
		h := heard{void: len(fields) == 7 && fields[6] == "void"}
		if len(fields) != 6 && !h.void {
			return nil, bad
		}
		n, ok := numbers(fields[1:5], 4)
		so, err := strconv.ParseUint(fields[5], 16, 64)
		if !ok || err != nil || fields[0] == "" || n[2] > 1<<40 || n[3] > 1<<40 {
			return nil, bad
		}
		h.LiveSaid = actors.LiveSaid{Owner: uint32(n[0]), Attempt: uint32(n[1]), Text: int(n[2]), Reasoning: int(n[3])}
		h.sum = so
		p.open[fields[0]] = h
	}
	return p, nil
}

func numbers(fields []string, want int) (all []uint64, ok bool) {
	if len(fields) != want {
		return nil, false
	}
	for _, f := range fields {
		n, err := strconv.ParseUint(f, 10, 64)
		if err != nil {
			return nil, false
		}
		all = append(all, n)
	}
	return all, true
}
