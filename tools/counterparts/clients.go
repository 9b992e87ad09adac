package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"strings"

	"github.com/perdure/perdure/agents/models/scripted"
)

// A finding is a line of clients.mjs.
type finding struct {
	Check  string   `json:"check"`
	Wrong  []string `json:"wrong"`
	Checks int      `json:"checks"` // in the last line: how many there were
}

// clients has npm's clients of model APIs ask a scripted model, and holds what it answers
// to the types of their packages.
func (b *toolbox) clients(ctx context.Context, v *verdict) error {
	text, err := files.ReadFile("npm/script.json")
	if err != nil {
		return err
	}
	script, err := scripted.Parse(text)
	if err != nil {
		return err
	}
	m, err := serveScript(ctx, script)
	if err != nil {
		return err
	}
	defer m.close()
	cmd := exec.CommandContext(ctx, b.node, "clients.mjs", m.url)
	cmd.Dir = b.dir
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("clients.mjs: %w\n%.4000s", err, said.String())
	}
	all, err := readFindings(out)
	if err != nil {
		return err
	}
	for _, f := range all {
		for _, w := range f.Wrong {
			v.fail("%s: %s", f.Check, w)
		}
	}
	v.checks += len(all)
	fmt.Printf("clients: %d checks\n", len(all))
	return nil
}

// readFindings reads what clients.mjs says, to its last line.
func readFindings(out []byte) (all []finding, err error) {
	last := 0
	for s := bufio.NewScanner(bytes.NewReader(out)); s.Scan(); {
		var f finding
		if err := json.Unmarshal(s.Bytes(), &f); err != nil {
			return nil, fmt.Errorf("clients.mjs says %.300q: %w", s.Text(), err)
		}
		if f.Checks > 0 {
			last = f.Checks
			continue
		}
		all = append(all, f)
	}
	if last == 0 || last != len(all) {
		return nil, fmt.Errorf("clients.mjs ended at %d checks of %d: %s", len(all), last, strings.TrimSpace(string(out[max(0, len(out)-300):])))
	}
	return all, nil
}
