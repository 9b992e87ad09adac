package main

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/anishathalye/porcupine"
)

// A cellOp is what is asked of a cell, which is a number that can be added to.
type cellOp struct {
	what string // run, for people
	add  bool
	n    int
}

// cellModel is what a cell does. The answer of an operation without an end is not
// known, which is nil.
var cellModel = porcupine.Model{
	Init: func() any { return 0 },
	Step: func(state, in, out any) (bool, any) {
		sum, op := state.(int), in.(cellOp)
		if op.add {
			sum += op.n
		}
		return out == nil || out.(int) == sum, sum
	},
	DescribeOperation: func(in, out any) string {
		op := in.(cellOp)
		if op.add {
			return fmt.Sprintf("%s: add %d -> %v", op.what, op.n, out)
		}
		return fmt.Sprintf("%s -> %v", op.what, out)
	},
}

// decides is how long the checker may think about one cell.
const decides = 20 * time.Second

// cells: the state of virtual actors is linearizable. The calls that orders make are
// operations, too, somewhere between the beginning and the end of the order.
func (p *past) cells() {
	v := p.v
	cells := map[string][]porcupine.Operation{}
	for _, o := range p.ops {
		in := cellOp{what: o.invoke.Verb + " " + o.invoke.Run, add: o.invoke.Verb == "add" || o.invoke.Verb == "order", n: o.invoke.In}
		if o.invoke.Cell == "" {
			continue
		}
		op := porcupine.Operation{ClientId: o.invoke.Client, Input: in, Call: o.invoke.T, Return: math.MaxInt64}
		if o.returned != nil && o.returned.Err == "" {
			op.Return, op.Output = o.returned.T, o.returned.Out
		} else if !in.add {
			continue // a question without an answer says nothing
		}
		cells[o.invoke.Cell] = append(cells[o.invoke.Cell], op)
	}
	for _, cell := range slices.Sorted(maps.Keys(cells)) {
		ops := cells[cell]
		switch porcupine.CheckOperationsTimeout(cellModel, ops, decides) {
		case porcupine.Illegal:
			v.say("cell %s: its %d operations are not linearizable: %s", cell, len(ops), suspects(ops))
		case porcupine.Unknown:
			v.checked -= len(ops)
		}
	}
}

// suspects names additions to a cell that began at the same sum, or at one that nobody
// has left: a hint for people.
func suspects(ops []porcupine.Operation) string {
	left := map[int]string{0: "its beginning"}
	began := map[int]string{}
	for _, o := range ops {
		if in := o.Input.(cellOp); in.add && o.Output != nil {
			left[o.Output.(int)] = in.what
		}
	}
	var odd []string
	for _, o := range ops {
		in := o.Input.(cellOp)
		if o.Output == nil {
			continue
		}
		sum := o.Output.(int)
		if !in.add {
			if left[sum] == "" {
				odd = append(odd, fmt.Sprintf("%s read %d, which nobody has left", in.what, sum))
			}
			continue
		}
		from := sum - in.n
		if began[from] != "" {
			odd = append(odd, fmt.Sprintf("%s and %s both began at %d", began[from], in.what, from))
		}
		began[from] = in.what
		if left[from] == "" {
			odd = append(odd, fmt.Sprintf("%s began at %d, which nobody has left", in.what, from))
		}
	}
	if len(odd) == 0 {
		return "each sum follows another, but not at a possible time"
	}
	return strings.Join(odd[:min(len(odd), 3)], "; ")
}
