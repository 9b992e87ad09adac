package schemas_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/perdure/perdure/schemas"
)

// describe lists a file's fields and enum values, one a line, sorted: name,
// number, and for a field its cardinality and type.
func describe(file protoreflect.FileDescriptor) (lines []string) {
	var enums func(protoreflect.EnumDescriptors)
	var messages func(protoreflect.MessageDescriptors)
	enums = func(es protoreflect.EnumDescriptors) {
		for i := range es.Len() {
			e := es.Get(i)
			for j := range e.Values().Len() {
				lines = append(lines, fmt.Sprintf("%s.%s = %d", e.FullName(), e.Values().Get(j).Name(), e.Values().Get(j).Number()))
			}
		}
	}
	messages = func(ms protoreflect.MessageDescriptors) {
		for i := range ms.Len() {
			m := ms.Get(i)
			for j := range m.Fields().Len() {
				lines = append(lines, describeField(m.Fields().Get(j)))
			}
			messages(m.Messages())
			enums(m.Enums())
		}
	}
	messages(file.Messages())
	enums(file.Enums())
	slices.Sort(lines)
	return lines
}

func describeField(f protoreflect.FieldDescriptor) string {
	s := fmt.Sprintf("%s %d %s %s", f.FullName(), f.Number(), f.Cardinality(), f.Kind())
	switch {
	case f.Message() != nil:
		s += " " + string(f.Message().FullName())
	case f.Enum() != nil:
		s += " " + string(f.Enum().FullName())
	}
	if o := f.ContainingOneof(); o != nil {
		s += " oneof " + string(o.Name())
	}
	return s
}

// compareDescriptors returns the lines of the released format that are gone,
// which breaks what was written with them, and those that are new.
func compareDescriptors(released, now []string) (gone, added []string) {
	for _, l := range released {
		if !slices.Contains(now, l) {
			gone = append(gone, l)
		}
	}
	for _, l := range now {
		if !slices.Contains(released, l) {
			added = append(added, l)
		}
	}
	return gone, added
}

// TestFieldNumbersAreStable compares the compiled descriptor with
// testdata/descriptor.txt. -update adds what is new; what is gone, renumbered
// or of another type stays red.
func TestFieldNumbersAreStable(t *testing.T) {
	path := filepath.Join("testdata", "descriptor.txt")
	text, err := os.ReadFile(path)
	if err != nil && !(os.IsNotExist(err) && *update) {
		t.Fatal(err)
	}
	released := strings.Split(strings.TrimSpace(string(text)), "\n")
	if len(text) == 0 {
		released = nil
	}
	now := describe(schemas.File_perdure_proto)
	gone, added := compareDescriptors(released, now)
	for _, l := range gone {
		t.Errorf("removed, renumbered or of another type: %s\nstored bytes are no longer read as they were written: put it back, and add a new field", l)
	}
	if len(added) == 0 {
		return
	}
	if !*update {
		t.Fatalf("new in the wire format:\n%s\nadd it to %s: go test ./schemas -update", strings.Join(added, "\n"), path)
	}
	all := append(released, added...)
	slices.Sort(all)
	if err := os.WriteFile(path, []byte(strings.Join(all, "\n")+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestFieldNumberCheckIsRed(t *testing.T) {
	released := []string{"p.A.x 1 optional string", "p.A.y 2 optional int64", "p.E.ONE = 1"}
	for name, c := range map[string]struct{ now, gone, added []string }{
		"same":        {released, nil, nil},
		"added":       {append([]string{"p.A.z 3 optional bytes"}, released...), nil, []string{"p.A.z 3 optional bytes"}},
		"removed":     {released[1:], released[:1], nil},
		"renumbered":  {[]string{"p.A.x 3 optional string", released[1], released[2]}, released[:1], []string{"p.A.x 3 optional string"}},
		"other type":  {[]string{released[0], "p.A.y 2 optional sint64", released[2]}, released[1:2], []string{"p.A.y 2 optional sint64"}},
		"other value": {[]string{released[0], released[1], "p.E.ONE = 2"}, released[2:], []string{"p.E.ONE = 2"}},
	} {
		t.Run(name, func(t *testing.T) {
			gone, added := compareDescriptors(released, c.now)
			if !slices.Equal(gone, c.gone) || !slices.Equal(added, c.added) {
				t.Errorf("gone %q, added %q; want %q, %q", gone, added, c.gone, c.added)
			}
		})
	}
}
