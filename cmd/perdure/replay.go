package main

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"text/template"
	"time"

	"github.com/spf13/cobra"
)

//go:embed replay_program.go.tmpl
var replayProgram string

// programDir is where the program would be, below the package that it imports,
// so that it may import internal packages. It is there only for the compiler:
// nothing is written in the user's module.
const programDir = "_perdure_replay"

// An exitError is the end of a command that has already said what is wrong.
type exitError struct{ code int }

func (e exitError) Error() string { return fmt.Sprintf("exit code %d", e.code) }

func replayCommand() *cobra.Command {
	var kinds, output string
	cmd := &cobra.Command{
		Use:   "replay JOURNAL...",
		Short: "Replay exported journals with the code in the working tree",
		Long: `Replay journals, written by 'perdure export', with the code in the working tree:
whether the runs that they are of would go on if it was deployed. No step is
executed, and no server is asked. --kinds names what gives the kinds: an exported
function without parameters, or a variable, of one *durable.Kind or several,
after the package that it is in. JOURNAL is a file, or - for standard input.

It needs the go command: a program that imports the package is compiled as part
of its module, run and removed. It exits with 1 if the code asks for something
else than was recorded, and says which step it is, or lacks the build that the run
is of; with 3 if no kind is that of a journal; with 2 if the code does not compile,
or a file is no journal of an open run.`,
		Example: `  perdure replay --kinds ./shop.Kinds testdata/journals/*.json
  perdure export fulfil/order-17/order-17 | perdure replay --kinds ./shop.Kinds -`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usageError{errors.New("replay takes journals, files that 'perdure export' wrote; it got none: see 'perdure replay --help'")}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if output != "text" && output != "json" {
				return usageError{fmt.Errorf("output %q is unknown; use text or json", output)}
			}
			for _, file := range args {
				if _, err := os.Stat(file); err != nil && file != "-" {
					return usageError{fmt.Errorf("read a journal: %w", err)}
				}
			}
			dir, err := os.MkdirTemp("", "perdure-replay-")
			if err != nil {
				return fmt.Errorf("replay: %w", err)
			}
			defer func() { _ = os.RemoveAll(dir) }() // what is left is among the system's temporary files
			program, err := buildReplay(cmd.Context(), dir, kinds)
			if cause := cmd.Context().Err(); cause != nil {
				err = fmt.Errorf("replay: %w", cause)
			}
			if err != nil {
				return err
			}
			run := exec.CommandContext(cmd.Context(), program, append([]string{output}, args...)...)
			run.Stdin, run.Stdout, run.Stderr = os.Stdin, cmd.OutOrStdout(), cmd.ErrOrStderr()
			run.Cancel = func() error { return run.Process.Signal(os.Interrupt) }
			run.WaitDelay = 5 * time.Second
			err = run.Run()
			var exit *exec.ExitError
			switch {
			case cmd.Context().Err() != nil:
				return fmt.Errorf("replay: %w", cmd.Context().Err())
			case errors.As(err, &exit) && exit.ExitCode() > 0:
				return exitError{exit.ExitCode()}
			}
			return err
		},
	}
	cmd.Flags().StringVar(&kinds, "kinds", "", "what gives the kinds, e.g. ./shop.Kinds or example.com/m/shop.Kinds")
	cmd.Flags().StringVarP(&output, "output", "o", "text", "output: text or json")
	return cmd
}

// buildReplay compiles the program that replays with the kinds of spec, in dir.
func buildReplay(ctx context.Context, dir, spec string) (program string, err error) {
	target, err := findKinds(ctx, spec)
	if err != nil {
		return "", err
	}
	var source bytes.Buffer
	if err := template.Must(template.New("").Parse(replayProgram)).Execute(&source, target); err != nil {
		return "", fmt.Errorf("replay: %w", err)
	}
	file, there := filepath.Join(dir, "main.go"), filepath.Join(target.Dir, programDir, "main.go")
	overlay, err := json.Marshal(map[string]map[string]string{"Replace": {there: file}})
	if err != nil {
		return "", fmt.Errorf("replay: %w", err)
	}
	for name, data := range map[string][]byte{file: source.Bytes(), filepath.Join(dir, "overlay.json"): overlay} {
		if err := os.WriteFile(name, data, 0o600); err != nil {
			return "", fmt.Errorf("replay: %w", err)
		}
	}
	program = filepath.Join(dir, "replay")
	if _, err := goCommand(ctx, "build", "-overlay", filepath.Join(dir, "overlay.json"), "-o", program, there); err != nil {
		return "", usageError{fmt.Errorf("the code that %s needs does not compile:\n%w", spec, err)}
	}
	return program, nil
}

// A replayTarget is what the program imports.
type replayTarget struct {
	Spec, Name      string // ./shop.Kinds, Kinds
	Dir, ImportPath string
}

// findKinds finds the package and the name of --kinds, and says what is wrong
// with them before the compiler would.
func findKinds(ctx context.Context, spec string) (*replayTarget, error) {
	slash := strings.LastIndex(spec, "/")
	dot := strings.LastIndex(spec, ".")
	if dot <= slash || dot == len(spec)-1 || dot == 0 {
		return nil, usageError{fmt.Errorf("--kinds %q names no package and what in it gives the kinds; write it as ./shop.Kinds", spec)}
	}
	t := &replayTarget{Spec: spec, Name: spec[dot+1:]}
	if !ast.IsExported(t.Name) {
		return nil, usageError{fmt.Errorf("--kinds %s: %s is not exported, so that no program can use it; give it a name that begins with a capital letter", spec, t.Name)}
	}
	if _, err := exec.LookPath("go"); err != nil {
		return nil, usageError{fmt.Errorf("replay compiles your code with the go command, which cannot be run: %w; install Go", err)}
	}
	mod, err := goCommand(ctx, "env", "GOMOD")
	if err != nil {
		return nil, usageError{fmt.Errorf("go env: %w", err)}
	}
	if m := strings.TrimSpace(string(mod)); m == "" || m == os.DevNull {
		return nil, usageError{errors.New("there is no Go module here: no go.mod in this folder or one above it; run replay in the module that has the code")}
	}
	out, err := goCommand(ctx, "list", "-e", "-json=Dir,ImportPath,Name,GoFiles,CgoFiles,Error", "--", spec[:dot])
	if err != nil {
		return nil, usageError{fmt.Errorf("--kinds %s: %w", spec, err)}
	}
	var p struct {
		Dir, ImportPath, Name string
		GoFiles, CgoFiles     []string
		Error                 *struct{ Err string }
	}
	dec := json.NewDecoder(bytes.NewReader(out))
	if err := dec.Decode(&p); err != nil {
		return nil, usageError{fmt.Errorf("--kinds %s: %s is no package", spec, spec[:dot])}
	}
	switch {
	case dec.More():
		return nil, usageError{fmt.Errorf("--kinds %s: %s is more than one package; name one", spec, spec[:dot])}
	case p.Error != nil && len(p.GoFiles)+len(p.CgoFiles) == 0:
		return nil, usageError{fmt.Errorf("--kinds %s: %s", spec, p.Error.Err)}
	case p.Name == "main":
		return nil, usageError{fmt.Errorf("--kinds %s: %s is a program, which no other can import; move what gives the kinds to a package", spec, p.ImportPath)}
	}
	t.Dir, t.ImportPath = p.Dir, p.ImportPath
	names := topLevel(p.Dir, slices.Concat(p.GoFiles, p.CgoFiles))
	if names != nil && !slices.Contains(names, t.Name) {
		return nil, usageError{fmt.Errorf("--kinds %s: package %s has no function or variable %s; it has %s", spec, p.ImportPath, t.Name, strings.Join(names, ", "))}
	}
	return t, nil
}

// topLevel returns the exported functions and variables of a package's files, nil
// where one cannot be read: the compiler then says why.
func topLevel(dir string, files []string) []string {
	names := []string{}
	for _, name := range files {
		f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(dir, name), nil, parser.SkipObjectResolution)
		if err != nil {
			return nil
		}
		for _, d := range f.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				if d.Recv == nil {
					names = append(names, d.Name.Name)
				}
			case *ast.GenDecl:
				for _, s := range d.Specs {
					if v, ok := s.(*ast.ValueSpec); ok {
						for _, id := range v.Names {
							names = append(names, id.Name)
						}
					}
				}
			}
		}
	}
	slices.Sort(names)
	return slices.DeleteFunc(names, func(n string) bool { return !ast.IsExported(n) })
}

// goCommand runs the go command and returns its output; the error is what it
// says.
func goCommand(ctx context.Context, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, "go", args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 5 * time.Second
	out, err := cmd.Output()
	switch text := strings.TrimSpace(stderr.String()); {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case err != nil && text != "":
		return nil, errors.New(text)
	}
	return out, err
}
