package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
)

// inputForms says how JSON is given, for the help.
const inputForms = "JSON, @FILE for what a file has, or - for standard input"

// readJSON returns JSON that a command line gives: itself, what a file has, or
// standard input. No JSON begins with '@', or is '-'. what names it in errors.
func readJSON(cmd *cobra.Command, what, arg string) (json.RawMessage, error) {
	data, from := []byte(arg), ""
	var err error
	switch {
	case arg == "-":
		from = "standard input"
		data, err = io.ReadAll(cmd.InOrStdin())
	case len(arg) > 1 && arg[0] == '@':
		from = arg[1:]
		data, err = os.ReadFile(from)
	}
	switch data = bytes.TrimSpace(data); {
	case err != nil:
		return nil, usageError{fmt.Errorf("read the %s: %w", what, err)}
	case json.Valid(data):
		return data, nil
	case from == "":
		return nil, usageError{fmt.Errorf("the %s %q is not JSON; a text is written '\"so\"', @FILE is what a file has, and - standard input", what, arg)}
	case len(data) == 0:
		return nil, usageError{fmt.Errorf("the %s is not JSON: %s is empty", what, from)}
	}
	var v any
	return nil, usageError{fmt.Errorf("the %s in %s is not JSON: %w; a text has quotes", what, from, json.Unmarshal(data, &v))}
}

// inputOf returns the input of a command that takes it as its argument number n, or
// by the flag --input; def where neither is given.
func inputOf(cmd *cobra.Command, args []string, n int, def string) (json.RawMessage, error) {
	flag := cmd.Flag("input")
	switch {
	case flag.Changed && len(args) > n:
		return nil, usageError{errors.New("the input is given twice, as an argument and by --input; give it once")}
	case flag.Changed:
		return readJSON(cmd, "input", flag.Value.String())
	case len(args) > n:
		return readJSON(cmd, "input", args[n])
	}
	return json.RawMessage(def), nil
}

// inputFlag adds --input.
func inputFlag(cmd *cobra.Command) {
	cmd.Flags().String("input", "", "input, instead of the argument: "+inputForms)
}
