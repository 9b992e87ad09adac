package agents

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"go.yaml.in/yaml/v3"
)

// maxFrontMatter bounds what is in front of a text, in bytes.
const maxFrontMatter = 64 << 10

// frontMatter reads the YAML that a Markdown file begins with, between two lines of ---,
// into what into points to, and returns the text behind it, without blank lines around it.
// A file that begins otherwise is all text. With strict a name that into does not have is
// an error.
func frontMatter(data []byte, into any, strict bool) (text string, err error) {
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	all := strings.ReplaceAll(string(data), "\r\n", "\n")
	rest, ok := strings.CutPrefix(all, "---\n")
	if !ok {
		return strings.TrimSpace(all), nil
	}
	head, text, ok := cutLine(rest)
	if !ok {
		return "", errors.New("the front matter that begins with --- has no end; close it by another line of ---")
	}
	if len(head) > maxFrontMatter {
		return "", fmt.Errorf("the front matter has %d bytes; it may have %d", len(head), maxFrontMatter)
	}
	d := yaml.NewDecoder(strings.NewReader(head))
	d.KnownFields(strict)
	if err := d.Decode(into); err != nil && !errors.Is(err, io.EOF) { // EOF: it is empty
		return "", fmt.Errorf("the front matter is not what it should be: %w", err)
	}
	return strings.TrimSpace(text), nil
}

// cutLine cuts a text at its first line of ---.
func cutLine(text string) (before, after string, ok bool) {
	for at := 0; ; {
		line, _, more := strings.Cut(text[at:], "\n")
		if strings.TrimRight(line, " \t") == "---" {
			return text[:at], strings.TrimPrefix(text[at+len(line):], "\n"), true
		}
		if !more {
			return "", "", false
		}
		at += len(line) + 1
	}
}
