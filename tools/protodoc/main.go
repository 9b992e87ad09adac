// Command protodoc writes the reference page of a .proto file: every message
// and enum with its comments, as Markdown. It shares the compiler of protogen.
//
//	protodoc IMPORT_ROOT FILE OUT_FILE
package main

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/bufbuild/protocompile"
	"google.golang.org/protobuf/reflect/protoreflect"
)

func main() {
	if len(os.Args) != 4 {
		fmt.Fprintln(os.Stderr, "usage: protodoc IMPORT_ROOT FILE OUT_FILE")
		os.Exit(2)
	}
	if err := generate(os.Args[1], os.Args[2], os.Args[3]); err != nil {
		fmt.Fprintln(os.Stderr, "protodoc:", err)
		os.Exit(1)
	}
}

func generate(root, file, out string) error {
	compiler := protocompile.Compiler{
		Resolver:       protocompile.WithStandardImports(&protocompile.SourceResolver{ImportPaths: []string{root}}),
		SourceInfoMode: protocompile.SourceInfoStandard,
	}
	files, err := compiler.Compile(context.Background(), file)
	if err != nil {
		return fmt.Errorf("compile %s: %w", file, err)
	}
	p := &page{file: files[0]}
	p.printf("# Messages\n\n")
	p.printf("Generated from `schemas/proto/%s` by `make generate`; do not edit.\n\n", file)
	p.printf("Everything that Perdure sends or stores is one of these messages of the protobuf package `%s`. ", files[0].Package())
	p.printf("A field is never renumbered and never reused; `schemas/testdata` holds golden bytes of every message.\n")
	for i := range files[0].Messages().Len() {
		p.message(files[0].Messages().Get(i))
	}
	for i := range files[0].Enums().Len() {
		p.enum(files[0].Enums().Get(i))
	}
	if err := os.WriteFile(out, []byte(p.String()), 0o644); err != nil {
		return fmt.Errorf("write %s: %w", out, err)
	}
	return nil
}

// page is the Markdown written so far.
type page struct {
	strings.Builder
	file protoreflect.FileDescriptor
}

func (p *page) printf(format string, args ...any) { fmt.Fprintf(&p.Builder, format, args...) }

// comment returns what stands before and after d, on one line.
func (p *page) comment(d protoreflect.Descriptor) string {
	loc := p.file.SourceLocations().ByDescriptor(d)
	return strings.Join(strings.Fields(loc.LeadingComments+" "+loc.TrailingComments), " ")
}

func (p *page) message(m protoreflect.MessageDescriptor) {
	if m.IsMapEntry() {
		return
	}
	p.heading(m)
	if m.Fields().Len() > 0 {
		p.printf("\n| field | number | type | |\n| --- | --- | --- | --- |\n")
	}
	for i := range m.Fields().Len() {
		f := m.Fields().Get(i)
		p.printf("| `%s` | %d | %s | %s |\n", f.Name(), f.Number(), typeOf(f), escape(p.comment(f)))
	}
	for i := range m.Messages().Len() {
		p.message(m.Messages().Get(i))
	}
	for i := range m.Enums().Len() {
		p.enum(m.Enums().Get(i))
	}
}

func (p *page) enum(e protoreflect.EnumDescriptor) {
	p.heading(e)
	p.printf("\n| value | number | |\n| --- | --- | --- |\n")
	for i := range e.Values().Len() {
		v := e.Values().Get(i)
		p.printf("| `%s` | %d | %s |\n", v.Name(), v.Number(), escape(p.comment(v)))
	}
}

func (p *page) heading(d protoreflect.Descriptor) {
	p.printf("\n## %s\n", shortName(d))
	if c := p.comment(d); c != "" {
		p.printf("\n%s\n", c)
	}
}

// shortName is the name within the package: Envelope.Type.
func shortName(d protoreflect.Descriptor) string {
	return strings.TrimPrefix(string(d.FullName()), string(d.ParentFile().Package())+".")
}

// typeOf names a field's type as a reader says it, with a link to messages
// and enums of this page.
func typeOf(f protoreflect.FieldDescriptor) string {
	var s string
	switch {
	case f.IsMap():
		return fmt.Sprintf("map of %s to %s", f.MapKey().Kind(), f.MapValue().Kind())
	case f.Message() != nil:
		s = link(f.Message())
	case f.Enum() != nil:
		s = link(f.Enum())
	default:
		s = f.Kind().String()
	}
	if f.IsList() {
		s = "list of " + s
	}
	if o := f.ContainingOneof(); o != nil {
		s += ", one of `" + string(o.Name()) + "`"
	}
	return s
}

func link(d protoreflect.Descriptor) string {
	name := shortName(d)
	return fmt.Sprintf("[%s](#%s)", name, strings.ReplaceAll(strings.ToLower(name), ".", ""))
}

// escape keeps a cell a cell, and text text.
func escape(s string) string {
	return strings.NewReplacer("|", `\|`, "<", "&lt;").Replace(s)
}
