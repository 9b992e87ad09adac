package config

import (
	"fmt"
	"slices"
	"strings"

	"github.com/perdure/perdure/durable"
)

// A Fault is one thing that is wrong with a configuration.
type Fault struct {
	Where string `json:"where"`           // FILE:LINE, --FLAG or $VARIABLE; empty for what nobody has set
	Key   string `json:"key"`             // of the setting, as the file has it
	Found string `json:"found,omitempty"` // what was set; not of a secret
	Wrong string `json:"wrong"`           // what is wrong with it, and what is allowed
}

// String is the fault on one line.
func (f Fault) String() string {
	var s strings.Builder
	if f.Where != "" {
		s.WriteString(f.Where + ": ")
	}
	s.WriteString(f.Key)
	if f.Found != "" {
		fmt.Fprintf(&s, " is %q", f.Found)
	}
	return s.String() + ": " + f.Wrong
}

// Faults is the error of a configuration, everything that is wrong with it: what the file
// says, in its order, flags and variables, then how settings go together. It matches
// [durable.ErrInvalid].
type Faults []Fault

// Error has a line for each fault.
func (f Faults) Error() string {
	lines := make([]string, len(f))
	for i := range f {
		lines[i] = f[i].String()
	}
	if len(f) == 1 {
		return "the configuration is wrong: " + lines[0]
	}
	return fmt.Sprintf("the configuration is wrong in %d places:\n  %s", len(f), strings.Join(lines, "\n  "))
}

// Is makes the error match [durable.ErrInvalid].
func (f Faults) Is(target error) bool { return target == durable.ErrInvalid }

// err is nil for no faults.
func (f Faults) err() error {
	if len(f) == 0 {
		return nil
	}
	return f
}

// nearest returns the name that was perhaps meant, empty for none.
func nearest(name string, known []string) string {
	best, at := "", 1+max(1, len(name)/3)
	for _, k := range known {
		if d := distance(name, k); d < at {
			best, at = k, d
		}
	}
	return best
}

// distance is how many letters have to be put in, left out, changed or swapped with the next one.
func distance(a, b string) int {
	before, last := make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := range len(a) {
		row := []int{i + 1}
		for j := range len(b) {
			change := last[j]
			if a[i] != b[j] {
				change++
			}
			d := min(change, last[j+1]+1, row[j]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				d = min(d, before[j-1]+1)
			}
			row = append(row, d)
		}
		before, last = last, row
	}
	return last[len(b)]
}

// unknown says what is wrong with a key that is none. below is the group that it is in, with its
// last dot.
func unknown(key, below string) string {
	var here, names []string
	for _, s := range settings {
		rest, ok := strings.CutPrefix(s.key, below)
		name, _, _ := strings.Cut(rest, ".")
		if ok && !slices.Contains(here, name) {
			here = append(here, name)
		}
		names = append(names, s.key)
	}
	name := strings.TrimPrefix(key, below)
	if n := nearest(name, here); n != "" {
		return fmt.Sprintf("there is no such key; is %q meant?", below+n)
	}
	for _, n := range names { // at another place
		if strings.HasSuffix(n, "."+name) || n == name {
			return fmt.Sprintf("there is no such key here; is %q meant?", n)
		}
	}
	slices.Sort(here)
	return "there is no such key; the keys here are " + strings.Join(here, ", ")
}
