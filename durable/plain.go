package durable

import (
	"bytes"
	"unicode/utf8"
)

// Most payloads are texts without anything in them that JSON escapes: those are read
// and written without a decoder, byte for byte as package encoding/json does.

// plainJSON returns s in JSON, ok if nothing of it has to be escaped.
func plainJSON(s string) (data []byte, ok bool) {
	for i := range len(s) {
		switch c := s[i]; {
		case c < ' ', c >= utf8.RuneSelf, c == 0x7f, c == '"', c == '\\', c == '<', c == '>', c == '&':
			return nil, false
		}
	}
	data = make([]byte, 0, len(s)+2)
	data = append(data, '"')
	data = append(data, s...)
	return append(data, '"'), true
}

// plainString returns what a JSON string says, ok if nothing of it is escaped.
func plainString(data []byte) (s string, ok bool) {
	n := len(data)
	if n < 2 || data[0] != '"' || data[n-1] != '"' {
		return "", false
	}
	data = data[1 : n-1]
	if bytes.IndexByte(data, '"') >= 0 || bytes.IndexByte(data, '\\') >= 0 || !utf8.Valid(data) {
		return "", false
	}
	for _, c := range data {
		if c < ' ' {
			return "", false
		}
	}
	return string(data), true
}
