package runtime

import (
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"math/rand/v2"

	"github.com/perdure/perdure/schemas"
)

var idEncoding = base32.NewEncoding("0123456789abcdefghjkmnpqrstvwxyz").WithPadding(base32.NoPadding)

// digest hashes strings, each with its length, so that no two lists of strings
// give the same bytes.
func digest(parts ...string) [sha256.Size]byte {
	h := sha256.New()
	var n [8]byte
	for _, p := range parts {
		binary.BigEndian.PutUint64(n[:], uint64(len(p)))
		h.Write(n[:])
		h.Write([]byte(p))
	}
	return [sha256.Size]byte(h.Sum(nil))
}

// DeriveID returns the ID of what a run does at a path: 26 characters that are
// the same on every replay and differ for every other namespace, run and path.
// Message IDs, idempotency keys and NewID are made so (P22 of the protocol).
func DeriveID(namespace string, ref schemas.Ref, purpose, path string) string {
	d := digest(namespace, string(ref.Kind), ref.Key, string(ref.ID), purpose, path)
	return idEncoding.EncodeToString(d[:16])
}

func deriveRand(namespace string, ref schemas.Ref, path string) *rand.Rand {
	return rand.New(rand.NewChaCha8(digest(namespace, string(ref.Kind), ref.Key, string(ref.ID), "rand", path)))
}

// HashInput returns the hash of what a task asks for: its method and its input.
// A message ID that comes again with another hash is another task's.
func HashInput(env *schemas.Envelope) []byte {
	input := HashPayload(env.GetPayload())
	if env.GetMethod() == "" {
		return input
	}
	d := digest(env.GetMethod(), string(input))
	return d[:]
}

// HashPayload returns the SHA-256 of a payload's bytes, by which an input is
// compared with the one that a message ID was used with first.
func HashPayload(p *schemas.Payload) []byte {
	if p.GetBlob() != nil {
		return p.GetBlob().GetSha256()
	}
	d := sha256.Sum256(p.GetData())
	return d[:]
}
