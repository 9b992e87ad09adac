package durable

import (
	"encoding/json"
	"testing"

	"github.com/perdure/perdure/schemas"
)

// What is read and written without a decoder is what package encoding/json reads and
// writes.
func FuzzPlain(f *testing.F) {
	for _, s := range []string{``, `a text`, `"quoted"`, `back\slash`, "new\nline", "<b>&</b>", "ä ö", "\u2028", "\x7f", "\xff", `"`, `""`, `"a\u0041"`, ` "a" `, "\"\x00\"", "\"\xff\"", `"a" "b"`, `7`, `null`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		want, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		got, err := Encode(s)
		if err != nil || string(got.GetData()) != string(want) {
			t.Errorf("%q is encoded as %q, %v; encoding/json makes %q of it", s, got.GetData(), err, want)
		}
		var text string
		wrong := json.Unmarshal([]byte(s), &text)
		read, err := Decode[string](&schemas.Payload{Data: []byte(s)})
		if len(s) == 0 {
			wrong = nil // nothing is the zero value
		}
		if (err != nil) != (wrong != nil) || err == nil && read != text {
			t.Errorf("%q is read as %q, %v; encoding/json reads %q, %v", s, read, err, text, wrong)
		}
		if back, err := Decode[string](got); err != nil || back != func() (s string) { _ = json.Unmarshal(want, &s); return }() {
			t.Errorf("%q comes back as %q, %v", s, back, err)
		}
	})
}
