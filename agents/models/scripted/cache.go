package scripted

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
)

// A read is a part of a request as the model reads it, in order: a tool, a block
// of the instructions, a block of a message.
type read struct {
	text   []byte
	marked bool // what ends with it is to be cached
	mark   *cacheControl
}

func (r *Request) reads(role string, part any, mark *cacheControl) {
	text, err := json.Marshal([]any{role, part})
	if err != nil {
		text = []byte(err.Error())
	}
	r.read = append(r.read, read{text: text, marked: mark != nil, mark: mark})
}

// prefix returns what the model has read so far.
func (r *Request) prefix() []byte {
	var all [][]byte
	for _, p := range r.read {
		all = append(all, p.text)
	}
	return bytes.Join(all, []byte("\n"))
}

// maxMarks and lookBack are the API's: how many marks a request may have, and how
// far in front of one an earlier one is found.
const (
	maxMarks = 4
	lookBack = 20
)

// marks refuses what the API does not cache.
func (q *question) marks(r *Request) error {
	n := 0
	for _, p := range r.read {
		if !p.marked {
			continue
		}
		if n++; p.mark.Type != "ephemeral" || p.mark.TTL != "" && p.mark.TTL != "5m" && p.mark.TTL != "1h" {
			return fmt.Errorf("cache_control has type %q and ttl %q", p.mark.Type, p.mark.TTL)
		}
	}
	if n > maxMarks {
		return fmt.Errorf("a maximum of %d blocks with cache_control may be provided, found %d", maxMarks, n)
	}
	return nil
}

// cache returns how many bytes of a request were read before, and how many are
// kept for the next one; and keeps them.
func (v *Server) cache(req *Request) (known, kept int) {
	v.mu.Lock()
	defer v.mu.Unlock()
	sums := make([][sha256.Size]byte, len(req.read))
	sizes := make([]int, len(req.read))
	h, size := sha256.New(), 0
	h.Write([]byte(req.Model))
	for i, p := range req.read {
		h.Write(p.text)
		size += len(p.text)
		sums[i], sizes[i] = [sha256.Size]byte(h.Sum(nil)), size
	}
	for i, p := range req.read {
		for j := i; p.marked && j >= 0 && j > i-lookBack; j-- {
			if v.cached[sums[j]] {
				known = max(known, sizes[j])
			}
		}
	}
	for i, p := range req.read {
		if p.marked {
			v.cached[sums[i]] = true
			kept = max(kept, sizes[i])
		}
	}
	return known, max(kept-known, 0)
}
