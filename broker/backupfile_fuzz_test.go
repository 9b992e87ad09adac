package broker

import (
	"bytes"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/klauspost/compress/s2"
)

// smallBackup is a whole backup.
func smallBackup(t testing.TB) []byte {
	t.Helper()
	var file bytes.Buffer
	w, err := newBackupWriter(&file)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(err)
	n, err := NewNames("ns", 4)
	must(err)
	must(w.json(frameManifest, Manifest{Namespace: "ns", Layout: Layout, Partitions: 4, Taken: time.Unix(1, 0), Keys: []ManifestKey{{"build.default.wf", []byte("x")}}}))
	for _, name := range append(n.shared(), n.InboxStream(), n.TimersStream()) {
		must(w.begin(backupStream{Name: name, Config: map[string]json.RawMessage{}, First: 1, Last: 9}))
		must(w.message(rawMessage{seq: 3, time: 5, subject: "a.b", header: []byte("NATS/1.0\r\nA: b\r\n\r\n"), data: []byte("body")}))
		must(w.message(rawMessage{seq: 4, time: -5, subject: "a"}))
		must(w.end())
	}
	must(w.close())
	return file.Bytes()
}

// FuzzBackup reads what is no backup: it is refused as such, and nothing more is said
// of it than is there.
func FuzzBackup(f *testing.F) {
	file := smallBackup(f)
	if _, err := CheckBackup(bytes.NewReader(file)); err != nil {
		f.Fatal(err)
	}
	line, rest, _ := bytes.Cut(file, []byte("\n"))
	var plain bytes.Buffer
	if _, err := plain.ReadFrom(s2.NewReader(bytes.NewReader(rest))); err != nil {
		f.Fatal(err)
	}
	f.Add(file, false)
	f.Add(plain.Bytes(), true)
	f.Add([]byte("0\xab\xce\xbf\xbf\xbf\xbf\xbf\xbf\xbf\xde\xbc"), true) // a length of more than 64 bits
	for _, n := range []int{0, 1, 20, 100, plain.Len() - 1} {
		f.Add(plain.Bytes()[:n], true)
		f.Add(file[:min(n, len(file))], false)
	}
	f.Fuzz(func(t *testing.T, data []byte, frames bool) {
		if frames { // so that what is compressed is reached
			var b bytes.Buffer
			b.Write(append(bytes.Clone(line), '\n'))
			w := s2.NewWriter(&b, s2.WriterConcurrency(1))
			if _, err := w.Write(data); err != nil {
				t.Fatal(err)
			}
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
			data = b.Bytes()
		}
		m, err := CheckBackup(bytes.NewReader(data))
		if err != nil {
			if !errors.Is(err, ErrBackup) {
				t.Fatalf("%v does not match ErrBackup", err)
			}
			return
		}
		if m.Namespace == "" || m.Partitions == 0 {
			t.Fatalf("taken for whole: %+v", m)
		}
	})
}
