package mcp_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/perdure/perdure/agents"
	"github.com/perdure/perdure/agents/mcp"
)

// TestWhatTheModelIsToldOfResults calls each tool of a server over both transports.
func TestWhatTheModelIsToldOfResults(t *testing.T) {
	cut := "\n[cut here: 192000 of 200000 bytes are left out, from offset 6000 on; the result is "
	for _, c := range []struct{ name, tool, arguments, want string }{
		{"structured", "add", `{"a":2,"b":40}`, `{"total":42}`},
		{"a long number", "count", `{}`, `{"total":9007199254740993}`},
		{"texts", "words", `{}`, "one\ntwo"},
		{"no arguments at all", "words", ``, "one\ntwo"},
		{"nothing", "nothing", `{}`, ""},
		{"an error of the tool", "fail", `{}`, `{"error":{"code":"tool_error","message":"the shelf is empty"}}`},
		{
			"a dot in the name, and what is no text", "files_get", `{}`,
			"three files\n[an image, image/png, 700 bytes, not shown]\n[a recording, audio/wav, 9 bytes, not played]\n[a link to file:///a.txt, a, text/plain, 12 bytes]\n" +
				"[a resource, file:///b.txt, text/plain, 8 bytes:]\ninside b\n[a resource, file:///c.bin, 33 bytes, not shown]",
		},
		{"too long", "long", `{}`, cut},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			for transport, tools := range map[string]agents.Tool{
				"http":  mcp.HTTP(newSite(t, nil).URL, mcp.MaxResult(8000), fast),
				"stdio": newProgram(t).tools(t, "serves", mcp.MaxResult(8000), fast),
			} {
				got := told(t, tools, c.tool, c.arguments)
				if c.want == cut {
					begin, rest, ok := strings.Cut(got, cut)
					_, end, _ := strings.Cut(rest, "]\n")
					if !ok || len(begin) != 6000 || len(end) != 2000 || !utf8.ValidString(got) {
						t.Errorf("%s: %d bytes, in the middle of them %q", transport, len(got), got[6000:6300])
					}
					continue
				}
				if got != c.want {
					t.Errorf("%s: the model is told %q, want %q", transport, got, c.want)
				}
			}
		})
	}
}

func TestCutKeepsLettersWhole(t *testing.T) {
	got := told(t, mcp.HTTP(newSite(t, nil).URL, mcp.MaxResult(11)), "long", `{}`)
	if !strings.HasPrefix(got, "àáâã\n[cut here: 199990 of 200000 bytes are left out, from offset 8 on;") || !strings.HasSuffix(got, "]\nó") {
		t.Errorf("the model is told %q", got)
	}
}

func TestArgumentsThatDoNotFitAreTold(t *testing.T) {
	for name, arguments := range map[string]string{"a wrong type": `{"a":"two","b":1}`, "one is missing": `{"a":2}`, "no JSON": `{"a":`, "one too many": `{"a":1,"b":2,"c":3}`} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, nil)
			contains(t, told(t, mcp.HTTP(s.URL), "add", arguments), `"bad_arguments"`, "the first number")
			if n := len(s.called("add")); n != 0 {
				t.Errorf("the server was called %d times", n)
			}
		})
	}
}
