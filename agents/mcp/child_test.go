package mcp_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"
	"github.com/perdure/perdure/agents"
	"github.com/perdure/perdure/agents/mcp"
)

// asServer is the variable that makes the test's program a server: what it does.
const asServer = "PERDURE_MCP_SERVER"

// TestMain is the server itself where a test has started its own program again.
func TestMain(m *testing.M) {
	if does := os.Getenv(asServer); does != "" {
		os.Exit(child(does))
	}
	os.Exit(m.Run())
}

// child is a server that is a program. It notes its starts and calls in files of the folder
// that it works in.
func child(does string) int {
	noteLine("starts", does)
	first := len(lines("starts")) == 1
	if does == "serves once" && !first {
		does = "fails"
	}
	switch does {
	case "fails":
		fmt.Fprintln(os.Stderr, "cannot read the token file")
		return 3
	case "silent":
		for in := bufio.NewReader(os.Stdin); ; {
			if _, err := in.ReadByte(); err != nil {
				return 0
			}
		}
	}
	s := farSide(func(tool, key string) { noteLine("calls", tool+" "+key) })
	sdk.AddTool(s, &sdk.Tool{Name: "crash"}, func(context.Context, *sdk.CallToolRequest, none) (*sdk.CallToolResult, any, error) {
		if first {
			os.Exit(9)
		}
		return text("alive"), nil, nil
	})
	in := &freezing{r: os.Stdin}
	sdk.AddTool(s, &sdk.Tool{Name: "freeze"}, func(context.Context, *sdk.CallToolRequest, none) (*sdk.CallToolResult, any, error) {
		if first {
			in.frozen.Store(true)
			select {}
		}
		return text("thawed"), nil, nil
	})
	if err := s.Run(context.Background(), &sdk.IOTransport{Reader: in, Writer: os.Stdout}); err != nil {
		return 1
	}
	noteLine("ends", does)
	return 0
}

// freezing is an input that nobody reads any more once it is frozen.
type freezing struct {
	r      io.ReadCloser
	frozen atomic.Bool
}

func (f *freezing) Read(p []byte) (int, error) {
	n, err := f.r.Read(p)
	if f.frozen.Load() {
		select {}
	}
	return n, err
}

func (f *freezing) Close() error { return f.r.Close() }

func noteLine(file, line string) {
	f, err := os.OpenFile(file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err == nil {
		_, err = fmt.Fprintln(f, line)
	}
	if err != nil {
		panic(err)
	}
	_ = f.Close()
}

func lines(file string) (all []string) {
	f, err := os.Open(file)
	if err != nil {
		return nil
	}
	defer f.Close()
	for in := bufio.NewScanner(f); in.Scan(); {
		all = append(all, in.Text())
	}
	return all
}

// A program is a server that is one, for one test.
type program struct{ dir string }

func newProgram(t *testing.T) program { return program{t.TempDir()} }

func (p program) tools(t *testing.T, does string, opts ...mcp.StdioOption) agents.Tool {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return mcp.Stdio(self, append([]mcp.StdioOption{mcp.Env(asServer, does), mcp.Dir(p.dir)}, opts...)...)
}

func (p program) starts() int { return len(lines(filepath.Join(p.dir, "starts"))) }

// ends is how many of them have ended because their input did.
func (p program) ends() int { return len(lines(filepath.Join(p.dir, "ends"))) }

func (p program) calls() []string { return lines(filepath.Join(p.dir, "calls")) }

type none struct{}

func text(s string) *sdk.CallToolResult {
	return &sdk.CallToolResult{Content: []sdk.Content{&sdk.TextContent{Text: s}}}
}

type sum struct {
	A int `json:"a" jsonschema:"the first number"`
	B int `json:"b"`
}

type total struct {
	Total int64 `json:"total"`
}

// farSide returns a server with tools of every kind. note is called with each call's name and
// idempotency key.
func farSide(note func(tool, key string)) *sdk.Server {
	s := sdk.NewServer(&sdk.Implementation{Name: "far", Version: "1"}, nil)
	noted := func(req *sdk.CallToolRequest) {
		key, _ := req.Params.Meta[mcp.IdempotencyMeta].(string)
		note(req.Params.Name, key)
	}
	sdk.AddTool(s, &sdk.Tool{Name: "add", Description: "Adds numbers"}, func(_ context.Context, req *sdk.CallToolRequest, in sum) (*sdk.CallToolResult, total, error) {
		noted(req)
		return nil, total{int64(in.A) + int64(in.B)}, nil
	})
	sdk.AddTool(s, &sdk.Tool{Name: "fail"}, func(_ context.Context, req *sdk.CallToolRequest, _ none) (*sdk.CallToolResult, any, error) {
		noted(req)
		return nil, nil, fmt.Errorf("the shelf is empty")
	})
	raw := func(name string, answer *sdk.CallToolResult) {
		s.AddTool(&sdk.Tool{Name: name, InputSchema: json.RawMessage(`{"type":"object"}`)}, func(_ context.Context, req *sdk.CallToolRequest) (*sdk.CallToolResult, error) {
			noted(req)
			return answer, nil
		})
	}
	s.AddTool(&sdk.Tool{Name: "count", InputSchema: json.RawMessage(`{"type":"object"}`), OutputSchema: json.RawMessage(`{"type":"object"}`)}, func(context.Context, *sdk.CallToolRequest) (*sdk.CallToolResult, error) {
		answer := text(`{"total":9007199254740993}`)
		answer.StructuredContent = json.RawMessage(`{"total":9007199254740993}`)
		return answer, nil
	})
	size := int64(12)
	raw("words", &sdk.CallToolResult{Content: []sdk.Content{&sdk.TextContent{Text: "one"}, &sdk.TextContent{Text: "two"}}})
	raw("nothing", &sdk.CallToolResult{Content: []sdk.Content{}})
	raw("files.get", &sdk.CallToolResult{Content: []sdk.Content{
		&sdk.TextContent{Text: "three files"},
		&sdk.ImageContent{MIMEType: "image/png", Data: make([]byte, 700)},
		&sdk.AudioContent{MIMEType: "audio/wav", Data: make([]byte, 9)},
		&sdk.ResourceLink{URI: "file:///a.txt", Name: "a", MIMEType: "text/plain", Size: &size},
		&sdk.EmbeddedResource{Resource: &sdk.ResourceContents{URI: "file:///b.txt", MIMEType: "text/plain", Text: "inside b"}},
		&sdk.EmbeddedResource{Resource: &sdk.ResourceContents{URI: "file:///c.bin", Blob: make([]byte, 33)}},
	}})
	long := make([]byte, 0, 300_000)
	for i := range 100_000 {
		long = fmt.Appendf(long, "%c", 'à'+rune(i%20)) // two bytes each
	}
	raw("long", text(string(long)))
	sdk.AddTool(s, &sdk.Tool{Name: "wait"}, func(ctx context.Context, req *sdk.CallToolRequest, _ none) (*sdk.CallToolResult, any, error) {
		noted(req)
		<-ctx.Done()
		return nil, nil, ctx.Err()
	})
	return s
}
