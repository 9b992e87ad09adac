package main

import (
	"bytes"
	"strconv"
	"strings"
	"sync"
)

// A trap waits for a moment: that a node publishes a message that fits. What follows
// the message on its connection does not arrive, since by then the node is dead.
type trap struct {
	pattern string      // that the message has, in its subject or its headers
	after   bool        // the message arrives
	sprung  func(cutAt) // kills the node; it returns when that is dead
	once    sync.Once
}

// moments are the patterns of messages behind or before which a crash is worst, some
// more often than others.
var moments = []struct {
	name, pattern string
	often         int
}{
	{"append", "PUB perdure.run.", 1},
	{"commit", "\r\nNats-Rollup: sub", 2}, // it has effects that others have to make true
	{"state", "PUB $KV.perdure_state.", 1},
	{"send", "PUB perdure.task.", 1},
	{"schedule", "PUB perdure.timer.", 1},
	{"cancel", "PUB $JS.API.STREAM.PURGE.", 2}, // nothing carries what is not done by then
	{"acknowledge", "PUB $JS.ACK.", 1},
}

// moment draws one, or returns the one of a name.
func (n *nemesis) moment(name string) (string, string) {
	i := 0
	for _, m := range moments {
		if m.name == name {
			return m.name, m.pattern
		}
		i += m.often
	}
	i = n.r.IntN(i)
	for _, m := range moments {
		if i -= m.often; i < 0 {
			return m.name, m.pattern
		}
	}
	return "", ""
}

// A cutAt is where what a node says ends.
type cutAt struct {
	forward int    // bytes of the piece that arrive
	more    int    // bytes behind it that arrive as well: the rest of the message
	subject string // of the message
	body    string // the beginning of what is behind its first line, for people
}

// find looks for the trap's message in a piece of what a node says.
func (t *trap) find(piece []byte) (c cutAt, ok bool) {
	at := bytes.Index(piece, []byte(t.pattern))
	if at < 0 {
		return c, false
	}
	begin := bytes.LastIndex(piece[:min(at+4, len(piece))], []byte("PUB "))
	if begin < 0 {
		return c, false
	}
	if begin > 0 && piece[begin-1] == 'H' {
		begin--
	}
	line, _, whole := bytes.Cut(piece[begin:], []byte("\r\n"))
	words := strings.Fields(string(line))
	if !whole || len(words) < 3 {
		return c, false
	}
	size, err := strconv.Atoi(words[len(words)-1])
	if err != nil {
		return c, false
	}
	c.subject, c.forward = words[1], begin
	c.body = string(piece[begin+len(line)+2:][:min(size, 100, len(piece)-begin-len(line)-2)])
	if t.after {
		end := begin + len(line) + 2 + size + 2
		c.forward, c.more = min(end, len(piece)), max(0, end-len(piece))
	}
	return c, true
}
