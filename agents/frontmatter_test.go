package agents

import (
	"strings"
	"testing"
	"unicode/utf8"
)

// FuzzSkill: whatever a SKILL.md holds, it is refused, or has what a model is told of it,
// and means the same with other ends of lines.
func FuzzSkill(f *testing.F) {
	for _, s := range []string{
		"", "---", "---\n---", "---\nname: a\ndescription: b\n---\nc", "---\r\nname: a-b\r\ndescription: b\r\n---\r\nc\r\n",
		"\xef\xbb\xbf---\nname: a\ndescription: |\n  b\n  ---\n---\nc\n---\nd", "---\na: &a [*a]\n---\nc", "--- \nname: a\n---\nb", "---\n- a\n---\nb",
		"---\nname: a\ndescription: b\n---  \t\nc", "---\nname: 1\ndescription: 2\nmetadata: {x: y}\n---\nc",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		head, body, err := parseSkill(data)
		if err != nil {
			return
		}
		if !skillName.MatchString(head.Name) || strings.TrimSpace(head.Description) == "" || body == "" || !utf8.ValidString(body) {
			t.Errorf("%q is a skill %+v with the body %q", data, head, body)
		}
		if strings.Contains(string(data), "\r") {
			return
		}
		head2, body2, err := parseSkill([]byte(strings.ReplaceAll(string(data), "\n", "\r\n")))
		if err != nil || head2 != head || body2 != body {
			t.Errorf("with \\r\\n %q is %+v, %q (%v), otherwise %+v, %q", data, head2, body2, err, head, body)
		}
	})
}

// FuzzInstructions: whatever the file holds, it is refused, or makes instructions or an
// error.
func FuzzInstructions(f *testing.F) {
	for _, s := range []string{"", "a", "{{.Run.Key}}", "---\nversion: 1\n---\n{{.Values}}", "{{range .Run.Key}}{{end}}", "{{define \"a\"}}{{end}}b", "{{template \"a\"}}"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := newPrompt(data)
		if err != nil {
			return
		}
		if p.version == "" {
			t.Errorf("%q has no version", data)
		}
	})
}
