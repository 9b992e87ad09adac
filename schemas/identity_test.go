package schemas_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/perdure/perdure/schemas"
)

func ExampleParseRef() {
	ref, err := schemas.ParseRef("weather/São%20Paulo/order-17")
	if err != nil {
		panic(err)
	}
	fmt.Println(ref.Kind, ref.Key, ref.ID)
	fmt.Println(ref)
	fmt.Println(schemas.PartitionOf(ref.Identity, 64))
	// Output:
	// weather São Paulo order-17
	// weather/São%20Paulo/order-17
	// 63
}

func TestTokenForms(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"amsterdam", "amsterdam"},
		{"a.b", "a%2Eb"},
		{"a/b c", "a%2Fb%20c"},
		{"*>%", "%2A%3E%25"},
		{"日本", "日本"},
		{"\u00a0\n", "%C2%A0%0A"},
	} {
		if got := schemas.EncodeToken(c.in); got != c.want {
			t.Errorf("EncodeToken(%q) = %q, want %q", c.in, got, c.want)
		}
		if back, err := schemas.DecodeToken(c.want); err != nil || back != c.in {
			t.Errorf("DecodeToken(%q) = %q, %v; want %q", c.want, back, err, c.in)
		}
	}
	for _, bad := range []string{"%41", "%", "%2", "%2e", "a b", "a.b", "%FF", "\xff", strings.Repeat("x", 257)} {
		if got, err := schemas.DecodeToken(bad); !errors.Is(err, schemas.ErrInvalidName) {
			t.Errorf("DecodeToken(%q) = %q, %v; want ErrInvalidName", bad, got, err)
		}
	}
}

func TestInvalidNames(t *testing.T) {
	for _, s := range []string{"", "weather", "weather/", "/amsterdam", "wea.ther/a", "weather/a/b", "we ather/a", "weather/a.b"} {
		if id, err := schemas.ParseIdentity(s); !errors.Is(err, schemas.ErrInvalidName) {
			t.Errorf("ParseIdentity(%q) = %v, %v; want ErrInvalidName", s, id, err)
		}
	}
	for _, s := range []string{"", "a/b", "a/b/", "a//c", "a/b/c/d", "a/b/c.d"} {
		if ref, err := schemas.ParseRef(s); !errors.Is(err, schemas.ErrInvalidName) {
			t.Errorf("ParseRef(%q) = %v, %v; want ErrInvalidName", s, ref, err)
		}
	}
	if _, err := schemas.ParsePartition("007"); !errors.Is(err, schemas.ErrInvalidName) {
		t.Errorf("ParsePartition(007): %v", err)
	}
}

func FuzzRef(f *testing.F) {
	f.Add("weather", "amsterdam", "order-17")
	f.Add("w", "a/b", "%2F")
	f.Add("w", "\u2028", "x.y")
	f.Fuzz(func(t *testing.T, kind, key, id string) {
		ref := schemas.Identity{Kind: schemas.Kind(kind), Key: key}.Run(schemas.RunID(id))
		if ref.Validate() != nil {
			return
		}
		got, err := schemas.ParseRef(ref.String())
		if err != nil || got != ref {
			t.Fatalf("ParseRef(%q) = %+v, %v; want %+v", ref.String(), got, err, ref)
		}
		for tok := range strings.SplitSeq(ref.String(), "/") {
			if tok == "" || strings.ContainsAny(tok, ".*> \t\r\n\x00") {
				t.Fatalf("%q has a part that is no subject token", ref.String())
			}
		}
	})
}

func FuzzParseRef(f *testing.F) {
	f.Add("weather/amsterdam/order-17")
	f.Add("weather/a%2Fb/%25")
	f.Fuzz(func(t *testing.T, s string) {
		ref, err := schemas.ParseRef(s)
		if err != nil {
			if !errors.Is(err, schemas.ErrInvalidName) {
				t.Fatalf("ParseRef(%q): %v does not match ErrInvalidName", s, err)
			}
			return
		}
		if ref.String() != s {
			t.Fatalf("ParseRef(%q).String() = %q", s, ref.String())
		}
	})
}
