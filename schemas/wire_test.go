package schemas_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/perdure/perdure/schemas"
)

// update adds golden files that are missing. It never rewrites one: bytes that
// were ever written must stay readable.
var update = flag.Bool("update", false, "add golden files that are missing; existing ones are never rewritten")

// goldenPath is where the bytes of a sample are, in hexadecimal.
func goldenPath(name string) string { return filepath.Join("testdata", "wire", name+".hex") }

// goldenBytes reads the bytes of a sample.
func goldenBytes(t testing.TB, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(goldenPath(name))
	if err != nil {
		t.Fatalf("%v\nwrite what is missing: go test ./schemas -update", err)
	}
	data, err := hex.DecodeString(strings.Join(strings.Fields(string(text)), ""))
	if err != nil {
		t.Fatalf("%s: %v", goldenPath(name), err)
	}
	return data
}

// addGolden writes the bytes of m as the golden file of a sample that has none.
func addGolden(t *testing.T, name string, m proto.Message) {
	t.Helper()
	if _, err := os.Stat(goldenPath(name)); !errors.Is(err, fs.ErrNotExist) {
		return
	}
	text := hex.EncodeToString(encode(t, m))
	var b strings.Builder
	for line := range slices.Chunk([]byte(text), 64) {
		b.Write(append(line, '\n'))
	}
	if err := os.MkdirAll(filepath.Dir(goldenPath(name)), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(goldenPath(name), []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}

func encode(t testing.TB, m proto.Message) []byte {
	t.Helper()
	data, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		t.Fatalf("encode %s: %v", m.ProtoReflect().Descriptor().Name(), err)
	}
	return data
}

// TestWireStaysReadable decodes the golden bytes of every message and compares
// them with the values that they were written from, and back.
func TestWireStaysReadable(t *testing.T) {
	for name, want := range samples() {
		t.Run(name, func(t *testing.T) {
			if *update {
				addGolden(t, name, want)
			}
			golden := goldenBytes(t, name)
			got := want.ProtoReflect().New().Interface()
			if err := proto.Unmarshal(golden, got); err != nil {
				t.Fatalf("decode %s: %v", goldenPath(name), err)
			}
			if !proto.Equal(got, want) {
				t.Errorf("%s decodes to\n%v\nwant\n%v", goldenPath(name), got, want)
			}
			if data := encode(t, want); !bytes.Equal(data, golden) {
				t.Errorf("encodes to\n%x\nwant the bytes of %s\n%x", data, goldenPath(name), golden)
			}
		})
	}
}

// TestWireGoldensHaveSamples finds golden bytes that no sample reads any more.
func TestWireGoldensHaveSamples(t *testing.T) {
	entries, err := os.ReadDir(filepath.Join("testdata", "wire"))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if name, ok := strings.CutSuffix(e.Name(), ".hex"); !ok || samples()[name] == nil {
			t.Errorf("testdata/wire/%s belongs to no sample: bytes that were ever written must stay readable", e.Name())
		}
	}
}

// TestWireSamplesAreComplete requires that the samples set every field of
// every message, and every value of every enum but the unspecified.
func TestWireSamplesAreComplete(t *testing.T) {
	seen := map[protoreflect.FullName]bool{}
	for _, m := range samples() {
		visit(m.ProtoReflect(), seen)
	}
	for _, name := range members(schemas.File_perdure_proto) {
		if !seen[name] {
			t.Errorf("no sample has %s: add one (in samples_test.go, under a new name), then go test ./schemas -update", name)
		}
	}
}

// visit notes the messages, fields and enum values that are set in m.
func visit(m protoreflect.Message, seen map[protoreflect.FullName]bool) {
	seen[m.Descriptor().FullName()] = true
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		seen[f.FullName()] = true
		switch {
		case f.IsMap():
		case f.IsList() && f.Message() != nil:
			for i := range v.List().Len() {
				visit(v.List().Get(i).Message(), seen)
			}
		case f.Message() != nil:
			visit(v.Message(), seen)
		case f.Enum() != nil:
			seen[f.Enum().Values().ByNumber(v.Enum()).FullName()] = true
		}
		return true
	})
}

// members lists the messages, fields and enum values of a file.
func members(file protoreflect.FileDescriptor) (names []protoreflect.FullName) {
	var enums func(protoreflect.EnumDescriptors)
	var messages func(protoreflect.MessageDescriptors)
	enums = func(es protoreflect.EnumDescriptors) {
		for i := range es.Len() {
			for j := range es.Get(i).Values().Len() {
				if v := es.Get(i).Values().Get(j); v.Number() != 0 {
					names = append(names, v.FullName())
				}
			}
		}
	}
	messages = func(ms protoreflect.MessageDescriptors) {
		for i := range ms.Len() {
			m := ms.Get(i)
			if m.IsMapEntry() {
				continue
			}
			names = append(names, m.FullName())
			for j := range m.Fields().Len() {
				names = append(names, m.Fields().Get(j).FullName())
			}
			messages(m.Messages())
			enums(m.Enums())
		}
	}
	messages(file.Messages())
	enums(file.Enums())
	return names
}

// TestWireUnknownFieldsSurvive plays an older node that passes on what a newer
// one wrote: what it does not know is still there.
func TestWireUnknownFieldsSurvive(t *testing.T) {
	for name, sample := range samples() {
		newer := protowire.AppendTag(goldenBytes(t, name), 19_000-1, protowire.BytesType)
		newer = protowire.AppendString(newer, "from a later release")
		m := sample.ProtoReflect().New().Interface()
		if err := proto.Unmarshal(newer, m); err != nil {
			t.Errorf("%s with a field of a later release: %v", name, err)
			continue
		}
		if got := encode(t, m); !bytes.Equal(got, newer) {
			t.Errorf("%s: the field of a later release is lost:\n%x\nwant\n%x", name, got, newer)
		}
	}
}
