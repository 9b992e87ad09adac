package scripted

import "bytes"

// maxRead is how many requests a server remembers for [Server.seen].
const maxRead = 32

// seen returns how many bytes a request begins with as one did before, which is
// what a provider has read already; and remembers it.
func (v *Server) seen(body []byte) (known int) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, b := range v.bodies {
		n := 0
		for n < min(len(b), len(body)) && b[n] == body[n] {
			n++
		}
		known = max(known, n)
	}
	if v.bodies = append(v.bodies, bytes.Clone(body)); len(v.bodies) > maxRead {
		v.bodies = v.bodies[1:]
	}
	return known
}
