// Command model looks at every state that a model of the protocol can reach, within
// bounds, and at what comes of leaving a rule out; docs/protocol/README.md has what is
// in it and what is not.
package main

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"
)

func main() {
	only := flag.String("only", "", "run the experiments whose name contains this")
	limit := flag.Int("limit", 8_000_000, "how many states an experiment visits at most")
	flag.Parse()
	wrong, n, states := 0, 0, 0
	for _, e := range slices.Concat(asItIs, leftOut, spare) {
		if !strings.Contains(e.name, *only) {
			continue
		}
		began := time.Now()
		r := explore(e.rules, *limit)
		ok := r.Found == e.finds && (r.Whole || r.Found != holds)
		if !ok {
			wrong++
		}
		n, states = n+1, states+r.States
		fmt.Printf("%s\n", e.report(r, time.Since(began)))
	}
	fmt.Printf("model: %d experiments, %d states, %d that did not find what they were to find\n", n, states, wrong)
	if wrong > 0 || n == 0 {
		os.Exit(1)
	}
}
