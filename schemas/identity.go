package schemas

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// MaxToken is the length of the longest kind, key or ID, in bytes of its
// encoded form. Subjects stay far below the server's limit with it.
const MaxToken = 256

// ErrInvalidName is matched by every error that a kind, key, ID or reference
// of a wrong form gives.
var ErrInvalidName = errors.New("invalid name")

// A Kind is a registered type of agent, workflow or virtual actor. It is one
// token of a NATS subject as it stands: ASCII letters, digits, '-' and '_'.
type Kind string

// Validate returns an error that matches [ErrInvalidName] if k is not a kind.
func (k Kind) Validate() error {
	if k == "" {
		return fmt.Errorf("%w: the kind is empty; use letters, digits, '-' and '_', e.g. \"weather\"", ErrInvalidName)
	}
	if len(k) > MaxToken {
		return fmt.Errorf("%w: the kind %.20q... has %d bytes; the limit is %d", ErrInvalidName, string(k), len(k), MaxToken)
	}
	for i := range len(k) {
		c := k[i]
		if c != '-' && c != '_' && (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') {
			return fmt.Errorf("%w: the kind %q contains %q; use letters, digits, '-' and '_'", ErrInvalidName, string(k), string(k[i]))
		}
	}
	return nil
}

// ledgers begins the names of the kinds of ledgers.
const ledgers = "perdure-"

// IsLedger reports whether the kind is one of ledgers, such as that of limits: they
// come with Perdure, and what is in their journals is no run. No user's kind may
// have such a name.
func (k Kind) IsLedger() bool { return strings.HasPrefix(string(k), ledgers) }

// A RunID names a run within its identity. It is the ID of the message that
// caused the run: any non-empty UTF-8 text.
type RunID string

// Validate returns an error that matches [ErrInvalidName] if id is not a run ID.
func (id RunID) Validate() error { return validText("run ID", string(id)) }

// An Identity names a virtual actor: Key is which one of its Kind.
type Identity struct {
	Kind Kind
	Key  string
}

// ParseIdentity reads the form that [Identity.String] prints, kind/key with
// the key percent-encoded where it must be.
func ParseIdentity(s string) (Identity, error) {
	kind, key, ok := strings.Cut(s, "/")
	if !ok || strings.Contains(key, "/") {
		return Identity{}, fmt.Errorf("%w: %q is not kind/key, e.g. weather/amsterdam; write a '/' inside a key as %%2F", ErrInvalidName, s)
	}
	key, err := DecodeToken(key)
	if err != nil {
		return Identity{}, fmt.Errorf("key of %q: %w", s, err)
	}
	id := Identity{Kind(kind), key}
	return id, id.Validate()
}

// String prints kind/key, the key encoded by [EncodeToken].
func (id Identity) String() string { return string(id.Kind) + "/" + EncodeToken(id.Key) }

// Validate returns an error that matches [ErrInvalidName] if a part is wrong.
func (id Identity) Validate() error {
	if err := id.Kind.Validate(); err != nil {
		return err
	}
	return validText("key", id.Key)
}

// Run returns the reference of the identity's run of this ID.
func (id Identity) Run(run RunID) Ref { return Ref{id, run} }

// A Ref is a run's reference, kind/key/id: what people and programs pass
// around, and the exact subject to look the run up by.
type Ref struct {
	Identity
	ID RunID
}

// ParseRef reads the form that [Ref.String] prints.
func ParseRef(s string) (Ref, error) {
	i := strings.LastIndexByte(s, '/')
	if i < 0 || strings.Count(s, "/") != 2 {
		return Ref{}, fmt.Errorf("%w: %q is not a reference kind/key/id, e.g. weather/amsterdam/order-17; write a '/' inside a part as %%2F", ErrInvalidName, s)
	}
	id, err := ParseIdentity(s[:i])
	if err != nil {
		return Ref{}, err
	}
	run, err := DecodeToken(s[i+1:])
	if err != nil {
		return Ref{}, fmt.Errorf("ID of %q: %w", s, err)
	}
	return id.Run(RunID(run)), RunID(run).Validate()
}

// String prints kind/key/id, key and ID encoded by [EncodeToken].
func (r Ref) String() string { return r.Identity.String() + "/" + EncodeToken(string(r.ID)) }

// Validate returns an error that matches [ErrInvalidName] if a part is wrong.
func (r Ref) Validate() error {
	if err := r.Identity.Validate(); err != nil {
		return err
	}
	return r.ID.Validate()
}

// A Partition is a fixed hash slot of identities, owned by one node at a time.
type Partition uint32

// String prints the decimal number.
func (p Partition) String() string { return strconv.FormatUint(uint64(p), 10) }

// ParsePartition reads the form that [Partition.String] prints.
func ParsePartition(s string) (Partition, error) {
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil || Partition(n).String() != s {
		return 0, fmt.Errorf("%w: %q is not a partition number", ErrInvalidName, s)
	}
	return Partition(n), nil
}

// PartitionOf returns the partition of id among n. It is FNV-1a (32 bits) over
// the subject tokens of kind and key, which is what nats-server's subject
// mapping function partition(n, kind, key) computes: a client that knows
// nothing of partitions is routed by the server to the same one.
func PartitionOf(id Identity, n uint32) Partition {
	h := fnv1a(fnv1a(fnvBasis, string(id.Kind)), EncodeToken(id.Key))
	return Partition(h % n)
}

const fnvBasis, fnvPrime uint32 = 2166136261, 16777619

func fnv1a(h uint32, s string) uint32 {
	for i := range len(s) {
		h = (h ^ uint32(s[i])) * fnvPrime
	}
	return h
}

const hexDigits = "0123456789ABCDEF"

// escaped reports whether a rune of a key or ID must be percent-encoded in a
// subject token and in a reference.
func escaped(r rune) bool {
	switch r {
	case '%', '.', '*', '>', '/', utf8.RuneError:
		return true
	}
	return r <= ' ' || r == 0x7f || unicode.IsSpace(r) || unicode.IsControl(r)
}

// plain reports whether s has nothing but what most keys and IDs have, all of which
// stays as it is.
func plain(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && (c < 'A' || c > 'Z') && c != '-' && c != '_' {
			return false
		}
	}
	return true
}

// EncodeToken encodes a key or ID as one token of a NATS subject: '%', '.',
// '*', '>', '/', white space and control characters become %XX, everything
// else stays as it is.
func EncodeToken(s string) string {
	if plain(s) || !strings.ContainsFunc(s, escaped) {
		return s
	}
	var b strings.Builder
	b.Grow(len(s) + 8)
	for _, r := range s {
		if !escaped(r) {
			b.WriteRune(r)
			continue
		}
		for _, c := range []byte(string(r)) {
			b.WriteByte('%')
			b.WriteByte(hexDigits[c>>4])
			b.WriteByte(hexDigits[c&15])
		}
	}
	return b.String()
}

// DecodeToken is the inverse of [EncodeToken]. Only the canonical form is
// accepted, so that one identity has one subject: %41 for A is an error that
// says what to write instead.
func DecodeToken(s string) (string, error) {
	if len(s) > MaxToken {
		return "", fmt.Errorf("%w: %.20q... has %d bytes; the limit is %d", ErrInvalidName, s, len(s), MaxToken)
	}
	out := s
	if strings.IndexByte(s, '%') >= 0 {
		b := make([]byte, 0, len(s))
		for i := 0; i < len(s); i++ {
			if s[i] != '%' {
				b = append(b, s[i])
				continue
			}
			if i+2 >= len(s) {
				return "", fmt.Errorf("%w: %q ends inside a %%XX", ErrInvalidName, s)
			}
			hi, lo := strings.IndexByte(hexDigits, s[i+1]), strings.IndexByte(hexDigits, s[i+2])
			if hi < 0 || lo < 0 {
				return "", fmt.Errorf("%w: %q has %q where two upper-case hexadecimal digits follow a '%%'", ErrInvalidName, s, s[i:i+3])
			}
			b = append(b, byte(hi<<4|lo))
			i += 2
		}
		out = string(b)
	}
	if canonical := EncodeToken(out); !utf8.ValidString(out) || canonical != s {
		return "", fmt.Errorf("%w: %q is not in canonical form; write %q", ErrInvalidName, s, canonical)
	}
	return out, nil
}

func validText(what, s string) error {
	switch {
	case s == "":
		return fmt.Errorf("%w: the %s is empty", ErrInvalidName, what)
	case !utf8.ValidString(s):
		return fmt.Errorf("%w: the %s %q is not UTF-8", ErrInvalidName, what, s)
	case strings.ContainsRune(s, utf8.RuneError):
		return fmt.Errorf("%w: the %s %q contains U+FFFD, the mark of a broken encoding", ErrInvalidName, what, s)
	}
	if n := len(EncodeToken(s)); n > MaxToken {
		return fmt.Errorf("%w: the %s %.20q... has %d bytes encoded; the limit is %d", ErrInvalidName, what, s, n, MaxToken)
	}
	return nil
}
