package perdure

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/perdure/perdure/actors"
)

// WriteTimeline prints the run for people: who had it, what ran, what was
// replayed, how long it took.
func (info *RunInfo) WriteTimeline(out io.Writer) error {
	archived := ""
	if info.Archived {
		archived = "  archived"
	}
	fmt.Fprintf(out, "%s  %s%s\n", info.Run, info.Status, archived)
	if info.Build != "" {
		fmt.Fprintf(out, "build %s\n", info.Build)
	}
	if info.ForkedFrom != "" {
		fmt.Fprintf(out, "forked from %s%s\n", info.ForkedFrom, beforeStep(info.ForkStep))
	}
	for _, f := range info.Forks {
		fmt.Fprintf(out, "forked as %s\n", f)
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.StripEscape)
	next := 0
	for i, c := range info.Claims {
		fmt.Fprintf(w, "%s  node %s %s\n", clock(c.At), c.Node, claimNote(i, c))
		for next < len(info.Steps) && int(info.Steps[next].Claim) <= i {
			writeStep(w, info.Steps[next])
			next++
		}
	}
	for ; next < len(info.Steps); next++ {
		writeStep(w, info.Steps[next])
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if n := info.StepCount; n > uint64(len(info.Steps)) {
		fmt.Fprintf(out, "... and %d more\n", n-uint64(len(info.Steps)))
	}
	if u := info.Usage; u != nil && u.ModelCalls > 1 {
		fmt.Fprintf(out, "model calls: %d, %d tokens in, %d out", u.ModelCalls, u.InputTokens, u.OutputTokens)
		if u.USD > 0 {
			fmt.Fprintf(out, ", $%s", strconv.FormatFloat(u.USD, 'f', -1, 64))
		}
		fmt.Fprintln(out)
	}
	if info.NoResults != "" {
		fmt.Fprintf(out, "no results of steps: %s\n", info.NoResults)
	}
	if info.Generation > 0 {
		fmt.Fprintf(out, "continued as new: %d times\n", info.Generation)
	}
	for _, s := range info.Waits {
		fmt.Fprintf(out, "waits for %s\n", s)
	}
	for _, p := range info.Progress {
		fmt.Fprintf(out, "step %s %s is at: %s\n", p.Path, p.Name, p.Progress)
	}
	for _, q := range info.Asks {
		fmt.Fprintf(out, "asks %s: %s%s\n", q.Name, q.Question, askedOf(q))
	}
	if len(info.CustomStatus) > 0 {
		fmt.Fprintf(out, "shows: %s\n", info.CustomStatus)
	}
	if len(info.Attributes) > 0 {
		fmt.Fprint(out, "attributes:")
		for _, name := range slices.Sorted(maps.Keys(info.Attributes)) {
			fmt.Fprintf(out, " %s=%v", name, info.Attributes[name])
		}
		fmt.Fprintln(out)
	}
	switch {
	case info.Reason == "":
	case info.Status == "paused", info.Status == "running", info.Status == "suspended", info.Status == "queued", actors.IsEndName(info.Status):
		fmt.Fprintln(out, info.Reason)
	default:
		fmt.Fprintf(out, "cannot go on: %s\n", info.Reason)
	}
	var err error
	switch {
	case info.Error != nil:
		_, err = fmt.Fprintf(out, "error %s: %s\n", info.Error.Code, info.Error.Message)
	case len(info.Result) > 0:
		_, err = fmt.Fprintf(out, "result: %s\n", info.Result)
	}
	return err
}

func beforeStep(step string) string {
	if step == "" {
		return ""
	}
	return ", before step " + step
}

func claimNote(i int, c Claim) string {
	if i == 0 {
		return "begins the run"
	}
	steps := "1 step"
	if c.Replayed != 1 {
		steps = fmt.Sprintf("%d steps", c.Replayed)
	}
	return "takes the run over: " + steps + " replayed from the journal, not run again"
}

func writeStep(w io.Writer, s Step) {
	var notes []string
	if s.Attempts > 1 {
		notes = append(notes, fmt.Sprintf("%d attempts", s.Attempts))
	}
	if s.Error != "" {
		notes = append(notes, "error "+s.Error)
	}
	if in, out := s.Attributes["input_tokens"], s.Attributes["output_tokens"]; in != "" || out != "" {
		notes = append(notes, fmt.Sprintf("%s tokens in, %s out", in, out))
	}
	for _, k := range slices.Sorted(maps.Keys(s.Attributes)) {
		if k != "input_tokens" && k != "output_tokens" && !strings.HasSuffix(k, "sha256") {
			notes = append(notes, k+" "+s.Attributes[k])
		}
	}
	took := ""
	if s.TookMS > 0 {
		took = time.Duration(s.TookMS * float64(time.Millisecond)).Round(10 * time.Microsecond).String()
	}
	number := s.Path
	if s.Kind == "signal" { // nothing that the code asked for
		number = s.Kind
	}
	fmt.Fprintf(w, "%s    %s %s\t%s\t%s\n", clock(s.At), number, s.Name, took, strings.Join(notes, ", "))
	switch {
	case s.ResultBytes > 0:
		fmt.Fprintf(w, "%s\n", escaped(fmt.Sprintf("                  = %s ... (cut: it has %d bytes)", s.Cut, s.ResultBytes)))
	case len(s.Result) > 0:
		fmt.Fprintf(w, "%s\n", escaped(fmt.Sprintf("                  = %s", s.Result)))
	}
}

// escaped is text in which a tabwriter finds no cell.
func escaped(s string) string { return "\xff" + s + "\xff" }

func clock(t time.Time) string { return t.Local().Format("15:04:05.000") }

// askedOf says for people whom a question is for, until when, and what a decision is
// bound to.
func askedOf(q Question) string {
	var s string
	if len(q.To) > 0 {
		s += " for " + strings.Join(q.To, ", ")
	}
	if !q.Due.IsZero() {
		s += " until " + q.Due.Format(time.RFC3339)
	}
	if q.Hash != "" {
		s += " hash " + q.Hash
	}
	if s == "" {
		return ""
	}
	return " (" + s[1:] + ")"
}
