package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/perdure/perdure"
	"github.com/perdure/perdure/durable"
	"github.com/spf13/cobra"
)

func watchCommand() *cobra.Command {
	var c connection
	var from string
	cmd := &cobra.Command{
		Use:   "watch REF",
		Short: "Watch a run: what its model writes, as it writes it, and what its steps do",
		Long: `Watch a run until it has ended: the messages of its model as they are written, what
its tools say, and what each step came to. It begins with what the run has done so
far. A message that is void, since its node died or its provider failed in the middle,
is marked so, and begins anew. Standard error says what the run asks people, and that it
stands still. The exit code is that of 'perdure wait'. Any number may
watch, for as long as they like; none holds the run up.

With -o json each event is a line, as of runs.stream in the API. --from goes on behind
the event that had this position.`,
		Example: `  perdure watch weather/me/ask-17
  perdure watch weather/me/ask-17 -o json
  perdure watch weather/me/ask-17 -o json --from 0.2.1`,
		Args: exactly(1, "one reference kind/key/id"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.with(cmd, func(ctx context.Context, client *perdure.Client) error {
				if _, err := client.Get(ctx, args[0]); err != nil { // else it would wait for a node that may never answer
					return err
				}
				watch, stop := context.WithCancel(ctx)
				watched := make(chan struct{})
				go func() {
					defer close(watched)
					warnOfStandstill(watch, cmd.ErrOrStderr(), client, args[0], standstillFirst)
				}()
				defer func() { stop(); <-watched }()
				return watchRun(ctx, cmd.OutOrStdout(), client, args[0], from, c.output == "json")
			})
		},
	}
	c.flags(cmd)
	cmd.Flags().StringVar(&from, "from", "", "go on behind the event that had this `POSITION`; empty: from the beginning")
	return cmd
}

// watchRun prints the stream of a run. A run that failed is the command's failure.
func watchRun(ctx context.Context, out io.Writer, client *perdure.Client, ref, from string, asJSON bool) error {
	at := from
	s := &screen{out: out}
	for e, err := range client.Stream(ctx, ref, from) {
		switch {
		case err != nil && ctx.Err() != nil:
			s.line()
			return hinted{err, fmt.Sprintf("the run goes on; to go on watching: perdure watch %s --from '%s'", ref, at)}
		case err != nil:
			return err
		case asJSON:
			if err := json.NewEncoder(out).Encode(e.LiveEvent); err != nil {
				return err
			}
		default:
			s.show(e)
		}
		at = e.Position
		if e.Done != nil && e.Done.Error != nil {
			return runFailed{fmt.Errorf("%s: %w", ref, &durable.Error{Code: e.Done.Error.Code, Message: e.Done.Error.Code + ": " + e.Done.Error.Message, Details: e.Done.Error.Details, Final: true})}
		}
	}
	return s.err
}

// A screen prints what a run does for people: a line for each step, and what it says
// below it.
type screen struct {
	out    io.Writer
	step   string // whose text is being printed
	within bool   // a line
	err    error
}

func (s *screen) print(text string) {
	if s.err == nil {
		_, s.err = io.WriteString(s.out, text)
	}
}

// line ends a line that was begun.
func (s *screen) line() {
	if s.within {
		s.print("\n")
		s.within = false
	}
}

// head says which step is printed.
func (s *screen) head(e perdure.StreamEvent, note string) {
	if s.step != e.Step || note != "" {
		s.line()
		s.print(e.Step + " " + e.Name + note + "\n")
		s.step = e.Step
	}
}

// text prints part of what a step says, below its line.
func (s *screen) text(e perdure.StreamEvent, text string) {
	s.head(e, "")
	for part := range strings.SplitAfterSeq(text, "\n") {
		if part != "" && !s.within {
			s.print("  ")
		}
		s.print(part)
		if part != "" {
			s.within = !strings.HasSuffix(part, "\n")
		}
	}
}

// whole prints a line below that of a step.
func (s *screen) whole(e perdure.StreamEvent, text string) {
	s.head(e, "")
	s.line()
	s.text(e, text+"\n")
}

// maxShownResult is how much of a result is printed, in bytes.
const maxShownResult = 400

func (s *screen) show(e perdure.StreamEvent) {
	switch e.Type {
	case perdure.StreamBegin:
		note := ""
		if e.Owner > 1 || e.Attempt > 1 {
			note = fmt.Sprintf("  (owner %d, attempt %d)", e.Owner, e.Attempt)
		}
		s.step = ""
		s.head(e, note)
	case perdure.StreamText, perdure.StreamReasoning:
		s.text(e, e.Text)
	case perdure.StreamVoid:
		s.whole(e, "(void: "+e.Reason+")")
	case perdure.StreamEnd:
		s.end(e)
	case perdure.StreamDone:
		s.line()
		s.print(e.Done.Status + "\n")
		if len(e.Done.Result) > 0 {
			s.print(string(e.Done.Result) + "\n")
		}
	}
}

func (s *screen) end(e perdure.StreamEvent) {
	switch {
	case e.Error != "":
		s.whole(e, "error "+e.Error)
	case e.Missing:
		s.whole(e, "(what it came to is kept no more)")
	case e.Message != nil:
		for _, call := range e.Message.ToolCalls {
			s.whole(e, "calls "+call.Name+" "+call.Arguments)
		}
		s.line()
	case e.Codec != "": // it is no text for people
		s.line()
	case e.ResultBytes > 0:
		s.whole(e, fmt.Sprintf("= %d bytes", e.ResultBytes))
	case len(e.Result) > maxShownResult:
		s.whole(e, "= "+strings.ToValidUTF8(string(e.Result[:maxShownResult]), "")+" ...")
	case len(e.Result) > 0:
		s.whole(e, "= "+string(e.Result))
	default:
		s.line()
	}
}
