package schemas_test

import (
	"errors"
	"hash/fnv"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/perdure/perdure/schemas"
)

// kinds, keys and identities generate valid ones, keys with every character
// that has a meaning somewhere.
func kinds() *rapid.Generator[schemas.Kind] {
	return rapid.Map(rapid.StringMatching(`[A-Za-z0-9_-]{1,32}`), func(s string) schemas.Kind { return schemas.Kind(s) })
}

func keys() *rapid.Generator[string] {
	char := rapid.OneOf(rapid.Rune(), rapid.SampledFrom([]rune("%./*> \t\n\u00a0\u2028\x00\x7fé日😀2F")))
	return rapid.StringOfN(char, 1, 20, -1).Filter(func(s string) bool {
		return utf8.ValidString(s) && !strings.ContainsRune(s, utf8.RuneError) && len(schemas.EncodeToken(s)) <= schemas.MaxToken
	})
}

func identities() *rapid.Generator[schemas.Identity] {
	return rapid.Custom(func(t *rapid.T) schemas.Identity {
		return schemas.Identity{Kind: kinds().Draw(t, "kind"), Key: keys().Draw(t, "key")}
	})
}

func TestReferenceReadsBackWhatItPrints(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ref := identities().Draw(t, "identity").Run(schemas.RunID(keys().Draw(t, "id")))
		if err := ref.Validate(); err != nil {
			t.Fatalf("Validate(%#v): %v", ref, err)
		}
		if got, err := schemas.ParseRef(ref.String()); err != nil || got != ref {
			t.Fatalf("ParseRef(%q) = %#v, %v; want %#v", ref, got, err, ref)
		}
		if got, err := schemas.ParseIdentity(ref.Identity.String()); err != nil || got != ref.Identity {
			t.Fatalf("ParseIdentity(%q) = %#v, %v; want %#v", ref.Identity, got, err, ref.Identity)
		}
	})
}

// Any text becomes a token that NATS takes as one, and comes back.
func TestTokenIsOneSubjectToken(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := keys().Draw(t, "text")
		token := schemas.EncodeToken(text)
		if strings.ContainsAny(token, ".*>/ \t\r\n\x00") || token == "" {
			t.Fatalf("EncodeToken(%q) = %q, which is not one token of a subject", text, token)
		}
		if got, err := schemas.DecodeToken(token); err != nil || got != text {
			t.Fatalf("DecodeToken(%q) = %q, %v; want %q", token, got, err, text)
		}
	})
}

// Two identities, or two runs, never share a subject.
func TestDifferentNamesPrintDifferently(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := identities().Draw(t, "a"), identities().Draw(t, "b")
		if (a == b) != (a.String() == b.String()) {
			t.Fatalf("%#v prints %q, %#v prints %q", a, a, b, b)
		}
	})
}

// What is accepted as a token is what EncodeToken prints; all else is an error
// that can be matched.
func TestOnlyCanonicalTokensAreRead(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		token := rapid.OneOf(rapid.String(), rapid.StringMatching(`(%[0-9A-Fa-f]{0,2}|[a-z.])*`)).Draw(t, "token")
		text, err := schemas.DecodeToken(token)
		switch {
		case err == nil && schemas.EncodeToken(text) != token:
			t.Fatalf("DecodeToken(%q) = %q, which is written %q", token, text, schemas.EncodeToken(text))
		case err != nil && !errors.Is(err, schemas.ErrInvalidName):
			t.Fatalf("DecodeToken(%q): %v does not match ErrInvalidName", token, err)
		}
	})
}

func TestInvalidIdentitiesSaySo(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.OneOf(rapid.String(), rapid.StringMatching(`[a-z./% ]*`)).Draw(t, "text")
		if id, err := schemas.ParseIdentity(s); err == nil && id.String() != s || err != nil && !errors.Is(err, schemas.ErrInvalidName) {
			t.Fatalf("ParseIdentity(%q) = %#v, %v", s, id, err)
		}
		if err := schemas.Kind(s).Validate(); err != nil && !errors.Is(err, schemas.ErrInvalidName) {
			t.Fatalf("Kind(%q).Validate() = %v", s, err)
		}
		if err := schemas.RunID(s).Validate(); err != nil && !errors.Is(err, schemas.ErrInvalidName) {
			t.Fatalf("RunID(%q).Validate() = %v", s, err)
		}
	})
}

// A partition is within the number of partitions, depends on nothing but the
// subject tokens, and is FNV-1a of them: the server's own partition function.
func TestPartitionIsAHashOfTheSubject(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		id := identities().Draw(t, "identity")
		n := rapid.Uint32Range(1, 1<<16).Draw(t, "partitions")
		h := fnv.New32a()
		kind, key, _ := strings.Cut(id.String(), "/")
		h.Write([]byte(kind + key))
		p := schemas.PartitionOf(id, n)
		if uint32(p) >= n || uint32(p) != h.Sum32()%n {
			t.Fatalf("PartitionOf(%v, %d) = %d, want %d", id, n, p, h.Sum32()%n)
		}
		if got, err := schemas.ParsePartition(p.String()); err != nil || got != p {
			t.Fatalf("ParsePartition(%q) = %v, %v", p, got, err)
		}
	})
}
