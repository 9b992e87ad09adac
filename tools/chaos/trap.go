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
	pattern string               // that the message has, in its subject or its headers
	after   bool                 // the message arrives
	sprung  func(subject string) // kills the node; it returns when that is dead
	once    sync.Once
}

// moments are the patterns of messages behind or before which a crash is worst.
var moments = []struct{ name, pattern string }{
	{"append", "PUB perdure.run."},
	{"commit", "\r\nNats-Rollup: sub"},
	{"commit", "\r\nNats-Rollup: sub"}, // it has effects that others have to make true
	{"state", "PUB $KV.perdure_state."},
	{"send", "PUB perdure.task."},
	{"schedule", "PUB perdure.timer."},
	{"cancel", "PUB $JS.API.STREAM.PURGE."},
	{"acknowledge", "PUB $JS.ACK."},
}

// A cut is where what a node says ends.
type cutAt struct {
	forward int    // bytes of the piece that arrive
	more    int    // bytes behind it that arrive as well: the rest of the message
	subject string // of the message
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
	if t.after {
		end := begin + len(line) + 2 + size + 2
		c.forward, c.more = min(end, len(piece)), max(0, end-len(piece))
	}
	return c, true
}
