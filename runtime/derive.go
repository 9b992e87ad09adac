package runtime

import (
	"bytes"
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"strconv"

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

// HashInput returns the hash of what a task asks for: its method, its input, and
// what it is a fork of. A message ID that comes again with another hash is another
// task's.
func HashInput(env *schemas.Envelope) []byte { return TaskHashes(env)[0] }

// TaskHashes returns [HashInput], and behind it what else the run of a task may have
// as that: builds before forks were part of the hash recorded it without.
func TaskHashes(env *schemas.Envelope) [][]byte {
	hash := HashPayload(env.GetPayload())
	if env.GetMethod() != "" {
		d := digest(env.GetMethod(), string(hash))
		hash = d[:]
	}
	f := env.GetFork()
	if f == nil {
		return [][]byte{hash}
	}
	parts := []string{"fork", string(hash), f.GetRun(), f.GetStep(), strconv.FormatBool(f.GetUncancelled()), f.GetBuild(), strconv.FormatUint(uint64(f.GetGeneration()), 10)}
	for _, r := range f.GetResults() {
		parts = append(parts, r.GetPath(), string(HashPayload(r.GetResult())))
	}
	d := digest(parts...)
	return [][]byte{d[:], hash}
}

// SameTask reports whether a task asks for what has this hash.
func SameTask(env *schemas.Envelope, hash []byte) bool { return HasHash(TaskHashes(env), hash) }

// HasHash reports whether a hash is one of [TaskHashes].
func HasHash(all [][]byte, hash []byte) bool {
	return slices.ContainsFunc(all, func(h []byte) bool { return bytes.Equal(h, hash) })
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
